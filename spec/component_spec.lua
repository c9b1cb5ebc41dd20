local context <const> = require "ahost.context"
local sync <const> = require "ahost.sync"
local task <const> = require "ahost.task"
local testing <const> = require "ahost.testing"

-- A component that writes its life down.
local function recorder(events, name, fields)
  local component <const> = fields or {}
  local function record(phase)
    local inner <const> = component[phase]
    component[phase] = function(self, ctx)
      events[#events + 1] = name .. " " .. phase
      if inner then return inner(self, ctx) end
    end
  end
  record "prepare"
  record "start"
  return component
end

local function run(component, options)
  return testing.host { component = component, options = options }
end

-- The message of an application that does not start.
local function start_failure(component, options)
  local ok, err = pcall(run, component, options)
  assert.is_false(ok)
  return err.message or err
end

-- A root with children by alias.
local function container(children)
  return {
    init = function(self)
      for _, child in ipairs(children) do self:add(child[1], child[2], child[3]) end
    end,
  }
end

describe("a component", function()
  it("is initialized, prepared and started around its children", function()
    local events <const> = {}
    local root <const> = recorder(events, "root", {
      init = function(self)
        events[#events + 1] = "root init"
        self:add("a", recorder(events, "a"))
        self:add("b", recorder(events, "b"))
      end,
    })
    run(root)
    assert.same({ "root init", "root prepare", "a prepare", "b prepare", "a start",
      "b start", "root start" }, events)
  end)

  it("gets its checked configuration, name, path and logger", function()
    local seen
    local inner <const> = {
      options = { port = { type = "integer", default = 80 } },
      start = function(self) seen = self end,
    }
    run(container { { "web", container { { "http/main", inner, { port = "8080" } } } } })
    assert.same({ port = 8080 }, seen.config)
    assert.equal("http/main", seen.name)
    assert.equal("web.http/main", seen.path)
    assert.is_function(seen.log.info)
  end)

  it("is configured by code, its table and the configuration, which wins", function()
    local seen <const> = {}
    local child <const> = {
      start = function(self) seen[self.name] = self.config end,
    }
    package.loaded["spec.child"] = child
    local root <const> = {
      components = { b = { type = "spec.child", x = 1, y = 1 } },
      init = function(self)
        self:add("a", child, { x = 1, y = 1, deep = { u = 1, v = 1 } })
      end,
    }
    run(root, {
      components = {
        a = { x = 2, deep = { v = 2 } },
        b = { y = 2 },
        c = { type = "spec.child" },
      },
    })
    package.loaded["spec.child"] = nil
    assert.same({ x = 2, y = 1, deep = { u = 1, v = 2 } }, seen.a)
    assert.same({ x = 1, y = 2 }, seen.b)
    assert.same({}, seen.c)
  end)

  it("can be found by its path", function()
    local host <const> = require "ahost.host"
    local found
    local inner <const> = { start = function() found = host.component "a.b" end }
    local app <const> = run(container { { "a", container { { "b", inner } } } })
    assert.equal(app:instance "a.b", found)
    assert.is_nil(host.component "a.b")
  end)

  it("has a context that is current in its methods and ends with it", function()
    local server, inside
    local root <const> = {
      start = function(_, ctx)
        inside = context.current() == ctx
        server = ctx
      end,
    }
    local app <const> = run(root)
    assert.is_true(inside)
    assert.equal("open", server:state())
    assert.equal(0, app:stop())
    assert.equal("closed", server:state())
  end)

  it("cannot add children after its init", function()
    local message <const> = start_failure {
      start = function(self) self:add("late", {}) end,
    }
    assert.matches("components can be added in init only", message)
  end)

  it("complains about a bad or a taken alias", function()
    assert.matches("alias of a component must be a nonempty string",
      start_failure(container { { "", {} } }))
    assert.matches("there is already a child component named 'a'",
      start_failure(container { { "a", {} }, { "a", {} } }))
  end)

  it("cannot contain its own type for ever", function()
    local endless <const> = {}
    function endless:init() self:add("more", endless) end
    assert.matches("nested too deeply; does one contain itself%?", start_failure(endless))
  end)
end)

describe("the resources of a component", function()
  it("are seen by its siblings, its parent and its children", function()
    local seen <const> = {}
    local function look(name)
      return function(_, ctx) seen[name] = ctx:request("db") end
    end
    local db <const> = {
      prepare = function(_, ctx) ctx:publish("db", "the database") end,
      init = function(self) self:add("child", { start = look "child" }) end,
    }
    local root <const> = container {
      { "db", db },
      { "sibling", { start = look "sibling" } },
    }
    root.start = look "parent"
    local app <const> = run(root)
    assert.same({ child = "the database", sibling = "the database",
      parent = "the database" }, seen)
    assert.equal("the database", app:require "db")
  end)

  it("are named after the second part of its alias", function()
    local db <const> = {
      start = function(self, ctx)
        ctx:publish("db", self.name, { types = { "db.sql", "other/fixed" } })
        ctx:publish("log/audit", 1)
      end,
    }
    local replica <const> = {
      start = function(_, ctx) ctx:publish("db", "r", { types = { "db.sql" } }) end,
    }
    local app <const> = run(container { { "db", db }, { "db/replica", replica } })
    assert.equal("db", app:require "db")
    assert.equal("r", app:require "db/replica")
    assert.equal("r", app:require "db.sql/replica")
    assert.equal("db", app:require "db.sql/default")
    assert.equal("db", app:require "other/fixed")
    assert.equal(1, app:require "log/audit")
  end)

  it("are for those below it when it is isolated", function()
    local below
    local box <const> = {
      isolated = true,
      prepare = function(_, ctx) ctx:publish("secret", 42) end,
      init = function(self)
        self:add("child", { start = function(_, ctx) below = ctx:require "secret" end })
      end,
    }
    local app <const> = run(container { { "box", box } })
    assert.equal(42, below)
    assert.is_nil(app.ctx:get "secret")
  end)

  it("conflict by name, and the message tells whose they are", function()
    local function publisher()
      return { prepare = function(_, ctx) ctx:publish("db", 1) end }
    end
    assert.matches("component b failed in prepare: "
      .. "this context already has a resource 'db', of component a",
      start_failure(container { { "a", publisher() }, { "b", publisher() } }))
  end)

  it("are withdrawn with their attributes when the component ends", function()
    local ctx <const> = context.current()
    local own
    local app <const> = run {
      start = function(_, inner)
        own = inner
        inner:publish("db", 1, { attr = "db", types = { "sql" } })
        inner:publish_lazy("session", function() return {} end, { attr = "session" })
      end,
    }
    assert.equal(1, app.ctx.db)
    assert.is_table(app.ctx.session)
    assert.equal("root", app.ctx:resources("sql")[1].component)
    own:close()
    for _, key in ipairs { "db", "db/default", "sql", "sql/default", "session" } do
      assert.is_nil(app.ctx:get(key), key)
    end
    assert.is_nil(app.ctx.db)
    assert.is_nil(app.ctx.session)
    app.ctx:publish("db", 2)
    assert.is_nil(ctx:get "db")
  end)
end)

describe("the start of components", function()
  it("waits for what others publish, in whatever order they are", function()
    local order <const> = {}
    local function waits(for_key, key)
      return {
        start = function(self, ctx)
          assert(ctx:request(for_key))
          order[#order + 1] = self.name
          if key then ctx:publish(key, true) end
        end,
      }
    end
    run(container {
      { "c", waits("b") },
      { "b", waits("a", "b") },
      { "a", { start = function(_, ctx) task.yield() ctx:publish("a", true) end } },
    })
    assert.same({ "b", "c" }, order)
  end)

  it("tells the phase, the component and the place of a failure", function()
    for _, phase in ipairs { "prepare", "start" } do
      local message <const> = start_failure(container {
        { "web", container { { "bad", { [phase] = function() error("boom") end } } } } })
      assert.matches("^component web%.bad failed in " .. phase
        .. ": spec/component_spec%.lua:%d+: boom\nstack traceback:", message)
    end
    local bad <const> = { init = function() error("boom") end }
    assert.matches("^web%.bad: init failed: spec/component_spec%.lua:%d+: boom",
      start_failure(container { { "web", container { { "bad", bad } } } }))
  end)

  it("fails when it cancels itself", function()
    assert.matches("component a failed in start: it was cancelled", start_failure(
      container { { "a", { start = function()
        task.current():cancel()
        task.yield()
      end } } }))
  end)

  it("counts a task that fails meanwhile as a failure of the phase", function()
    local message <const> = start_failure(container { { "a", {
      start = function(_, ctx)
        ctx:spawn(function() error("no luck", 0) end)
        task.sleep(10)
      end,
    } } })
    assert.matches("component a failed in start: no luck", message)
  end)

  it("tears down what was started, newest first, when one fails", function()
    local ended <const> = {}
    local function notes(name, key)
      return {
        start = function(_, ctx)
          if key then ctx:request(key) end
          ctx:on_close(function() ended[#ended + 1] = name end)
          ctx:publish(name, 1)
        end,
      }
    end
    start_failure(container {
      { "c", notes("c", "b") }, { "a", notes("a") }, { "b", notes("b", "a") },
      { "bad", { start = function(_, ctx) ctx:request("c") error("boom") end } },
    })
    assert.same({ "c", "b", "a" }, ended)
  end)

  it("tears down what has not come to its end before what it uses", function()
    local ended <const> = {}
    local function notes(name, keys)
      return {
        start = function(_, ctx)
          ctx:on_close(function() ended[#ended + 1] = name end)
          for _, key in ipairs(keys) do ctx:request(key) end
          ctx:publish(name, 1)
        end,
      }
    end
    start_failure(container {
      { "user", notes("user", { "a", "missing" }) }, { "a", notes("a", {}) },
    })
    assert.same({ "user", "a" }, ended)
  end)

  it("tears children down before their parent", function()
    local ended <const> = {}
    local function notes(name, fields)
      fields.prepare = function(_, ctx)
        ctx:on_close(function() ended[#ended + 1] = name end)
      end
      return fields
    end
    local app <const> = run(notes("root", container {
      { "p", notes("p", container { { "x", notes("x", {}) } }) },
      { "q", notes("q", container { { "y", notes("y", {}) } }) },
    }))
    app:stop()
    local at <const> = {}
    for i, name in ipairs(ended) do at[name] = i end
    assert.is_true(at.x < at.p and at.y < at.q and at.p < at.root and at.q < at.root)
  end)

  it("reports at once who waits for what nobody is left to publish", function()
    local message <const> = start_failure(container {
      { "a", { start = function(_, ctx) ctx:request("b") ctx:publish("a", 1) end } },
      { "b", { start = function(_, ctx) ctx:request("a") ctx:publish("b", 1) end } },
      { "c", { start = function(_, ctx)
        task.all { function() ctx:request("d/main") end }
      end } },
      { "d", { start = function(_, ctx) ctx:publish("d/mian", 1) end } },
    })
    assert.matches("^these components wait for what nobody is left to publish:\n",
      message)
    assert.matches("component a: starting\n"
      .. "%s+waits for resource 'b' at spec/component_spec.lua", message)
    assert.matches("component b: starting\n%s+waits for resource 'a'", message)
    assert.matches("waits for the tasks of a scope at spec/component_spec.lua", message)
    assert.matches("waits for resource 'd/main' at [^\n]* %(there is 'd/mian'%)", message)
    assert.is_nil(message:find("component d", 1, true))
  end)

  it("gives one that waits with a limit of its own the time", function()
    local got
    run(container { { "a", {
      start = function(_, ctx) got = ctx:request("b", 0.01) end,
    } } })
    assert.is_nil(got)
  end)

  it("waits for a component whose task is to publish later", function()
    local got
    local clock <close> = testing.clock()
    run(container {
      { "a", { start = function(_, ctx) got = ctx:request("late") end } },
      { "b", { start = function(_, ctx)
        ctx:spawn(function() task.sleep(5) ctx:publish("late", "it") end)
      end } },
    })
    assert.equal("it", got)
    clock:close()
  end)

  it("has a limit, and the report names what is not ready", function()
    local clock <close> = testing.clock()
    local ok, err = pcall(testing.host, {
      config = { start_timeout = "2s" },
      component = container { { "slow", { prepare = function() task.sleep(5) end } },
        { "fine", {} } },
    })
    clock:close()
    assert.is_false(ok)
    assert.matches("^the components did not start within 2 s:\n"
      .. "  the root component: starting its children\n"
      .. "    component slow: preparing\n"
      .. "      waits for sleep at spec/component_spec.lua:%d+$", err.message)
  end)

  it("has a limit of its own for a component that says so", function()
    local clock <close> = testing.clock()
    testing.host {
      config = { start_timeout = 2 },
      component = container { { "slow", { start = function() task.sleep(5) end },
        { start_timeout = 6 } } },
    }
    local ok, err = pcall(testing.host, {
      component = container { { "hasty", { start = function() task.sleep(5) end,
        start_timeout = 1 } } },
    })
    clock:close()
    assert.is_false(ok)
    assert.matches("^component hasty did not start within 1 s", err.message)
  end)

  it("can be given more time by the component", function()
    local clock <close> = testing.clock()
    testing.host {
      config = { start_timeout = 2 },
      component = { start = function(self)
        for _ = 1, 5 do
          self:extend_start(2)
          task.sleep(1)
        end
      end },
    }
    clock:close()
  end)
end)

describe("a component that fails", function()
  local function crash_on(event, fields)
    local component <const> = fields or {}
    function component.start(_, ctx)
      ctx:spawn(function()
        event:wait()
        event:clear()
        error("crash", 0)
      end)
    end
    return component
  end

  it("ends the application with status 1, unless it says otherwise", function()
    local event <const> = sync.event()
    local app <const> = run(container { { "a", crash_on(event) } })
    event:set()
    assert.equal(1, app:wait())
  end)

  it("is started again alone, and its holders get the new value", function()
    local event <const>, starts, rebound, users = sync.event(), 0, {}, 0
    local source <const> = crash_on(event, {
      restart = "on-failure", backoff = 0,
      prepare = function(_, ctx)
        starts = starts + 1
        ctx:publish("value", starts)
      end,
    })
    local app <const> = run(container {
      { "source", source },
      { "binder", {
        start = function(_, ctx) ctx:request "value" end,
        rebind = function(_, key, value) rebound[#rebound + 1] = key .. "=" .. value end,
      } },
      { "user", { start = function(_, ctx) users = users + ctx:request("value") end } },
      { "follower", { start = function(self, ctx) self.ref = ctx:ref "value" end } },
    })
    local follower <const> = app:instance "follower"
    event:set()
    while users < 3 do task.yield() end
    assert.equal(2, starts)
    assert.same({ "value=2" }, rebound)
    assert.equal(2, follower.ref:get())
    assert.equal(follower, app:instance "follower")
    assert.equal(0, app:stop())
  end)

  it("is restarted once with one that holds it and that it holds", function()
    local event <const>, starts = sync.event(), { a = 0, b = 0 }
    local function holder(name, other)
      return crash_on(name == "a" and event or sync.event(), {
        restart = "on-failure", backoff = 0,
        prepare = function(_, ctx)
          starts[name] = starts[name] + 1
          ctx:publish(name, starts[name])
          ctx:request(other)
        end,
      })
    end
    run(container { { "a", holder("a", "b") }, { "b", holder("b", "a") } })
    event:set()
    while starts.b < 2 do task.yield() end
    for _ = 1, 20 do task.yield() end
    assert.same({ a = 2, b = 2 }, starts)
  end)

  it("takes its children with it, and they are instances anew", function()
    local event <const>, children = sync.event(), 0
    local app <const> = run(container { { "parent", crash_on(event, {
      restart = "always", backoff = 0,
      init = function(self)
        self:add("child", { start = function() children = children + 1 end })
      end,
    }) } })
    local before <const> = app:instance "parent.child"
    event:set()
    while children < 2 do task.yield() end
    assert.not_equal(before, app:instance "parent.child")
  end)

  it("pauses longer each time and gives up in the end", function()
    local clock <close> = testing.clock()
    local time <const> = require "ahost.time"
    local at <const> = {}
    local app <const> = run(container { { "a", {
      restart = "on-failure",
      backoff = { first = 1, factor = 2, max = 3 },
      max_restarts = 3,
      start = function(_, ctx)
        at[#at + 1] = time.now()
        ctx:spawn(function()
          task.sleep(0.1)
          error("crash", 0)
        end)
      end,
    } } })
    assert.equal(1, app:wait())
    clock:close()
    assert.equal(4, #at)
    for i, pause in ipairs { 1, 2, 3 } do
      assert.is_true(math.abs(at[i + 1] - at[i] - pause) < 0.5)
    end
    assert.matches("component a was restarted 3 times within 60 s; giving up",
      app.app.failure)
  end)

  it("is started at once without a pause, however often it was", function()
    local starts = 0
    local app <const> = run(container { { "a", {
      restart = "on-failure", backoff = { first = 0, factor = 1e300 }, max_restarts = 9,
      start = function(_, ctx)
        starts = starts + 1
        ctx:spawn(function()
          task.sleep(0)
          if starts < 5 then error("crash", 0) end
        end)
      end,
    } } })
    while starts < 5 do task.sleep(0.001) end
    assert.equal(0, app:stop())
  end)

  it("runs again when it is the root and has failed in its run", function()
    local runs = 0
    local app <const> = run {
      restart = "on-failure",
      backoff = 0,
      run = function()
        runs = runs + 1
        if runs < 3 then error("not yet", 0) end
        return 5
      end,
    }
    assert.equal(5, app:wait())
    assert.equal(3, runs)
  end)

  it("may fail in its restart, which counts", function()
    local event <const>, starts = sync.event(), 0
    local app <const> = run(container { { "a", crash_on(event, {
      restart = "on-failure", backoff = 0, max_restarts = 2,
      prepare = function()
        starts = starts + 1
        if starts > 1 then error("no way", 0) end
      end,
    }) } })
    event:set()
    assert.equal(1, app:wait())
    assert.equal(3, starts)
  end)

  it("is started by one at a time, though its parent is started again, too", function()
    local clock <close> = testing.clock()
    local alive, most, starts = 0, 0, 0
    local child <const> = {
      restart = "on-failure", backoff = 0, max_restarts = 100,
      prepare = function(_, ctx)
        alive, starts = alive + 1, starts + 1
        most = math.max(most, alive)
        ctx:on_close(function() alive = alive - 1 end)
        task.sleep(0.3)
      end,
      start = function(_, ctx)
        ctx:spawn(function()
          task.sleep(0.1)
          error("crash of the child", 0)
        end)
      end,
    }
    local app <const> = run(container { { "parent", {
      restart = "on-failure", backoff = 0, max_restarts = 100,
      init = function(self) self:add("child", child) end,
      start = function(_, ctx)
        ctx:spawn(function()
          task.sleep(0.55)
          error("crash of the parent", 0)
        end)
      end,
    } } })
    task.sleep(20)
    assert.equal(1, most)
    assert.equal(1, alive)
    assert.is_true(starts > 20)
    assert.equal(0, app:stop())
    clock:close()
  end)

  it("is started once when what it holds fails at the same time", function()
    local event <const>, starts = sync.event(), { a = 0, b = 0 }
    local function crashing(name, use, backoff)
      return {
        restart = "on-failure", backoff = backoff,
        prepare = function(_, ctx)
          starts[name] = starts[name] + 1
          use(ctx)
          ctx:spawn(function()
            event:wait()
            error("crash", 0)
          end)
        end,
      }
    end
    local clock <close> = testing.clock()
    local app <const> = run(container {
      { "a", crashing("a", function(ctx) ctx:publish("a", 1) end, 1) },
      { "b", crashing("b", function(ctx) ctx:request("a") end, 2) },
    })
    event:set()
    task.yield()
    event:clear()
    task.sleep(10)
    assert.same({ a = 2, b = 2 }, starts)
    assert.equal(0, app:stop())
    clock:close()
  end)

  it("gives those that share its isolated parent the new value", function()
    local event <const>, rebound = sync.event(), nil
    local starts = 0
    local app <const> = run(container { { "box", {
      isolated = true,
      init = function(self)
        self:add("source", crash_on(event, {
          restart = "on-failure", backoff = 0,
          prepare = function(_, ctx)
            starts = starts + 1
            ctx:publish("value", starts)
          end,
        }))
        self:add("binder", {
          start = function(_, ctx) ctx:request "value" end,
          rebind = function(_, _, value) rebound = value or "nothing" end,
        })
      end,
    } } })
    event:set()
    while not rebound do task.yield() end
    assert.equal(2, rebound)
    assert.equal(0, app:stop())
  end)

  it("fails when the value that it is bound to again cannot be made", function()
    local event <const>, makes, starts = sync.event(), 0, 0
    local app <const> = run(container {
      { "source", crash_on(event, {
        restart = "on-failure", backoff = 0,
        prepare = function(_, ctx)
          ctx:publish_lazy("value", function()
            makes = makes + 1
            if makes == 2 then error("no value", 0) end
            return makes
          end)
        end,
      }) },
      { "binder", {
        restart = "on-failure", backoff = 0,
        start = function(_, ctx)
          ctx:get "value"
          starts = starts + 1
        end,
        rebind = function() end,
      } },
    })
    event:set()
    while starts < 2 do task.yield() end
    assert.equal(3, makes)
    assert.equal(0, app:stop())
  end)

  it("does not hide what fails in its teardown", function()
    local log <const> = require "ahost.log"
    local event <const>, starts = sync.event(), 0
    local records <close> = log.capture { passes = false }
    local app <const> = run(container { { "a", crash_on(event, {
      restart = "on-failure", backoff = 0,
      prepare = function(_, ctx)
        starts = starts + 1
        if starts == 1 then
          ctx:on_close(function() error("no teardown", 0) end)
        end
      end,
    }) } })
    event:set()
    while starts < 2 do task.yield() end
    local found
    for _, record in ipairs(records.records) do
      found = found or record.text:match "a teardown callback failed: no teardown"
    end
    assert.is_string(found)
    assert.equal(0, app:stop())
  end)

  it("may take its time in init, while others wait for it", function()
    local clock <close> = testing.clock()
    local starts, got = 0, nil
    run(container {
      { "source", {
        restart = "on-failure", backoff = 0,
        init = function()
          starts = starts + 1
          if starts > 1 then task.sleep(1) end
        end,
        start = function(_, ctx)
          if starts > 1 then return ctx:publish("value", starts) end
          ctx:spawn(function()
            task.sleep(0.1)
            error("crash", 0)
          end)
        end,
      } },
      { "user", { start = function(_, ctx) got = ctx:request "value" end } },
    })
    assert.equal(2, got)
    clock:close()
  end)
end)

describe("a component that closes its own context", function()
  it("fails in its start", function()
    local message <const> = start_failure(container { { "a", {
      prepare = function(self, ctx) self.ctx = ctx end,
      init = function(self)
        self:add("b", { start = function()
          self.ctx:close()
          task.yield()
        end })
      end,
      start = function() end,
    } } })
    assert.matches("component a failed in start: its context was closed", message)
  end)

  it("ends those below it, and the application goes on", function()
    local closed = false
    local app <const> = run(container { { "a", {
      init = function(self)
        self:add("child", {
          start = function(_, ctx) ctx:on_close(function() closed = true end) end,
        })
      end,
      start = function(_, ctx)
        ctx:spawn(function()
          task.yield()
          ctx:close()
        end)
      end,
    } } })
    while not closed do task.yield() end
    assert.equal("open", app.ctx:state())
    assert.equal(0, app:stop())
  end)

  it("has no run any more", function()
    local ran = false
    local app <const> = run {
      start = function(_, ctx)
        ctx:require("bus"):subscribe("app.run", function() ctx:close() end)
      end,
      run = function() ran = true end,
    }
    task.yield()
    assert.equal(0, app:stop())
    assert.is_false(ran)
  end)
end)
