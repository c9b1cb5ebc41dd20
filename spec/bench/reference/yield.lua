-- The reference for `yield`: 100 coroutines in a table, resumed in turn by a loop
-- until each has yielded its share. An operation is one yield of one coroutine.
local count <const> = tonumber((...) or 5000000)
local tasks <const> = 100

local function body(n)
  for _ = 1, n do
    coroutine.yield()
  end
end

local function run(n)
  local ready, left = {}, tasks
  for i = 1, tasks do
    ready[i] = coroutine.create(body)
  end
  while left > 0 do
    for i = 1, tasks do
      local co = ready[i]
      assert(coroutine.resume(co, n))
      if coroutine.status(co) == "dead" then
        left = left - 1
      end
    end
  end
end

run(count // tasks // 10)
local began <const> = os.clock()
run(count // tasks)
print(("operations=%d\nseconds=%.6f"):format(count, os.clock() - began))
