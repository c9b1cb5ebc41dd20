local context <const> = require "ahost.context"
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

local function drain(queue)
  local items <const> = {}
  for item in queue.try_get, queue do
    items[#items + 1] = item
  end
  return items
end

describe("a queue", function()
  it("gives items in the order in which they were put", function()
    local queue <const> = sync.queue(3)
    for i = 1, 3 do
      assert.is_true(queue:put(i))
    end
    assert.equal(3, #queue)
    assert.same({ 1, 2, 3 }, { queue:get(), queue:get(), queue:get() })
    assert.equal(0, #queue)
  end)

  it("keeps the order while its ring wraps around", function()
    local queue <const> = sync.queue(3)
    local expected, put = 1, 0
    for round = 1, 50 do
      for _ = 1, round % 3 + 1 do
        if queue:try_put(put + 1) then
          put = put + 1
        end
      end
      assert.equal(expected, queue:get())
      expected = expected + 1
      if #queue == 0 then
        assert.is_nil(queue:try_get())
      end
    end
  end)

  it("holds false and values of any type", function()
    local queue <const> = sync.queue(4)
    local values <const> = { false, "text", 1.5, {} }
    for _, value in ipairs(values) do
      queue:put(value)
    end
    for _, value in ipairs(values) do
      assert.equal(value, (queue:get()))
    end
  end)

  it("holds 1000 items when nothing else is said", function()
    local queue <const> = sync.queue()
    for i = 1, 1000 do
      assert.is_true(queue:try_put(i))
    end
    assert.is_false(queue:try_put(1001))
  end)

  it("refuses misuse", function()
    local queue <const> = sync.queue(1)
    assert.error_matches(function() sync.queue(0) end, "at least 1 item")
    assert.error_matches(function() sync.queue("x") end, "number expected")
    assert.error_matches(function() queue:put(nil) end, "nil cannot be queued")
    assert.error_matches(function() queue:try_put() end, "nil cannot be queued")
    assert.error_matches(function() queue:get(-1) end, "timeout must be >= 0")
    assert.error_matches(function() queue:put(1, "x") end, "number expected")
    assert.error_matches(function() queue.get(io.stdout) end, "ahost.queue expected")
    assert.error_matches(function() queue.get({}) end, "ahost.queue expected")
    assert.error_matches(function() queue.get(sync.event()) end, "ahost.queue expected")
    assert.equal(0, #queue)
  end)

  it("makes a putter wait while it is full", function()
    local queue <const> = sync.queue(1)
    local log <const> = {}
    local putter <const> = spawn(function()
      for i = 1, 3 do
        assert.is_true(queue:put(i))
        log[#log + 1] = i
      end
    end)
    assert.same({ 1 }, log)
    assert.equal(1, #queue)
    assert.equal(1, queue:get())
    settle()
    assert.same({ 1, 2 }, log)
    assert.equal(2, queue:get())
    assert.equal(3, queue:get())
    putter:join()
    assert.same({ 1, 2, 3 }, log)
  end)

  it("serves getters in the order in which they came", function()
    local queue <const> = sync.queue(5)
    local got <const> = {}
    for i = 1, 3 do
      spawn(function() got[i] = queue:get() end)
    end
    for i = 1, 3 do
      queue:put(i * 10)
    end
    settle()
    assert.same({ 10, 20, 30 }, got)
  end)

  it("serves putters in the order in which they came", function()
    local queue <const> = sync.queue(1)
    queue:put(0)
    for i = 1, 3 do
      spawn(function() queue:put(i) end)
    end
    assert.is_false(queue:try_put("overtaking"))
    assert.same({ 0, 1, 2, 3 }, drain(queue))
  end)

  it("gives nil and TIMEDOUT to a getter whose time is up", function()
    local queue <const> = sync.queue(1)
    local value, err = queue:get(0)
    assert.is_nil(value)
    assert.equal("TIMEDOUT", err.code)
    queue:put("later")
    assert.equal("later", queue:get(0))
  end)

  it("withdraws the value of a putter whose time is up", function()
    local queue <const> = sync.queue(1)
    queue:put("kept")
    local ok, err = queue:put("withdrawn", 0.001)
    assert.is_nil(ok)
    assert.equal("TIMEDOUT", err.code)
    assert.same({ "kept" }, drain(queue))
  end)

  it("withdraws the value of a cancelled putter", function()
    local queue <const> = sync.queue(1)
    queue:put(1)
    local cancelled <const> = spawn(function() queue:put("withdrawn") end)
    spawn(function() queue:put(2) end)
    cancelled:cancel()
    assert.same({ 1, 2 }, drain(queue))
    settle()
    assert.equal("cancelled", cancelled:status())
  end)

  it("hands nothing to a getter that was cancelled before", function()
    local queue <const> = sync.queue(1)
    local first <const> = spawn(function() return queue:get() end)
    local second <const> = spawn(function() return queue:get() end)
    first:cancel()
    queue:put("value") -- the cancelled task has not run yet
    assert.equal("value", second:join())
    assert.equal("CANCELLED", select(2, first:join()).code)
  end)

  it("leaves a value to the getter that is cancelled after it was handed", function()
    local queue <const> = sync.queue(1)
    local got
    local getter <const> = spawn(function()
      got = queue:get()
      task.yield()
      got = "not cancelled"
    end)
    queue:put("value")
    getter:cancel()
    settle()
    assert.equal("value", got)
    assert.equal("cancelled", getter:status())
    assert.equal(0, #queue)
  end)

  it("leaves a value to the getter whose time is up after it was handed", function()
    local queue <const> = sync.queue(1)
    local value, err
    spawn(function() value, err = queue:get(0.001) end)
    queue:put("value")
    local deadline <const> = os.clock() + 0.003
    while os.clock() < deadline do end -- the getter's timer is due, it is ready
    settle()
    assert.equal("value", value)
    assert.is_nil(err)
  end)

  it("gives the value to a getter inside task.timeout or nobody", function()
    local queue <const> = sync.queue(1)
    local late, err
    local getter <const> = spawn(function()
      late, err = task.timeout(0.001, function() return queue:get() end)
    end)
    getter:join()
    queue:put("kept")
    assert.is_nil(late)
    assert.equal("TIMEDOUT", err.code)
    assert.equal("kept", queue:try_get())
  end)

  it("has put the value of a putter that is cancelled after it was taken", function()
    local queue <const> = sync.queue(1)
    local put
    queue:put(1)
    local putter <const> = spawn(function()
      put = queue:put(2)
      task.yield()
    end)
    assert.equal(1, queue:get())
    putter:cancel()
    settle()
    assert.is_true(put)
    assert.same({ 2 }, drain(queue))
  end)

  it("can be used from the program's own coroutines", function()
    local queue <const> = sync.queue(1)
    local take <const> = coroutine.wrap(function()
      while true do
        coroutine.yield((queue:get()))
      end
    end)
    local put <const> = coroutine.wrap(function()
      for i = 1, 3 do
        queue:put(i)
      end
    end)
    local putter <const> = spawn(put)
    assert.same({ 1, 2, 3 }, { take(), take(), take() })
    putter:join()
  end)

  it("lets other tasks run while a loop finds it ready each time", function()
    local queue <const> = sync.queue(10)
    local other <const> = task.spawn(function() end)
    local rounds = 0
    while other:status() == "running" do
      queue:put(true)
      queue:get()
      rounds = rounds + 1
      assert.is_true(rounds < 100000)
    end
  end)

  it("lets others run while two tasks keep each other busy", function()
    local queue <const> = sync.queue(1)
    context.scope(function(ctx)
      local busy <const> = {
        ctx:spawn(function() while true do queue:put(1) end end),
        ctx:spawn(function() while true do queue:get() end end),
      }
      task.sleep(0.001)
      for _, endless in ipairs(busy) do
        endless:cancel()
      end
    end)
  end)

  it("outside tasks can be tried only", function()
    local queue <const> = sync.queue(1)
    local ok, tried
    setmetatable({}, { __gc = function()
      tried = queue:try_put("from a finalizer")
      ok = pcall(queue.put, queue, "too much")
    end })
    collectgarbage()
    assert.is_true(tried)
    assert.is_false(ok)
    assert.equal("from a finalizer", queue:get())
  end)

  it("stays small when it is never full", function()
    local queue <const> = sync.queue(1000000)
    queue:put(0)
    collectgarbage()
    local before <const> = collectgarbage("count")
    for i = 1, 20000 do
      queue:put(i)
      queue:get()
    end
    collectgarbage()
    assert.is_true(collectgarbage("count") - before < 64)
  end)

  it("lets go of the items that were taken", function()
    local queue <const> = sync.queue(2)
    local weak <const> = setmetatable({}, { __mode = "v" })
    weak[1], weak[2] = {}, {}
    queue:put(weak[1])
    queue:put(weak[2])
    queue:get()
    queue:get()
    collectgarbage()
    assert.same({}, weak)
  end)
end)

describe("a closed queue", function()
  it("gives what it holds, then plain nils", function()
    local queue <const> = sync.queue(2)
    queue:put(1)
    queue:put(2)
    queue:close()
    assert.equal(1, queue:get())
    assert.equal(2, queue:get())
    assert.equal(1, select("#", queue:get()))
    assert.is_nil(queue:get())
    assert.is_nil(queue:get(1))
  end)

  it("refuses what is put with CLOSED", function()
    local queue <const> = sync.queue(2)
    queue:close()
    queue:close()
    for _, put in ipairs { queue.put, queue.try_put } do
      local ok, err = put(queue, 1)
      assert.is_nil(ok)
      assert.equal("CLOSED", err.code)
      assert.equal("queue:put: closed (CLOSED)", tostring(err))
    end
  end)

  it("has woken its putters with CLOSED and its getters with nil", function()
    local full <const>, empty <const> = sync.queue(1), sync.queue(1)
    full:put("kept")
    local putter <const> = spawn(function() return full:put("refused") end)
    local getter <const> = spawn(function()
      return select("#", empty:get()), empty:get()
    end)
    full:close()
    empty:close()
    assert.equal("CLOSED", select(2, putter:join()).code)
    assert.same({ 1 }, { getter:join() })
    assert.same({ "kept" }, drain(full))
  end)

  it("was closed by its variable", function()
    local getter
    do
      local queue <close> = sync.queue(1)
      getter = spawn(function() return queue:get() or "nothing" end)
    end
    assert.equal("nothing", getter:join())
  end)

  it("keeps the value that was handed over before", function()
    local queue <const> = sync.queue(1)
    local getter <const> = spawn(function() return queue:get() end)
    queue:put("value")
    queue:close()
    assert.equal("value", getter:join())
  end)

  it("ends the loop over its items", function()
    local queue <const> = sync.queue(2)
    local items <const> = {}
    spawn(function()
      for i = 1, 5 do
        queue:put(i)
      end
      queue:close()
    end)
    for item in queue:items() do
      items[#items + 1] = item
    end
    assert.same({ 1, 2, 3, 4, 5 }, items)
  end)
end)

describe("the items of a queue", function()
  it("may be numbers, which are no timeouts", function()
    local queue <const> = sync.queue(1)
    spawn(function()
      queue:put(-5)
      queue:put(0)
      task.sleep(0.002)
      queue:put(7)
      queue:close()
    end)
    local items <const> = {}
    for item in queue:items() do
      items[#items + 1] = item
    end
    assert.same({ -5, 0, 7 }, items)
  end)

  it("stay in it when the loop breaks", function()
    local queue <const> = sync.queue(3)
    for i = 1, 3 do
      queue:put(i)
    end
    for item in queue:items() do
      if item == 1 then
        break
      end
    end
    assert.same({ 2, 3 }, drain(queue))
  end)
end)

-- Producers and consumers that are cancelled and time out at random. Every item
-- that was put is got once; those whose put failed are not seen at all.
describe("a queue under stress", function()
  local PRODUCERS <const>, CONSUMERS <const>, ITEMS <const> = 12, 12, 60

  local function run(max, random)
    local queue <const> = sync.queue(max)
    local put, refused, got, cancelled = {}, {}, {}, 0
    local serial = 0

    local function produce()
      for _ = 1, ITEMS do
        serial = serial + 1
        local item <const> = serial
        refused[item] = true -- until put says that it is in
        local timeout <const> = random(3) == 1 and random(0, 2) / 1000 or nil
        local ok <const> = queue:put(item, timeout)
        if ok then
          refused[item], put[item] = nil, true
        end
        if random(4) == 1 then
          task.yield()
        end
      end
    end

    local function consume()
      while true do
        local timeout <const> = random(3) == 1 and random(0, 2) / 1000 or nil
        local item <const>, err <const> = queue:get(timeout)
        if item then
          assert.is_nil(got[item])
          got[item] = true
        elseif not err then
          return
        end
        if random(4) == 1 then
          task.yield()
        end
      end
    end

    context.scope(function(ctx)
      local producers <const>, consumers <const> = {}, {}
      for i = 1, PRODUCERS do
        producers[i] = ctx:spawn(produce)
      end
      for i = 1, CONSUMERS do
        consumers[i] = ctx:spawn(consume)
      end
      for _ = 1, PRODUCERS do
        for _ = 1, random(0, 6) do
          task.yield()
        end
        producers[random(PRODUCERS)]:cancel()
        local i <const> = random(CONSUMERS)
        consumers[i]:cancel()
        consumers[i] = ctx:spawn(consume)
        cancelled = cancelled + 1
      end
      for _, producer in ipairs(producers) do
        producer:join()
      end
      queue:close()
    end)

    assert.is_true(cancelled > 0)
    assert.same(put, got)
    for item in pairs(refused) do
      assert.is_nil(got[item])
    end
  end

  for _, max in ipairs { 1, 2, 7, 1000 } do
    it("loses and doubles nothing with room for " .. max, function()
      math.randomseed(20240229 + max)
      for _ = 1, 5 do
        run(max, math.random)
      end
    end)
  end
end)
