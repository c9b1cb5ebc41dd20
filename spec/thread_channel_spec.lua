-- Channels: one object for tasks and threads.

local task <const> = require "ahost.task"
local testing <const> = require "ahost.testing"
local thread <const> = require "ahost.thread"
local time <const> = require "ahost.time"

local function spawn_call(fn, ...)
  return task.spawn(function(...) return thread.call(fn, ...) end, ...)
end

-- A sanitizer keeps what is freed, to notice when it is used.
local maps <const> = assert(io.open "/proc/self/maps")
local is_plain <const> = not maps:read("a"):find("lib[at]san")
maps:close()

describe("a channel between tasks", function()
  it("keeps the order, and copies", function()
    local channel <const> = thread.channel(3)
    local value <const> = { 1 }
    assert.is_true(channel:put(value))
    assert.is_true(channel:put "b")
    value[1] = 2
    assert.equal(2, #channel)
    assert.same({ 1 }, channel:get())
    assert.equal("b", channel:get())
  end)

  it("makes putters wait while it is full, in their order", function()
    local channel <const> = thread.channel(1)
    local tasks <const> = {}
    for i = 1, 5 do
      tasks[i] = task.spawn(function() return channel:put(i) end)
    end
    task.yield()
    for i = 1, 5 do assert.equal(i, channel:get()) end
    for i = 1, 5 do assert.is_true(tasks[i]:join()) end
    assert.equal(0, #channel)
  end)

  it("makes getters wait while it is empty, in their order", function()
    local channel <const> = thread.channel(1)
    local tasks <const> = {}
    for i = 1, 5 do
      tasks[i] = task.spawn(function() return channel:get() end)
    end
    task.yield()
    for i = 1, 5 do channel:put(i) end
    for i = 1, 5 do assert.equal(i, tasks[i]:join()) end
  end)

  it("fails with TIMEDOUT, and has neither put nor got", function()
    local channel <const> = thread.channel(1)
    local value, err = channel:get(0.001)
    assert.is_nil(value)
    assert.equal("TIMEDOUT", err.code)
    channel:put(1)
    assert.equal("TIMEDOUT", select(2, channel:put(2, 0.001)).code)
    assert.equal(1, channel:try_get())
    assert.is_nil(channel:try_get())
  end)

  it("gives nothing to a task that was cancelled, and takes nothing from it", function()
    local channel <const> = thread.channel(1)
    local getter <const> = task.spawn(function() return channel:get() end)
    task.yield()
    getter:cancel()
    getter:join()
    channel:put(1)
    local putter <const> = task.spawn(function() return channel:put { 2 } end)
    task.yield()
    putter:cancel()
    putter:join()
    assert.equal(1, channel:get())
    assert.is_nil(channel:try_get())
  end)

  it("tries without waiting", function()
    local channel <const> = thread.channel(1)
    assert.is_nil(channel:try_get())
    assert.is_true(channel:try_put(1))
    assert.is_false(channel:try_put(2))
    assert.equal(1, channel:try_get())
  end)

  it("wakes those who wait when it is closed, and gives out what it has", function()
    local full <const>, empty <const> = thread.channel(1), thread.channel(1)
    full:put(1)
    local putter <const> = task.spawn(function() return full:put(2) end)
    local getter <const> = task.spawn(function() return empty:get() end)
    task.yield()
    full:close()
    full:close()
    empty:close()
    assert.equal("CLOSED", select(2, putter:join()).code)
    local value, err = getter:join()
    assert.is_nil(value)
    assert.is_nil(err)
    assert.equal(1, full:get())
    assert.is_nil((full:get()))
    assert.equal("CLOSED", select(2, full:put(3)).code)
    assert.equal("CLOSED", select(2, full:try_put(3)).code)
  end)

  it("iterates until it is closed and empty", function()
    local channel <const> = thread.channel(2)
    task.spawn(function()
      for i = 1, 10 do channel:put(i) end
      channel:close()
    end)
    local sum = 0
    for i in channel:items() do sum = sum + i end
    assert.equal(55, sum)
  end)

  it("says what is wrong with its arguments", function()
    local channel <const> = thread.channel(1)
    assert.error_matches(function() channel:put(nil) end, "nil cannot be put")
    assert.error_matches(function() channel:put(print) end, "the value: a function can")
    assert.error_matches(function() channel:try_put { a = print } end, "value, field a")
    assert.error_matches(function() channel:put(1, -1) end, "timeout must be >= 0")
    assert.error_matches(function() channel.get {} end, "ahost.channel expected")
    assert.error_matches(function() thread.channel(0) end, "at least 1")
    assert.error_matches(function() channel:put { channel } end, "into itself")
    assert.equal(0, #channel)
  end)

  it("lets others run", function()
    local channel <const> = thread.channel(10)
    local others = 0
    local other <const> = task.spawn(function()
      while true do
        others = others + 1
        task.yield()
      end
    end)
    for i = 1, 1000 do
      channel:put(i)
      channel:get()
    end
    other:cancel()
    assert.is_true(others > 1)
  end)

  it("may be in another, even in a circle", function()
    local a <const>, b <const> = thread.channel(2), thread.channel(2)
    a:put(b)
    b:put { a, a }
    local copy <const> = a:get()
    assert.is_true(copy == b)
    assert.is_false(copy == a)
    assert.is_true(copy:get()[2] == a)
    a:put(b)
    b:put(a)
  end)

  it("may be in another that is in another, and so on", function()
    assert.equal("freed", thread.call(function()
      local channel <const> = require "ahost.thread".channel
      local outermost = channel(1)
      outermost:put "innermost"
      for _ = 1, 50000 do
        local outer <const> = channel(1)
        outer:put(outermost)
        outermost = outer
      end
      collectgarbage() -- now only the channels hold each other
      collectgarbage()
      outermost = nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
      return "freed"
    end))
  end)

  it("is freed with what is in it", function()
    local before
    for round = 1, 40 do
      for _ = 1, 250 do
        local channel <const> = thread.channel(10)
        channel:put(("x"):rep(1000))
        channel:put(thread.channel(1))
      end
      collectgarbage()
      collectgarbage()
      local file <close> = assert(io.open "/proc/self/statm")
      local pages <const> = tonumber(file:read("a"):match "^%d+ (%d+)")
      if round == 10 then before = pages end
      if round == 40 and is_plain then assert.is_true(pages < before + 1000) end
    end
  end)
end)

describe("a channel between a task and a thread", function()
  it("carries values both ways, with back-pressure", function()
    local requests <const>, answers <const> = thread.channel(2), thread.channel(2)
    local worker <const> = spawn_call(function(from, to)
      for value in from:items() do assert(to:put(value * 2)) end
      to:close()
      return "done"
    end, requests, answers)
    local feeder <const> = task.spawn(function()
      for i = 1, 1000 do assert(requests:put(i)) end
      requests:close()
    end)
    local sum, count = 0, 0
    for value in answers:items() do
      sum, count = sum + value, count + 1
      assert.is_true(#requests <= 2 and #answers <= 2)
    end
    assert.equal(1000, count)
    assert.equal(1001000, sum)
    assert.equal("done", worker:join())
    feeder:join()
  end)

  it("has several of both at each end, and loses nothing", function()
    local pool <close> = thread.pool(4)
    local work <const>, results <const> = thread.channel(5), thread.channel(5)
    local workers <const> = {}
    for i = 1, 4 do
      workers[i] = task.spawn(function()
        return pool:call(function(from, to)
          local count = 0
          for value in from:items() do
            count = count + 1
            to:put(value)
          end
          return count
        end, work, results)
      end)
    end
    local in_task <const> = task.spawn(function()
      for value in work:items() do results:put(value) end
    end)
    for i = 1, 5 do
      task.spawn(function()
        for n = 1, 200 do work:put((i - 1) * 200 + n) end
      end)
    end
    local seen <const> = {}
    for _ = 1, 1000 do seen[results:get()] = true end
    for i = 1, 1000 do assert.is_true(seen[i]) end
    work:close()
    for i = 1, 4 do workers[i]:join() end
    in_task:join()
    assert.is_nil(results:try_get())
  end)

  it("has timeouts on the thread's side", function()
    local code, put <const> = thread.call(function(channel)
      local _, err = channel:get(0.001)
      channel:put(1)
      local _, late = channel:put(2, 0.001)
      return err.code, late.code
    end, thread.channel(1))
    assert.equal("TIMEDOUT", code)
    assert.equal("TIMEDOUT", put)
  end)

  it("wakes a blocked thread when it is closed, and a task likewise", function()
    local channel <const>, begun <const> = thread.channel(1), thread.channel(1)
    local worker <const> = spawn_call(function(c, b)
      b:put(true)
      local value, err = c:get()
      return value == nil and err == nil
    end, channel, begun)
    begun:get()
    channel:close()
    assert.is_true(worker:join())

    local other <const> = thread.channel(1)
    local getter <const> = task.spawn(function() return other:get() end)
    task.yield()
    thread.call(function(c) c:close() end, other)
    assert.is_nil((getter:join()))
  end)

  it("can be made in the thread and come back", function()
    local channel <const> = thread.call(function()
      local made <const> = require "ahost.thread".channel(3)
      made:put "from there"
      return made
    end)
    assert.equal("from there", channel:get())
  end)

  it("says in the thread what cannot be copied", function()
    local _, err = thread.call(function(c) c:put { f = print } end, thread.channel(1))
    assert.matches("the value, field f: a function cannot", err.message)
  end)

  it("does not stop the time of tests while a thread is blocked in it", function()
    local clock <close> = testing.clock()
    local channel <const>, begun <const> = thread.channel(1), thread.channel(1)
    local worker <const> = spawn_call(function(c, b)
      b:put(true)
      return c:get() + 1
    end, channel, begun)
    begun:get()
    local before <const> = time.now()
    task.sleep(3600)
    assert.is_true(time.now() - before > 3599.999) -- a difference is rounded
    channel:put(41)
    assert.equal(42, worker:join())
    assert.is_true(clock:now() >= 3600)
  end)
end)
