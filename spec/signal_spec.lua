local context <const> = require "ahost.context"
local errors <const> = require "ahost.error"
local signal <const> = require "ahost.signal"
local subprocess <const> = require "spec.subprocess"
local task <const> = require "ahost.task"

-- A function that appends `name` to `list` when it hears an event.
local function noting(list, name)
  return function() list[#list + 1] = name end
end

-- Lets every ready task run until nothing is left to do.
local function settle()
  for _ = 1, 5 do task.yield() end
end

-- Runs fn in a scope where the failures of tasks are not the test's.
local function apart(fn) return context.scope({ on_error = "log" }, fn) end

describe("signal:emit", function()
  it("calls the listeners in the order of their connection", function()
    local s <const>, heard <const> = signal.new(), {}
    for i = 1, 5 do s:connect(noting(heard, i)) end
    s:emit()
    assert.same({ 1, 2, 3, 4, 5 }, heard)
  end)

  it("fills in source, topic and time and passes the fields on", function()
    local source <const> = {}
    local s <const> = signal.new("changed", source)
    local event
    s:connect(function(e) event = e end)
    local given <const> = { price = 7 }
    local before <const> = os.time()
    s:emit(given)
    assert.equal(given, event)
    assert.equal(source, event.source)
    assert.equal("changed", event.topic)
    assert.equal(7, event.price)
    assert.is_true(event.time >= before and event.time < before + 60)
    s:emit()
    assert.not_equal(given, event)
    assert.equal("changed", event.topic)
  end)

  it("returns when each listener has run up to its first await", function()
    local s <const>, heard <const> = signal.new(), {}
    for i = 1, 3 do
      s:connect(function()
        heard[#heard + 1] = "begin " .. i
        task.yield()
        heard[#heard + 1] = "end " .. i
      end)
    end
    s:emit()
    assert.same({ "begin 1", "begin 2", "begin 3" }, heard)
    settle()
    assert.same({ "end 1", "end 2", "end 3" }, { table.unpack(heard, 4) })
  end)

  it("mixes listeners that wait, fail and return", function()
    local s <const>, heard <const> = signal.new(), {}
    apart(function()
      s:connect(noting(heard, "a"))
      s:connect(function() task.yield() heard[#heard + 1] = "late" end)
      s:connect(function() error("expected by the spec") end)
      s:connect(noting(heard, "b"))
      s:connect(function() task.yield() error("expected by the spec") end)
      s:connect(noting(heard, "c"))
      s:emit()
      assert.same({ "a", "b", "c" }, heard)
    end)
    assert.same({ "a", "b", "c", "late" }, heard)
  end)

  it("gives each listener a task of its own", function()
    local s <const>, tasks <const> = signal.new(), {}
    for i = 1, 4 do
      s:connect(function()
        tasks[i] = task.current()
        if i == 2 then task.yield() end
        return i, "result"
      end)
    end
    s:emit()
    for i = 1, 4 do
      for j = 1, i - 1 do assert.not_equal(tasks[i], tasks[j]) end
      assert.not_equal(task.current(), tasks[i])
      local number <const>, text <const> = tasks[i]:join()
      assert.equal(i, number)
      assert.equal("result", text)
      assert.equal("done", tasks[i]:status())
    end
  end)

  it("cancels one listener without touching the next", function()
    local s <const> = signal.new()
    local first, closed, second
    s:connect(function()
      first = task.current()
      first:cancel("enough")
      local _ <close> = setmetatable({}, { __close = function() closed = true end })
      task.yield()
    end)
    s:connect(function()
      task.yield()
      second = true
    end)
    s:emit()
    assert.is_true(closed)
    assert.equal("cancelled", first:status())
    settle()
    assert.is_true(second)
  end)

  it("keeps a swallowed cancellation from the next listener", function()
    local s <const> = signal.new()
    local second
    s:connect(function() task.current():cancel() end)
    s:connect(function()
      task.yield()
      second = true
    end)
    s:emit()
    settle()
    assert.is_true(second)
  end)

  it("logs a failure, which fails neither emitter nor context", function()
    local s <const> = signal.new()
    local failed
    context.scope(function()
      s:connect(function()
        failed = task.current()
        error { "a table" }
      end)
      s:emit()
      task.yield()
    end)
    assert.equal("failed", failed:status())
  end)

  it("logs a failure with its traceback as ahost.signal", function()
    local run <const> = subprocess.shell [[
      script=$(mktemp)
      cat >$script <<'END'
local signal = require "ahost.signal"
local s = signal.new()
local function broken() error("it is broken") end
s:connect(function() broken() end)
s:connect(function() print("heard") end)
s:emit()
print(s:emit_wait())
END
      "$ahost" $script; status=$?; rm $script; exit $status]]
    assert.equal(0, run.status)
    assert.equal("heard\nheard\nnil\temit_wait: 1 listener failed\n", run.out)
    local _, records <const> = run.err:gsub("ERROR ahost%.signal: ", "")
    assert.equal(2, records)
    assert.matches("it is broken\nstack traceback:.*in upvalue 'broken'", run.err)
  end)

  it("goes on when a listener closes its own context", function()
    local s <const> = signal.new()
    local heard <const> = {}
    local own <const> = context.new()
    own:spawn(function()
      s:connect(function()
        own:close()
        heard[#heard + 1] = own:state()
      end)
      s:connect(noting(heard, "the same context"))
    end)
    task.yield()
    s:connect(noting(heard, "another context"))
    s:emit()
    settle()
    assert.same({ "closed", "another context" }, heard)
    s:emit()
    assert.same({ "closed", "another context", "another context" }, heard)
  end)

  it("runs listeners in the context of their connection", function()
    local s <const> = signal.new()
    local seen
    context.scope(function(ctx)
      s:connect(function()
        seen = context.current()
        task.yield()
        seen = seen == context.current() and seen
      end)
      context.scope(function() s:emit() end)
      settle()
      assert.equal(ctx, seen)
    end)
  end)

  it("goes to those who were connected when it began", function()
    local s <const>, heard <const> = signal.new(), {}
    local last <const> = noting(heard, "last")
    local new <const> = noting(heard, "new")
    s:connect(function(e)
      s:disconnect(last)
      s:connect(new)
      if e.again then
        e.again = nil
        s:emit {}
      end
    end)
    s:connect(last)
    s:emit()
    assert.same({ "last" }, heard)
    s:connect(last)
    heard[1] = nil
    s:emit { again = true }
    assert.same({ "new", "new", "last" }, heard)
  end)

  it("skips a listener whose context was closed meanwhile", function()
    local s <const> = signal.new()
    local ctx <const> = context.new()
    local heard = 0
    s:connect(function() ctx:close() end)
    ctx:spawn(function() s:connect(function() heard = heard + 1 end) end)
    task.yield()
    s:emit()
    s:emit()
    assert.equal(0, heard)
  end)

  it("may be called from a listener, to any depth", function()
    local s <const> = signal.new()
    local depth = 0
    s:connect(function()
      depth = depth + 1
      if depth < 500 then s:emit() end
    end)
    s:emit()
    while depth < 500 do task.yield() end
    assert.equal(500, depth)
  end)

  it("may be called where nothing can wait", function()
    local s <const> = signal.new()
    local ended = 0
    s:connect(function()
      task.yield()
      ended = ended + 1
    end)
    table.sort({ 2, 1 }, function(a, b)
      s:emit()
      return a < b
    end)
    settle()
    assert.is_true(ended > 0)
  end)

  it("takes a table or nothing", function()
    assert.has_error(function() signal.new():emit(1) end)
    assert.has_error(function() signal.new().emit({}) end)
    assert.has_error(function() signal.new().emit(io.stdout) end)
    assert.has_error(function() signal.new({}, {}) end)
  end)
end)

describe("signal:connect", function()
  it("takes a function once", function()
    local s <const>, heard <const> = signal.new(), {}
    local fn <const> = noting(heard, 1)
    assert.equal(s:connect(fn), s:connect(fn))
    s:emit()
    assert.same({ 1 }, heard)
  end)

  it("is undone by function, by connection and by closing the connection", function()
    local s <const>, heard <const> = signal.new(), {}
    local a <const>, b <const> = noting(heard, 1), noting(heard, 2)
    local c <const> = noting(heard, 3)
    s:connect(a)
    local connection <const> = s:connect(b)
    do
      local _ <close> = s:connect(c)
    end
    s:disconnect(a)
    s:disconnect(connection)
    s:disconnect(connection)
    s:disconnect(a)
    signal.new():disconnect(connection)
    s:emit()
    assert.same({}, heard)
    s:connect(a)
    s:emit()
    assert.same({ 1 }, heard)
  end)

  it("ends with the context that was current", function()
    local s <const>, heard <const> = signal.new(), {}
    local fn <const> = noting(heard, 1)
    context.scope(function()
      s:connect(fn)
      s:emit()
    end)
    s:emit()
    assert.same({ 1 }, heard)
    s:connect(fn)
    s:emit()
    assert.same({ 1, 1 }, heard)
  end)

  it("lets go of the listeners of a closed context", function()
    local s <const> = signal.new()
    local weak <const> = setmetatable({}, { __mode = "k" })
    context.scope(function()
      for i = 1, 100 do
        local fn <const> = function() return i end
        weak[fn] = true
        s:connect(fn)
      end
    end)
    settle()
    collectgarbage() -- the connections
    collectgarbage() -- what they held
    assert.is_nil(next(weak))
    assert.matches("0 listeners", tostring(s))
  end)

  it("holds listeners, but not the signal's source", function()
    local source = { changed = false }
    local weak <const> = setmetatable({ source }, { __mode = "v" })
    local s <const> = signal.new("changed", source)
    local heard = 0
    source.changed = s
    s:connect(function(e) heard = e.source == nil and heard + 1 or -1 end)
    source = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak[1])
    s:emit()
    assert.equal(1, heard)
  end)

  it("lets a signal be collected with its listeners", function()
    local weak <const> = setmetatable({}, { __mode = "k" })
    for _ = 1, 10 do
      local s <const> = signal.new("s", "text")
      s:connect(function() return s end)
      s:events()
      weak[s] = true
    end
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(weak))
  end)

  it("keeps the order through many disconnects", function()
    local s <const>, heard <const>, fns <const> = signal.new(), {}, {}
    for i = 1, 200 do
      fns[i] = noting(heard, i)
      s:connect(fns[i])
    end
    for i = 1, 200 do
      if i % 10 ~= 0 then s:disconnect(fns[i]) end
    end
    s:connect(fns[1])
    s:emit()
    local expected <const> = {}
    for i = 10, 200, 10 do expected[#expected + 1] = i end
    expected[#expected + 1] = 1
    assert.same(expected, heard)
  end)

  it("is refused by a closed context and for what is no function", function()
    assert.has_error(function() signal.new():connect({}) end)
    assert.has_error(function() signal.new():disconnect(1) end)
  end)
end)

describe("signal:emit_wait", function()
  it("waits for all listeners", function()
    local s <const>, heard <const> = signal.new(), {}
    for i = 1, 5 do
      s:connect(function()
        for _ = 1, i % 3 do task.yield() end
        heard[#heard + 1] = i
      end)
    end
    assert.is_true(s:emit_wait())
    assert.equal(5, #heard)
    assert.is_true(signal.new():emit_wait {})
  end)

  it("lists the failures in the order of connection", function()
    local s <const> = signal.new()
    s:connect(function()
      task.yield()
      error(errors.new("EFIRST", "expected by the spec"))
    end)
    s:connect(function() end)
    s:connect(function() error("second", 0) end)
    local ok <const>, err <const> = s:emit_wait()
    assert.is_nil(ok)
    assert.equal("FAILED", err.code)
    assert.equal(2, #err.errors)
    assert.equal("EFIRST", err.errors[1].code)
    assert.equal("second", err.errors[2].message)
  end)

  it("does not take what a listener returns for a failure", function()
    local s <const> = signal.new()
    s:connect(function() return nil, "no failure" end)
    assert.is_true(s:emit_wait())
  end)

  it("waits for listeners that are queued by deep nesting", function()
    local s <const> = signal.new()
    local depth, ended = 0, 0
    s:connect(function()
      depth = depth + 1
      if depth < 20 then assert(s:emit_wait()) end
      ended = ended + 1
    end)
    assert.is_true(s:emit_wait())
    assert.equal(20, ended)
  end)

  it("leaves the listeners alone when it is cancelled", function()
    local s <const> = signal.new()
    local ended
    s:connect(function()
      task.yield()
      task.yield()
      ended = true
    end)
    local emitter <const> = task.spawn(function() s:emit_wait() end)
    task.yield()
    emitter:cancel()
    emitter:join()
    settle()
    assert.is_true(ended)
  end)
end)

describe("signal:wait", function()
  it("returns the next event", function()
    local s <const> = signal.new()
    local waiting <const> = task.spawn(function() return s:wait() end)
    task.yield()
    s:emit { n = 1 }
    s:emit { n = 2 }
    assert.equal(1, waiting:join().n)
  end)

  it("gives up after its timeout", function()
    local event <const>, err <const> = signal.new():wait(0.001)
    assert.is_nil(event)
    assert.equal("TIMEDOUT", err.code)
    assert.is_nil((signal.new():wait(nil, 0.001)))
  end)

  it("returns the first event that the filter lets pass", function()
    local s <const> = signal.new()
    local waiting <const> = task.spawn(function()
      return s:wait(function(e) return e.n == 3 end, 60)
    end)
    task.yield()
    for n = 1, 5 do s:emit { n = n } end
    assert.equal(3, waiting:join().n)
  end)

  it("raises what the filter raises, without a word to the emitter", function()
    local s <const> = signal.new()
    apart(function()
      local waiting <const> = task.spawn(function()
        return s:wait(function() error("bad filter", 0) end)
      end)
      task.yield()
      s:emit()
      local _, err <const> = waiting:join()
      assert.equal("bad filter", err.message)
    end)
  end)

  it("waits for the first of several signals", function()
    local a <const>, b <const> = signal.new("a"), signal.new("b")
    local waiting <const> = task.spawn(function() return signal.wait({ a, b, a }) end)
    task.yield()
    b:emit()
    a:emit()
    assert.equal("b", waiting:join().topic)
  end)

  it("listens no longer when cancelled or late", function()
    local s <const> = signal.new()
    local calls = 0
    local function filter() calls = calls + 1 end
    local waiting <const> = task.spawn(function() s:wait(filter) end)
    task.yield()
    waiting:cancel()
    s:emit()
    s:wait(filter, 0)
    s:emit()
    assert.equal(0, calls)
    waiting:join()
  end)

  it("does not hear the event whose listener starts it", function()
    local s <const> = signal.new()
    local got
    s:connect(function(e)
      if e.n == 1 then got = s:wait() end
    end)
    s:emit { n = 1 }
    task.yield()
    assert.is_nil(got)
    s:emit { n = 2 }
    task.yield()
    assert.equal(2, got.n)
  end)

  it("refuses what is no signal", function()
    assert.has_error(function() signal.wait({}) end)
    assert.has_error(function() signal.wait({ 1 }) end)
    assert.has_error(function() signal.wait(1) end)
    assert.has_error(function() signal.new():wait(-1) end)
  end)
end)

describe("signal:events", function()
  it("listens from the call on, in order", function()
    local s <const> = signal.new()
    local events <close> = s:events()
    for n = 1, 3 do s:emit { n = n } end
    local n = 0
    for e in events do
      n = n + 1
      assert.equal(n, e.n)
      if n == 3 then s:emit { n = 4 } end
      if n == 4 then break end
    end
    assert.equal(4, n)
  end)

  it("drops the newest when full, and counts", function()
    local s <const> = signal.new()
    local events <close> = s:events { max = 3 }
    for n = 1, 10 do s:emit { n = n } end
    assert.equal(7, events.dropped)
    assert.equal(1, events().n)
    s:emit { n = 11 }
    assert.same({ 2, 3, 11 }, { events().n, events().n, events().n })
    local default <close> = s:events()
    for _ = 1, 101 do s:emit() end
    assert.equal(1, default.dropped)
  end)

  it("gives no room to what the filter turns down", function()
    local s <const> = signal.new()
    local events <close> = s:events {
      max = 2,
      filter = function(e) return e.n % 5 == 0 end,
    }
    for n = 1, 10 do s:emit { n = n } end
    assert.equal(0, events.dropped)
    assert.equal(5, events().n)
    assert.equal(10, events().n)
  end)

  it("raises what the filter raised once the earlier events are taken", function()
    local s <const> = signal.new()
    local events <close> = s:events {
      filter = function(e) return e.n < 3 or error("bad filter", 0) end,
    }
    for n = 1, 5 do s:emit { n = n } end
    assert.equal(1, events().n)
    assert.equal(2, events().n)
    assert.has_error(events, "bad filter")
    assert.is_nil(events())
  end)

  it("tells a filter that it may not wait", function()
    local s <const> = signal.new()
    local events <close> = s:events { filter = function() task.yield() end }
    s:emit()
    assert.error_matches(function() events() end, "cannot wait here")
  end)

  it("ends when it is closed, with the loop or with the context", function()
    local s <const> = signal.new()
    local events <const> = s:events()
    local reader <const> = task.spawn(function()
      for _ in events do error("there is no event") end
      return "ended"
    end)
    task.yield()
    events:close()
    events:close()
    assert.equal("ended", reader:join())
    local calls = 0
    local function filter() calls = calls + 1 return true end
    task.spawn(function()
      for e in s:events { filter = filter } do
        if e.last then break end
      end
    end)
    task.yield()
    s:emit { last = true }
    settle()
    s:emit()
    assert.equal(1, calls)
    local kept
    context.scope(function() kept = s:events { filter = filter } end)
    s:emit()
    assert.equal(1, calls)
    assert.is_nil(kept())
  end)

  it("listens no longer when it was collected", function()
    local s <const> = signal.new()
    local calls = 0
    s:events { filter = function() calls = calls + 1 end }
    collectgarbage()
    collectgarbage()
    s:emit()
    assert.equal(0, calls)
  end)

  it("hears several signals, each event once", function()
    local a <const>, b <const> = signal.new("a"), signal.new("b")
    local events <close> = signal.events({ a, b, a }, { max = 10 })
    b:emit()
    a:emit()
    b:emit()
    assert.same({ "b", "a", "b" }, { events().topic, events().topic, events().topic })
  end)

  it("shares its events among the tasks that wait for them", function()
    local s <const>, got <const> = signal.new(), {}
    local events <close> = s:events()
    local readers <const> = {}
    for i = 1, 3 do
      readers[i] = task.spawn(function() got[i] = events().n end)
    end
    task.yield()
    for n = 1, 3 do s:emit { n = n } end
    for i = 1, 3 do readers[i]:join() end
    assert.same({ 1, 2, 3 }, got)
  end)

  it("lets other tasks run while events abound", function()
    local s <const> = signal.new()
    local events <close> = s:events { max = 1 }
    local ran
    task.spawn(function() ran = true end)
    local n = 0
    repeat
      s:emit()
      events()
      n = n + 1
    until ran or n == 10000
    assert.is_true(ran)
  end)

  it("refuses bad options", function()
    local s <const> = signal.new()
    assert.has_error(function() s:events { max = 0 } end)
    assert.has_error(function() s:events { max = "many" } end)
    assert.has_error(function() s:events { filter = 1 } end)
    assert.has_error(function() s:events(1) end)
  end)
end)
