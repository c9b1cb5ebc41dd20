-- Programs that get libahost in other ways than by linking to it.

local installed <const> = require "spec.installed"

local with_installed <const> = installed.tests(it, pending)

describe("libahost", function()
  local at

  lazy_setup(function()
    at = not installed.missing and installed.new()
  end)

  lazy_teardown(function()
    if at then at:close() end
  end)

  with_installed("works opened at run time, RTLD_LOCAL, in several copies", function()
    at:run "cc $CFLAGS -D_GNU_SOURCE -I$prefix/include -o run $root/spec/embed/dlopen.c"
    assert.equal("one.so\t[1,2]\t3\ntwo.so\t[1,2]\t3\n", at:run [[
      ! ldd run | grep libahost
      cp $prefix/lib/libahost.so one.so; cp one.so two.so
      LD_LIBRARY_PATH=. ./run one.so two.so]])
  end)
end)
