-- ahost.cron: schedules as crontabs write them.
--
-- Clocks that are put forward or back are handled as by Vixie's cron. A schedule whose
-- minute and hour are both fixed runs once a day: times that are skipped are made up for
-- right after the gap, times that come twice count the first time. One with a `*` for
-- the minute or the hour follows the time that really passes.

local civil <const> = require "ahost.cron.civil"
local errors <const> = require "ahost.error"
local fields <const> = require "ahost.cron.fields"

local DAY <const> = civil.DAY
-- The 29th of February is a certain weekday at least once in so many years.
local HORIZON <const> = 41
-- Times that os.date can tell: a few thousand years around now.
local LIMIT <const> = 1e11
local LONGEST <const> = 1000 -- bytes of a schedule

local cron <const> = {}

---@class ahost.cron.Schedule
local Schedule <const> = { __name = "ahost.cron" }
Schedule.__index = Schedule

function Schedule:__tostring() return self.text end

-- Whether the day of the week is right: any such day, or the nth of its month.
local function weekday_matches(set, number, day, length)
  local weekday = civil.weekday(number)
  return set[weekday] or set.nth[(day - 1) // 7 + 1 .. "" .. weekday]
    or day > length - 7 and set.nth["last" .. weekday] or false
end

-- Either of day and weekday is enough when both are restricted.
local function day_matches(sets, number, year, month, day)
  local length = civil.month_length(year, month)
  local by_day = sets.day[day] or sets.day.last and day == length or false
  local by_weekday = weekday_matches(sets.weekday, number, day, length)
  if sets.day.star or sets.weekday.star then return by_day and by_weekday end
  return by_day or by_weekday
end

local function is_day(sets, number)
  local year, month, day = civil.date(number)
  return sets.month[month] and day_matches(sets, number, year, month, day)
end

-- The first day that matches, from `number` on, within some years.
local function next_day(sets, number, years)
  local last = number + years * 366
  local year, month, day = civil.date(number)
  while number < last do
    local length = civil.month_length(year, month)
    for this = day, sets.month[month] and length or 0 do
      local candidate = number + this - day
      if day_matches(sets, candidate, year, month, this) then return candidate end
    end
    number, day = number + length - day + 1, 1
    year, month = month == 12 and year + 1 or year, month % 12 + 1
  end
end

-- The first of the times of a day from `from` on. -> seconds, or nil
local function next_time(self, from)
  for _, hour in ipairs(self.hours) do
    for _, minute in ipairs(hour * 3600 + 3599 >= from and self.minutes or {}) do
      local start = hour * 3600 + minute * 60
      for _, second in ipairs(start + 59 >= from and self.seconds or {}) do
        if start + second >= from then return start + second end
      end
    end
  end
end

-- The first time from `seconds` on, as clocks on the wall count.
local function next_match(self, seconds)
  local number <const> = seconds // DAY
  if is_day(self.sets, number) then
    local time = next_time(self, seconds % DAY)
    if time then return number * DAY + time end
  end
  return next_day(self.sets, number + 1, HORIZON) * DAY + next_time(self, 0)
end

-- The moment at which clocks first show a time; if they skip it, the end of the gap.
local function moment_of(seconds)
  local low <const>, high <const> = seconds - DAY, seconds + DAY
  local before <const>, after <const> = civil.offset(low), civil.offset(high)
  local first = seconds - math.max(before, after)
  if civil.local_time(first) == seconds then return first end
  local second = seconds - math.min(before, after)
  if civil.local_time(second) == seconds then return second end
  return civil.transition(low, high)
end

-- The next time of a schedule that runs once a day for each of its times.
local function next_fixed(self, after)
  local seconds = civil.local_time(after)
  while true do
    seconds = next_match(self, seconds + 1)
    local moment = moment_of(seconds)
    if moment > after then return moment end
  end
end

-- The next time of a schedule that follows the time that passes. It is looked for
-- between one change of the clocks and the next.
local function next_passing(self, after)
  local now = after + 1
  while true do
    local seconds <const> = civil.local_time(now)
    local match = now + next_match(self, seconds) - seconds
    local near <const> = math.min(match, now + DAY)
    if civil.offset(near) ~= civil.offset(now) then
      now = civil.transition(now, near)
    elseif near == match then
      return match
    else
      now = math.max(near, match - 2 * DAY)
    end
  end
end

--- The first time of the schedule after a moment.
---@param after number    seconds since 1970-01-01T00:00:00Z
---@param zone? "local"|"utc"    whose clocks count ("local": those that TZ says)
---@return integer epoch
function Schedule:next(after, zone)
  if type(after) ~= "number" or not (after > -LIMIT and after < LIMIT) then
    error("seconds since 1970 expected, got " .. tostring(after), 2)
  end
  after = math.floor(after)
  if zone == "utc" then return next_match(self, after + 1) end
  if zone ~= nil and zone ~= "local" then
    error("zone must be 'local' or 'utc', not " .. tostring(zone), 2)
  end
  local passing = self.sets.minute.star or self.sets.hour.star
  return (passing and next_passing or next_fixed)(self, after)
end

--- Reads a schedule: minute, hour, day of the month, month, day of the week; a sixth
--- field before them is the second. A field is `*`, a number, a range `1-5`, each with a
--- step `/2`, or a list of them; months and weekdays have names (`jan`, `mon`). `L` is
--- the last day of a month, `mon#1` the first Monday of a month, `friL` the last Friday.
--- When the day and the weekday are both restricted, either is enough. Also `@hourly
--- @daily @weekly @monthly @yearly`.
---@param text string
---@return ahost.cron.Schedule?
---@return ahost.Error? err    code EINVAL; also for what never happens, as on Feb 30
function cron.parse(text)
  if type(text) ~= "string" then
    error("cron.parse: a string expected, got " .. type(text), 2)
  end
  if #text > LONGEST then
    return nil, errors.new("EINVAL", "it is too long", { op = "cron" })
  end
  local sets, problem = fields.read(text)
  if sets and not next_day(sets, civil.day_number(2000, 1, 1), 28) then
    problem = "there is no such day"
  end
  if problem then
    return nil, errors.new("EINVAL", problem, { op = ("cron '%s'"):format(text) })
  end
  return setmetatable({
    text = text,
    sets = sets,
    seconds = fields.sorted(sets.second),
    minutes = fields.sorted(sets.minute),
    hours = fields.sorted(sets.hour),
  }, Schedule)
end

return cron
