local context <const> = require "ahost.context"
local sync <const> = require "ahost.sync"
local task <const> = require "ahost.task"
local testing <const> = require "ahost.testing"
local time <const> = require "ahost.time"

-- Lets every ready task run until it waits.
local function settle()
  for _ = 1, 5 do
    task.yield()
  end
end

local function wait_until(condition)
  while not condition() do
    task.sleep(0.001)
  end
end

local function collect()
  collectgarbage()
  collectgarbage()
end

-- Keeps the loop busy, so that deadlines pass unseen.
local function hog(seconds)
  local deadline <const> = time.now() + seconds
  while time.now() < deadline do end
end

-- Runs a script in a host of its own. -> what it wrote and logged, its exit status
local function run_script(source)
  local path <const> = os.tmpname()
  local file <const> = assert(io.open(path, "w"))
  file:write(source)
  file:close()
  local command <const> = "$(readlink /proc/$PPID/exe) " .. path .. " 2>&1"
  local process <const> = assert(io.popen(command))
  local output <const> = process:read("a")
  local _, _, status <const> = process:close()
  os.remove(path)
  return output, status
end

describe("time.now", function()
  it("never goes back", function()
    local last = time.now()
    for _ = 1, 1000 do
      local now <const> = time.now()
      assert.is_true(now >= last)
      last = now
    end
  end)

  it("is the clock on which tasks sleep", function()
    local start <const> = time.now()
    task.sleep(0.01)
    assert.is_true(time.now() - start >= 0.01)
  end)
end)

describe("time.wall", function()
  -- The seconds of os.time come with the kernel's tick, up to 10 ms late.
  it("is the time of the system", function()
    local before <const> = os.time()
    local now <const> = time.wall()
    assert.is_true(before <= now and now < os.time() + 1.01)
  end)
end)

describe("time.iso", function()
  it("writes UTC with microseconds", function()
    assert.equal("1970-01-01T00:00:00.000000Z", time.iso(0))
    assert.equal("2024-02-29T12:34:56.789000Z", time.iso(1709210096.789))
    assert.equal("1969-12-31T23:59:59.500000Z", time.iso(-0.5))
    assert.equal("0000-01-01T00:00:00.000000Z", time.iso(-62167219200))
    assert.equal("9999-12-31T23:59:59.000000Z", time.iso(253402300799))
  end)

  it("rounds to the nearest microsecond", function()
    assert.equal("1970-01-01T00:00:00.000003Z", time.iso(0.000003))
    assert.equal("1970-01-01T00:00:02.000000Z", time.iso(1.9999999))
    assert.equal("1970-01-01T00:00:00.000000Z", time.iso(-1e-9))
  end)

  it("writes the present time when none is given", function()
    local before <const> = time.iso(time.wall())
    local now <const> = time.iso()
    assert.is_true(before <= now and now <= time.iso(time.wall()))
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%d%d%d%dZ$", now)
  end)

  it("refuses what is no time of the years 0 to 9999", function()
    for _, t in ipairs { 253402300800, -62167219201, 1 / 0, -1 / 0, 0 / 0 } do
      assert.error_matches(function() time.iso(t) end, "years 0 to 9999")
    end
    assert.error_matches(function() time.iso("now") end, "number expected")
  end)
end)

describe("a timer", function()
  it("calls its function once", function()
    local _ <close> = testing.clock()
    local calls = 0
    local timer <const> = time.timer(function(...)
      calls = calls + 1
      assert.equal(0, select("#", ...))
    end)
    assert.is_false(timer:started())
    timer:start(0.001)
    assert.is_true(timer:started())
    task.sleep(0.001)
    task.yield()
    assert.is_false(timer:started())
    task.sleep(1000)
    assert.equal(1, calls)
    assert.equal(0, timer.skipped)
  end)

  it("is not called before its time", function()
    local start, called = time.now(), nil
    time.timer(function() called = time.now() end):start(0.01)
    wait_until(function() return called end)
    assert.is_true(called - start >= 0.01)
  end)

  it("calls a function that may wait, in the context where it was made", function()
    local ctx <const> = context.current()
    local seen, mine
    context.scope(function()
      mine = context.current()
      local done <const> = sync.event()
      local timer <const> = time.timer(function()
        task.yield()
        seen = context.current()
        done:set()
      end)
      timer:start(0)
      done:wait()
    end)
    assert.equal(mine, seen)
    assert.not_equal(ctx, seen)
  end)

  it("refuses misuse", function()
    local timer <const> = time.timer(function() end)
    timer:start(1000)
    assert.error_matches(function() timer:start(1) end, "timer is already started")
    timer:stop()
    assert.error_matches(function() timer:start(-1) end, "less than 0 seconds")
    assert.error_matches(function() timer:start(0 / 0) end, "less than 0 seconds")
    assert.error_matches(function() timer:start() end, "number expected")
    assert.error_matches(function() time.timer() end, "function expected")
    assert.error_matches(function() time.timer(print, true) end, "table expected")
    assert.error_matches(function()
      time.timer(print, { autorestart = true }):start(0)
    end, "longer than 0 seconds")
    assert.is_nil(timer.unknown)
    assert.is_false(timer:started())
  end)

  it("that is stopped does not call", function()
    local _ <close> = testing.clock()
    local called = false
    local timer <const> = time.timer(function() called = true end)
    timer:start(0.001)
    timer:stop()
    timer:stop()
    assert.is_false(timer:started())
    task.sleep(1000)
    assert.is_false(called)
  end)

  it("can be started again, also by its own function", function()
    local calls, timer = 0, nil
    timer = time.timer(function()
      calls = calls + 1
      if calls < 3 then
        timer:start(0.001)
      end
    end)
    timer:start(0)
    wait_until(function() return calls == 3 end)
    timer:restart(0)
    wait_until(function() return calls == 4 end)
  end)

  it("that is restarted forgets the start before", function()
    local _ <close> = testing.clock()
    local calls = 0
    local timer <const> = time.timer(function() calls = calls + 1 end)
    timer:start(1000)
    timer:restart(0)
    wait_until(function() return calls == 1 end)
    timer:start(0.001)
    timer:restart(1000)
    task.sleep(999)
    assert.equal(1, calls)
    task.sleep(2)
    assert.equal(2, calls)
  end)

  it("leaves a call alone that runs when it is stopped", function()
    local _ <close> = testing.clock()
    local running, finished = sync.event(), sync.event()
    local timer <const> = time.timer(function()
      running:set()
      task.sleep(0.002)
      finished:set()
    end, { autorestart = true })
    timer:start(0.001)
    running:wait()
    timer:stop()
    assert.is_true(finished:wait())
  end)

  it("does not call when the call of another that was due stopped it", function()
    local called = false
    local second
    local first <const> = time.timer(function() second:stop() end)
    second = time.timer(function() called = true end)
    first:start(0)
    second:start(0)
    hog(0.001)
    wait_until(function() return not first:started() end)
    settle()
    assert.is_false(called)
  end)

  it("that is started stays alive when nobody holds it", function()
    local called = false
    time.timer(function() called = true end):start(0.002)
    collect()
    wait_until(function() return called end)
  end)

  it("that is done calls even when it is collected before the call begins", function()
    local called = false
    do
      local first <const> = time.timer(collect)
      first:start(0)
      time.timer(function() called = true end):start(0)
    end
    hog(0.001)
    wait_until(function() return called end)
  end)

  it("that is stopped or done is garbage, with its function", function()
    local weak <const> = setmetatable({}, { __mode = "k" })
    local calls = 0
    do
      local function count() calls = calls + 1 end
      local stopped <const> = time.timer(function() count() end)
      local done <const> = time.timer(function() count() end)
      weak[stopped], weak[done] = true, true
      stopped:start(1000)
      stopped:stop()
      done:start(0)
    end
    wait_until(function() return calls == 1 end)
    wait_until(function()
      collect()
      return next(weak) == nil
    end)
  end)

  it("is stopped when its context ends, and cannot be started then", function()
    local _ <close> = testing.clock()
    local called, timer = false, nil
    context.scope(function()
      timer = time.timer(function() called = true end)
      timer:start(0.001)
    end)
    assert.is_false(timer:started())
    task.sleep(1000)
    assert.is_false(called)
    assert.error_matches(function() timer:start(0) end, "context is closed")
    assert.error_matches(function() timer:restart(0) end, "context is closed")
    timer:stop()
    timer:close()
  end)

  it("is let go by its closed context", function()
    local weak <const> = setmetatable({}, { __mode = "k" })
    context.scope(function()
      local timer <const> = time.timer(function() end)
      weak[timer] = true
      timer:start(1000)
    end)
    wait_until(function()
      collect()
      return next(weak) == nil
    end)
  end)

  it("calls nothing once its context is closing", function()
    local called = false
    context.scope(function(ctx)
      local timer <const> = time.timer(function() called = true end)
      timer:start(0)
      ctx:on_close(function() task.sleep(0.003) end)
    end)
    assert.is_false(called)
  end)

  it("that is closed cannot be started", function()
    local outer
    do
      local timer <close> = time.timer(function() end)
      timer:start(1000)
      outer = timer
    end
    assert.is_false(outer:started())
    outer:close()
    assert.error_matches(function() outer:start(1) end, "timer is closed")
    assert.error_matches(function() outer:restart(1) end, "timer is closed")
  end)

  it("gives the failure of its function to the context", function()
    local ok, raised = pcall(context.scope, function()
      time.timer(function() error("it broke", 0) end):start(0)
      task.sleep(1000)
    end)
    assert.is_false(ok)
    assert.equal("it broke", raised)
  end)

  it("keeps a script running while it is started", function()
    local output, status = run_script [[
      local time <const> = require "ahost.time"
      time.timer(print):start(1000) -- does not outlive the stop
      local first <const> = time.timer(function() print "first" end)
      time.timer(function()
        print "second"
        require "ahost.host".stop()
      end):start(0.005)
      first:start(0.001)
      time.timer(function() print "never" end)
    ]]
    assert.equal("first\nsecond\n", output)
    assert.equal(0, status)
  end)

  it("lets a script end when it is stopped or done", function()
    local output, status = run_script [[
      local time <const> = require "ahost.time"
      local timer <const> = time.timer(function() print "never" end, {autorestart = true})
      timer:start(0.01)
      time.timer(function() timer:stop() end):start(0)
    ]]
    assert.equal("", output)
    assert.equal(0, status)
  end)
end)

describe("a timer that restarts", function()
  it("calls until it is stopped", function()
    local _ <close> = testing.clock()
    local calls, timer = 0, nil
    timer = time.timer(function()
      calls = calls + 1
      if calls == 3 then
        timer:stop()
      end
    end, { autorestart = true })
    timer:start(0.001)
    wait_until(function() return not timer:started() end)
    task.sleep(1000)
    assert.equal(3, calls)
  end)

  it("skips and counts the periods that end while its function runs", function()
    local running, most = 0, 0
    local calls = 0
    local timer
    timer = time.timer(function()
      running = running + 1
      most = math.max(most, running)
      calls = calls + 1
      local skipped <const> = timer.skipped
      wait_until(function()
        return timer.skipped >= skipped + 2 or not timer:started()
      end)
      running = running - 1
    end, { autorestart = true })
    timer:start(0.001)
    wait_until(function() return calls == 3 end)
    timer:stop()
    assert.equal(1, most)
    assert.is_true(timer.skipped >= 4)
    wait_until(function() return running == 0 end)
  end)

  it("skips and counts the periods that end while the loop is busy", function()
    local calls = 0
    local timer <close> = time.timer(function()
      calls = calls + 1
    end, { autorestart = true })
    timer:start(0.001)
    hog(0.01)
    assert.equal(0, calls)
    wait_until(function() return calls > 0 end)
    assert.is_true(timer.skipped >= 8)
  end)

  -- The number of periods since the start is what was called plus what was
  -- skipped. A timer that drifted by the 2 ms of each call would fall behind for
  -- good; one that does not is level at some call, however slow the machine.
  it("keeps its period whatever its function takes", function()
    local PERIOD <const> = 0.005
    local calls, level, timer = 0, false, nil
    local start <const> = time.now()
    timer = time.timer(function()
      calls = calls + 1
      local periods <const> = (time.now() - start) // PERIOD
      local counted <const> = calls + timer.skipped
      assert.is_true(counted <= periods)
      level = level or calls > 10 and counted == periods
      task.sleep(0.002)
    end, { autorestart = true })
    timer:start(PERIOD)
    wait_until(function() return level end)
    timer:stop()
  end)

  it("goes on after a failure in a context that logs failures", function()
    local output, status = run_script [[
      local context <const> = require "ahost.context"
      local time <const> = require "ahost.time"
      local task <const> = require "ahost.task"
      local calls = 0
      context.scope({on_error = "log"}, function()
        local timer <close> = time.timer(function()
          calls = calls + 1
          error("failure " .. calls, 0)
        end, {autorestart = true})
        timer:start(0.001)
        while calls < 2 do task.sleep(0.001) end
      end)
    ]]
    assert.matches("failure 1.*failure 2", output)
    assert.equal(0, status)
  end)
end)
