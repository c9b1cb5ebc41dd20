-- ahost.cron.civil: days and times of the calendar as numbers: days since 1970-01-01,
-- and seconds since its midnight as a clock on the wall counts them.

local civil <const> = { DAY = 86400 }

local LENGTHS <const> = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

---@param year integer
---@param month integer
---@return integer days
function civil.month_length(year, month)
  local leap = month == 2 and year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
  return leap and 29 or LENGTHS[month]
end

--- The number of a day. Years are counted from March, so that leap days end them.
---@param year integer
---@param month integer
---@param day integer
---@return integer
function civil.day_number(year, month, day)
  local y = month <= 2 and year - 1 or year
  local in_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
  return 365 * y + y // 4 - y // 100 + y // 400 + in_year - 719468
end

--- The date of a day.
---@param number integer
---@return integer year
---@return integer month
---@return integer day
function civil.date(number)
  local days = number + 719468
  local era = days // 146097
  local of_era = days % 146097
  local year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
  local in_year = of_era - (365 * year + year // 4 - year // 100)
  local shifted = (5 * in_year + 2) // 153
  local month = (shifted + 2) % 12 + 1
  return year + 400 * era + (month <= 2 and 1 or 0), month,
    in_year - (153 * shifted + 2) // 5 + 1
end

---@param number integer
---@return integer weekday  0 is Sunday
function civil.weekday(number) return (number + 4) % 7 end

--- What clocks on the wall show.
---@param epoch integer
---@return integer seconds
function civil.local_time(epoch)
  local now = os.date("*t", epoch)
  return civil.day_number(now.year, now.month, now.day) * civil.DAY
    + now.hour * 3600 + now.min * 60 + now.sec
end

---@param epoch integer
---@return integer seconds  that local time is ahead of UTC
function civil.offset(epoch) return civil.local_time(epoch) - epoch end

--- The first moment in (low, high] at which clocks have been put forward or back; the
--- offset at `high` must differ from that at `low`.
---@param low integer
---@param high integer
---@return integer epoch
function civil.transition(low, high)
  local before <const> = civil.offset(low)
  while high - low > 1 do
    local middle = (low + high) // 2
    if civil.offset(middle) == before then low = middle else high = middle end
  end
  return high
end

return civil
