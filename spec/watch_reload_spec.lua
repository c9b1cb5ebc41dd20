-- Reloads when a file is saved, and what is told of them on standard error.

local command_line <const> = require "spec.command_line"

local CONFIG <const> = "components: {shop: {type: ./shop.lua}}\n"

local function shop(word)
  return ([[
return { start = function(_, ctx)
  print "%s"
  io.stdout:flush()
  ctx:publish("word", "%s")
end }
]]):format(word, word)
end

local function new(files)
  local all <const> = { ["app.yaml"] = CONFIG, ["shop.lua"] = shop "one" }
  for name, text in pairs(files or {}) do all[name] = text end
  return command_line.new(all)
end

local function await(running, pattern)
  local seen <const> = {}
  for line in function() return running:read_line() end do
    if line:find(pattern) then return line end
    seen[#seen + 1] = line
  end
  error(("no line matches '%s' in:\n%s"):format(pattern, table.concat(seen, "\n")), 2)
end

local DONE <const> = "^reloaded in [%d.]+ ms: shop %(%d+ ms after the change%)$"

-- Files are watched when it says so.
local function start(at, words)
  local running <const> = at:start("-v " .. words)
  await(running, "DEBUG ahost.watch: ready")
  return running
end

describe("ahost run --watch", function()
  it("reloads what is saved, and says so in a line", function()
    local at <close> = new()
    local running <close> = start(at, "run -w app.yaml")
    for _, word in ipairs { "two", "three" } do
      at:write("shop.lua", shop(word))
      await(running, "^" .. word)
      await(running, DONE)
    end
  end)

  it("tells of mistakes as compilers do, and tries again with the next save", function()
    local at <close> = new()
    local running <close> = start(at, "-w run app.yaml")
    at:write("shop.lua", "return {\n")
    await(running, "^not reloaded, all goes on as before$")
    assert.matches("^shop.lua:2: unexpected symbol .* %(app.yaml:1:%d+: shop%)$",
      running:read_line())
    at:write("shop.lua", shop "two")
    await(running, DONE)
  end)

  it("sees files that a failed reload has read for the first time", function()
    local at <close> = new { ["part.lua"] = "return {" }
    local running <close> = start(at, "run -w app.yaml")
    at:write("shop.lua", "local part <const> = require 'part'\n" .. shop "two")
    await(running, "^not reloaded")
    assert.matches("part.lua:1:", running:read_line())
    -- The files are known when the next round begins.
    await(running, "DEBUG ahost.watch: watching")
    at:write("part.lua", "return {}")
    await(running, DONE)
  end)

  it("follows the configuration, too", function()
    local at <close> = new()
    local running <close> = start(at, "run --set reload.watch=true app.yaml")
    at:write("app.yaml", CONFIG .. "tick_period: 5\n")
    await(running, "^reloaded the configuration: it concerns no component %(")
    at:write("app.yaml", CONFIG .. "tick: 5\n")
    await(running, "^not reloaded, all goes on as before")
    assert.matches("^app.yaml:2:1: tick: ", running:read_line())
  end)

  it("has workers reload one after the other", function()
    local at <close> = new { ["app.yaml"] = CONFIG .. "workers: 2\n" }
    local running <close> = start(at, "run -w app.yaml")
    at:write("shop.lua", shop "two")
    await(running, "^worker 1: reloaded in ")
    await(running, "^worker 2: reloaded in ")
    at:write("shop.lua", "return {")
    await(running, "^worker 1: not reloaded")
    await(running, "^worker 2: not asked: it keeps what it has$")
  end)

  it("is for applications and scripts", function()
    local at <close> = new()
    local result <const> = at:run "-w check app.yaml"
    assert.matches("%-w is for run, not for check", result.err)
    assert.equal(2, result.status)
  end)
end)

describe("ahost --watch SCRIPT", function()
  it("reloads the component that it returns", function()
    local at <close> = new()
    local running <close> = start(at, "--watch shop.lua")
    at:write("shop.lua", shop "two")
    await(running, "^two$")
    await(running, "^reloaded in [%d.]+ ms: root %(%d+ ms after the change%)$")
    running:signal "TERM"
    assert.equal(0, running:finish().status)
  end)

  it("does nothing for other scripts", function()
    local at <close> = new()
    at:write("other.lua", "print 'done'")
    command_line.is(at:run "-w other.lua", 0, "done\n")
  end)
end)
