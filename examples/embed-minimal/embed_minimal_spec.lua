local installed <const> = require "spec.installed"
local program <const> = require "spec.tutorial_program"
local tutorial <const> = require "spec.tutorial"

local FOLDER <const> = "examples/embed-minimal"

local with_installed <const> = installed.tests(it, pending)

describe("the least program that embeds ahost", function()
  local at

  lazy_setup(function() at = program.new(FOLDER) end)

  lazy_teardown(function()
    if at then at:close() end
  end)

  it("is what its tutorial shows", function()
    tutorial.check_code(FOLDER, { "hello.lua" }, { "minimal.c" })
  end)

  with_installed("does what its tutorial says", function()
    program.play(at, FOLDER)
  end)

  with_installed("logs what scripts do wrong, and ends with status 1", function()
    local result <const> = at:shell [[
      echo 'require "ahost.task".sleep(0.001) error "this is wrong"' >wrong.lua
      ./minimal wrong.lua]]
    assert.matches("wrong.lua:1: this is wrong", result.err)
    assert.equal(1, result.status)
  end)
end)
