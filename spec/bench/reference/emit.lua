-- The reference for `emit`: a loop that calls each listener with the event. On
-- both sides every emit makes a fresh event with the fields source, topic and
-- time, and a listener reads one of them and counts. An operation is one emit.
local count <const> = tonumber((...) or 1000000)
local listeners <const> = tonumber(select(2, ...) or 1)

local source <const> = {}
local list <const> = {}
local heard = 0

for i = 1, listeners do
  list[i] = function(event)
    if event.topic == "tick" then
      heard = heard + 1
    end
  end
end

local function emit(topic)
  local event <const> = { source = source, topic = topic, time = os.time() }
  for i = 1, #list do
    list[i](event)
  end
end

local function run(n)
  for _ = 1, n do
    emit("tick")
  end
end

run(count // 10)
heard = 0
local began <const> = os.clock()
run(count)
local seconds <const> = os.clock() - began
assert(heard == count * listeners)
print(("operations=%d\nseconds=%.6f"):format(count, seconds))
