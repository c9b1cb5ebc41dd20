-- Beats time until it has been silent for too long.
--
--     ahost examples/timer/timer.lua
local sync <const> = require "ahost.sync"
local time <const> = require "ahost.time"

local Metronome <const> = {
  options = {
    period = { type = "duration", default = "100ms", doc = "between two beats" },
    beats = { type = "integer", min = 1, default = 3, doc = "and no more of them" },
    patience = { type = "duration", default = "300ms", doc = "how long to stay silent" },
  },
}

function Metronome:beat()
  self.count = self.count + 1
  print("beat " .. self.count)
  io.stdout:flush()
  self.silence:restart(self.config.patience)
  if self.count == self.config.beats then self.ticking:stop() end
end

function Metronome:start()
  self.count = 0
  self.over = sync.event()
  self.silence = time.timer(function() self.over:set() end)
  self.ticking = time.timer(function() self:beat() end, { autorestart = true })
  self.ticking:start(self.config.period)
end

function Metronome:run()
  self.over:wait()
  print "silence"
end

return Metronome
