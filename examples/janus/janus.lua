-- Readings come from a thread that blocks, orders go to it: a channel each way.
--
--     ahost examples/janus/janus.lua
local context <const> = require "ahost.context"
local thread <const> = require "ahost.thread"

local function sensor(orders, readings)
  local value = 0
  while true do
    local order <const>, err = orders:get(0.01)
    if not order and not err then break end
    if order then value = order.from end
    readings:put { value = value, ordered = order ~= nil }
    value = value + 1
  end
  readings:close()
  return "the sensor is off"
end

context.scope(function(ctx)
  local orders <const>, readings <const> = thread.channel(1), thread.channel(2)
  local running <const> = ctx:spawn("sensor", thread.call, sensor, orders, readings)
  ctx:spawn("operator", function()
    assert(orders:put { from = 100 })
    orders:close()
  end)
  for reading in readings:items() do
    if reading.ordered then print("from now on: " .. reading.value) end
  end
  print(assert(running:join()))
end)
