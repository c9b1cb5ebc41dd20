local command_line <const> = require "spec.command_line"

local is <const> = command_line.is

describe("ahost new", function()
  it("writes an application that is fine, passes its spec and luacheck", function()
    local at <close> = command_line.new {}
    is(at:run "new shop", 0, [[
wrote shop/.luacheckrc
wrote shop/README.md
wrote shop/ahost.yaml
wrote shop/shop.lua
wrote shop/spec/shop_spec.lua

next:
  cd shop
  ahost test
  ahost run
]])
    is(at:shell "cd shop && $ahost check", 0, "ahost.yaml: fine\n")
    local result <const> = at:shell "cd shop && $ahost test"
    assert.equal(0, result.status)
    assert.matches("1 success / 0 failures / 0 errors / 0 pending", result.out)
    if at:shell("command -v luacheck").status == 0 then
      assert.equal(0, at:shell("cd shop && luacheck -q .").status)
    end
    assert.is_nil(at:read("shop/README.md"):find("@", 1, true))
  end)

  it("runs", function()
    local at <close> = command_line.new {}
    assert.equal(0, at:run("new My_app1 some/where").status)
    local running <close> =
      at:start "run some/where/ahost.yaml --set component.address=127.0.0.1:0"
    assert.matches("^NOTICE .*: listening on 127.0.0.1:%d+$", running:read_line())
    running:signal "TERM"
    assert.equal(0, running:finish().status)
  end)

  it("writes into a directory that is empty only", function()
    local at <close> = command_line.new { ["full/.x"] = "", ["file"] = "" }
    os.execute("mkdir '" .. at.directory .. "/a*'")
    local try <const> = "\ntry 'ahost new --help'\n"
    is(at:run "new full", 2, "", "ahost new: the directory full is not empty" .. try)
    is(at:shell "touch ab && $ahost new shop 'a*' | tail -n 1; ls 'a*'", 0,
      "  ahost run\nREADME.md\nahost.yaml\nshop.lua\nspec\n")
    local result <const> = at:run "new file"
    assert.equal(1, result.status)
    assert.matches("^ahost new: file/.luacheckrc: Not a directory\n", result.err)
    is(at:run "new shop file/x", 1, "",
      "ahost new: mkdir file/x: not a directory (ENOTDIR)\n")
  end)

  it("takes a name", function()
    local at <close> = command_line.new {}
    local try <const> = "\ntry 'ahost new --help'\n"
    for _, name in ipairs { "1x", "a-b", "../x", "''", "'a b'" } do
      is(at:run("new " .. name), 2, "", ("ahost new: '%s' is no name: letters, digits "
        .. "and underscores, no digit first%s"):format(name:gsub("^'(.*)'$", "%1"), try))
    end
    is(at:run "new", 2, "", "ahost new: a NAME is needed" .. try)
    is(at:run "new a b c", 2, "", "ahost new: 'c' is one word too many" .. try)
  end)
end)
