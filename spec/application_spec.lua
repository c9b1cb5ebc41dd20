local context <const> = require "ahost.context"
local errors <const> = require "ahost.error"
local net <const> = require "ahost.net"
local task <const> = require "ahost.task"
local testing <const> = require "ahost.testing"
local application <const> = require "ahost.application"
local subprocess <const> = require "spec.subprocess"

-- A module that configurations can name; it goes with the test.
local function provide(name, value)
  package.loaded[name] = value
  finally(function() package.loaded[name] = nil end)
end

local function problems_of(values, opts)
  local app, err = application.new(values, opts)
  assert.is_nil(app)
  assert.is_true(errors.is(err, "CONFIG"))
  return err.message
end

describe("an application", function()
  it("tells the bus of the stages of its life, in order", function()
    local told <const> = {}
    local function note(text) told[#told + 1] = text end
    provide("spec.listener", function(message, n) note(message .. (n or "")) end)
    local listen <const> = {}
    for _, message in ipairs { "app.init", "app.run", "app.stop", "app.exit" } do
      listen[message] = "spec.listener"
    end
    local app <const> = testing.host {
      config = { listen = listen },
      component = {
        start = function(_, ctx)
          told[#told + 1] = "start"
          ctx:require("bus"):subscribe("app.stop", function() note "stopping" end)
          ctx:on_close(function() told[#told + 1] = "teardown" end)
        end,
      },
    }
    app:stop()
    assert.same({ "app.init", "start", "app.run", "app.stop1", "stopping", "teardown",
      "app.exit" }, told)
  end)

  it("publishes its configuration and its bus", function()
    local app <const> = testing.host { config = { tick_period = "2s" } }
    assert.equal("2s", app:require("config").tick_period)
    assert.equal(app.bus, app:require "bus")
  end)

  it("lets subscribers of app.stop finish before anything is cancelled", function()
    local order <const> = {}
    local app <const> = testing.host {
      component = {
        start = function(_, ctx)
          ctx:require("bus"):subscribe("app.stop", function()
            task.sleep(0.01)
            order[#order + 1] = "told"
          end)
          ctx:spawn(function()
            local _ <close> = setmetatable({}, {
              __close = function() order[#order + 1] = "cancelled" end,
            })
            task.sleep(100)
          end)
        end,
      },
    }
    app:stop()
    assert.same({ "told", "cancelled" }, order)
  end)

  it("tells of each request to stop, with its number", function()
    local directory <const> = testing.directory()
    local path <const> = directory:write("app.lua", [[
      io.stdout:setvbuf "no"
      local again <const> = require("ahost.sync").event()
      return {
        start = function(_, ctx)
          ctx:require("bus"):subscribe("app.stop", function(_, n)
            print("stop " .. n)
            if n == 1 then again:wait() else again:set() end
          end)
          print "ready"
        end,
      }
    ]])
    local child <close> = subprocess.start("exec $ahost " .. path .. " 2>/dev/null")
    assert.equal("ready", child:read_line())
    child:signal "TERM"
    assert.equal("stop 1", child:read_line())
    child:signal "TERM"
    assert.same({ status = 0, out = "stop 2\n" }, child:finish())
  end)

  it("ticks from one period after its start on, and does not drift", function()
    local clock <close> = testing.clock()
    local time <const> = require "ahost.time"
    local at <const>, tens = {}, 0
    local app <const> = testing.host { config = { tick_period = 0.5 } }
    local start <const> = time.now()
    app.bus:subscribe("app.tick", function()
      at[#at + 1] = time.now() - start
      task.sleep(0.2)
    end)
    app.bus:subscribe("app.tick/10", function() tens = tens + 1 end)
    task.sleep(10.1)
    app:stop()
    clock:close()
    assert.equal(20, #at)
    assert.equal(2, tens)
    for i, t in ipairs(at) do assert.is_true(math.abs(t - i * 0.5) < 0.05) end
  end)

  it("ends with what the run of its root returns", function()
    local function status_of(result)
      return testing.host { component = { run = function() return result end } }:wait()
    end
    assert.equal(0, status_of(nil))
    assert.equal(5, status_of(5))
    assert.equal(127, status_of(127))
    assert.equal(1, status_of(128))
    assert.equal(1, status_of("five"))
    assert.equal(1, status_of(2.0))
  end)

  it("fails when run raises", function()
    local app <const> = testing.host {
      component = { run = function() error("no", 0) end },
    }
    assert.equal(1, app:wait())
  end)

  it("keeps the larger of several exit statuses", function()
    local app <const> = testing.host {}
    app.app:stop(3)
    assert.equal(3, app:stop(2))
  end)

  it("has status 1 when a teardown callback fails, and runs the others", function()
    local other = false
    local app <const> = testing.host {
      component = {
        start = function(_, ctx)
          ctx:on_close(function() other = true end)
          ctx:on_close(function() error("teardown", 0) end)
        end,
      },
    }
    assert.equal(1, app:stop())
    assert.is_true(other)
  end)

  it("ends with the context that it was started in", function()
    local closed = false
    context.scope(function(ctx)
      testing.host {
        component = {
          start = function(_, own) own:on_close(function() closed = true end) end,
        },
      }
      ctx:close()
    end)
    assert.is_true(closed)
  end)
end)

describe("the configuration of an application", function()
  it("has no unknown keys at the top", function()
    local message <const> = problems_of { componets = {} }
    assert.matches('componets: .*did you mean "components"', message)
  end)

  it("has one root", function()
    assert.equal("components: give either this or component",
      problems_of { component = { type = "x" }, components = {} })
  end)

  it("tells of every component at once what is wrong", function()
    provide("spec.good", { options = { port = { type = "integer", max = 10 } } })
    local message <const> = problems_of {
      components = {
        a = { type = "spec.good", port = 11 },
        b = { type = "spec.good", prot = 1 },
        c = { type = "spec.missing" },
        d = { type = 5 },
        e = 7,
        f = { type = "spec.good", components = { "list" } },
        g = { type = "spec.good", restart = "maybe" },
      },
    }
    assert.matches("a%.port: must be an integer at most 10, not 11", message)
    assert.matches('b%.prot: .*did you mean "port"', message)
    assert.matches("c: there is no module 'spec%.missing'", message)
    assert.matches("d: type must be a string", message)
    assert.matches("e: the configuration of a component is a map of its options, not 7",
      message)
    assert.matches("f%.components: must be a map of components by alias", message)
    assert.matches('g%.restart: must be never, on%-failure or always, not "maybe"',
      message)
  end)

  it("has defaults by the type of component", function()
    local seen <const> = {}
    provide("spec.kind", {
      options = { x = { type = "integer" }, y = { type = "integer" } },
      start = function(self) seen[self.name] = self.config end,
    })
    testing.host {
      config = {
        defaults = { ["spec.kind"] = { x = 1, y = 1 } },
        components = { a = { type = "spec.kind", y = 2 }, b = { type = "spec.kind" } },
      },
    }
    assert.same({ a = { x = 1, y = 2 }, b = { x = 1, y = 1 } }, seen)
  end)

  it("takes files that no file names from the directory of the application", function()
    local directory <const> = testing.directory()
    directory:write("leaf.lua", "return { mark = 'configured' }")
    directory:write("code/root.lua",
      "return { components = { own = { type = './leaf.lua' } } }")
    directory:write("code/leaf.lua", "return { mark = 'own' }")
    local app <const> = testing.host {
      config = {
        component = {
          type = "./code/root.lua",
          components = { given = { type = "./leaf.lua" } },
        },
      },
      directory = directory.path,
    }
    assert.equal("own", app:instance("own").mark)
    assert.equal("configured", app:instance("given").mark)
    local rootless <const> = testing.host {
      config = { components = { given = { type = "./leaf.lua" } } },
      directory = directory.path,
    }
    assert.equal("configured", rootless:instance("given").mark)
  end)

  it("names files relative to the file that names them", function()
    local directory <const> = testing.directory()
    directory:write("conf/app.yaml", "component:\n  type: ../code/root.lua\n")
    directory:write("code/root.lua", [[
      return { components = { leaf = { type = "./leaf.lua" } } }]])
    directory:write("code/leaf.lua", [[
      return { start = function(self, ctx) ctx:publish("leaf", self.path) end }]])
    local app <const> = testing.host { files = directory .. "/conf/app.yaml" }
    assert.equal("leaf", app:require "leaf")
  end)

  it("tells where a backoff is wrong", function()
    provide("spec.kind", {})
    local directory <const> = testing.directory()
    local path <const> = directory:write("app.yaml", [[
components:
  a: {type: spec.kind, backoff: soon}
  b:
    type: spec.kind
    backoff:
      fist: 1
]])
    local ok, err = pcall(testing.host, { files = path })
    assert.is_false(ok)
    assert.matches(":2:24: a.backoff.first: must be a duration", err.message)
    assert.matches(":6:7: b.backoff.fist: unknown option", err.message)
  end)

  it("tells file, line and column of what is wrong in it", function()
    local directory <const> = testing.directory()
    local text <const> = "components:\n  web:\n    type: spec.none\n"
    local path <const> = directory:write("app.yaml", text)
    local ok, err = pcall(testing.host, { files = path })
    assert.is_false(ok)
    assert.equal(path .. ":3:5: web: there is no module 'spec.none'",
      err.message:match "^.-'spec.none'")
  end)
end)

describe("the wiring of a configuration", function()
  it("calls the listeners of messages, one or several", function()
    local heard <const> = {}
    provide("spec.first", {
      hear = function(message, x) heard[#heard + 1] = message .. x end,
    })
    provide("spec.second", function(_, x) heard[#heard + 1] = "second " .. x end)
    local app <const> = testing.host {
      config = { listen = { ["door.open"] = { "spec.first:hear", "spec.second" } } },
    }
    app.bus:publish("door.open", 1)
    assert.same({ "door.open1", "second 1" }, heard)
  end)

  it("lets listeners use what its components publish, while it lasts", function()
    local found <const> = {}
    provide("spec.listener", function(message)
      found[message] = context.current():get "greeting" or "none"
    end)
    local app <const> = testing.host {
      config = {
        listen = { ["app.run"] = "spec.listener", ["app.exit"] = "spec.listener" },
      },
      component = { start = function(_, ctx) ctx:publish("greeting", "hello") end },
    }
    app:stop()
    assert.same({ ["app.run"] = "hello", ["app.exit"] = "none" }, found)
  end)

  it("takes listeners from the directory of the application, and functions", function()
    local directory <const> = testing.directory()
    directory:write("ears.lua", "return { hear = function(_, l) l[1] = 'ears' end }")
    local app <const> = testing.host {
      config = { listen = { ["door.open"] = {
        "./ears.lua:hear",
        function(_, list) list[2] = "function" end,
      } } },
      directory = directory.path,
    }
    local heard <const> = {}
    app.bus:publish("door.open", heard)
    assert.same({ "ears", "function" }, heard)
  end)

  it("complains about listeners that are not there or no functions", function()
    provide("spec.table", { x = 1 })
    local message <const> = problems_of {
      listen = { a = "spec.nowhere:f", b = { "spec.table:y", "spec.table:x", 5 } },
    }
    assert.matches("listen%.a: module 'spec%.nowhere' not found", message)
    assert.matches("listen%.b: module 'spec%.table' has no 'y'", message)
    assert.matches("listen%.b: 'spec%.table:x' is a number, not a function", message)
    assert.matches("listen%.b: must be module:function or a list of them", message)
  end)

  it("serves what servers says, and publishes the servers", function()
    provide("spec.handlers", {
      upper = function(stream)
        for line in stream:lines() do stream:write(line:upper(), "\n") end
      end,
    })
    local app <const> = testing.host {
      config = {
        servers = {
          shout = { address = "127.0.0.1:0", handler = "spec.handlers:upper" },
        },
      },
    }
    local stream <close> = assert(net.connect(app:require("server/shout"):address()))
    stream:write("hello\n")
    assert.equal("HELLO", stream:read_line(100))
  end)

  it("runs schedules, which a failing job does not stop", function()
    local clock <close> = testing.clock()
    local runs = 0
    provide("spec.jobs", {
      often = function(event)
        runs = runs + 1
        assert.equal("often", event.name)
        error("expected", 0)
      end,
    })
    local app <const> = testing.host {
      config = { schedules = { often = { every = "2s", func = "spec.jobs:often" } } },
    }
    task.sleep(5)
    assert.equal(3, runs)
    app:stop()
    clock:close()
  end)

  it("complains about servers and schedules by their names", function()
    provide("spec.f", function() end)
    local message <const> = problems_of {
      servers = { a = { handler = "spec.f" } },
      schedules = { b = { func = "spec.f", every = "soon" } },
    }
    assert.matches("servers%.a%.address: .*required", message)
    assert.matches("schedules%.b%.every: must be a duration", message)
  end)
end)

describe("a script that returns a component", function()
  it("is an application of its own", function()
    local directory <const> = testing.directory()
    local path <const> = directory:write("app.lua", [[
      print("body", ...)
      return {
        options = { word = { type = "string", default = "hello" } },
        run = function(self) print(self.config.word) return 7 end,
      }
    ]])
    local result <const> = subprocess.shell("$ahost " .. path .. " argument")
    assert.equal("", result.err)
    assert.equal("body\targument\nhello\n", result.out)
    assert.equal(7, result.status)
  end)
end)

-- The program itself, told by process signals.
describe("the host of an application", function()
  local SCRIPT <const> = [[
    io.stdout:setvbuf "no"
    return {
      start = function(_, ctx)
        ctx:require("bus"):subscribe("app.stop", function(_, n) print("stop " .. n) end)
        ctx:require("bus"):subscribe("app.hup", function() print "hup" end)
        ctx:on_close(function() print "closed" end)
        print "ready"
      end,
    }
  ]]

  it("tells of HUP and stops on TERM with status 0", function()
    local directory <const> = testing.directory()
    local path <const> = directory:write("app.lua", SCRIPT)
    local child <close> = subprocess.start("exec $ahost " .. path)
    assert.equal("ready", child:read_line())
    child:signal "HUP"
    assert.equal("hup", child:read_line())
    child:signal "TERM"
    assert.equal("stop 1", child:read_line())
    assert.same({ status = 0, out = "closed\n" }, child:finish())
  end)

  it("counts the signals, and the third ends it at once", function()
    local directory <const> = testing.directory()
    local path <const> = directory:write("app.lua", [[
      io.stdout:setvbuf "no"
      local task <const> = require "ahost.task"
      return {
        start = function(_, ctx)
          ctx:require("bus"):subscribe("app.stop", function(_, n) print("stop " .. n) end)
          ctx:on_close(function()
            print "closing"
            task.sleep(100)
          end)
          print "ready"
        end,
      }
    ]])
    local child <close> = subprocess.start("exec $ahost " .. path)
    assert.equal("ready", child:read_line())
    child:signal "TERM"
    assert.equal("stop 1", child:read_line())
    assert.equal("closing", child:read_line())
    child:signal "TERM"
    local lines <const> = {}
    repeat lines[#lines + 1] = child:read_line() until lines[#lines]:find "sleep at"
    assert.matches("still stopping", table.concat(lines, "\n"))
    child:signal "TERM"
    assert.equal(70, child:finish().status)
  end)

  it("has status 1 when it is stopped while it starts", function()
    local directory <const> = testing.directory()
    local path <const> = directory:write("app.lua", [[
      io.stdout:setvbuf "no"
      return {
        prepare = function(_, ctx)
          ctx:on_close(function() print "closed" end)
          print "preparing"
          require("ahost.task").sleep(100)
        end,
      }
    ]])
    local child <close> = subprocess.start("exec $ahost " .. path)
    assert.equal("preparing", child:read_line())
    child:signal "TERM"
    local result <const> = child:finish()
    assert.equal(1, result.status)
    assert.matches("the application was stopped while it started", result.out)
    assert.matches("closed", result.out)
  end)

  it("takes host.stop with a status", function()
    local directory <const> = testing.directory()
    local path <const> = directory:write("app.lua", [[
      local host <const> = require "ahost.host"
      return {
        start = function(_, ctx)
          ctx:require("bus"):subscribe("app.run", function() host.stop(5) end)
          ctx:on_close(function() print "closed" end)
        end,
      }
    ]])
    local result <const> = subprocess.shell("$ahost " .. path)
    assert.same({ status = 5, out = "closed\n", err = "" }, result)
  end)
end)
