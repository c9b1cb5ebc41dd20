-- Programs with main loops of their own, in which a host takes its turns.

local installed <const> = require "spec.installed"
local subprocess <const> = require "spec.subprocess"

local with_installed <const> = installed.tests(it, pending)

local SCRIPT <const> = "script\t1\nscript\t2\nscript\t3\n"

describe("a main loop", function()
  local at

  lazy_setup(function()
    at = not installed.missing and installed.new()
  end)

  lazy_teardown(function()
    if at then at:close() end
  end)

  it("needs no more than three functions", function()
    local result <const> = subprocess.shell [[
      for name in ahost_fd ahost_timeout ahost_step; do
        grep -q "$name(" host/ahost.h && grep -q "$name(" spec/embed/poll_loop.c || exit 1
      done]]
    assert.equal(0, result.status)
  end)

  with_installed("may wait with poll(2)", function()
    at:compile "spec/embed/poll_loop.c"
    assert.equal("pipe hello\n" .. SCRIPT, at:run "./poll_loop")
  end)

  with_installed("may be that of GLib", function()
    at:compile("spec/embed/glib_loop.c", "ahost glib-2.0")
    assert.equal(SCRIPT .. "ticks: some\n", at:run "./glib_loop")
  end, "glib-2.0")

  with_installed("may be one of libuv", function()
    at:compile("spec/embed/uv_loop.c", "ahost-lua")
    assert.equal(SCRIPT .. "ticks: some\n", at:run "./uv_loop")
  end)
end)
