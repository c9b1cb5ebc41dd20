-- The reference for `publish`: a loop that calls each function with the message and
-- its argument; a function looks at the argument and counts. An operation is one
-- such loop.
local count <const> = tonumber((...) or 2000)
local subscribers <const> = tonumber(select(2, ...) or 1000)

local list <const> = {}
local heard = 0

for i = 1, subscribers do
  list[i] = function(_, number)
    if number > 0 then
      heard = heard + 1
    end
  end
end

local function publish(message, number)
  for i = 1, #list do
    list[i](message, number)
  end
end

local function run(n)
  for i = 1, n do
    publish("tick", i)
  end
end

run(count // 10)
heard = 0
local began <const> = os.clock()
run(count)
local seconds <const> = os.clock() - began
assert(heard == count * subscribers)
print(("operations=%d\nseconds=%.6f"):format(count, seconds))
