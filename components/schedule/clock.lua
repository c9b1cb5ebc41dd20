-- The times of a schedule: every so often by the monotonic clock, or as a cron says by
-- the clock on the wall.

local cron <const> = require "ahost.cron"
local task <const> = require "ahost.task"
local time <const> = require "ahost.time"

local clock <const> = {}

-- The clock on the wall may be set while a schedule waits; it looks that often.
local LOOK <const> = 60
-- How far the clock may be put back before times that have been are run again.
local PUT_BACK <const> = 3 * 3600
-- Times that were missed are counted up to this.
local MOST_MISSED <const> = 1000

-- ---- every so often ------------------------------------------------------------------

local Interval <const> = {}
Interval.__index = Interval

-- Periods follow the start, not the runs: there is no drift.
function Interval:wait(delay, jitter)
  task.sleep(math.max(self.due + delay - time.now(), 0))
  local now <const> = time.now()
  local missed <const> = math.max(0, (now - self.due - jitter) // self.every)
  local due <const> = self.due + missed * self.every
  self.due = due + self.every
  return time.wall() - (now - due), math.tointeger(missed), now - due - delay
end

local function interval(every, immediately)
  return setmetatable({
    every = every,
    due = time.now() + (immediately and 0 or every),
    doc = ("every %.14g s"):format(every),
  }, Interval)
end

-- ---- times of the calendar -----------------------------------------------------------

local Calendar <const> = {}
Calendar.__index = Calendar

-- Waits until the clock on the wall has reached a time. -> what it shows
function Calendar:wait_until(delay)
  while true do
    local now <const> = time.wall()
    if now < self.seen - PUT_BACK then self.due = self.cron:next(now) end
    self.seen = now
    if now >= self.due + delay then return now end
    task.sleep(math.min(self.due + delay - now, LOOK))
  end
end

function Calendar:wait(delay, jitter)
  local now <const> = self:wait_until(delay)
  local due, missed = self.due, 0
  local following = self.cron:next(due)
  while following + jitter <= now and missed < MOST_MISSED do
    due, missed, following = following, missed + 1, self.cron:next(following)
  end
  if following + jitter <= now then following = self.cron:next(now) end
  self.due = following
  return due, missed, now - due - delay
end

local function calendar(schedule, immediately)
  local now <const> = time.wall()
  return setmetatable({
    cron = schedule,
    seen = now,
    due = immediately and now or schedule:next(now),
    doc = "at " .. tostring(schedule),
  }, Calendar)
end

-- ---- either --------------------------------------------------------------------------

--- What is wrong with the options of the times.
---@param config table
---@return string? problem
function clock.problem(config)
  if (config.every ~= nil) ~= (config.cron ~= nil) then return nil end
  return "either 'every' or 'cron' is needed" .. (config.every and ", not both" or "")
end

--- The times that options say. `wait(delay, jitter)` waits for the next one and `delay`,
--- which is `jitter` at most, and returns when it was due by the clock on the wall, how
--- many before it were missed, and by how much it is late.
---@param config table
---@return table times
function clock.new(config)
  if config.every then return interval(config.every, config.immediately ~= false) end
  return calendar(assert(cron.parse(config.cron)), config.immediately)
end

return clock
