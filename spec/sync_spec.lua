local context <const> = require "ahost.context"
local errors <const> = require "ahost.error"
local sync <const> = require "ahost.sync"
local task <const> = require "ahost.task"

-- Lets every ready task run until it waits.
local function settle()
  for _ = 1, 5 do
    task.yield()
  end
end

local function spawn(fn, ...)
  local spawned <const> = task.spawn(fn, ...)
  settle()
  return spawned
end

local function collect()
  collectgarbage()
  collectgarbage()
end

describe("ahost.sync", function()
  it("survives being loaded anew", function()
    local queue <const> = sync.queue(1)
    package.loaded["ahost.sync"] = nil
    local again <const> = require "ahost.sync"
    assert.is_true(again.queue(1):try_put(1))
    assert.is_true(queue:try_put(1))
    assert.is_true(again.lock():acquire() ~= nil)
    package.loaded["ahost.sync"] = sync
  end)

  it("checks what its methods are called on", function()
    assert.error_matches(function() sync.event().wait(sync.queue()) end,
      "ahost.event expected")
    assert.error_matches(function() sync.lock().acquire() end, "ahost.lock expected")
    assert.error_matches(function() sync.lock().acquire(sync.semaphore(1)) end,
      "ahost.lock expected")
    assert.error_matches(function() sync.future().wait(1) end, "ahost.future expected")
    local permit <close> = sync.lock():acquire()
    assert.error_matches(function() permit.close(io.stdout) end, "ahost.permit expected")
  end)
end)

describe("an event", function()
  it("makes tasks wait until it is set", function()
    local event <const> = sync.event()
    local waiters <const> = {}
    for i = 1, 3 do
      waiters[i] = spawn(function() return event:wait() end)
    end
    assert.equal("running", waiters[1]:status())
    assert.is_false(event:is_set())
    event:set()
    assert.is_true(event:is_set())
    for _, waiter in ipairs(waiters) do
      assert.is_true(waiter:join())
    end
    assert.is_true(event:wait())
  end)

  it("wakes those who wait even when it is cleared at once", function()
    local event <const> = sync.event()
    local waiter <const> = spawn(function() return event:wait() end)
    event:set()
    event:clear()
    assert.is_true(waiter:join())
    assert.is_false(event:is_set())
    assert.equal("TIMEDOUT", select(2, event:wait(0)).code)
  end)

  it("is no matter for a waiter that was cancelled before", function()
    local event <const> = sync.event()
    local waiter <const> = spawn(function() return event:wait() end)
    waiter:cancel()
    event:set()
    assert.equal("CANCELLED", select(2, waiter:join()).code)
  end)

  it("lets others run while it is waited for in a loop", function()
    local event <const> = sync.event()
    event:set()
    local other <const> = task.spawn(function() end)
    while other:status() == "running" do
      event:wait()
    end
  end)

  it("refuses a bad timeout", function()
    local event <const> = sync.event()
    event:set()
    assert.error_matches(function() event:wait(-1) end, "timeout must be >= 0")
  end)
end)

describe("a lock", function()
  it("is held by one task at a time, in the order of asking", function()
    local lock <const> = sync.lock()
    local log, holders = {}, 0
    context.scope(function(ctx)
      for i = 1, 5 do
        ctx:spawn(function()
          local _ <close> = lock:acquire()
          holders = holders + 1
          assert.equal(1, holders)
          settle()
          holders = holders - 1
          log[#log + 1] = i
        end)
      end
    end)
    assert.same({ 1, 2, 3, 4, 5 }, log)
  end)

  it("is handed over, so that its holder cannot take it again at once", function()
    local lock <const> = sync.lock()
    local log <const> = {}
    local permit = lock:acquire()
    spawn(function()
      local _ <close> = lock:acquire()
      log[#log + 1] = "waiter"
    end)
    permit:close()
    permit = lock:acquire()
    log[#log + 1] = "first holder"
    permit:close()
    assert.same({ "waiter", "first holder" }, log)
  end)

  it("is released once by a permit that is closed twice", function()
    local lock <const> = sync.lock()
    local first <const> = lock:acquire()
    first:close()
    local second <close> = lock:acquire()
    first:close()
    assert.equal("TIMEDOUT", select(2, lock:acquire(0)).code)
    assert.is_not_nil(second)
  end)

  it("is released when the holder fails", function()
    local lock <const> = sync.lock()
    assert.is_false(pcall(function()
      local _ <close> = lock:acquire()
      error "failure"
    end))
    lock:acquire(0):close()
  end)

  it("is released when the holder is cancelled", function()
    local lock <const> = sync.lock()
    local holder <const> = spawn(function()
      local _ <close> = lock:acquire()
      task.sleep(1000)
    end)
    holder:cancel()
    lock:acquire():close()
  end)

  it("is given to nobody whose time was up", function()
    local lock <const> = sync.lock()
    local permit <const> = lock:acquire()
    local late <const>, err <const> = lock:acquire(0.001)
    assert.is_nil(late)
    assert.equal("acquire: timed out (TIMEDOUT)", tostring(err))
    permit:close()
    lock:acquire(0):close()
  end)

  it("passes over a waiter that was cancelled before it was released", function()
    local lock <const> = sync.lock()
    local permit <const> = lock:acquire()
    local cancelled <const> = spawn(function() return lock:acquire() end)
    local next_one <const> = spawn(function() return lock:acquire() end)
    cancelled:cancel()
    permit:close()
    next_one:join():close()
    assert.equal("cancelled", cancelled:status())
  end)

  it("is not lost by a waiter that is cancelled after it was handed over", function()
    local lock <const> = sync.lock()
    local permit <const> = lock:acquire()
    local acquired = false
    local waiter <const> = spawn(function()
      local _ <close> = lock:acquire()
      acquired = true
      task.yield()
      acquired = "not cancelled"
    end)
    permit:close()
    waiter:cancel()
    settle()
    assert.is_true(acquired)
    assert.equal("cancelled", waiter:status())
    lock:acquire(0):close()
  end)

  it("is not lost with a task that was handed it and forgot it", function()
    local lock <const> = sync.lock()
    local permit <const> = lock:acquire()
    local waiter <const> = spawn(function()
      lock:acquire()
      task.yield()
    end)
    permit:close()
    waiter:cancel()
    settle()
    collect()
    lock:acquire(0):close()
  end)

  it("is released when its permit is garbage, which wakes a waiter", function()
    local lock <const> = sync.lock()
    spawn(function() lock:acquire() end)
    local waiter <const> = spawn(function() return lock:acquire() end)
    collect()
    waiter:join():close()
  end)

  it("is released when the context of its holder ends", function()
    local lock <const> = sync.lock()
    local kept
    context.scope(function() kept = lock:acquire() end)
    local permit <const> = lock:acquire(0)
    assert.is_not_nil(permit)
    kept:close()
    assert.is_nil(lock:acquire(0))
    permit:close()
  end)

  it("can be released by another task than its holder", function()
    local lock <const> = sync.lock()
    local permit <const> = lock:acquire()
    spawn(function() permit:close() end)
    lock:acquire(0):close()
  end)

  it("is garbage together with its permit", function()
    local weak <const> = setmetatable({}, { __mode = "k" })
    context.scope(function()
      local lock <const> = sync.lock()
      weak[lock] = true
      weak[lock:acquire()] = true
    end)
    collect()
    collect()
    assert.is_nil(next(weak))
  end)

  it("lets others run while it is taken in a loop", function()
    local lock <const> = sync.lock()
    local other <const> = task.spawn(function() end)
    while other:status() == "running" do
      lock:acquire():close()
    end
  end)
end)

describe("a semaphore", function()
  it("has as many holders as slots", function()
    local semaphore <const> = sync.semaphore(3)
    local holders, most = 0, 0
    context.scope(function(ctx)
      for _ = 1, 10 do
        ctx:spawn(function()
          local _ <close> = semaphore:acquire()
          holders = holders + 1
          most = math.max(most, holders)
          settle()
          holders = holders - 1
        end)
      end
    end)
    assert.equal(3, most)
  end)

  it("needs a slot", function()
    assert.error_matches(function() sync.semaphore(0) end, "at least 1 slot")
    assert.error_matches(function() sync.semaphore() end, "number expected")
  end)

  it("keeps all its slots under stress", function()
    local SLOTS <const>, TASKS <const> = 3, 20
    local semaphore <const> = sync.semaphore(SLOTS)
    local holders, acquired = 0, 0
    math.randomseed(20240229)

    local function hold()
      local permit <close> = semaphore:acquire(math.random(0, 3) / 1000)
      if not permit then
        return
      end
      local _ <close> = setmetatable({}, {
        __close = function() holders = holders - 1 end,
      })
      holders = holders + 1
      acquired = acquired + 1
      assert.is_true(holders <= SLOTS)
      for _ = 1, math.random(0, 5) do
        task.yield()
      end
    end

    -- Never closes its permit: the end of the task is the end of the permit.
    local function forget()
      assert.is_not_nil(semaphore:acquire())
      task.yield()
    end

    for _ = 1, 20 do
      context.scope(function(ctx)
        local tasks <const> = {}
        for i = 1, TASKS do
          tasks[i] = ctx:spawn(hold)
        end
        tasks[#tasks + 1] = ctx:spawn(context.scope, forget)
        for _ = 1, TASKS do
          for _ = 1, math.random(0, 3) do
            task.yield()
          end
          tasks[math.random(#tasks)]:cancel()
        end
      end)
    end
    assert.equal(0, holders)
    assert.is_true(acquired > 0)
    collect()
    for _ = 1, SLOTS do
      assert.is_not_nil(semaphore:acquire(0))
    end
    assert.is_nil(semaphore:acquire(0))
  end)
end)

describe("a future", function()
  it("gives what it was resolved with to all who wait, before and after", function()
    local future <const> = sync.future()
    local early <const> = spawn(function() return future:wait() end)
    assert.is_true(future:resolve("a", nil, "c"))
    assert.same(table.pack("a", nil, "c"), table.pack(early:join()))
    assert.same(table.pack("a", nil, "c"), table.pack(future:wait()))
  end)

  it("can be resolved with nothing or with one value", function()
    local nothing <const>, one <const> = sync.future(), sync.future()
    nothing:resolve()
    one:resolve(false)
    assert.equal(0, select("#", nothing:wait()))
    assert.same(table.pack(false), table.pack(one:wait()))
  end)

  it("gives nil and the error that it was rejected with", function()
    local future <const> = sync.future()
    local waiter <const> = spawn(function() return future:wait() end)
    local reason <const> = errors.new("ECONNRESET", "connection reset")
    assert.is_true(future:reject(reason))
    local value, err = waiter:join()
    assert.is_nil(value)
    assert.equal(reason, err)
    assert.equal(reason, select(2, future:wait()))
  end)

  it("makes an error object of any other reason", function()
    local future <const> = sync.future()
    future:reject("it broke")
    local _, err = future:wait()
    assert.equal("FAILED", err.code)
    assert.equal("it broke", tostring(err))
    assert.error_matches(function() sync.future():reject() end, "an error expected")
  end)

  it("keeps its first outcome and says so", function()
    local future <const> = sync.future()
    assert.is_true(future:resolve(1))
    assert.is_false(future:resolve(2))
    assert.is_false(future:reject("late"))
    assert.equal(1, future:wait())
  end)

  it("gives nil and TIMEDOUT to those who give up, and stays open", function()
    local future <const> = sync.future()
    local value, err = future:wait(0)
    assert.is_nil(value)
    assert.equal("TIMEDOUT", err.code)
    future:resolve("value")
    assert.equal("value", future:wait(0))
  end)

  it("gives its value to a waiter that is cancelled after it was resolved", function()
    local future <const> = sync.future()
    local got
    local waiter <const> = spawn(function()
      got = future:wait()
      task.yield()
    end)
    future:resolve("value")
    waiter:cancel()
    settle()
    assert.equal("value", got)
    assert.equal("cancelled", waiter:status())
  end)

  it("whose rejection nobody waited for is logged when it is garbage", function()
    local path <const> = os.tmpname()
    local file <const> = assert(io.open(path, "w"))
    file:write [[
      local sync <const> = require "ahost.sync"
      sync.future():reject("lost")
      sync.future():resolve("value")
      local waited <const> = sync.future()
      waited:wait(0)
      waited:reject("not lost")
      collectgarbage()
    ]]
    file:close()
    local command <const> = "$(readlink /proc/$PPID/exe) " .. path .. " 2>&1"
    local process <const> = assert(io.popen(command))
    local output <const> = process:read("a")
    assert.is_true(process:close())
    os.remove(path)
    assert.equal("WARNING ahost.sync: nobody waited for a future that was rejected: "
      .. "lost\n", output)
  end)

  it("lets others run while it is asked in a loop", function()
    local future <const> = sync.future()
    future:resolve(1)
    local other <const> = task.spawn(function() end)
    while other:status() == "running" do
      future:wait()
    end
  end)
end)
