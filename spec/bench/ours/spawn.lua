-- `spawn`: a task spawned, run and joined per operation; joining gives the result.
local task <const> = require "ahost.task"

local count <const> = tonumber((...) or 1000000)

local function body(i)
  return i + 1
end

local function run(n)
  for i = 1, n do
    local result = task.spawn(body, i):join()
    assert(result == i + 1)
  end
end

run(count // 10)
local began <const> = os.clock()
run(count)
print(("operations=%d\nseconds=%.6f"):format(count, os.clock() - began))
