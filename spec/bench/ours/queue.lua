-- `queue`: items from a producer task to a consumer task through a queue of one.
-- An operation is one item.
local context <const> = require "ahost.context"
local sync <const> = require "ahost.sync"

local count <const> = tonumber((...) or 2000000)

local function produce(queue, n)
  for i = 1, n do
    queue:put(i)
  end
end

local function consume(queue, n)
  for i = 1, n do
    assert(queue:get() == i)
  end
end

local function run(n)
  context.scope(function(ctx)
    local queue <const> = sync.queue(1)
    ctx:spawn(produce, queue, n)
    ctx:spawn(consume, queue, n)
  end)
end

run(count // 10)
local began <const> = os.clock()
run(count)
print(("operations=%d\nseconds=%.6f"):format(count, os.clock() - began))
