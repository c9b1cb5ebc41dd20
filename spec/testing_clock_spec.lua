local context <const> = require "ahost.context"
local log <const> = require "ahost.log"
local is_gc_stressed <const> = require "spec.gc_stress"
local net <const> = require "ahost.net"
local subprocess <const> = require "spec.subprocess"
local sync <const> = require "ahost.sync"
local task <const> = require "ahost.task"
local testing <const> = require "ahost.testing"
local time <const> = require "ahost.time"

-- Seconds by the system's clock, which nobody else moves.
local function real()
  local file <close> = assert(io.open("/proc/uptime"))
  return file:read("n")
end

describe("a virtual clock", function()
  it("jumps when everybody waits", function()
    local clock <close> = testing.clock()
    local began, start <const> = real(), time.now()
    task.sleep(86400 * 365)
    assert.equal(86400 * 365, clock:now())
    assert.near(86400 * 365, time.now() - start, 1e-3)
    assert.is_true(real() - began < 3600)
  end)

  it("wakes a thousand sleepers in an instant, and in order", function()
    local many <const> = is_gc_stressed() and 100 or 1000
    local clock <close> = testing.clock()
    local woken = {}
    for i = many, 1, -1 do
      task.spawn(function()
        task.sleep(i)
        assert.equal(i, clock:now())
        woken[#woken + 1] = i
      end)
    end
    for i = many + 1, 2 * many do
      task.spawn(function() task.sleep(many + 1) woken[#woken + 1] = i end)
    end
    task.sleep(many + 2)
    for i = 1, 2 * many do assert.equal(i, woken[i]) end
    assert.equal(2 * many, #woken)
  end)

  it("wakes who sleeps until the same time in the order of their starts", function()
    local _ <close> = testing.clock()
    local woken = {}
    for i = 1, 50 do
      task.spawn(function()
        task.sleep(50 - i)
        task.sleep(i)
        woken[#woken + 1] = i
      end)
    end
    task.sleep(51)
    for i = 1, 50 do assert.equal(51 - i, woken[i]) end
  end)

  it("stands still while somebody works", function()
    local clock <close> = testing.clock()
    task.spawn(task.sleep, 0.001)
    local began <const> = real()
    while real() - began < 0.02 do end
    for _ = 1, 1000 do task.yield() end
    assert.equal(0, clock:now())
    task.sleep(0)
    assert.equal(0, clock:now())
  end)

  it("times out what is late, and nothing else", function()
    local clock <close> = testing.clock()
    local queue <const> = sync.queue(1)
    assert.equal("TIMEDOUT", select(2, queue:get(30)).code)
    assert.equal(30, clock:now())
    task.spawn(function() task.sleep(9) queue:put("item") end)
    assert.equal("item", queue:get(10))
    assert.equal(39, clock:now())
    assert.equal("TIMEDOUT", select(2, task.timeout(0.25, task.sleep, 1)).code)
    assert.equal(39.25, clock:now())
  end)

  it("moves the time of day along", function()
    local before <const> = time.wall()
    local clock <close> = testing.clock()
    local start <const> = time.wall()
    local iso <const> = time.iso()
    local capture <close> = testing.capture()
    task.sleep(3600)
    log.get("a"):error("then")
    assert.near(3600, capture.records[1].time - start, 1e-3)
    assert.is_true(start >= before)
    assert.near(3600, time.wall() - start, 1e-3)
    assert.is_true(iso < time.iso())
    clock:close()
    assert.is_true(time.wall() < start + 1800)
  end)

  it("keeps timers from drifting", function()
    local clock <close> = testing.clock()
    local at = {}
    local timer <const> = time.timer(function()
      at[#at + 1] = clock:now()
      task.sleep(0.003)
    end, { autorestart = true })
    timer:start(0.01)
    task.sleep(1.005)
    timer:stop()
    assert.equal(100, #at)
    for i = 1, 100 do assert.near(i / 100, at[i], 1e-9) end
    assert.equal(0, timer.skipped)
  end)

  it("skips the periods that the function of a timer takes", function()
    local _ <close> = testing.clock()
    local calls = 0
    local timer <const> = time.timer(function()
      calls = calls + 1
      task.sleep(2.5)
    end, { autorestart = true })
    timer:start(1)
    task.sleep(9.5)
    assert.equal(3, calls)
    assert.equal(6, timer.skipped)
  end)

  it("never goes to what is never, and not on for ever", function()
    local result <const> = subprocess.shell [[
      cat >$0.lua <<'END'
        local task, testing = require "ahost.task", require "ahost.testing"
        local clock = testing.clock()
        local sleeper = task.spawn(task.sleep, math.huge)
        task.spawn(task.sleep, 1e10)
        task.sleep(3.1e9)
        clock:advance(3.1e9)
        print(clock:now(), sleeper:status())
        print((select(2, pcall(function() clock:advance(1e10) end))):match "%(.*%)")
        clock:close()
        print(pcall(testing.clock))
        require("ahost.host").stop()
END
      $ahost $0.lua]]
    assert.equal("", result.err)
    assert.equal("6200000000.0\trunning\n"
      .. "(later than the clock can tell)\n"
      .. "false\tvirtual clocks have taken this host too far ahead\n", result.out)
  end)

  it("can be read by who it belongs to", function()
    local clock <close> = testing.clock()
    task.sleep(1.5)
    assert.equal("clock (1.5 s)", tostring(clock))
    clock:pause()
    assert.equal("clock (1.5 s, paused)", tostring(clock))
    clock:close()
    assert.equal("clock (closed)", tostring(clock))
  end)

  it("exists once", function()
    local clock <close> = testing.clock()
    assert.error_matches(testing.clock, "there is a virtual clock already")
    clock:close()
    testing.clock():close()
  end)

  it("refuses misuse", function()
    assert.error_matches(function() testing.clock(true) end, "table expected")
    assert.error_matches(function() testing.clock { patience = -1 } end, "0 to 60 sec")
    assert.error_matches(function() testing.clock { patience = "x" } end, "patience")
    local clock <const> = testing.clock()
    assert.error_matches(function() clock:advance(-1) end, "goes forward only")
    assert.error_matches(function() clock:advance(0 / 0) end, "goes forward only")
    assert.error_matches(function() clock:advance() end, "number expected")
    clock:close()
    clock:close()
    for _, method in ipairs { "now", "advance", "pause", "resume" } do
      assert.error_matches(function() clock[method](clock, 1) end, "the clock is closed")
    end
  end)

  it("of before does nothing to a new one", function()
    local first <const> = testing.clock()
    first:close()
    local second <close> = testing.clock()
    first:close()
    task.sleep(1)
    assert.equal(1, second:now())
    assert.error_matches(function() first:now() end, "the clock is closed")
  end)

  it("is closed with its context", function()
    local clock
    context.scope(function()
      clock = testing.clock()
      context.current():on_close(function() task.sleep(5) end)
      task.sleep(10)
    end)
    assert.error_matches(function() clock:now() end, "the clock is closed")
    testing.clock():close()
  end)

  it("that nobody holds goes on until then", function()
    context.scope(function()
      testing.clock()
      collectgarbage()
      collectgarbage()
      task.sleep(86400)
      assert.error_matches(testing.clock, "there is a virtual clock already")
    end)
    testing.clock():close()
  end)

  it("wakes nobody early when real time is back, and keeps the order", function()
    local woken, wake = {}, {}
    local function sleeper(seconds)
      wake[#wake + 1] = task.spawn(function()
        local due <const> = time.now() + seconds
        task.sleep(seconds)
        assert.is_true(time.now() >= due - 1e-6)
        woken[#woken + 1] = seconds
      end)
      task.yield()
    end
    sleeper(0.03)
    local clock <const> = testing.clock { manual = true }
    sleeper(1000.02)
    sleeper(1000.01)
    sleeper(0.02)
    clock:advance(1000)
    assert.same({ 0.02, 0.03 }, woken)
    local now <const> = time.now()
    clock:close()
    assert.is_true(time.now() >= now and time.now() < now + 100)
    sleeper(0.015)
    for _, one in ipairs(wake) do one:join() end
    assert.same({ 0.02, 0.03, 1000.01, 0.015, 1000.02 }, woken)
  end)

  it("leaves deadlines of before as far ahead as they are", function()
    local clock <close> = testing.clock()
    local other <const> = task.spawn(task.sleep, 50)
    task.yield()
    clock:close()
    task.sleep(0.01)
    assert.equal("running", other:status())
    local again <close> = testing.clock()
    other:join()
    assert.is_true(again:now() > 40 and again:now() < 50)
  end)
end)

describe("a manual clock", function()
  it("goes only when it is advanced", function()
    local clock <close> = testing.clock { manual = true }
    local seen = {}
    for i = 1, 5 do
      task.spawn(function()
        task.sleep(i)
        seen[#seen + 1] = clock:now()
        task.yield()
        seen[#seen + 1] = "then"
      end)
    end
    task.yield()
    assert.is_true(clock:advance(2.5))
    assert.same({ 1, "then", 2, "then" }, seen)
    assert.equal(2.5, clock:now())
    clock:advance(0)
    assert.equal(4, #seen)
    clock:advance(1.5)
    assert.same({ 1, "then", 2, "then", 3, "then", 4, "then" }, seen)
  end)

  it("advances through what is started on the way", function()
    local clock <close> = testing.clock { manual = true }
    local count = 0
    task.spawn(function()
      while true do
        task.sleep(0.5)
        count = count + 1
      end
    end)
    task.yield()
    clock:advance(10)
    assert.equal(20, count)
    clock:advance(0.25)
    assert.equal(20, count)
  end)

  it("lets come what is due at once", function()
    local clock <close> = testing.clock { manual = true }
    task.sleep(0)
    assert.equal("TIMEDOUT", select(2, task.timeout(0, task.sleep, 1)).code)
    assert.equal(0, clock:now())
  end)

  it("can be resumed and paused", function()
    local clock <close> = testing.clock { manual = true }
    local sleeper = task.spawn(task.sleep, 5)
    task.yield()
    clock:resume()
    sleeper:join()
    assert.equal(5, clock:now())
    clock:pause()
    sleeper = task.spawn(task.sleep, 5)
    clock:advance(4)
    assert.equal("running", sleeper:status())
    clock:advance(1)
    assert.equal("done", sleeper:status())
  end)

  it("is advanced by one at a time, who may be cancelled", function()
    local clock <close> = testing.clock { manual = true }
    task.spawn(function() while true do task.sleep(1) end end)
    local advancing <const> = task.spawn(function() clock:advance(1e6) end)
    task.yield()
    assert.error_matches(function() clock:advance(1) end, "another task is advancing")
    advancing:cancel()
    advancing:join()
    local now <const> = clock:now()
    assert.is_true(clock:advance(1))
    assert.is_true(clock:now() >= now + 1)
  end)

  it("that is closed meanwhile says so", function()
    local clock <const> = testing.clock { manual = true }
    task.spawn(function() task.sleep(3) clock:close() end)
    local ok, err = clock:advance(10)
    assert.is_nil(ok)
    assert.equal("CLOSED", err.code)
  end)

  it("goes by itself at the end of its context, for who does not end", function()
    local result <const> = subprocess.shell [[
      cat >$0.lua <<'END'
        local context, task = require "ahost.context", require "ahost.task"
        local sync, testing = require "ahost.sync", require "ahost.testing"
        local ctx = context.new()
        ctx:spawn("stubborn", function()
          testing.clock {manual = true}
          task.shield(function() sync.event():wait() end)
        end)
        task.yield()
        ctx:close()
        print "went on"
END
      $ahost $0.lua]]
    assert.equal("went on", result.out:match "went on")
    assert.matches("stubborn did not end in time and is abandoned", result.err)
  end)
end)

describe("while a virtual clock is on,", function()
  -- A server that answers each line after so many seconds.
  local function serve(delay)
    local server <const> = assert(net.serve("127.0.0.1:0", function(stream)
      for line in stream:lines() do
        delay(line)
        stream:write(line, "\n")
      end
    end))
    return server:address()
  end

  it("an exchange over TCP takes no time", function()
    local clock <close> = testing.clock()
    local stream <close> = assert(net.connect(serve(function() end)))
    stream.timeout = 0.001
    for i = 1, 50 do
      stream:write(i .. "\n")
      assert.equal(tostring(i), stream:read_line())
    end
    assert.equal(0, clock:now())
  end)

  it("a peer that sleeps answers in time, or too late", function()
    local clock <close> = testing.clock()
    local stream <close> = assert(net.connect(serve(function() task.sleep(20) end)))
    stream.timeout = 30
    stream:write("one\n")
    assert.equal("one", stream:read_line())
    assert.equal(20, clock:now())
    stream.timeout = 10
    stream:write("two\n")
    assert.equal("TIMEDOUT", select(2, stream:read_line()).code)
    assert.equal(30, clock:now())
  end)

  it("lookups of names are waited for", function()
    local clock <close> = testing.clock()
    for _ = 1, 5 do
      assert(net.resolve("localhost", { timeout = 0.001 }))
    end
    local stream <close> = assert(net.connect(serve(function()
      net.resolve("localhost")
    end)))
    stream.timeout = 0.001
    stream:write("line\n")
    assert.equal("line", stream:read_line())
    assert.equal(0, clock:now())
  end)

  it("a transfer of many pieces is waited for", function()
    local clock <close> = testing.clock()
    local size <const> = is_gc_stressed() and 1 << 20 or 1 << 25
    local server <close> = assert(net.serve("127.0.0.1:0", function(stream)
      stream:write(("x"):rep(size))
    end))
    local stream <close> = assert(net.connect(server:address()))
    assert.equal(size, #assert(task.timeout(0.001, stream.read_all, stream, size)))
    assert.equal(0, clock:now())
  end)

  it("a peer in another process is given real time by patience", function()
    local clock <close> = testing.clock { patience = 5 }
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local peer <close> = subprocess.start([[
      cat >$0.lua <<'END'
        local stream = assert(require "ahost.net".connect((...)))
        require "ahost.task".sleep(0.05)
        stream:write(stream:read_line(), " answered\n")
END
      $ahost $0.lua ]] .. listener:address())
    local stream <close> = assert(listener:accept(0.1))
    stream:write("question\n")
    stream.timeout = 0.001
    assert.equal("question answered", stream:read_line())
    assert.equal(0, clock:now())
    peer:finish()
  end)

  it("output that nobody reads does not hold it", function()
    local clock <close> = testing.clock()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local stream <close> = assert(net.connect(listener:address()))
    local peer <close> = assert(listener:accept())
    stream.timeout = 60
    local ok, err
    repeat ok, err = stream:write(("x"):rep(1 << 20)) until not ok
    assert.equal("TIMEDOUT", err.code)
    assert.equal(60, clock:now())
    stream:close(0)
    peer:close(0)
  end)

  it("closing streams linger on virtual time", function()
    local clock <close> = testing.clock()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local stream <const> = assert(net.connect(listener:address()))
    local peer <close> = assert(listener:accept())
    stream.timeout = 1
    repeat until not stream:write(("x"):rep(1 << 20))
    local from <const> = clock:now()
    stream:close(100)
    task.sleep(99)
    assert.equal(from + 99, clock:now())
    task.sleep(2)
    local data, err
    repeat data, err = peer:read() until not data
    assert.equal("ECONNRESET", err.code)
  end)

  it("a deadlock is found at once", function()
    local result <const> = subprocess.shell [[
      mkdir $0.d && cat >$0.d/a_spec.lua <<'END'
        local sync, task = require "ahost.sync", require "ahost.task"
        local testing = require "ahost.testing"
        it("waits for ever", function()
          testing.clock()
          task.sleep(1000)
          task.spawn(task.sleep, math.huge)
          sync.event():wait()
        end)
        it("waits for who should advance the clock", function()
          testing.clock {manual = true}
          task.sleep(1)
        end)
        it("goes on", function() task.sleep(0.001) end)
END
      $ahost test $0.d]]
    assert.matches("a_spec.lua:7: nothing is left that could wake it, waiting here",
      result.out)
    assert.matches("a_spec.lua:11: nothing is left that could wake it", result.out)
    assert.matches("1 success / 0 failures / 2 errors", result.out)
  end)

  it("a test that never rests has its limit", function()
    local result <const> = subprocess.shell [[
      mkdir $0.d && cat >$0.d/a_spec.lua <<'END'
        local task, testing = require "ahost.task", require "ahost.testing"
        it("sleeps on", function()
          testing.clock()
          while true do task.sleep(1) end
        end)
END
      $ahost test --timeout 0.1 $0.d]]
    assert.matches("a_spec.lua:4: timed out after 0.1 s, waiting here", result.out)
  end)

  it("a host that stops does so in real time", function()
    local result <const> = subprocess.shell [[
      cat >$0.lua <<'END'
        local testing = require "ahost.testing"
        local task = require "ahost.task"
        testing.clock {manual = true}
        task.spawn(function() require "ahost.host".stop() end)
        local _ <close> = setmetatable({}, {__close = function()
          task.sleep(0.001)
          print "ended"
        end})
        task.sleep(1)
END
      $ahost $0.lua]]
    assert.equal("ended\n", result.out)
    assert.equal(0, result.status)
  end)
end)
