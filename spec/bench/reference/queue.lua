-- The reference for `queue`: a producer and a consumer coroutine around a ring of
-- one in a table. Who finds it full or empty yields; a loop resumes both in turn.
-- An operation is one item through the queue.
local count <const> = tonumber((...) or 2000000)

local function put(queue, item)
  while queue.length == queue.max do
    coroutine.yield()
  end
  queue[(queue.first + queue.length) % queue.max] = item
  queue.length = queue.length + 1
end

local function get(queue)
  while queue.length == 0 do
    coroutine.yield()
  end
  local first <const> = queue.first
  local item <const> = queue[first]
  queue[first] = nil
  queue.first = (first + 1) % queue.max
  queue.length = queue.length - 1
  return item
end

local function produce(queue, n)
  for i = 1, n do
    put(queue, i)
  end
end

local function consume(queue, n)
  for i = 1, n do
    assert(get(queue) == i)
  end
end

local function run(n)
  local queue <const> = { first = 0, length = 0, max = 1 }
  local producer <const> = coroutine.create(produce)
  local consumer <const> = coroutine.create(consume)
  while coroutine.status(consumer) ~= "dead" do
    if coroutine.status(producer) ~= "dead" then
      assert(coroutine.resume(producer, queue, n))
    end
    assert(coroutine.resume(consumer, queue, n))
  end
end

run(count // 10)
local began <const> = os.clock()
run(count)
print(("operations=%d\nseconds=%.6f"):format(count, os.clock() - began))
