-- Generations of components: what a staged one does not hear, what a retired one
-- goes on with, and that nothing is lost between them.

local bus <const> = require "ahost.bus"
local net <const> = require "ahost.net"
local runtime <const> = require "ahost.component.runtime"
local signal <const> = require "ahost.signal"
local sync <const> = require "ahost.sync"
local task <const> = require "ahost.task"
local time <const> = require "ahost.time"
local gc_stress <const> = require "spec.gc_stress"
local pair <const> = require "spec.generation_pair"
local stream_pair <const> = require "spec.stream_pair"
local subprocess <const> = require "spec.subprocess"

local commit <const>, inside <const> = pair.commit, pair.inside
local eventually <const> = stream_pair.eventually

local app, old, new

-- Writes what it hears behind its name.
local function listener(heard, name)
  return function(event, n)
    heard[#heard + 1] = name .. " " .. (n or event.n)
  end
end

local function in_both(fn)
  inside(old, fn, "old")
  inside(new, fn, "new")
end

local function state_of(handle) return handle:status() end

describe("a generation", function()
  before_each(function()
    app = pair.application()
    old = pair.current(app)
    new = pair.staged(app, old)
  end)

  after_each(function() app:close() end)

  it("hears the events of signals from its activation to its retirement", function()
    local changed <const>, heard <const> = signal.new(), {}
    in_both(function(name) changed:connect(listener(heard, name)) end)
    changed:emit { n = 1 }
    commit(old, new)
    changed:emit { n = 2 }
    assert.same({ "old 1", "new 2" }, heard)
    new:close()
    changed:emit { n = 3 }
    assert.equal(2, #heard)
  end)

  it("hears none while it is staged, when it is given up", function()
    local changed <const>, heard <const> = signal.new(), {}
    in_both(function(name) changed:connect(listener(heard, name)) end)
    new:close()
    changed:emit { n = 1 }
    assert.same({ "old 1" }, heard)
  end)

  it("connects a function that the one before it has connected", function()
    local changed <const>, heard <const> = signal.new(), {}
    local shared <const> = listener(heard, "shared")
    in_both(function() changed:connect(shared) end)
    changed:emit { n = 1 }
    commit(old, new)
    changed:emit { n = 2 }
    assert.same({ "shared 1", "shared 2" }, heard)
  end)

  it("disconnects no function of the one before it", function()
    local changed <const>, heard <const> = signal.new(), {}
    local shared <const> = listener(heard, "shared")
    inside(old, function() changed:connect(shared) end)
    inside(new, function() changed:disconnect(shared) end)
    changed:emit { n = 1 }
    assert.same({ "shared 1" }, heard)
  end)

  it("hears an event that was emitted before the commit, or not, to its end", function()
    local changed <const>, heard <const> = signal.new(), {}
    inside(app, function()
      changed:connect(function(event) if event.n == 1 then commit(old, new) end end)
    end)
    in_both(function(name) changed:connect(listener(heard, name)) end)
    changed:emit { n = 1 }
    changed:emit { n = 2 }
    assert.same({ "old 1", "new 2" }, heard)
  end)

  it("hears a message that was published before the commit, or not", function()
    local b <const>, heard <const> = bus.new(), {}
    inside(app, function()
      b:subscribe("m", function(_, n) if n == 1 then commit(old, new) end end)
    end)
    in_both(function(name) b:subscribe("m", listener(heard, name)) end)
    b:publish("m", 1)
    b:publish("m", 2)
    assert.same({ "old 1", "new 2" }, heard)
  end)

  it("is told of an event whose listeners wait for their turn at the commit", function()
    local changed <const>, heard <const> = signal.new(), {}
    in_both(function(name) changed:connect(listener(heard, name)) end)
    local function nest(depth)
      if depth == 0 then return changed:emit { n = 1 } end
      local inner <const> = signal.new()
      inner:connect(function() nest(depth - 1) end)
      inner:emit()
    end
    nest(8)
    commit(old, new)
    task.yield()
    assert.same({ "old 1" }, heard)
  end)

  it("loses no event, and hears none twice, whenever the commit comes", function()
    local count <const> = gc_stress() and 20 or 200
    for at = 0, 4 do
      local a <const> = pair.current(app)
      local b <const> = pair.staged(app, a)
      local changed <const>, heard <const> = signal.new(), {}
      for _, ctx in ipairs { a, b } do
        inside(ctx, function()
          changed:connect(function(event)
            heard[event.n] = (heard[event.n] or 0) + 1
            task.yield()
          end)
        end)
      end
      local emitter <const> = task.spawn(function()
        for n = 1, count do
          changed:emit { n = n }
          if n % 7 == 0 then task.yield() end
        end
      end)
      for _ = 1, at do task.yield() end
      commit(a, b)
      emitter:join()
      for n = 1, count do assert.equal(1, heard[n]) end
      assert.equal(count, #heard)
    end
  end)

  it("waits for signals as it listens to them", function()
    local changed <const>, got <const> = signal.new(), {}
    local function wait(name)
      local event <const>, err = changed:wait()
      got[name] = event and event.n or err.code
    end
    local first <const> = old:spawn(wait, "old")
    new:spawn(wait, "new")
    task.yield()
    commit(old, new)
    changed:emit { n = 1 }
    task.yield()
    assert.same({ new = 1 }, got)
    assert.equal("cancelled", state_of(first))
  end)

  it("iterates over events as it listens to them", function()
    local changed <const> = signal.new()
    local streams <const> = {}
    in_both(function(name) streams[name] = changed:events() end)
    changed:emit { n = 1 }
    commit(old, new)
    changed:emit { n = 2 }
    assert.equal(1, streams.old().n)
    assert.is_nil(streams.old())
    assert.equal(2, streams.new().n)
  end)

  it("subscribes to messages and takes them as it listens to them", function()
    local b <const>, heard <const>, subs <const> = bus.new(), {}, {}
    in_both(function(name)
      b:subscribe("m", listener(heard, name))
      subs[name] = b:subscriber("m")
    end)
    b:publish("m", 1)
    commit(old, new)
    b:publish("m", 2)
    assert.same({ "old 1", "new 2" }, heard)
    assert.equal("m 1", table.concat({ subs.old:message(0) }, " "))
    local _, err = subs.old:message(0)
    assert.equal("CLOSED", err.code)
    assert.equal("m 2", table.concat({ subs.new:message(0) }, " "))
  end)

  it("keeps no process signal from doing what it does while it is staged", function()
    local result <const> = subprocess.shell(subprocess.script([[
      local context <const>, task <const> = require "ahost.context", require "ahost.task"
      local process <const> = require "ahost.process"
      local runtime <const> = require "ahost.component.runtime"
      local app <const> = runtime.application(context.current())
      local ctx <const> = runtime.context(app, "web", nil, false, true)
      local hup <const> = process.signal "HUP"
      ctx:spawn(function()
        process.signal("TERM"):connect(print)
        hup:connect(function() print "hangup" end)
      end):join()
      runtime.activate(ctx)
      os.execute("kill -HUP " .. process.pid)
      hup:wait()
      ctx:close()
      local staged <const> = runtime.context(app, "web", nil, false, true)
      staged:spawn(function() process.signal("TERM"):connect(print) end):join()
      os.execute("kill -TERM " .. process.pid)
      task.sleep(60)]]))
    assert.same({ status = 0, out = "hangup\n", err = "" }, result)
  end)

  it("stops its timers when it is retired", function()
    local ticks <const> = { old = 0, new = 0 }
    in_both(function(name)
      time.timer(function() ticks[name] = ticks[name] + 1 end, { autorestart = true })
        :start(0.001)
    end)
    eventually(function() return ticks.old > 0 and ticks.new > 0 end)
    commit(old, new)
    local before <const> = ticks.old
    local at <const> = ticks.new
    eventually(function() return ticks.new > at + 2 end)
    assert.equal(before, ticks.old)
  end)

  it("ends the tasks that belong to no connection when it is retired", function()
    local inner
    local outer <const> = old:spawn(function()
      inner = task.spawn(task.sleep, 100)
      task.sleep(100)
    end)
    task.yield()
    commit(old, new)
    outer:join()
    inner:join()
    assert.equal("cancelled", state_of(outer))
    assert.equal("cancelled", state_of(inner))
    assert.is_false(runtime.serves(old))
  end)

  it("does not go on with what its tasks start when they are cancelled", function()
    local late
    local outer <const> = old:spawn(function()
      local _ <close> = setmetatable({}, {
        __close = function() late = task.spawn(task.sleep, 100) end,
      })
      task.sleep(100)
    end)
    task.yield()
    commit(old, new)
    outer:join()
    late:join()
    assert.equal("cancelled", state_of(late))
  end)

  it("may be retired twice", function()
    local changed <const>, heard <const> = signal.new(), {}
    in_both(function(name) changed:connect(listener(heard, name)) end)
    commit(old, new)
    runtime.retire(old)
    changed:emit { n = 1 }
    assert.same({ "new 1" }, heard)
  end)
end)

describe("a retired generation", function()
  before_each(function()
    app = pair.application()
    old = pair.current(app)
    new = pair.staged(app, old)
  end)

  after_each(function() app:close() end)

  local function echo(stream)
    for line in stream:lines() do assert(stream:write(line, "\n")) end
  end

  local function check_echo(stream, line)
    assert(stream:write(line, "\n"))
    assert.equal(line, (stream:read_line()))
  end

  it("goes on with the connections of its servers", function()
    local changed <const>, heard <const> = signal.new(), {}
    local server <const> = inside(old, function()
      return net.serve("127.0.0.1:0", function(stream)
        changed:connect(listener(heard, "connection"))
        echo(stream)
      end)
    end)
    local stream <close> = assert(net.connect(server:address()))
    check_echo(stream, "one")
    commit(old, new)
    check_echo(stream, "two")
    changed:emit { n = 1 }
    assert.same({ "connection 1" }, heard)
    assert.is_true(runtime.serves(old))
    stream:close()
    assert.is_true(runtime.drained(old, 5))
    assert.is_false(runtime.serves(old))
  end)

  it("refuses connections that come to addresses nobody follows it at", function()
    local server <const> = inside(old, function()
      return net.serve("127.0.0.1:0", echo)
    end)
    local address <const> = server:address()
    commit(old, new)
    local _, err = net.connect(address)
    assert.equal("ECONNREFUSED", err.code)
    _, err = server:address()
    assert.equal("CLOSED", err.code)
  end)

  it("keeps the handlers that an accept loop has started", function()
    local address
    local loop <const> = old:spawn(function()
      local listening <const> = assert(net.listen "127.0.0.1:0")
      address = listening:address()
      for stream in listening:streams() do old:spawn(echo, stream) end
    end)
    task.yield()
    local stream <close> = assert(net.connect(address))
    check_echo(stream, "one")
    commit(old, new)
    loop:join()
    assert.equal("done", state_of(loop))
    check_echo(stream, "two")
    assert.is_true(runtime.serves(old))
    stream:close()
    assert.is_true(runtime.drained(old, 5))
  end)

  it("keeps what tasks of connections have opened and started", function()
    local b <const>, got <const> = bus.new(), {}
    local address, listening
    old:spawn(function()
      listening = assert(net.listen "127.0.0.1:0")
      address = listening:address()
      local stream <close> = assert(listening:accept())
      local sub <const> = b:subscriber("m")
      local ticks = 0
      time.timer(function() ticks = ticks + 1 end, { autorestart = true })
        :start(0.001)
      task.spawn(function()
        local _, n = sub:message()
        got.message = n
        local before <const> = ticks
        eventually(function() return ticks > before end)
        got.ticks = true
      end):join()
      stream:write "done"
    end)
    task.yield()
    local stream <close> = assert(net.connect(address))
    eventually(function() return runtime.serves(old) end)
    task.yield()
    commit(old, new)
    b:publish("m", 1)
    assert.equal("done", (stream:read_all()))
    assert.same({ message = 1, ticks = true }, got)
  end)

  it("has a task go on that waits to read from an accepted stream", function()
    local address
    local queue <const> = sync.queue()
    local reader <const> = old:spawn(function()
      local stream <close> = queue:get()
      return stream:read_line()
    end)
    old:spawn(function()
      local listening <const> = assert(net.listen "127.0.0.1:0")
      address = listening:address()
      queue:put(assert(listening:accept()))
    end)
    task.yield()
    local stream <close> = assert(net.connect(address))
    eventually(function() return runtime.serves(old) end)
    for _ = 1, 5 do task.yield() end
    commit(old, new)
    assert(stream:write "a line\n")
    assert.equal("a line", (reader:join()))
  end)

  it("is waited for up to a timeout", function()
    local server <const> = inside(old, function()
      return net.serve("127.0.0.1:0", echo)
    end)
    local stream <close> = assert(net.connect(server:address()))
    check_echo(stream, "one")
    commit(old, new)
    local ok, err = runtime.drained(old, 0.001)
    assert.is_nil(ok)
    assert.equal("TIMEDOUT", err.code)
    local waiter <const> = task.spawn(runtime.drained, old)
    task.yield()
    waiter:cancel()
    waiter:join()
    assert.equal("cancelled", state_of(waiter))
  end)

  it("serves no more when it is closed", function()
    local server <const> = inside(old, function()
      return net.serve("127.0.0.1:0", echo)
    end)
    local stream <close> = assert(net.connect(server:address()))
    check_echo(stream, "one")
    commit(old, new)
    local waiter <const> = task.spawn(runtime.drained, old)
    task.yield()
    old:close()
    assert.is_true(waiter:join())
    assert.is_true(runtime.drained(old))
    assert.is_nil((stream:read_line()))
  end)

  it("serves no more when the last of many connections has ended", function()
    local count <const> = gc_stress() and 20 or 500
    local server <const> = inside(old, function()
      return net.serve("127.0.0.1:0", echo, { limit = count })
    end)
    local streams <const> = {}
    for i = 1, count do streams[i] = assert(net.connect(server:address())) end
    eventually(function() return server:count() == count end)
    commit(old, new)
    local waiter <const> = task.spawn(runtime.drained, old)
    for i = 1, count do
      assert.is_true(runtime.serves(old))
      streams[i]:close()
      task.yield()
    end
    assert.is_true(waiter:join())
  end)
end)
