-- `sleep`: COUNT tasks that sleep at once, task i for 1 + i % 10 ms. A round is
-- timed from the first spawn to the last awakening, as in sleep_timers.c; the
-- median of the rounds counts, the first one only warms up.
local context <const> = require "ahost.context"
local task <const> = require "ahost.task"
local time <const> = require "ahost.time"

local count <const> = tonumber((...) or 100000)
local rounds <const> = tonumber(select(2, ...) or 5)

local function round()
  local left, wall, cpu = count, nil, nil
  local began <const>, began_cpu <const> = time.now(), os.clock()
  local function sleeper(seconds)
    task.sleep(seconds)
    left = left - 1
    if left == 0 then
      wall, cpu = time.now() - began, os.clock() - began_cpu
    end
  end
  context.scope(function(ctx)
    for i = 0, count - 1 do
      ctx:spawn(sleeper, (1 + i % 10) / 1000)
    end
  end)
  return wall, cpu
end

local function median(values)
  table.sort(values)
  return values[#values // 2 + 1]
end

round()
local walls <const>, cpus <const> = {}, {}
for i = 1, rounds do
  walls[i], cpus[i] = round()
end
print(("operations=%d\nseconds=%.6f\ncpu=%.6f")
  :format(count, median(walls), median(cpus)))
