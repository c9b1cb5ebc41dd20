-- `emit`: signal:emit() to LISTENERS connected functions, each called in a task
-- of its own. The host makes the event and fills in source, topic and time; a
-- listener reads one of them and counts. An operation is one emit.
local signal <const> = require "ahost.signal"

local count <const> = tonumber((...) or 1000000)
local listeners <const> = tonumber(select(2, ...) or 1)

local tick <const> = signal.new("tick", {})
local heard = 0

for _ = 1, listeners do
  tick:connect(function(event)
    if event.topic == "tick" then
      heard = heard + 1
    end
  end)
end

local function run(n)
  for _ = 1, n do
    tick:emit()
  end
end

run(count // 10)
heard = 0
local began <const> = os.clock()
run(count)
local seconds <const> = os.clock() - began
assert(heard == count * listeners)
print(("operations=%d\nseconds=%.6f"):format(count, seconds))
