-- Components replaced while they serve: what is staged, when it takes its place, and what
-- becomes of what it replaces.

local log <const> = require "ahost.log"
local net <const> = require "ahost.net"
local reachability <const> = require "ahost.reload.reachability"
local reloading_files <const> = require "spec.reloading_files"
local task <const> = require "ahost.task"

local files

local patience <const> = reachability.patience

before_each(function()
  files = reloading_files()
  reachability.patience = 0
end)

after_each(function()
  files.remove()
  reachability.patience = patience
end)

local function write(name, text) files:write(name, text) end

local function start(components, config) return files:start(components, config) end

local function value(text, key) return files.value(text, key) end

describe("a reload", function()
  it("does nothing when nothing has changed", function()
    local host <close> = start { a = value "1" }
    local report <const> = host:reload()
    assert.is_true(report.ok)
    assert.same({}, report.components)
  end)

  it("replaces a component whose file has changed", function()
    local host <close> = start { a = value "1" }
    write("a.lua", value "2")
    local report <const> = host:reload()
    assert.is_nil(report.err)
    assert.is_true(report.ok)
    assert.equal("reloaded", report.components.a.what)
    assert.equal(2, report.components.a.generation)
    assert.equal(2, host:require "value")
  end)

  it("tells of each component what is wrong with it", function()
    local host <close> = start { a = value "1", b = value("2", "other"), c = "return {}" }
    write("a.lua", "return {")
    write("b.lua", "return 1")
    write("c.lua", "return {  }")
    local report <const> = host:reload()
    assert.match("a.lua:1", report.components.a.err)
    assert.match("is a number, not a component", report.components.b.err)
    assert.is_nil(report.components.b.err:find "a.lua:1")
    assert.is_nil(report.components.c.err)
    assert.is_false(report.components.c.ok)
  end)

  it("keeps the old one when the new one does not compile", function()
    local host <close> = start { a = value "1" }
    local before <const> = host:instance "a"
    write("a.lua", "return {")
    local report <const> = host:reload()
    assert.is_false(report.ok)
    assert.match("a.lua:1", report.components.a.err)
    assert.equal(1, host:require "value")
    assert.equal(before, host:instance "a")
  end)

  it("leaves the others alone", function()
    local host <close> = start { a = value "1", b = "return {}" }
    local b <const> = host:instance "b"
    write("a.lua", value "2")
    host:reload()
    assert.equal(b, host:instance "b")
  end)

  it("gives each component globals and modules of its own", function()
    write("shared.lua", "return { count = 0 }")
    local text <const> = [[
      local shared = require "shared"
      shared.count = shared.count + 1
      counted = (counted or 0) + 1
      return { start = function(self) self.seen = { shared.count, counted } end }
    ]]
    package.path = files.directory .. "/?.lua;" .. package.path
    local host <close> = start { a = text, b = text }
    assert.same({ 1, 1 }, host:instance("a").seen)
    assert.same({ 1, 1 }, host:instance("b").seen)
    assert.is_nil(package.loaded.shared)
    assert.is_nil(rawget(_G, "counted"))
  end)

  it("concerns all who have read a file", function()
    write("shared.lua", "return 1")
    package.path = files.directory .. "/?.lua;" .. package.path
    local user <const> = [[
      local shared = require "shared"
      return { start = function(self) self.shared = shared end }
    ]]
    local host <close> = start { a = user, b = user, c = "return {}" }
    write("shared.lua", "return 2")
    local report <const> = host:reload()
    assert.equal(2, host:instance("a").shared)
    assert.equal(2, host:instance("b").shared)
    assert.is_nil(report.components.c)
    assert.match("shared.lua has changed", report.components.a.why)
  end)

  it("replaces one that is asked for, with all below it", function()
    write("b.lua", "return {}")
    local host <close> = start({ a = "return {}", c = "return {}" }, {
      components = { a = { components = { b = { type = "./b.lua" } } } },
    })
    local report <const> = host:reload "a"
    assert.equal("it was asked for", report.components.a.why)
    assert.equal("reloaded", report.components["a.b"].what)
    assert.is_nil(report.components.c)
    assert.match("there is no component 'x'", host:reload("x").err)
  end)
end)

describe("dependants", function()
  local function holder(more)
    return ([[return {
      start = function(self, ctx) self.value = ctx:request "value" end,
      %s
    }]]):format(more or "")
  end

  it("of a raw value are replaced with what they hold", function()
    local host <close> = start { a = value "1", b = holder() }
    write("a.lua", value "2")
    local report <const> = host:reload()
    assert.equal(2, host:instance("b").value)
    assert.equal("reloaded", report.components.b.what)
    assert.match("holds 'value'", report.components.b.why)
  end)

  it("with rebind get the new value", function()
    local host <close> = start {
      a = value "1",
      b = holder "rebind = function(self, key, value) self.value = value end",
    }
    local b <const> = host:instance "b"
    write("a.lua", value "2")
    local report <const> = host:reload()
    assert.equal(b, host:instance "b")
    while b.value ~= 2 do task.yield() end
    assert.equal("rebound", report.components.b.what)
  end)

  it("with references stay as they are", function()
    local host <close> = start {
      a = value "1",
      b = [[return { start = function(self, ctx) self.ref = ctx:ref "value" end }]],
    }
    local b <const> = host:instance "b"
    write("a.lua", value "2")
    local report <const> = host:reload()
    assert.is_nil(report.components.b)
    assert.equal(2, b.ref:get())
  end)

  it("keep what they need: a resource that would go is a failure", function()
    local host <close> = start {
      a = value "1",
      b = [[return { start = function(self, ctx) self.ref = ctx:ref "value" end }]],
    }
    write("a.lua", "return {}")
    local report <const> = host:reload()
    assert.is_false(report.ok)
    assert.match("publishes no 'value' any more, which component b", report.err)
    assert.equal(1, host:require "value")
  end)
end)

describe("a failed reload", function()
  it("rolls back a start that raises", function()
    local host <close> = start { a = value "1" }
    write("a.lua", [[return { start = function(_, ctx)
      ctx:publish("value", 2)
      ctx:publish("other", 2)
      error "no luck"
    end }]])
    local report <const> = host:reload()
    assert.match("no luck", report.components.a.err)
    assert.equal(1, host:require "value")
    assert.is_nil(host.ctx:get "other")
  end)

  it("can be tried again", function()
    local host <close> = start { a = value "1" }
    write("a.lua", "return { start = 1 }")
    assert.match("'start' of type './a.lua' is a number", host:reload().err)
    write("a.lua", value "3")
    assert.is_true(host:reload().ok)
    assert.equal(3, host:require "value")
  end)
end)

describe("state", function()
  local counter <const> = [[
    return {
      start = function(self, ctx)
        self.count = self.saved and self.saved.count or 0
        ctx:publish("counter", self)
      end,
      restore = function(self, saved) self.count = saved.count end,
      save = function(self) return { count = self.count } end,
    }
  ]]

  it("is passed on by save", function()
    local host <close> = start { a = counter }
    host:instance("a").count = 5
    write("a.lua", counter .. "\n")
    assert.is_true(host:reload().ok)
    assert.equal(5, host:instance("a").count)
    assert.equal(2, host.app.root.children[1].generation)
  end)

  it("must be plain data", function()
    local host <close> = start { a = counter }
    host:instance("a").count = print
    write("a.lua", counter .. "\n")
    local report <const> = host:reload()
    assert.match("must be plain data", report.components.a.err)
  end)

  it("is saved without waiting", function()
    local host <close> = start {
      a = "return { save = function() require('ahost.task').sleep(0) end }",
    }
    write("a.lua", "return {}")
    local report <const> = host:reload()
    assert.match("failed in save", report.components.a.err)
  end)
end)

describe("an exclusive component", function()
  it("ends before its successor starts", function()
    local text <const> = [[
      return {
        exclusive = true,
        start = function(self, ctx)
          local bus = ctx:require "bus"
          bus:publish("seen", "start")
          ctx:on_close(function() bus:publish("seen", "end") end)
        end,
      }
    ]]
    local host <close> = start { a = text }
    local seen <const> = {}
    host.bus:subscribe("seen", function(_, what) seen[#seen + 1] = what end)
    write("a.lua", text .. "\n")
    assert.is_true(host:reload().ok)
    assert.same({ "end", "start" }, seen)
  end)

  it("is started again when its successor fails", function()
    local text <const> = [[
      return {
        exclusive = true,
        save = function() return 7 end,
        start = function(self, ctx) ctx:publish("value", self.saved or 1) end,
      }
    ]]
    local host <close> = start { a = text }
    write("a.lua", "return { exclusive = true, start = function() error 'no' end }")
    assert.is_false(host:reload().ok)
    assert.equal(7, host:require "value")
    write("a.lua", value "9")
    assert.is_true(host:reload().ok)
    assert.equal(9, host:require "value")
  end)
end)

describe("connections", function()
  local function server(answer)
    return ([[
      local net = require "ahost.net"
      return {
        options = { address = { type = "address", default = "127.0.0.1:0" } },
        start = function(self, ctx)
          local server = assert(net.serve(self.config.address, function(stream)
            for line in stream:lines() do
              if not stream:write("%s ", line, "\n") then return end
            end
          end))
          ctx:publish("address", server:address())
        end,
      }
    ]]):format(answer)
  end

  local function ask(stream)
    assert(stream:write("x\n"))
    return stream:read_line()
  end

  it("keep the code that they began with, new ones get the new", function()
    local host <close> = start { a = server "old" }
    local address <const> = host:require "address"
    local first <close> = assert(net.connect(address))
    assert.equal("old x", ask(first))
    write("a.lua", server "new")
    assert.is_true(host:reload().ok)
    assert.equal(address, host:require "address")
    local second <close> = assert(net.connect(address))
    assert.equal("new x", ask(second))
    assert.equal("old x", ask(first))
    assert.equal(1, #host.app.draining.a)
    first:close()
    local old <const> = host.app.draining.a[1]
    old.over:wait()
    assert.is_nil(host.app.draining.a)
  end)

  -- Reloads a component that is to be collected at once.
  local function reload_and_collect(host, alias)
    local records <close> = log.capture { passes = false }
    write(alias .. ".lua", "return {} -- another")
    assert.is_true(host:reload().ok)
    for _ = 1, 20 do
      collectgarbage()
      task.yield()
    end
    for _, record in ipairs(records.records) do
      assert.not_equal("warning", record.level, record.text)
    end
  end

  it("do not keep what was below their component", function()
    write("b.lua", "return {}")
    local host <close> = start({ a = server "old" }, {
      components = { a = { components = { b = { type = "./b.lua" } } } },
    })
    local first <close> = assert(net.connect(host:require "address"))
    assert.equal("old x", ask(first))
    write("a.lua", server "new")
    assert.is_true(host:reload().ok)
    reload_and_collect(host, "b")
    assert.equal("old x", ask(first))
    first:close()
  end)

  it("do not keep what was above their component", function()
    write("b.lua", server "old")
    local host <close> = start({ a = "return {}" }, {
      components = { a = { components = { b = { type = "./b.lua" } } } },
    })
    local first <close> = assert(net.connect(host:require "address"))
    assert.equal("old x", ask(first))
    write("b.lua", server "new")
    assert.is_true(host:reload().ok)
    reload_and_collect(host, "a")
    assert.equal("old x", ask(first))
    first:close()
  end)

  it("are cut when the grace is over", function()
    local host <close> = start({ a = server "old" }, { reload = { grace = 0.01 } })
    local first <close> = assert(net.connect(host:require "address"))
    assert.equal("old x", ask(first))
    write("a.lua", server "new")
    assert.is_true(host:reload().ok)
    assert.is_nil(first:read_line())
  end)

  it("make a further reload wait when there are many generations", function()
    local host <close> = start({ a = server "0" }, { reload = { generations = 2 } })
    local streams <const> = {}
    for i = 1, 2 do
      streams[i] = assert(net.connect(host:require "address"))
      ask(streams[i])
      write("a.lua", server(i))
      assert.is_true(host:reload().ok)
    end
    streams[3] = assert(net.connect(host:require "address"))
    assert.equal("2 x", ask(streams[3]))
    write("a.lua", server "3")
    local reloading <const> = task.spawn(function() return host:reload() end)
    task.sleep(0.01)
    assert.equal("running", reloading:status())
    streams[1]:close()
    assert.is_true(reloading:join().ok)
    streams[4] = assert(net.connect(host:require "address"))
    assert.equal("3 x", ask(streams[4]))
    write("a.lua", server "4")
    assert.is_true(host:reload(nil, { force = true }).ok)
    assert.is_nil(streams[2]:read_line())
    for _, stream in pairs(streams) do stream:close() end
  end)
end)

describe("an old generation", function()
  local keeper <const> = [[
    return {
      start = function(self, ctx) ctx:require("bus"):publish("made", self) end,
    }
  ]]

  -- Reloads once, with `hold` called with the instance of the first generation.
  -- -> the warnings
  local function reload_once(hold)
    local host <close> = start { a = "return {}" }
    host.bus:subscribe("made", hold)
    write("a.lua", keeper)
    assert.is_true(host:reload().ok)
    local records <close> = log.capture { passes = false }
    write("a.lua", "return {}")
    assert.is_true(host:reload().ok)
    for _ = 1, 20 do
      collectgarbage()
      task.yield()
    end
    local texts <const> = {}
    for _, record in ipairs(records.records) do
      if record.level == "warning" then texts[#texts + 1] = record.text end
    end
    return texts
  end

  it("is collected when it has ended", function()
    assert.same({}, reload_once(function() end))
  end)

  it("that cannot be collected is reported with what holds it", function()
    local held <const> = {}
    package.loaded["spec.held"] = held
    local texts <const> = reload_once(function(_, instance) held.thing = instance end)
    package.loaded["spec.held"] = nil
    assert.equal(1, #texts)
    assert.match("generation 2 of component a has ended", texts[1])
    assert.match('package.loaded%["spec.held"%].thing', texts[1])
  end)
end)
