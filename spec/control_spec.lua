local config <const> = require "ahost.config"
local context <const> = require "ahost.context"
local errors <const> = require "ahost.error"
local format_status <const> = require "ahost.command.status".format
local gc_stress <const> = require "spec.gc_stress"
local introspection <const> = require "ahost.control.introspection"
local json <const> = require "ahost.json"
local log <const> = require "ahost.log"
local net <const> = require "ahost.net"
local place <const> = require "ahost.control.place"
local process <const> = require "ahost.process"
local schema <const> = require "ahost.application.schema"
local stream_pair <const> = require "spec.stream_pair"
local subprocess <const> = require "spec.subprocess"
local sync <const> = require "ahost.sync"
local task <const> = require "ahost.task"
local testing <const> = require "ahost.testing"

local eventually <const> = stream_pair.eventually

local function answer(app, line)
  return assert(json.decode(app.app.control:answer(line)))
end

local function ask(app, command, fields)
  local request <const> = { command = command }
  for name, value in pairs(fields or {}) do request[name] = value end
  return answer(app, json.encode(request))
end

-- The result of a request that goes well.
local function result_of(app, command, fields)
  local reply <const> = ask(app, command, fields)
  assert.is_true(reply.ok, reply.error and reply.error.message)
  return reply.result
end

-- The error of one that does not.
local function refusal_of(app, command, fields)
  local reply <const> = ask(app, command, fields)
  assert.is_false(reply.ok)
  return reply.error
end

local function find(list, field, value)
  for _, item in ipairs(list) do
    if item[field] == value then return item end
  end
end

local function idle(ctx, name) ctx:spawn(name, task.sleep, 1000) end

describe("the status of an application", function()
  it("has its components, as a tree, with what each owns", function()
    local app <close> = testing.host {
      config = { schedules = { nightly = { every = "1h", func = "os:clock" } } },
      component = {
        init = function(self)
          self:add("store", {
            init = function(store) store:add("disk", { start = function() end }) end,
            start = function(_, ctx)
              idle(ctx, "restock")
              ctx:child():spawn(task.sleep, 1000)
              net.udp "127.0.0.1:0"
            end,
          })
        end,
      },
    }
    local status <const> = result_of(app, "status")
    assert.equal("running", status.state)
    assert.equal(process.pid, status.pid)
    assert.is_true(status.stats.tasks > 2)
    local root <const> = status.components[1]
    assert.equal("", root.path)
    local store <const> = root.children[1]
    assert.same({ "store", "started", 2 }, { store.path, store.state, store.tasks })
    assert.same({ "store.disk", "started", 0 }, { store.children[1].path,
      store.children[1].state, store.children[1].tasks })
    assert.equal("schedules.nightly", status.components[2].path)
  end)

  it("counts the restarts of a component", function()
    local starts <const>, broken <const> = sync.queue(9), sync.event()
    local _ <close> = log.capture { passes = false }
    local app <close> = testing.host {
      config = { component = { restart = "on-failure", backoff = 0 } },
      component = {
        start = function(_, ctx)
          starts:put(true)
          ctx:spawn(function()
            broken:wait()
            broken:clear()
            error "boom"
          end)
        end,
      },
    }
    starts:get()
    broken:set()
    starts:get()
    eventually(function()
      return result_of(app, "status").components[1].state == "started"
    end)
    assert.equal(1, result_of(app, "status").components[1].restarts)
  end)

  it("tells what tasks wait for, and where", function()
    local lock <const> = sync.lock()
    local permit <close> = lock:acquire()
    local app <close> = testing.host {
      component = {
        start = function(_, ctx)
          ctx:spawn("taker", function() lock:acquire() end)
          ctx:spawn("asker", function() ctx:request "nobody/has" end)
          ctx:spawn("generator", function()
            coroutine.wrap(function() task.sleep(1000) end)()
          end)
        end,
      },
    }
    assert(permit)
    local tasks <const> = result_of(app, "status", { part = "tasks" }).tasks
    local taker <const> = find(tasks, "name", "taker")
    assert.same({ "waiting", "root" }, { taker.state, taker.component })
    assert.matches("acquire", taker.what)
    assert.matches("spec/control_spec.lua:%d+$", taker.where)
    assert.equal("nobody/has", find(tasks, "name", "asker").key)
    assert.matches("spec/control_spec.lua:%d+$", find(tasks, "name", "generator").where)
  end)

  it("tells what is not ready yet, and of tasks that are asked to end", function()
    local app <close> = testing.host {
      component = {
        start = function(_, ctx)
          local stubborn <const> = ctx:spawn("stubborn", task.shield, task.sleep, 0.05)
          task.yield()
          stubborn:cancel()
          ctx:spawn("late", function() end)
          ctx.seen = introspection.inspect().root
        end,
      },
    }
    local tasks <const> = result_of(app, "status").tasks
    assert.is_true(find(tasks, "name", "stubborn").cancelled)
    local function states(node, found)
      for _, one in ipairs(node.tasks) do found[one.name] = one.state end
      for _, child in ipairs(node.children or {}) do states(child, found) end
      return found
    end
    assert.equal("ready", states(app.app.root.ctx.seen, {}).late)
    assert.equal("running", states(app.app.root.ctx.seen, {})["root.start"])
  end)

  it("has the listeners with their addresses and connections", function()
    local addresses <const> = {}
    local app <close> = testing.host {
      component = {
        start = function()
          addresses.server = net.serve("127.0.0.1:0", function(s) s:read() end,
            { limit = 7 }):address()
          addresses.listener = net.listen("127.0.0.1:0")
          addresses.udp = net.udp "127.0.0.1:0"
        end,
      },
    }
    local client <close> = assert(net.connect(addresses.server))
    eventually(function()
      local listeners <const> = result_of(app, "status").listeners
      return find(listeners, "address", addresses.server).connections == 1
    end)
    local listeners <const> = result_of(app, "status", { part = "listeners" }).listeners
    assert.same({ what = "server", address = addresses.server, component = "root",
      connections = 1, limit = 7 }, find(listeners, "address", addresses.server))
    local other = addresses.listener:address()
    assert.equal("listener", find(listeners, "address", other).what)
    other = addresses.udp:address()
    assert.equal("UDP socket", find(listeners, "address", other).what)
    assert(client)
  end)

  it("has the resources with their owners and users", function()
    local function needs(...)
      local keys <const> = { ... }
      return {
        start = function(_, ctx)
          for _, key in ipairs(keys) do ctx:request(key) end
        end,
      }
    end
    local function has(key)
      return { start = function(_, ctx) ctx:publish(key, {}, { doc = "a thing" }) end }
    end
    local app <close> = testing.host {
      component = {
        init = function(self)
          self:add("db", has "db")
          self:add("cache", has "cache")
          self:add("web", needs("db", "cache"))
          self:add("inner", {
            isolated = true,
            init = function(inner)
              inner:add("db", has "db")
              inner:add("user", needs("db", "cache"))
            end,
          })
        end,
      },
    }
    local resources <const> = result_of(app, "status").resources
    local function users(key, owner)
      for _, one in ipairs(resources) do
        if one.key == key and one.owner == owner then
          table.sort(one.users)
          return one.users
        end
      end
    end
    assert.same({ "web" }, users("db", "db"))
    assert.same({ "inner.user", "web" }, users("cache", "cache"))
    assert.same({ "inner.user" }, users("db", "inner.db"))
    assert.equal("inner", find(resources, "owner", "inner.db").within)
    assert.equal("a thing", find(resources, "key", "cache").doc)
    assert.is_table(find(resources, "key", "bus"))
  end)

  it("counts connections, and lists them when it is asked to", function()
    local many <const> = gc_stress() and 5 or 200
    local server
    local app <close> = testing.host {
      component = {
        start = function()
          server = net.serve("127.0.0.1:0", function(stream) stream:read() end)
        end,
      },
    }
    local clients <const> = {}
    for i = 1, many do clients[i] = assert(net.connect(server:address())) end
    eventually(function() return server:count() == many end)
    local function readers(fields)
      local count = 0
      local status <const> = result_of(app, "status", fields)
      for _, one in ipairs(status.tasks) do
        if one.component == "root" and one.what == "read" then count = count + 1 end
      end
      return count, status
    end
    local listed, status = readers()
    assert.equal(0, listed)
    assert.equal(many, status.components[1].connections)
    assert.equal(many, (readers { connections = true, limit = 10000 }))
    for _, client in ipairs(clients) do client:close() end
  end)

  it("can be told whatever the names of tasks and sockets hold", function()
    local directory <const>, remove <const> = subprocess.directory()
    finally(remove)
    local app <close> = testing.host {
      component = {
        start = function(_, ctx)
          idle(ctx, "\0\xff\xfe\n\27[2J")
          ctx.listener = assert(net.listen("unix:" .. directory .. "/\xe9"))
        end,
      },
    }
    local status <const> = result_of(app, "status")
    assert.is_table(find(status.tasks, "name", "\0??\n\27[2J"))
    assert.is_table(find(status.listeners, "address", "unix:" .. directory .. "/?"))
    assert.matches("\n%?%?%?%?%?%[2J +root +sleep", format_status(status))
  end)

  it("is bounded, and says how much it left out", function()
    local app <close> = testing.host {
      component = {
        start = function(_, ctx)
          for i = 1, 50 do idle(ctx, "sleeper " .. i) end
          for _ = 1, 20 do ctx:child() end
        end,
      },
    }
    local status <const> = result_of(app, "status", { limit = 10 })
    assert.is_true(#status.tasks <= 10)
    assert.is_true(status.omitted > 0)
    assert.equal(0, result_of(app, "status").omitted)
    assert.equal(0, #result_of(app, "status", { limit = 0 }).tasks)
  end)

  it("bears contexts that are nested deeply", function()
    local app <close> = testing.host {
      component = {
        start = function(_, ctx)
          for _ = 1, 1000 do ctx = ctx:child() end
        end,
      },
    }
    assert.equal(1, result_of(app, "status", { limit = 5000 }).omitted)
  end)

  it("can be had while components start, and while they end", function()
    local asked <const>, state = sync.event(), {}
    local app <const> = testing.host {
      component = {
        start = function(self, ctx)
          local application <const> = ctx:require("control").app
          state.first = json.decode(application.control:answer '{"command":"status"}')
          ctx:on_close(function()
            state.last = json.decode(application.control:answer '{"command":"status"}')
            asked:set()
          end)
          self.ctx = ctx
        end,
      },
    }
    app:stop()
    assert.is_true(asked:is_set())
    assert.equal("starting", state.first.result.state)
    assert.equal("starting", state.first.result.components[1].state)
    assert.equal("stopping", state.last.result.state)
    assert.is_true(ask(app, "status").ok)
    assert.equal("ended", result_of(app, "status").components[1].state)
  end)

  it("leaves the collector as it was", function()
    introspection.inspect()
    assert.is_true(collectgarbage "isrunning")
    collectgarbage "stop"
    introspection.inspect()
    assert.is_false(collectgarbage "isrunning")
    collectgarbage "restart"
    assert.has_error(function() introspection.inspect(-1) end)
    assert.has_error(function() introspection.inspect(1000000) end)
  end)
end)

describe("the control of an application", function()
  it("refuses what is no request", function()
    local app <close> = testing.host {}
    local function refused(line)
      local reply <const> = answer(app, line)
      assert.is_false(reply.ok)
      return reply.error.code
    end
    for _, line in ipairs { "", "status", "[]", "{}", "7", "null", '{"command":7}',
      '{"command":"status"', "\0\xff", ("["):rep(200) } do
      assert.equal("EINVAL", refused(line), line)
    end
    assert.equal("NOTFOUND", refused '{"command":"statos"}')
    assert.matches('did you mean "status"', refusal_of(app, "statos").message, 1, true)
    assert.equal("EINVAL", refusal_of(app, "status", { part = "taks" }).code)
    assert.equal("EINVAL", refusal_of(app, "status", { part = {} }).code)
    for _, limit in ipairs { -1, 1.5, "x", 1e9 } do
      assert.equal("EINVAL", refusal_of(app, "status", { limit = limit }).code)
    end
    for _, status in ipairs { -1, 128, 0.5, "x" } do
      assert.equal("EINVAL", refusal_of(app, "stop", { status = status }).code)
    end
    assert.is_false(app.app.stopping:is_set())
  end)

  it("takes null for what is left out", function()
    local app <close> = testing.host {}
    assert.is_true(answer(app, '{"command":"status","part":null}').ok)
  end)

  it("shows and sets levels of loggers", function()
    local _ <close> = log.capture { passes = false }
    local app <close> = testing.host {}
    local before <const> = log.level "spec.a"
    assert.same({ logger = "spec.a", level = before },
      result_of(app, "log", { logger = "spec.a" }))
    assert.same({ logger = "spec.a", level = "error" },
      result_of(app, "log", { logger = "spec.a", level = "error" }))
    assert.equal("error", log.level "spec.a")
    assert.equal(before, result_of(app, "log",
      { logger = "spec.a", level = "inherit" }).level)
    assert.equal("EINVAL", refusal_of(app, "log", { level = "loud" }).code)
    assert.equal("EINVAL", refusal_of(app, "log", { logger = 7 }).code)
    assert.equal("EINVAL", refusal_of(app, "log", { logger = "a\0b" }).code)
  end)

  it("ends the application with the status that it is told", function()
    local _ <close> = log.capture { passes = false }
    local app <close> = testing.host {}
    assert.equal("stopping", result_of(app, "stop", { status = 7 }).state)
    assert.equal(7, app:wait())
  end)

  it("renders the metrics", function()
    local app <close> = testing.host {}
    assert.matches("# EOF\n$", result_of(app, "metrics"))
    assert.is_table(json.decode(result_of(app, "metrics", { format = "json" })))
    assert.equal("EINVAL", refusal_of(app, "metrics", { format = "xml" }).code)
    assert.equal("EINVAL", refusal_of(app, "metrics", { format = {} }).code)
  end)

  it("reloads, and reports", function()
    local app <close> = testing.host {}
    local report <const> = result_of(app, "reload")
    assert.is_true(report.ok)
    assert.same({}, report.components)
    assert.matches("no component 'x'", result_of(app, "reload", { component = "x" }).err)
    assert.equal("EINVAL", refusal_of(app, "reload", { component = 1 }).code)
  end)

  it("speaks for one configuration only", function()
    local app <close> = testing.host {}
    app.app.control.file = "/a/shop.yaml"
    assert.is_true(ask(app, "ping").ok)
    assert.is_true(ask(app, "ping", { file = "/a/shop.yaml" }).ok)
    local err <const> = refusal_of(app, "stop", { file = "/b/shop.yaml" })
    assert.equal("CONFLICT", err.code)
    assert.matches("/a/shop.yaml, not of /b/shop.yaml", err.message, 1, true)
  end)
end)

describe("control:command", function()
  local function host_with(fn)
    return testing.host {
      component = {
        start = function(self, ctx) fn(ctx:require "control", ctx, self) end,
      },
    }
  end

  it("adds a command, whose results are told", function()
    local app <close> = host_with(function(own)
      own:command("count", function(request)
        task.yield()
        return { n = #request.arguments }
      end, "counts words")
      own:command("nothing", function() end)
      own:command("off", function() return false end)
    end)
    assert.same({ n = 2 }, result_of(app, "count", { arguments = { "a", "b" } }))
    assert.is_nil(result_of(app, "nothing"))
    assert.is_false(result_of(app, "off"))
    assert.equal("counts words", find(result_of(app, "commands"), "name", "count").doc)
  end)

  it("tells of failures, and logs mistakes", function()
    local capture <close> = log.capture { passes = false }
    local app <close> = host_with(function(own)
      own:command("world", function() error(errors.new("ENOENT", "is not there")) end)
      own:command("returned", function() return nil, errors.new("FAILED", "no") end)
      own:command("text", function() return nil, "just so" end)
      own:command("mistake", function() error "boom" end)
      own:command("table", function() error {} end)
      own:command("fn", function() return print end)
    end)
    assert.same({ code = "ENOENT", message = "is not there" }, refusal_of(app, "world"))
    assert.same({ code = "FAILED", message = "no" }, refusal_of(app, "returned"))
    assert.same({ code = "FAILED", message = "just so" }, refusal_of(app, "text"))
    assert.equal(0, #capture.records)
    assert.matches("boom$", refusal_of(app, "mistake").message)
    assert.equal(1, #capture.records)
    assert.matches("command mistake: .*boom.*stack traceback", capture.records[1].text)
    assert.equal("FAILED", refusal_of(app, "table").code)
    assert.matches("cannot be told in JSON", refusal_of(app, "fn").message)
  end)

  it("ends with its context", function()
    local app <close> = host_with(function(own, ctx)
      context.scope(function() own:command("gone", function() end) end)
      own:command("gone", function() return "again" end)
      ctx.own = own
    end)
    assert.equal("again", result_of(app, "gone"))
  end)

  it("refuses names that are taken or none", function()
    local app <close> = host_with(function() end)
    local own <const> = app.app.control
    local ok, err = pcall(own.command, own, "status", print)
    assert.is_false(ok)
    assert.is_true(errors.is(err, "CONFLICT"))
    for _, name in ipairs { "", "a b", "a/b", 7 } do
      assert.has_error(function() own:command(name, print) end)
    end
    assert.has_error(function() own:command("x", "fn") end)
  end)
end)

describe("the control socket", function()
  local function at(path, is_given)
    return { name = "spec", paths = { path }, is_given = is_given or false }
  end

  -- Calls fn(path, app) while an application has its socket at the path.
  local function with_socket(fn)
    local directory <const>, remove <const> = subprocess.directory()
    local _ <close> = setmetatable({}, { __close = remove })
    local app <close> = testing.host {}
    context.scope(function(ctx)
      assert(app.app.control:open(at(directory .. "/s")))
      fn(directory .. "/s", app)
      ctx:close()
    end)
  end

  local function connect(path) return assert(net.connect("unix:" .. path)) end

  it("is for the user alone, and goes with its context", function()
    local gone
    with_socket(function(path)
      local pipe <close> = assert(io.popen("stat -c '%a %F' " .. path))
      assert.equal("600 socket", pipe:read "l")
      gone = path
    end)
    assert.is_nil((io.open(gone)))
  end)

  it("answers each line, in order", function()
    with_socket(function(path)
      local stream <close> = connect(path)
      stream:write('{"command":"ping"}\n{"command":"nope"}\r\n\n{"command":"log"}\n')
      assert.equal("running", json.decode(stream:read_line()).result.state)
      assert.equal("NOTFOUND", json.decode(stream:read_line()).error.code)
      assert.equal("EINVAL", json.decode(stream:read_line()).error.code)
      assert.is_true(json.decode(stream:read_line()).ok)
    end)
  end)

  it("serves several at once, and bears those who leave early", function()
    with_socket(function(path)
      local streams <const> = {}
      for i = 1, 10 do
        streams[i] = connect(path)
        streams[i]:write '{"command":"ping"}\n'
      end
      for i = 1, 5 do streams[i]:close(0) end
      for i = 6, 10 do assert.is_string((streams[i]:read_line())) end
      for i = 6, 10 do streams[i]:close() end
      local last <close> = connect(path)
      last:write '{"command":"status"}\n'
      assert.is_string((last:read_line(10000000)))
    end)
  end)

  it("refuses lines without end", function()
    with_socket(function(path)
      local stream <close> = connect(path)
      stream:write(("x"):rep(100000))
      assert.equal("TOOLONG", json.decode(stream:read_line()).error.code)
      assert.is_nil((stream:read_line()))
    end)
  end)

  it("is taken over when nobody listens on it any more", function()
    local directory <const>, remove <const> = subprocess.directory()
    finally(remove)
    local path <const> = directory .. "/s"
    local made <const> = subprocess.shell(subprocess.script([[
      local net <const>, path <const> = require "ahost.net", ...
      assert(net.listen("unix:" .. path))
      os.execute("kill -9 " .. require "ahost.process".pid)
    ]], path))
    assert.equal(137, made.status)
    local app <close> = testing.host {}
    context.scope(function(ctx)
      assert.is_true(app.app.control:open(at(path, true)))
      ctx:close()
    end)
  end)

  it("that cannot be made is a failure only if it was asked for", function()
    local directory <const>, remove <const> = subprocess.directory()
    finally(remove)
    local app <close> = testing.host {}
    local busy <const> = directory .. "/busy"
    subprocess.write(directory .. "/file", "mine")
    local listener <close> = assert(net.listen("unix:" .. busy))
    for _, path in ipairs { busy, directory .. "/no/s", directory .. "/file",
      "/" .. ("x"):rep(200) } do
      local capture <close> = log.capture { passes = false }
      local ok, err = app.app.control:open(at(path, true))
      assert.is_nil(ok)
      assert.matches("^the control socket: ", err.message)
      assert.equal(0, #capture.records)
      assert.is_true(app.app.control:open(at(path)))
      assert.matches("there is no control socket: ", capture.records[1].text)
    end
    assert(listener:address())
    local file <close> = assert(io.open(directory .. "/file"))
    assert.equal("mine", file:read "a")
  end)

  it("tells who is at the other end", function()
    with_socket(function(path)
      local stream <close> = connect(path)
      local uid, pid = introspection.peer(stream)
      assert.equal(introspection.user(), uid)
      assert.equal(process.pid, pid)
      stream:close()
      local _, err = introspection.peer(stream)
      assert.equal("CLOSED", err.code)
      assert.has_error(function() introspection.peer(io.stdout) end)
    end)
  end)
end)

describe("the place of the control socket", function()
  local function place_of(values, files, service)
    return place.of(values, assert(schema.check(values)), files or {}, service)
  end

  -- Sets an environment variable for the test.
  local function set(name, value)
    local before <const> = process.env[name]
    process.env[name] = value
    finally(function() process.env[name] = before end)
  end

  it("has the name of the first file, and of the service", function()
    set("XDG_RUNTIME_DIR", "/run/user/7")
    assert.equal("shop", place_of({}, { "conf/shop.yaml", "b.yaml" }).name)
    assert.equal("shop-web", place_of({}, { "shop.yaml" }, "web").name)
    assert.equal("my_shop_", place_of({}, { "my shop!.lua" }).name)
    assert.equal("ahost", place_of({}).name)
    assert.equal("x", place_of({ control = { name = "x" } }, { "shop.yaml" }, "w").name)
    assert.same({ "/run/user/7/ahost-shop.sock", "/run/ahost-shop.sock" },
      place_of({}, { "shop.yaml" }).paths)
  end)

  it("is in /run without a directory of the user's own", function()
    set("XDG_RUNTIME_DIR", "")
    for _, value in ipairs { "", "relative" } do
      process.env.XDG_RUNTIME_DIR = value
      assert.same({ "/run/ahost-a.sock" }, place_of({ control = { name = "a" } }).paths)
    end
  end)

  it("is what the configuration says, if it wants one", function()
    local where <const> = place_of { control = { path = "/var/x.sock" } }
    assert.same({ { "/var/x.sock" }, true }, { where.paths, where.is_given })
    assert.is_nil(place_of { control = false })
    assert.is_nil(place_of { control = { enabled = false } })
    assert.is_table(place_of { control = { enabled = true } })
  end)

  it("is checked with the configuration", function()
    local function problem_of(values)
      local _, err = schema.check(config.merge(values))
      return err and err.message
    end
    assert.matches("control.path: ", problem_of { control = { path = "@x" } })
    assert.matches("control.path: ", problem_of { control = { path = ("x"):rep(200) } })
    assert.matches("control.path: ", problem_of { control = { path = "" } })
    assert.matches("control.name: ", problem_of { control = { name = "a/b" } })
    assert.matches("control.name: ", problem_of { control = { name = ("x"):rep(65) } })
    assert.matches("control.paht: unknown", problem_of { control = { paht = "x" } })
    assert.matches("control: must be a map", problem_of { control = true })
    assert.is_nil(problem_of { control = false })
  end)
end)
