-- Reloads of a component that a script returns: the script is run again.

local command_line <const> = require "spec.command_line"

-- Reloads when it gets HUP.
local APP <const> = [[
local words <const> = { ... }
local host <const> = require "ahost.host"
local process <const> = require "ahost.process"
local shared <const> = require "shared"
io.stdout:setvbuf "no"
return { start = function()
  process.signal("HUP"):connect(function()
    local report <const> = host.reload()
    print("failed", (report.err:gsub("\n.*", "")))
  end)
  print("VERSION", shared.word, require "shared" == shared, table.unpack(words))
end }
]]

local function app(version) return (APP:gsub("VERSION", version)) end

local function new(files)
  local all <const> = {
    ["app.lua"] = app "one",
    ["shared.lua"] = "return { word = 'a' }",
  }
  for name, text in pairs(files or {}) do all[name] = text end
  return command_line.new(all)
end

-- The next line that is no log record.
local function read(running)
  while true do
    local line <const> = assert(running:read_line())
    if not line:find "^%u+ ahost" and not line:find "^stack" and not line:find "^\t" then
      return line
    end
  end
end

-- What a reload comes to: the line of the new start, or what has failed. Who asks belongs
-- to what is replaced and hears no more of a success.
local function reload(running)
  running:signal "HUP"
  return read(running)
end

describe("a script that returns a component", function()
  it("is run again when it has changed, with its arguments", function()
    local at <close> = new()
    local running <close> = at:start "app.lua x y"
    assert.equal("one\ta\ttrue\tx\ty", read(running))
    at:write("app.lua", app "two")
    assert.equal("two\ta\ttrue\tx\ty", reload(running))
    at:write("app.lua", app "three")
    assert.equal("three\ta\ttrue\tx\ty", reload(running))
  end)

  it("has read what it requires, and loads that again", function()
    local at <close> = new()
    local running <close> = at:start "app.lua"
    assert.equal("one\ta\ttrue", read(running))
    for _, word in ipairs { "b", "c" } do
      at:write("shared.lua", ("return { word = '%s' }"):format(word))
      assert.equal("one\t" .. word .. "\ttrue", reload(running))
    end
  end)

  it("has read what it requires after its start", function()
    local at <close> = new {
      ["app.lua"] = app "one":gsub("print%(\"one\"", "print(require 'late'"),
      ["late.lua"] = "return 'early'",
    }
    local running <close> = at:start "app.lua"
    assert.equal("early\ta\ttrue", read(running))
    at:write("late.lua", "return 'late'")
    assert.equal("late\ta\ttrue", reload(running))
  end)

  it("goes on as before when it cannot be run again", function()
    local at <close> = new()
    local running <close> = at:start "app.lua"
    assert.equal("one\ta\ttrue", read(running))
    at:write("app.lua", "return {\n")
    assert.matches("^failed\t.*app.lua:2: unexpected symbol", reload(running))
    at:write("app.lua", "return nothing.here\n")
    assert.matches("^failed\t.*app.lua:1: attempt to index a nil value", reload(running))
    at:write("app.lua", "return 1\n")
    assert.matches("^failed\t.*app.lua: the script returns no component any more",
      reload(running))
    at:write("app.lua", app "two")
    assert.equal("two\ta\ttrue", reload(running))
  end)

  it("reloads components in files of their own alone", function()
    local at <close> = new {
      ["app.lua"] = app "one":gsub("return {", [[return {
        components = { part = { type = "./part.lua" } },]]),
      ["part.lua"] = "return { start = function() print 'part one' end }",
    }
    local running <close> = at:start "app.lua"
    assert.equal("part one", read(running))
    assert.equal("one\ta\ttrue", read(running))
    at:write("part.lua", "return { start = function() print 'part two' end }")
    assert.equal("part two", reload(running))
  end)
end)
