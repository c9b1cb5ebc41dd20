-- `publish`: bus:publish() of a message with one argument to SUBSCRIBERS functions,
-- each called in a task of its own; a function looks at the argument and counts. An
-- operation is one publish.
local bus <const> = require("ahost.bus").new()

local count <const> = tonumber((...) or 2000)
local subscribers <const> = tonumber(select(2, ...) or 1000)

local heard = 0

for _ = 1, subscribers do
  bus:subscribe("tick", function(_, number)
    if number > 0 then
      heard = heard + 1
    end
  end)
end

local function run(n)
  for i = 1, n do
    bus:publish("tick", i)
  end
end

run(count // 10)
heard = 0
local began <const> = os.clock()
run(count)
local seconds <const> = os.clock() - began
assert(heard == count * subscribers)
print(("operations=%d\nseconds=%.6f"):format(count, seconds))
