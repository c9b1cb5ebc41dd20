-- Keeps a room between two temperatures.
local Thermostat <const> = {
  options = {
    low = { type = "number", default = 19, doc = "below this the heater goes on" },
    high = { type = "number", default = 21, doc = "above this it goes off" },
  },
}

function Thermostat:start(ctx)
  local heater <const>, config <const> = ctx:require "gateway.heater", self.config
  local heating = false

  local function switch(on, reading)
    heating = on
    heater:switch(on)
    print(("%s: %.2f degrees, heater %s"):format(reading.sensor, reading.celsius,
      on and "on" or "off"))
  end

  ctx:require "bus":subscribe("sensor.reading", function(_, reading)
    if reading.celsius < config.low and not heating then
      switch(true, reading)
    elseif reading.celsius > config.high and heating then
      switch(false, reading)
    end
  end)
end

return Thermostat
