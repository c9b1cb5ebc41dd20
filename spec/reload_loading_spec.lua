-- What the code of a new generation does while it is loaded, and what becomes of it.

local reloading_files <const> = require "spec.reloading_files"
local task <const> = require "ahost.task"

-- What components and the specs share.
local shared

before_each(function()
  shared = {}
  package.loaded["spec.shared"] = shared
end)

after_each(function() package.loaded["spec.shared"] = nil end)

describe("code that is loaded for a reload", function()
  it("may not reload", function()
    local files <close> = reloading_files()
    local host <close> = files:start { a = files.value "1" }
    shared.reload = function() return host.app:reload() end
    files:write("a.lua", [[
      local inner = require("spec.shared").reload()
      return {
        init = function(self)
          self.errors = { inner.err, require("spec.shared").reload().err }
        end,
      }
    ]])
    local report <const> = host:reload()
    assert.is_true(report.ok, report.err)
    local expected <const> = "a component that is being started cannot reload others"
    assert.same({ expected, expected }, host:instance("a").errors)
  end)

  it("may not wait longer than a component may start", function()
    local files <close> = reloading_files()
    local host <close> = files:start({ a = files.value "1" }, { start_timeout = 0.05 })
    files:write("a.lua", "require('ahost.task').sleep(1000)\nreturn {}")
    local report <const> = host:reload()
    assert.match("the code was not loaded within 0.05 s:\n  it waits for .* at .*a.lua:1",
      report.err)
    files:write("a.lua", files.value "2")
    assert.is_true(host:reload().ok)
    assert.equal(2, host:require "value")
  end)

  it("takes with it what it has started, when nothing comes of it", function()
    local files <close> = reloading_files()
    local host <close> = files:start { a = "return {}", b = "return {}" }
    files:write("a.lua", [[
      local shared = require "spec.shared"
      local task = require "ahost.task"
      task.spawn(function()
        shared.up = (shared.up or 0) + 1
        local _ <close> = setmetatable({}, {
          __close = function() shared.up = shared.up - 1 end,
        })
        task.sleep(1000)
      end)
      return {}
    ]])
    for _, text in ipairs { "return {", "return { start = function() error 'b' end }" } do
      files:write("b.lua", text)
      assert.is_false(host:reload().ok)
      task.yield()
      assert.equal(0, shared.up or 0)
    end
    files:write("b.lua", "return {}")
    assert.is_true(host:reload().ok)
    task.yield()
    assert.equal(1, shared.up)
    files:write("a.lua", "return {}")
    assert.is_true(host:reload("").ok)
    for _ = 1, 10 do task.yield() end
    assert.equal(0, shared.up)
  end)

  it("goes on while functions of it listen to messages", function()
    local files <close> = reloading_files()
    local listener <const> = [[
      local shared = require "spec.shared"
      local mine = {}
      shared[#shared + 1] = mine
      require("ahost.task").spawn(function()
        local _ <close> = setmetatable({}, { __close = function() mine.over = true end })
        require("ahost.task").sleep(1000)
      end)
      return { hear = print }
    ]]
    local host <close> = files:start_configured({ l = listener, a = "return {}" },
      "components: {a: {type: ./a.lua}}\nlisten: {m: './l.lua:hear'}\n")
    local function reload(name, text)
      files:write(name, text)
      assert.is_true(host:reload().ok)
      for _ = 1, 10 do task.yield() end
    end
    reload("l.lua", listener .. " ")
    reload("a.lua", "return { }")
    assert.is_nil(shared[2].over)
    reload("l.lua", listener)
    assert.is_true(shared[2].over)
    assert.is_nil(shared[3].over)
  end)

  it("may fail later in a task, which is told", function()
    local files <close> = reloading_files()
    local host <close> = files:start { a = "return {}" }
    files:write("a.lua", [[
      require("ahost.task").spawn(function() error "too early" end)
      require("ahost.task").sleep(0)
      return {}
    ]])
    local report <const> = host:reload()
    assert.is_false(report.ok)
    assert.match("too early", report.err)
  end)
end)

describe("a file of a component", function()
  local function problem_of(host)
    local report <const> = host:reload()
    assert.is_false(report.ok)
    assert.equal("kept", report.components.a.what)
    return report.components.a.err
  end

  it("that is no good is told of, and the old one stays", function()
    local files <close> = reloading_files()
    local host <close> = files:start { a = files.value "1" }
    local path <const> = files.directory .. "/a.lua"
    os.remove(path)
    assert.match("cannot open file .*a.lua: No such file", problem_of(host))
    assert(os.execute("mkdir " .. path))
    assert.match("cannot read file .*a.lua: Is a directory", problem_of(host))
    assert(os.execute("rmdir " .. path))
    files:write("a.lua", "")
    assert.match("./a.lua' returns nothing: it must return a component", problem_of(host))
    files:write("a.lua", "return print")
    assert.match("'./a.lua' is a function, not a component", problem_of(host))
    assert.equal(1, host:require "value")
  end)

  it("may have a byte order mark, a first line for shells, and ends of lines of Windows",
    function()
      local files <close> = reloading_files()
      local host <close> = files:start { a = files.value "1" }
      files:write("a.lua", "\xEF\xBB\xBF#!/usr/bin/env ahost\r\n"
        .. files.value("2"):gsub("\n", "\r\n"))
      assert.is_true(host:reload().ok)
      assert.equal(2, host:require "value")
    end)
end)

describe("the globals of a component", function()
  local before <const> = package.path
  after_each(function() package.path = before end)

  it("have a require whose messages are those of Lua", function()
    local files <close> = reloading_files()
    local host <close> = files:start {
      a = [[
        local _, message = pcall(require, "no.such")
        local _, placed = pcall(function()
          local m = require "no.such"
          return m
        end)
        return { message = message, placed = placed }
      ]],
    }
    local _, expected <const> = pcall(require, "no.such")
    local a <const> = host:instance "a"
    assert.equal(expected, a.message)
    assert.equal(files.directory .. "/a.lua:3: " .. expected, a.placed)
  end)

  it("are those of what it loads, and what it runs as a file is read anew", function()
    local files <close> = reloading_files()
    local data <const> = files.directory .. "/data.lua"
    files:write("data.lua", "from_file = 1 return _G")
    local host <close> = files:start {
      a = ([[
        return {
          G = _G,
          of_file = dofile "%s",
          of_chunk = loadfile("%s")(),
          of_text = load("from_text = 1 return _G")(),
          of_given = load("return x", "x", "t", { x = 5 })(),
          of_nothing = pcall(load("return x", "x", "t", nil)),
          from_file = from_file,
          from_text = from_text,
        }
      ]]):format(data, data),
    }
    local a <const> = host:instance "a"
    assert.equal(a.G, a.of_file)
    assert.equal(a.G, a.of_chunk)
    assert.equal(a.G, a.of_text)
    assert.equal(5, a.of_given)
    assert.is_false(a.of_nothing)
    assert.same({ 1, 1 }, { a.from_file, a.from_text })
    assert.is_nil(rawget(_G, "from_file"))
    assert.is_nil(rawget(_G, "from_text"))
    files:write("data.lua", "from_file = 2 return _G")
    assert.equal("reloaded", host:reload().components.a.what)
    assert.equal(2, host:instance("a").from_file)
  end)

  it("require no module that requires itself", function()
    local files <close> = reloading_files()
    package.path = files.directory .. "/?.lua;" .. package.path
    local host <close> = files:start { a = "return {}" }
    files:write("one.lua", "return require 'other'")
    files:write("other.lua", "return require 'one'")
    files:write("a.lua", "require 'one' return {}")
    assert.match("loading loop: module 'one' %-> module 'other' %-> module 'one'",
      host:reload().components.a.err)
    files:write("one.lua", "return {}")
    files:write("other.lua", "return {}")
    assert.is_true(host:reload().ok)
  end)
end)
