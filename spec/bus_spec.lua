local buses <const> = require "ahost.bus"
local context <const> = require "ahost.context"
local is_gc_stressed <const> = require "spec.gc_stress"
local subprocess <const> = require "spec.subprocess"
local task <const> = require "ahost.task"

-- A function that appends `name` to `list` when it is called.
local function noting(list, name)
  return function() list[#list + 1] = name end
end

-- Lets every ready task run until nothing is left to do.
local function settle()
  for _ = 1, 5 do task.yield() end
end

-- Runs a script in a host of its own.
local function run(script)
  return subprocess.shell([[
    script=$(mktemp)
    cat >$script <<'END'
]] .. script .. [[

END
    "$ahost" $script; status=$?; rm $script; exit $status]])
end

describe("bus:publish", function()
  it("calls with the message and the arguments, nils included", function()
    local bus <const> = buses.new()
    local got
    bus:subscribe("app.tick", function(...) got = table.pack(...) end)
    bus:publish("app.tick", 1, nil, "three", nil)
    assert.same({ "app.tick", 1, nil, "three", nil, n = 5 }, got)
  end)

  it("calls the subscribers in the order of their subscriptions", function()
    local bus <const>, heard <const> = buses.new(), {}
    for i = 1, 5 do bus:subscribe("m", noting(heard, i)) end
    bus:publish "m"
    assert.same({ 1, 2, 3, 4, 5 }, heard)
  end)

  it("delivers before it returns, up to each first await", function()
    local bus <const>, heard <const> = buses.new(), {}
    for i = 1, 2 do
      bus:subscribe("m", function()
        heard[#heard + 1] = "begin " .. i
        task.yield()
        heard[#heard + 1] = "end " .. i
      end)
    end
    bus:publish "m"
    assert.same({ "begin 1", "begin 2" }, heard)
    settle()
    assert.same({ "begin 1", "begin 2", "end 1", "end 2" }, heard)
  end)

  it("reaches nobody else", function()
    local one <const>, other <const> = buses.new(), buses.new()
    local heard <const> = {}
    one:subscribe("m", noting(heard, "one"))
    one:subscribe("other", noting(heard, "another message"))
    other:subscribe("m", noting(heard, "other"))
    one:publish "m"
    one:publish "nobody"
    assert.same({ "one" }, heard)
  end)

  it("skips nobody when a subscriber unsubscribes itself", function()
    local bus <const>, heard <const> = buses.new(), {}
    local function once()
      heard[#heard + 1] = "once"
      assert.is_true(bus:unsubscribe("m", once))
    end
    bus:subscribe("m", once)
    bus:subscribe("m", noting(heard, "next"))
    bus:publish "m"
    bus:publish "m"
    assert.same({ "once", "next", "next" }, heard)
  end)

  it("does not call who is unsubscribed before its turn", function()
    local bus <const>, heard <const> = buses.new(), {}
    local second <const> = noting(heard, "second")
    bus:subscribe("m", function() bus:unsubscribe("m", second) end)
    bus:subscribe("m", second)
    bus:subscribe("m", noting(heard, "third"))
    bus:publish "m"
    assert.same({ "third" }, heard)
  end)

  it("does not call who subscribes meanwhile", function()
    local bus <const>, heard <const> = buses.new(), {}
    local new <const> = noting(heard, "new")
    bus:subscribe("m", function() bus:subscribe("m", new) end)
    bus:publish "m"
    assert.same({}, heard)
    bus:publish "m"
    assert.same({ "new" }, heard)
  end)

  it("does not call again who ends and begins its subscription meanwhile", function()
    local bus <const>, heard <const> = buses.new(), {}
    local last <const> = noting(heard, "last")
    bus:subscribe("m", function()
      bus:unsubscribe("m", last)
      bus:subscribe("m", last)
    end)
    bus:subscribe("m", last)
    bus:publish "m"
    assert.same({}, heard)
    bus:publish "m"
    bus:unsubscribe("m", last)
    assert.same({}, heard)
  end)

  it("keeps failures from publisher, context and other subscribers", function()
    local bus <const>, heard <const> = buses.new(), {}
    context.scope(function()
      bus:subscribe("m", function() error("expected by the spec") end)
      bus:subscribe("m", noting(heard, "next"))
      bus:publish "m"
      task.yield()
    end)
    assert.same({ "next" }, heard)
  end)

  it("logs failures as ahost.bus with message and traceback", function()
    local ran <const> = run [[
      local task = require "ahost.task"
      local bus = require("ahost.bus").new()
      local function broken() error("it is broken") end
      bus:subscribe("the.message", function() broken() end)
      bus:subscribe("the.message", function() task.yield() broken() end)
      bus:publish("the.message", 1, 2)]]
    assert.equal(0, ran.status)
    local _, records <const> = ran.err:gsub("ERROR ahost%.bus: "
      .. "task %d+ %(the%.message%): [^\n]*it is broken\nstack traceback:", "")
    assert.equal(2, records)
    assert.matches("in upvalue 'broken'", ran.err)
  end)

  it("may be nested to any depth", function()
    local bus <const> = buses.new()
    local depth = 0
    bus:subscribe("m", function()
      depth = depth + 1
      if depth < 500 then bus:publish "m" end
    end)
    bus:publish "m"
    while depth < 500 do task.yield() end
    assert.equal(500, depth)
  end)

  it("logs the message of a failure that is nested deeply", function()
    local ran <const> = run [[
      local bus = require("ahost.bus").new()
      local depth = 0
      bus:subscribe("deep.message", function()
        depth = depth + 1
        if depth == 50 then error("too deep") end
        bus:publish "deep.message"
      end)
      bus:publish "deep.message"]]
    assert.matches("ERROR ahost%.bus: task %d+ %(deep%.message%): [^\n]*too deep",
      ran.err)
  end)

  it("may be called where nothing can wait", function()
    local bus <const> = buses.new()
    local ended = 0
    bus:subscribe("m", function()
      task.yield()
      ended = ended + 1
    end)
    table.sort({ 2, 1 }, function(a, b)
      bus:publish "m"
      return a < b
    end)
    settle()
    assert.is_true(ended > 0)
  end)

  it("takes only strings as messages", function()
    local bus <const> = buses.new()
    local function nothing() end
    local methods <const> = { "publish", "publish_later", "publish_wait", "subscriber" }
    for _, method in ipairs(methods) do
      assert.has_error(function() bus[method](bus, 1) end)
      assert.has_error(function() bus[method](bus) end)
      assert.has_error(function() bus[method]("no bus", "m") end)
    end
    assert.has_error(function() bus:subscribe(1, nothing) end)
    assert.has_error(function() bus:subscribe("m", "no function") end)
    assert.has_error(function() bus:unsubscribe({}, nothing) end)
  end)
end)

describe("a subscription", function()
  it("is made once in a context", function()
    local bus <const>, heard <const> = buses.new(), {}
    local fn <const> = noting(heard, "x")
    bus:subscribe("m", fn)
    bus:subscribe("m", fn)
    bus:publish "m"
    assert.same({ "x" }, heard)
    assert.is_true(bus:unsubscribe("m", fn))
    assert.is_false(bus:unsubscribe("m", fn))
    bus:publish "m"
    assert.same({ "x" }, heard)
  end)

  it("of the same function in each of several contexts is one of its own", function()
    local bus <const> = buses.new()
    local seen = {}
    local function fn() seen[#seen + 1] = context.current() end
    bus:subscribe("m", fn)
    context.scope(function(first)
      bus:subscribe("m", fn)
      context.scope(function(second)
        bus:subscribe("m", fn)
        bus:publish "m"
        assert.same({ first.parent, first, second }, seen)
      end)
      assert.is_true(bus:unsubscribe("m", fn)) -- that of the current context
      seen = {}
      bus:publish "m"
      assert.same({ first.parent }, seen)
      assert.is_true(bus:unsubscribe("m", fn)) -- the oldest
      assert.is_false(bus:unsubscribe("m", fn))
    end)
  end)

  it("is held strongly", function()
    local bus <const>, heard <const> = buses.new(), {}
    bus:subscribe("m", function() heard[1] = true end)
    collectgarbage()
    collectgarbage()
    bus:publish "m"
    assert.is_true(heard[1])
  end)

  it("ends with its context", function()
    local bus <const>, heard <const> = buses.new(), {}
    bus:subscribe("m", noting(heard, "outer"))
    context.scope(function()
      bus:subscribe("m", noting(heard, "inner"))
      bus:publish "m"
    end)
    bus:publish "m"
    assert.same({ "outer", "inner", "outer" }, heard)
  end)

  it("ends when an earlier subscriber closes its context", function()
    local bus <const>, heard <const> = buses.new(), {}
    local ctx <const> = context.new()
    bus:subscribe("m", function() ctx:close() end)
    ctx:spawn(function() bus:subscribe("m", noting(heard, "closed")) end):join()
    bus:publish "m"
    assert.same({}, heard)
  end)

  it("runs in the context in which it was made", function()
    local bus <const> = buses.new()
    local mine <const> = context.current()
    local seen
    bus:subscribe("m", function() seen = context.current() end)
    context.scope(function() bus:publish "m" end)
    assert.equal(mine, seen)
  end)

  it("of a forgotten bus is collected", function()
    local weak <const> = setmetatable({ buses.new() }, { __mode = "v" })
    weak[1]:subscribe("m", function() end)
    weak[1]:subscriber("m")
    for _ = 1, 4 do collectgarbage() end
    assert.is_nil(weak[1])
  end)

  it("leaves nothing behind when it ends, whatever its message", function()
    local bus <const> = buses.new()
    local names <const> = is_gc_stressed() and 200 or 5000
    local function one_round()
      context.scope(function()
        for i = 1, names do bus:subscribe("name " .. i, function() end) end
        for i = 1, 50 do bus:subscriber("queued " .. i) end
      end)
      task.yield()
      for _ = 1, 3 do collectgarbage() end
      return collectgarbage "count"
    end
    one_round()
    local before <const> = one_round()
    for _ = 1, 3 do one_round() end
    assert.is_true(one_round() < before + 100)
  end)

  it("is one of a thousand, in as many contexts", function()
    local bus <const> = buses.new()
    local count <const> = is_gc_stressed() and 50 or 1000
    local heard, contexts = 0, {}
    local function fn() heard = heard + 1 end
    for i = 1, count do
      contexts[i] = context.new()
      contexts[i]:spawn(function() bus:subscribe("m", fn) end)
    end
    settle()
    bus:publish "m"
    assert.equal(count, heard)
    for i = 1, count, 2 do contexts[i]:close() end
    bus:publish "m"
    assert.equal(count + count // 2, heard)
    for i = 2, count, 2 do contexts[i]:close() end
    bus:publish "m"
    assert.equal(count + count // 2, heard)
    assert.is_false(bus:unsubscribe("m", fn))
  end)

  it("cannot be made in a closed context", function()
    local bus <const> = buses.new()
    local ctx <const> = context.new()
    local err
    ctx:spawn(function()
      ctx:close()
      err = select(2, pcall(bus.subscribe, bus, "m", function() end))
    end)
    settle()
    assert.matches("subscribe: the context is closed", err)
  end)
end)

describe("bus:publish_wait", function()
  it("waits until every subscriber has finished", function()
    local bus <const>, heard <const> = buses.new(), {}
    for i = 1, 3 do
      bus:subscribe("app.stop", function(_, n)
        for _ = 1, i do task.yield() end
        heard[#heard + 1] = n + i
      end)
    end
    assert.is_true(bus:publish_wait("app.stop", 10))
    assert.same({ 11, 12, 13 }, heard)
    assert.is_true(bus:publish_wait "nobody")
  end)

  it("lists the failures in order", function()
    local bus <const> = buses.new()
    bus:subscribe("m", function() task.yield() error("first", 0) end)
    bus:subscribe("m", function() end)
    bus:subscribe("m", function() error("second", 0) end)
    local ok <const>, err <const> = bus:publish_wait("m", 1, 2, 3)
    assert.is_nil(ok)
    assert.equal("FAILED", err.code)
    assert.equal("publish_wait: 2 listeners failed", tostring(err))
    assert.equal("first", err.errors[1].message)
    assert.equal("second", err.errors[2].message)
    assert.equal(2, #err.errors)
  end)

  it("can be cancelled, and its subscribers run on", function()
    local bus <const> = buses.new()
    local ended
    bus:subscribe("m", function()
      settle()
      ended = true
    end)
    local waiting <const> = task.spawn(function() bus:publish_wait "m" end)
    task.yield()
    waiting:cancel()
    waiting:join()
    assert.is_nil(ended)
    settle()
    task.yield()
    assert.is_true(ended)
  end)
end)

describe("bus:publish_later", function()
  it("delivers in a later turn, in order, with all arguments", function()
    local bus <const>, heard <const> = buses.new(), {}
    local done <const> = require("ahost.sync").event()
    bus:subscribe("m", function(_, i, none, last)
      heard[#heard + 1] = i
      assert.is_nil(none)
      assert.equal("last", last)
      if i == 3 then done:set() end
    end)
    for i = 1, 3 do bus:publish_later("m", i, nil, "last") end
    assert.same({}, heard)
    done:wait()
    assert.same({ 1, 2, 3 }, heard)
  end)

  it("delivers after what is ready now", function()
    local bus <const>, heard <const> = buses.new(), {}
    local done <const> = require("ahost.sync").event()
    bus:subscribe("m", function()
      heard[#heard + 1] = "message"
      done:set()
    end)
    bus:publish_later "m"
    task.spawn(function() heard[#heard + 1] = "task" end)
    done:wait()
    assert.same({ "task", "message" }, heard)
  end)

  it("delivers when the publisher's context has ended", function()
    local bus <const> = buses.new()
    local sub <const> = bus:subscriber "m"
    context.scope(function() bus:publish_later("m", 1) end)
    assert.same({ "m", 1 }, { sub:message() })
  end)

  it("can be repeated by who hears it, a turn for each", function()
    local bus <const> = buses.new()
    local done <const> = require("ahost.sync").event()
    local left = 20
    bus:subscribe("m", function()
      left = left - 1
      if left == 0 then return done:set() end
      bus:publish_later "m"
    end)
    bus:publish_later "m"
    done:wait()
    assert.equal(0, left)
  end)

  it("is delivered before a script ends, and never after", function()
    local ran <const> = run [[
      local bus = require("ahost.bus").new()
      local context = require "ahost.context"
      bus:subscribe("m", function(_, what) print(what) end)
      bus:publish_later("m", "at the end")
      context.current():on_close(function() bus:publish_later("m", "too late") end)]]
    assert.equal(0, ran.status)
    assert.equal("at the end\n", ran.out)
    assert.equal("", ran.err)
  end)

  it("forgets the bus when nothing waits", function()
    local weak <const> = setmetatable({ buses.new() }, { __mode = "v" })
    weak[1]:publish_later("m", weak[1])
    for _ = 1, 10 do task.sleep(0) end
    for _ = 1, 3 do collectgarbage() end
    assert.is_nil(weak[1])
  end)
end)

describe("a subscriber", function()
  it("queues messages with their arguments", function()
    local bus <const> = buses.new()
    local sub <const> = bus:subscriber("a", "b")
    bus:publish("a", 1, nil)
    bus:publish("c", 2)
    bus:publish "b"
    assert.same({ "a", 1, nil, n = 3 }, table.pack(sub:message()))
    assert.same({ "b", n = 1 }, table.pack(sub:message()))
  end)

  it("hands a message to who waits longest", function()
    local bus <const> = buses.new()
    local sub <const> = bus:subscriber "m"
    local got <const> = {}
    for i = 1, 2 do
      task.spawn(function() got[i] = { sub:message() } end)
    end
    task.yield()
    bus:publish("m", 1)
    bus:publish("m", 2)
    bus:publish("m", 3)
    settle()
    assert.same({ { "m", 1 }, { "m", 2 } }, got)
    assert.same({ "m", 3 }, { sub:message() })
  end)

  it("drops and counts the newest when it is full", function()
    local bus <const> = buses.new()
    local sub <const> = bus:subscriber("m", { max = 2 })
    for round = 1, 3 do
      for i = 1, 5 do bus:publish("m", i) end
      assert.equal(3 * round, sub.dropped)
      assert.equal(1, select(2, sub:message()))
      assert.equal(2, select(2, sub:message()))
    end
    local default <const> = bus:subscriber "m"
    for i = 1, 101 do bus:publish("m", i) end
    assert.equal(1, default.dropped)
  end)

  it("gives TIMEDOUT, and misses nothing by that", function()
    local bus <const> = buses.new()
    local sub <const> = bus:subscriber "m"
    local message <const>, err <const> = sub:message(0)
    assert.is_nil(message)
    assert.equal("TIMEDOUT", err.code)
    bus:publish("m", 1)
    assert.same({ "m", 1 }, { sub:message(0) })
  end)

  it("gives CLOSED once it is closed", function()
    local bus <const> = buses.new()
    local sub <const> = bus:subscriber "m"
    bus:publish "m"
    local err
    local other <const> = bus:subscriber "never"
    task.spawn(function() err = select(2, other:message()) end)
    task.yield()
    other:close()
    sub:close()
    sub:close()
    settle()
    assert.equal("CLOSED", err.code)
    assert.equal("CLOSED", select(2, sub:message()).code)
    assert.has_error(function() sub:subscribe(bus, "m") end)
    bus:publish "m"
    assert.equal("CLOSED", select(2, sub:message()).code)
  end)

  it("ends with its context; what it has can be taken yet", function()
    local bus <const> = buses.new()
    local sub
    context.scope(function()
      sub = bus:subscriber "m"
      bus:publish("m", 1)
    end)
    bus:publish("m", 2)
    assert.same({ "m", 1 }, { sub:message() })
    assert.equal("CLOSED", select(2, sub:message()).code)
  end)

  it("wakes its waiting task when its context ends", function()
    local bus <const> = buses.new()
    local ctx <const> = context.new()
    local sub
    ctx:spawn(function() sub = bus:subscriber "m" end):join()
    local err
    task.spawn(function() err = select(2, sub:message()) end)
    task.yield()
    ctx:close()
    settle()
    assert.equal("CLOSED", err.code)
  end)

  it("survives the cancellation of who waits", function()
    local bus <const> = buses.new()
    local sub <const> = bus:subscriber "m"
    local waiting <const> = task.spawn(function() sub:message() end)
    task.yield()
    waiting:cancel()
    waiting:join()
    bus:publish("m", 1)
    assert.same({ "m", 1 }, { sub:message() })
  end)

  it("hears messages of further buses", function()
    local one <const>, two <const> = buses.new(), buses.new()
    local sub <const> = one:subscriber "a"
    sub:subscribe(two, "b", "c")
    sub:subscribe(two, "b")
    two:publish("b", 2)
    one:publish("a", 1)
    two:publish("a", 0)
    two:publish("c", 3)
    assert.same({ "b", 2 }, { sub:message() })
    assert.same({ "a", 1 }, { sub:message() })
    assert.same({ "c", 3 }, { sub:message() })
    assert.is_nil((sub:message(0)))
  end)

  it("can be looped over", function()
    local bus <const> = buses.new()
    local sub <const> = bus:subscriber "m"
    for i = 1, 3 do bus:publish("m", i) end
    local seen <const> = {}
    for message, i in sub:messages() do
      seen[#seen + 1] = message .. i
      if i == 2 then break end
    end
    assert.same({ "m1", "m2" }, seen)
    assert.equal("CLOSED", select(2, sub:message()).code)
  end)

  it("ends its loop when it is closed", function()
    local bus <const> = buses.new()
    local sub <const> = bus:subscriber "m"
    local seen <const> = {}
    local loop <const> = task.spawn(function()
      for _, i in sub:messages() do seen[#seen + 1] = i end
    end)
    task.yield()
    bus:publish("m", 1)
    task.yield()
    bus:publish("m", 2)
    settle()
    sub:close()
    assert.is_nil((loop:join()))
    assert.same({ 1, 2 }, seen)
  end)

  it("lets others run while it has messages", function()
    local bus <const> = buses.new()
    local sub <const> = bus:subscriber("m", { max = 1000 })
    for i = 1, 1000 do bus:publish("m", i) end
    local others = 0
    task.spawn(function()
      while true do
        others = others + 1
        task.yield()
      end
    end)
    for i = 1, 1000 do assert.equal(i, select(2, sub:message())) end
    assert.is_true(others > 1)
  end)

  it("is collected when it is forgotten", function()
    local bus <const> = buses.new()
    local weak <const> = setmetatable({ bus:subscriber "m" }, { __mode = "v" })
    for _ = 1, 3 do collectgarbage() end
    assert.is_nil(weak[1])
    bus:publish "m"
  end)

  it("is closed by <close>", function()
    local bus <const> = buses.new()
    local kept
    do
      local sub <close> = bus:subscriber "m"
      kept = sub
    end
    assert.equal("CLOSED", select(2, kept:message()).code)
  end)

  it("refuses wrong options and messages", function()
    local bus <const> = buses.new()
    assert.has_error(function() bus:subscriber("m", { max = 0 }) end)
    assert.has_error(function() bus:subscriber("m", { max = 1.5 }) end)
    assert.has_error(function() bus:subscriber("m", 1) end)
    assert.has_error(function() bus:subscriber { max = 1 } end)
    local sub <const> = bus:subscriber "m"
    assert.has_error(function() sub:subscribe(1, "m") end)
    assert.has_error(function() sub:subscribe(bus) end)
    assert.has_error(function() sub:message(-1) end)
  end)
end)
