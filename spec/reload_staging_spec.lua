-- What a generation is like before it is the current one, and who sees what of it.

local net <const> = require "ahost.net"
local reloading_files <const> = require "spec.reloading_files"
local signal <const> = require "ahost.signal"
local task <const> = require "ahost.task"

-- What the components of a spec have in common with it.
local shared

before_each(function()
  shared = { opened = signal.new(), seen = {} }
  package.loaded["spec.shared"] = shared
end)

after_each(function() package.loaded["spec.shared"] = nil end)

-- Starts a reload that goes on when `open` is called.
local function begin(host)
  local reached = false
  shared.gate = function()
    reached = true
    while not shared.is_open do task.yield() end
  end
  local reloading <const> = task.spawn(function() return host:reload() end)
  while not reached do task.yield() end
  return function()
    shared.is_open = true
    return reloading:join()
  end
end

local GATED <const> = [[
local shared = require "spec.shared"
return {
  start = function(self, ctx)
    %s
    shared.gate()
  end,
}
]]

describe("a staged generation", function()
  it("publishes what nobody else sees before the commit", function()
    local files <close> = reloading_files()
    local host <close> = files:start { a = files.value "1", b = "return {}" }
    files:write("a.lua", GATED:format "ctx:publish('value', 2) ctx:publish('more', 3)")
    local requested
    task.spawn(function() requested = host.ctx:request "more" end)
    local open <const> = begin(host)
    assert.equal(1, host:require "value")
    assert.is_nil(host.ctx:get "more")
    assert.is_nil(requested)
    assert.is_true(open().ok)
    assert.equal(2, host:require "value")
    while not requested do task.yield() end
    assert.equal(3, requested)
  end)

  it("sees what is staged with it, and nothing of what that replaces", function()
    local files <close> = reloading_files()
    local host <close> = files:start {
      a = files.value "1",
      b = [[
        local shared = require "spec.shared"
        return {
          start = function(self, ctx)
            shared.seen[#shared.seen + 1] = tostring(ctx:get "value")
            shared.seen[#shared.seen + 1] = ctx:request "value"
          end,
        }
      ]],
    }
    files:write("a.lua", GATED:format "" .. "\n")
    shared.seen = {}
    files:write("a.lua", [[
      local task = require "ahost.task"
      return {
        start = function(_, ctx)
          task.sleep(0.001)
          ctx:publish("value", 2)
        end,
      }
    ]])
    assert.is_true(host:reload().ok)
    assert.same({ "nil", 2 }, shared.seen)
  end)

  it("cannot publish what another component has", function()
    local files <close> = reloading_files()
    local host <close> = files:start { a = "return {}", b = files.value "1" }
    files:write("a.lua", files.value "2")
    local report <const> = host:reload()
    assert.match("already has a resource 'value', of component b", report.err)
    assert.equal(1, host:require "value")
  end)

  it("hears of nothing until the commit, the present one of nothing after", function()
    local files <close> = reloading_files()
    local text <const> = [[
      local shared = require "spec.shared"
      return {
        start = function(self, ctx)
          local function hear(what) shared.seen[#shared.seen + 1] = "%s " .. what end
          ctx:require("bus"):subscribe("ring", function() hear "bus" end)
          shared.opened:connect(function() hear "signal" end)
          ctx.published:connect(function(event) hear(event.key) end)
          %s
        end,
      }
    ]]
    local host <close> = files:start { a = text:format("old", ""), b = files.value "1" }
    local function ring()
      shared.seen = {}
      host.bus:publish "ring"
      shared.opened:emit()
      return shared.seen
    end
    assert.same({ "old bus", "old signal" }, ring())
    files:write("a.lua", text:format("new", "shared.gate()"))
    local open <const> = begin(host)
    assert.same({ "old bus", "old signal" }, ring())
    assert.is_true(open().ok)
    assert.same({ "new bus", "new signal" }, ring())
    shared.seen = {}
    files:write("b.lua", files.value "2")
    host:reload()
    assert.same({ "new value" }, shared.seen)
  end)

  it("accepts no connection until the commit", function()
    local files <close> = reloading_files()
    local text <const> = [[
      local net, shared = require "ahost.net", require "spec.shared"
      return {
        start = function(_, ctx)
          local server = assert(net.serve("127.0.0.1:0", function(stream)
            stream:write "%s\n"
          end))
          ctx:publish("address", server:address())
          %s
        end,
      }
    ]]
    local host <close> = files:start { a = text:format("old", "") }
    local address <const> = host:require "address"
    local function ask()
      local stream <close> = assert(net.connect(address))
      return stream:read_line()
    end
    files:write("a.lua", text:format("new", "shared.gate()"))
    local open <const> = begin(host)
    assert.equal("old", ask())
    assert.is_true(open().ok)
    assert.equal("new", ask())
    assert.equal(address, host:require "address")
  end)

  it("that fails while others still start is rolled back", function()
    local files <close> = reloading_files()
    local host <close> = files:start { a = files.value "1", b = "return {}" }
    files:write("a.lua", [[
      return {
        start = function(_, ctx)
          ctx:publish("value", 2)
          ctx:spawn(function()
            require("ahost.task").sleep(0)
            error "too late"
          end)
        end,
      }
    ]])
    files:write("b.lua", GATED:format "")
    local open <const> = begin(host)
    task.sleep(0.001)
    local report <const> = open()
    assert.is_false(report.ok)
    assert.match("component a .* failed before it was to serve: .*too late", report.err)
    assert.equal(1, host:require "value")
  end)

  it("ends when the application ends", function()
    local files <close> = reloading_files()
    local host <close> = files:start { a = "return {}" }
    files:write("a.lua", [[
      local shared = require "spec.shared"
      return {
        start = function(_, ctx)
          ctx:on_close(function() shared.seen[1] = "closed" end)
          ctx:spawn(function() shared.began = true end)
          require("ahost.task").sleep(1000)
        end,
      }
    ]])
    local reloading <const> = task.spawn(function() return host:reload() end)
    while not shared.began do task.yield() end
    assert.equal(0, host:stop())
    assert.same({ "closed" }, shared.seen)
    assert.is_false(reloading:join().ok)
  end)

  it("may take as long as components may take to start", function()
    local files <close> = reloading_files()
    local host <close> = files:start({ a = files.value "1" }, { start_timeout = 0.02 })
    files:write("a.lua",
      "return { start = function() require('ahost.task').sleep(9) end }")
    local report <const> = host:reload()
    assert.match("did not start within 0.02 s", report.err)
    assert.equal(1, host:require "value")
  end)
end)

describe("the tree", function()
  local PARENT <const> = [[
    return {
      init = function(self)
        self:add("child", "./child.lua", { number = %d })
        self:add("inline", { start = function(own) own.number = %d end })
      end,
    }
  ]]
  local CHILD <const> = "return { options = { number = { type = 'integer' } } }"

  it("keeps the children of a parent that is replaced, unless they change", function()
    local files <close> = reloading_files()
    files:write("child.lua", CHILD)
    local host <close> = files:start { p = PARENT:format(1, 1) }
    local child <const> = host:instance "p.child"
    files:write("p.lua", PARENT:format(1, 2))
    local report <const> = host:reload()
    assert.is_true(report.ok)
    assert.equal(child, host:instance "p.child")
    assert.equal(2, host:instance("p.inline").number)
    files:write("p.lua", PARENT:format(2, 2))
    assert.is_true(host:reload().ok)
    assert.equal(2, host:instance("p.child").config.number)
    assert.not_equal(child, host:instance "p.child")
  end)

  it("keeps the parent of a child that is replaced", function()
    local files <close> = reloading_files()
    files:write("child.lua", CHILD)
    local host <close> = files:start { p = PARENT:format(1, 1) }
    local parent <const>, child <const> = host:instance "p", host:instance "p.child"
    files:write("child.lua", CHILD .. "\n")
    assert.is_true(host:reload().ok)
    assert.equal(parent, host:instance "p")
    assert.not_equal(child, host:instance "p.child")
    assert.equal(2, host.app.root.children[1].children[1].generation)
  end)

  it("below an isolated component sees the new resources of that only", function()
    local files <close> = reloading_files()
    files:write("user.lua", [[
      return { start = function(self, ctx) self.value = ctx:request "value" end }
    ]])
    files:write("source.lua", files.value "1")
    local host <close> = files:start({
      box = "return { isolated = true }",
      value = files.value "'outer'",
    }, {
      components = {
        box = {
          components = {
            user = { type = "./user.lua" },
            source = { type = "./source.lua" },
          },
        },
      },
    })
    assert.equal(1, host:instance("box.user").value)
    files:write("source.lua", files.value "2")
    local report = host:reload()
    assert.is_true(report.ok, report.err)
    assert.equal(2, host:instance("box.user").value)
    assert.is_nil(report.components.box)
    files:write("value.lua", files.value "'outer 2'")
    report = host:reload()
    assert.is_nil(report.components["box.user"])
    files:write("box.lua", "return { isolated = true, more = 1 }")
    report = host:reload()
    assert.equal("reloaded", report.components["box.user"].what)
    assert.equal(2, host:instance("box.user").value)
  end)

  it("ends in the order of dependencies, whatever has been reloaded last", function()
    local files <close> = reloading_files()
    local text <const> = [[
      local shared = require "spec.shared"
      return {
        start = function(_, ctx)
          %s
          ctx:on_close(function() shared.seen[#shared.seen + 1] = "%s" end)
        end,
      }
    ]]
    local host <close> = files:start {
      source = text:format("ctx:publish('value', 1)", "source"),
      user = text:format("ctx:request 'value'", "user"),
      other = "return {}",
    }
    files:write("other.lua", "return {  }")
    files:write("source.lua", text:format("ctx:publish('value', 2)", "source 2"))
    assert.is_true(host:reload().ok)
    while #shared.seen < 2 do task.yield() end
    assert.same({ "user", "source" }, shared.seen)
    shared.seen = {}
    host:stop()
    assert.same({ "user", "source 2" }, shared.seen)
  end)
end)

describe("a configuration that has changed", function()
  local PLAIN <const> = "return { options = { number = { type = 'integer' } } }"

  it("restarts exactly the components whose part is another", function()
    local files <close> = reloading_files()
    local yaml <const> = [[
components:
  a: {type: ./a.lua, number: %d}
  b: {type: ./b.lua, number: 1}
]]
    local host <close> = files:start_configured({ a = PLAIN, b = PLAIN }, yaml:format(1))
    local b <const> = host:instance "b"
    files:write("app.yaml", "# a comment moves all lines\n" .. yaml:format(2))
    local report <const> = host:reload()
    assert.is_true(report.ok, report.err)
    assert.equal("its configuration has changed", report.components.a.why)
    assert.is_nil(report.components.b)
    assert.equal(2, host:instance("a").config.number)
    assert.equal(b, host:instance "b")
    assert.equal(2, host.app.config.components.a.number)
    assert.equal(2, host:require("config").components.a.number)
  end)

  it("adds and removes components", function()
    local files <close> = reloading_files()
    local host <close> = files:start_configured({ a = PLAIN, b = files.value "1" },
      "components: {a: {type: ./a.lua}}")
    files:write("app.yaml", "components: {b: {type: ./b.lua}}")
    local report <const> = host:reload()
    assert.equal("removed", report.components.a.what)
    assert.equal("added", report.components.b.what)
    assert.is_nil(host:instance "a")
    assert.equal(1, host:require "value")
  end)

  it("that is wrong changes nothing", function()
    local files <close> = reloading_files()
    local host <close> = files:start_configured({ a = PLAIN },
      "components: {a: {type: ./a.lua, number: 1}}")
    local a <const> = host:instance "a"
    for text, message in pairs {
      ["components: {a: {type: ./a.lua, number: x}}"] = "app.yaml:1:.*number",
      ["components: {a: {type: ./a.lua"] = "app.yaml",
      ["compnents: {}"] = "compnents",
      ["components: {a: {type: ./none.lua}}"] = "none.lua",
    } do
      files:write("app.yaml", text)
      local report <const> = host:reload()
      assert.is_false(report.ok)
      assert.match(message, report.err)
      assert.equal(a, host:instance "a")
    end
  end)

  it("reaches who holds it as a resource", function()
    local files <close> = reloading_files()
    local reader <const> = [[
      return {
        start = function(self, ctx) self.seen = ctx:require("config").tick_period end,
      }
    ]]
    local yaml <const> = "tick_period: %d\ncomponents: {a: {type: ./a.lua}}"
    local host <close> = files:start_configured({ a = reader }, yaml:format(10))
    files:write("app.yaml", yaml:format(20))
    local report <const> = host:reload()
    assert.equal("it holds 'config'", report.components.a.why)
    assert.equal(20, host:instance("a").seen)
  end)

  it("is followed by schedules, servers and listeners", function()
    local files <close> = reloading_files()
    files:write("jobs.lua", [[
      local shared = require "spec.shared"
      return {
        hear = function() shared.seen[#shared.seen + 1] = "old" end,
        serve = function(stream) stream:write "old\n" end,
      }
    ]])
    local yaml <const> = [[
listen: {ring: "./jobs.lua:hear"}
servers: {line: {address: "127.0.0.1:0", handler: "./jobs.lua:serve"}}
]]
    local host <close> = files:start_configured({}, yaml)
    local address <const> = host:require("server/line"):address()
    host.bus:publish "ring"
    files:write("jobs.lua", [[
      local shared = require "spec.shared"
      return {
        hear = function() shared.seen[#shared.seen + 1] = "new" end,
        serve = function(stream) stream:write "new\n" end,
      }
    ]])
    local report <const> = host:reload()
    assert.is_true(report.ok, report.err)
    host.bus:publish "ring"
    assert.same({ "old", "new" }, shared.seen)
    local stream <close> = assert(net.connect(address))
    assert.equal("new", stream:read_line())
  end)
end)
