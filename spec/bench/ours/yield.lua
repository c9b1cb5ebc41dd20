-- `yield`: 100 tasks that yield to each other. An operation is one yield of one task.
local context <const> = require "ahost.context"
local task <const> = require "ahost.task"

local count <const> = tonumber((...) or 5000000)
local tasks <const> = 100

local function body(n)
  for _ = 1, n do
    task.yield()
  end
end

local function run(n)
  context.scope(function(ctx)
    for _ = 1, tasks do
      ctx:spawn(body, n)
    end
  end)
end

run(count // tasks // 10)
local began <const> = os.clock()
run(count // tasks)
print(("operations=%d\nseconds=%.6f"):format(count, os.clock() - began))
