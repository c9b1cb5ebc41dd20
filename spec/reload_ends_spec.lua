-- What has to end with a reload ends: resources, exclusive components, old generations
-- that others wait for, and what was there for the reload only.

local host <const> = require "ahost.host"
local net <const> = require "ahost.net"
local reloading_files <const> = require "spec.reloading_files"
local task <const> = require "ahost.task"

local shared

before_each(function()
  shared = {}
  package.loaded["spec.shared"] = shared
end)

after_each(function() package.loaded["spec.shared"] = nil end)

describe("a component that is removed below an isolated one", function()
  local WITHOUT <const> = "components:\n  p: {type: ./p.lua}\n"
  local WITH <const> = [[
components:
  p: {type: ./p.lua, components: {c: {type: ./c.lua}}}
]]

  it("leaves no resource there, and can be added again", function()
    local files <close> = reloading_files()
    local running <close> = files:start_configured({
      p = "return { isolated = true, start = function(self, ctx) self.ctx = ctx end }",
      c = files.value("1", "thing"),
    }, WITH)
    local p <const> = running:instance "p"
    assert.equal(1, #p.ctx:resources "thing")
    files:write("app.yaml", WITHOUT)
    assert.is_true(running:reload().ok)
    assert.equal(p, running:instance "p")
    assert.equal(0, #p.ctx:resources "thing")
    files:write("app.yaml", WITH)
    files:write("c.lua", files.value("2", "thing"))
    local report <const> = running:reload()
    assert.is_true(report.ok, report.err)
    assert.equal(2, p.ctx:get "thing")
  end)
end)

describe("an isolated component", function()
  it("that holds what one below it has published is replaced with that", function()
    local files <close> = reloading_files()
    local holder <const> = [[
      return {
        isolated = true,
        start = function(self, ctx)
          self.x = ctx:get "x"
          ctx:publish("own", 1)
          self.own = ctx:get "own"
        end,
      }
    ]]
    local running <close> = files:start_configured({
      p = holder,
      q = holder,
      r = files.value("1", "x"),
      s = "return {}",
    }, [[
components:
  p:
    type: ./p.lua
    components:
      q: {type: ./q.lua, components: {r: {type: ./r.lua}, s: {type: ./s.lua}}}
      r: {type: ./r.lua}
]])
    for i = 2, 4 do
      files:write("r.lua", files.value(i, "x"))
      assert.is_true(running:reload().ok)
      assert.equal(i, running:instance("p").x)
      assert.equal(i, running:instance("p.q").x)
    end
    local p <const>, q <const> = running:instance "p", running:instance "p.q"
    files:write("s.lua", "return { }")
    assert.is_true(running:reload().ok)
    assert.equal(p, running:instance "p")
    assert.equal(q, running:instance "p.q")
  end)
end)

describe("what is below an isolated component", function()
  local IN <const> = [[
components:
  p: {type: ./p.lua, isolated: true, components: {c: {type: ./c.lua}}}
]]

  it("is replaced when that is isolated no more, and serves on", function()
    local files <close> = reloading_files()
    local running <close> = files:start_configured({
      p = "return {}",
      c = [[
        return {
          start = function(self, ctx)
            self.ctx = ctx
            ctx:publish("x", 1)
          end,
        }
      ]],
    }, IN)
    for _, is_isolated in ipairs { false, true, false } do
      files:write("app.yaml", IN:gsub("isolated: true", "isolated: "
        .. tostring(is_isolated)))
      assert.is_true(running:reload().ok)
      for _ = 1, 10 do task.yield() end
      assert.equal("open", running:instance("p.c").ctx:state())
      assert.equal(is_isolated and 0 or 1, #running.ctx:resources "x")
    end
  end)
end)

describe("an exclusive component", function()
  local EXCLUSIVE <const> = [[
    local shared <const> = require "spec.shared"
    return {
      exclusive = true,
      start = function(self, ctx)
        shared.running = (shared.running or 0) + 1
        shared.most = math.max(shared.most or 0, shared.running)
        ctx:on_close(function() shared.running = shared.running - 1 end)
        self.ctx = ctx
      end,
    }
  ]]

  it("ends before its successor starts, also if it is found late", function()
    local files <close> = reloading_files()
    local running <close> = files:start {
      a = "return { exclusive = true }",
      b = EXCLUSIVE,
      c = files.value("1", "c"),
    }
    local b <const> = running:instance "b"
    shared.look_up = function() b.ctx:spawn(function() b.ctx:get "c" end):join() end
    files:write("c.lua", files.value("2", "c"))
    files:write("a.lua", [[
      return {
        exclusive = true,
        start = function() require("spec.shared").look_up() end,
      }
    ]])
    local report <const> = running:reload()
    assert.is_true(report.ok, report.err)
    assert.equal("reloaded", report.components.b.what)
    assert.same({ 1, 1 }, { shared.most, shared.running })
  end)
end)

describe("a component that is removed with an exclusive one that it uses", function()
  local USER <const> = [[
    local shared <const> = require "spec.shared"
    return {
      start = function(self, ctx)
        self.value = ctx:request "value"
        self.found = self.saved
        ctx:on_close(function() table.insert(shared, "user ends") end)
      end,
      save = function(self) return "saved" end,
    }
  ]]
  local OWNER <const> = [[
    local shared <const> = require "spec.shared"
    return {
      exclusive = true,
      start = function(self, ctx)
        ctx:publish("value", {})
        ctx:on_close(function() table.insert(shared, "owner ends") end)
      end,
    }
  ]]

  local function start(files)
    return files:start_configured({ user = USER, owner = OWNER },
      "components: {user: {type: ./user.lua}, owner: {type: ./owner.lua}}\n")
  end

  it("ends before it", function()
    local files <close> = reloading_files()
    local running <close> = start(files)
    files:write("app.yaml", "components: {owner: {type: ./owner.lua}}\n")
    files:write("owner.lua", OWNER .. " ")
    assert.is_true(running:reload().ok)
    assert.same({ "user ends", "owner ends" }, shared)
    assert.is_nil(running:instance "user")
  end)

  it("is started again with it when the reload fails", function()
    local files <close> = reloading_files()
    local running <close> = start(files)
    files:write("app.yaml", "components: {owner: {type: ./owner.lua}}\n")
    files:write("owner.lua", "return { start = function() error 'no' end }")
    assert.is_false(running:reload().ok)
    assert.same({ "user ends", "owner ends" }, shared)
    local user <const> = running:instance "user"
    assert.equal(running:require "value", user.value)
    assert.equal("saved", user.found)
  end)
end)

-- ---- what grows ----------------------------------------------------------------------

describe("contexts of reloads", function()
  -- How many tasks more there are after some more reloads.
  local function growth(running, files, text)
    local function tasks_after(count)
      for i = 1, count do
        files:write("a.lua", text .. " -- " .. math.random(1 << 40) .. i)
        local report <const> = running:reload()
        assert.is_true(report.ok, report.err)
        while running.app:instance("a").ctx and
          running.app:instance("a").ctx:state() ~= "closed" do task.yield() end
      end
      for _ = 1, 20 do task.yield() end
      return host.stats().tasks
    end
    local before <const> = tasks_after(3)
    return tasks_after(10) - before
  end

  it("end with exclusive components", function()
    local files <close> = reloading_files()
    local text <const> = "return { exclusive = true }"
    local running <close> = files:start { a = text }
    assert.equal(0, growth(running, files, text))
  end)

  it("end with components that have ended by themselves", function()
    local files <close> = reloading_files()
    local text <const> = [[return {
      start = function(self, ctx)
        self.ctx = ctx
        ctx:spawn(function()
          require("ahost.task").sleep(0.001)
          ctx:close()
        end)
      end,
    }]]
    local running <close> = files:start { a = text }
    assert.equal(0, growth(running, files, text))
  end)
end)

-- ---- room ----------------------------------------------------------------------------

describe("a forced reload", function()
  local COUNT <const> = 8
  local USER <const> = [[
    local net <const> = require "ahost.net"
    return {
      start = function(self, ctx)
        self.value = ctx:request "value"
        self.server = assert(net.serve("127.0.0.1:0", function(stream)
          for line in stream:lines() do stream:write(line, "\n") end
        end))
      end,
    }
  ]]

  it("waits for no connection of those who use what it replaces", function()
    local files <close> = reloading_files()
    local components <const> = { value = files.value "1" }
    for i = 1, COUNT do components["user" .. i] = USER end
    local running <close> = files:start(components,
      { reload = { generations = 1, grace = 1000 } })
    local streams <const> = {}
    for i = 1, COUNT do
      local instance <const> = running:instance("user" .. i)
      streams[i] = assert(net.connect(instance.server:address()))
      streams[i]:write "a\n"
      assert.equal("a", streams[i]:read_line())
    end
    files:write("value.lua", files.value "2")
    assert.is_true(running:reload().ok)
    files:write("value.lua", files.value "3")
    local forced <const> = task.spawn(running.reload, running, nil, { force = true })
    local report <const> = assert(forced:join(60))
    assert.is_true(report.ok)
    for i = 1, COUNT do
      assert.is_nil(streams[i]:read_line())
      streams[i]:close()
    end
  end)
end)
