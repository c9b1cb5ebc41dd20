-- The messages app.tick, app.tick/10 and so on: every tick_period seconds, and every so
-- many of those. They keep their period whatever their subscribers do.

local time <const> = require "ahost.time"

local ticks <const> = {}

local EVERY <const> = { 10, 60, 300, 600, 1800, 3600, 43200, 86400 }

--- Starts to publish ticks, the first one period from now, until the current context
--- ends.
---@param bus ahost.Bus
---@param period number    seconds
function ticks.start(bus, period)
  local count = 0
  local timer
  timer = time.timer(function()
    count = count + 1
    bus:publish("app.tick")
    for _, n in ipairs(EVERY) do
      if count % n == 0 then bus:publish("app.tick/" .. n) end
    end
  end, { autorestart = true })
  timer:start(period)
  return timer
end

return ticks
