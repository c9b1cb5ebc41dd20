local cron <const> = require "ahost.cron"
local errors <const> = require "ahost.error"
local subprocess <const> = require "spec.subprocess"

-- A moment in UTC, whatever the zone of this process.
local function utc(year, month, day, hour, minute, second)
  local noon = os.time { year = year, month = month, day = day, hour = 12 }
  local first = os.time { year = 1970, month = 1, day = 1, hour = 12 }
  local days = (noon - first + 43200) // 86400
  return days * 86400 + (hour or 0) * 3600 + (minute or 0) * 60 + (second or 0)
end

-- The times of a schedule from a moment on, as UTC.
local function times(text, after, count)
  local schedule <const>, list = assert(cron.parse(text)), {}
  for i = 1, count do
    after = schedule:next(after, "utc")
    list[i] = os.date("!%F %T", after)
  end
  return list
end

-- The same in another time zone, with its clocks: a process has one zone only.
local function local_times(zone, text, after, count)
  local result = subprocess.shell("TZ=" .. zone .. " " .. subprocess.script(([[
    local schedule = assert(require("ahost.cron").parse("%s"))
    local after = %d
    for _ = 1, %d do
      after = schedule:next(after)
      print(os.date("%%F %%T %%Z", after))
    end]]):format(text, after, count)))
  assert.equal(0, result.status, result.err)
  local list = {}
  for line in result.out:gmatch("[^\n]+") do list[#list + 1] = line end
  return list
end

describe("ahost.cron", function()
  it("finds the next time after a moment", function()
    local noon <const> = utc(2026, 1, 1, 12)
    assert.same({ "2026-01-01 12:05:00", "2026-01-01 12:10:00" },
      times("*/5 * * * *", noon, 2))
    assert.same({ "2026-01-02 03:30:00", "2026-01-03 03:30:00" },
      times("30 3 * * *", noon, 2))
    assert.same({ "2026-01-01 12:00:10", "2026-01-01 12:00:40", "2026-01-01 12:01:10" },
      times("10,40 * * * * *", noon, 3))
    assert.same({ "2026-01-01 12:00:01" }, times("* * * * * *", noon, 1))
    assert.same({ "2026-01-01 12:01:00" }, times("* * * * *", noon + 0.5, 1))
    assert.same({ "1969-12-31 23:59:00", "1970-01-01 00:00:00" },
      times("* * * * *", -61, 2))
  end)

  it("reads ranges, steps, lists and names", function()
    local start <const> = utc(2026, 1, 1)
    assert.same({ "2026-01-01 08:00:00", "2026-01-01 12:00:00", "2026-01-02 08:00:00" },
      times("0 8-15/4 * * *", start, 3))
    assert.same({ "2026-01-01 20:00:00", "2026-01-01 22:00:00", "2026-01-02 20:00:00" },
      times("0 20/2 * * *", start, 3))
    assert.same({ "2026-02-02 00:00:00", "2026-02-09 00:00:00" },
      times("0 0 * FEB Mon", start, 2))
    assert.same({ "2026-01-02", "2026-01-03", "2026-01-04", "2026-01-09" },
      (function()
        local list = times("0 0 * * fri-sun", start, 4)
        for i, text in ipairs(list) do list[i] = text:sub(1, 10) end
        return list
      end)())
    assert.same(times("0 0 * * 0", start, 3), times("0 0 * * 7", start, 3))
    assert.same(times("0 0 * * sat,sun", start, 9), times("0 0 * * 6-7", start, 9))
  end)

  it("knows last days and nth weekdays", function()
    local start <const> = utc(2026, 1, 15)
    assert.same({ "2026-01-31 00:00:00", "2026-02-28 00:00:00", "2026-03-31 00:00:00" },
      times("0 0 L * *", start, 3))
    assert.same({ "2028-02-29 00:00:00" }, times("0 0 L 2 *", utc(2027, 3, 1), 1))
    assert.same({ "2026-02-02 00:00:00", "2026-03-02 00:00:00" },
      times("0 0 * * mon#1", start, 2))
    assert.same({ "2026-01-30 00:00:00", "2026-02-27 00:00:00" },
      times("0 0 * * friL", start, 2))
    assert.same({ "2026-03-30 00:00:00" }, times("0 0 * * 1#5", start, 1))
    assert.same({ "2032-02-29 00:00:00" }, times("0 0 * feb sun#5", start, 1))
  end)

  it("takes either of day and weekday when both are restricted", function()
    assert.same({ "2026-01-05 00:00:00", "2026-01-12 00:00:00", "2026-01-13 00:00:00" },
      times("0 0 13 * mon", utc(2026, 1, 1), 3))
    assert.same({ "2026-02-13 00:00:00", "2026-03-13 00:00:00" },
      times("0 0 13 * *", utc(2026, 1, 14), 2))
    assert.same({ "2026-01-05 00:00:00", "2026-01-19 00:00:00" },
      times("0 0 */2 * mon", utc(2026, 1, 1), 2))
  end)

  it("knows the usual schedules by name", function()
    local start <const> = utc(2026, 1, 1, 0, 30)
    local first <const> = {}
    for _, name in ipairs { "hourly", "daily", "weekly", "monthly", "yearly" } do
      first[#first + 1] = times("@" .. name, start, 1)[1]:sub(1, 13)
    end
    assert.same({ "2026-01-01 01", "2026-01-02 00", "2026-01-04 00", "2026-02-01 00",
      "2027-01-01 00" }, first)
  end)

  it("finds leap days far away", function()
    assert.same({ "2104-02-29 00:00:00" }, times("0 0 29 2 *", utc(2096, 3, 1), 1))
  end)

  it("agrees with counting minutes", function()
    for _, text in ipairs { "7 */3 1-7 * *", "*/25 5,17 * 2-4 wed", "59 23 L * tue#2" } do
      local schedule, at = assert(cron.parse(text)), utc(2027, 12, 20)
      for _ = 1, 5 do
        local expected, set = at, schedule.sets
        repeat
          expected = expected + 60
          local t = os.date("!*t", expected)
          local length = os.date("!*t", utc(t.year, t.month, 28) + 4 * 86400)
          length = 32 - length.day
          local nth = set.weekday.nth[(t.day - 1) // 7 + 1 .. "" .. t.wday - 1]
          local day = set.day[t.day] or set.day.last and t.day == length
          local weekday = set.weekday[t.wday - 1] or nth
          local both = set.day.star or set.weekday.star
        until set.minute[t.min] and set.hour[t.hour] and set.month[t.month]
          and (both and day and weekday or not both and (day or weekday))
        at = schedule:next(at, "utc")
        assert.equal(expected, at, text)
      end
    end
  end)

  it("refuses what it cannot read, naming the field", function()
    local cases <const> = {
      [""] = "5 fields are expected (minute hour day month weekday), or 6 with "
        .. "the second first",
      ["* * * *"] = "5 fields are expected (minute hour day month weekday), or 6 with "
        .. "the second first",
      ["61 * * * *"] = "minute: 61 is not from 0 to 59",
      ["* 24 * * *"] = "hour: 24 is not from 0 to 23",
      ["* * 0 * *"] = "day of the month: 0 is not from 1 to 31",
      ["* * * foo *"] = "month: 'foo' is no number and no name",
      ["* * * * 8"] = "day of the week: 8 is not from 0 to 7",
      ["5-1 * * * *"] = "minute: the range '5-1' goes backwards",
      ["*/0 * * * *"] = "minute: the step '0' is no number above 0",
      ["*/x * * * *"] = "minute: the step 'x' is no number above 0",
      ["*/90 * * * *"] = "minute: the step 90 is longer than the range from 0 to 59",
      ["1,,2 * * * *"] = "minute: an item of the list is missing",
      ["-1 * * * *"] = "minute: '' is no number",
      ["1-2-3 * * * *"] = "minute: '1-2-3' is no number",
      ["1.5 * * * *"] = "minute: '1.5' is no number",
      ["9999999999999999999 * * * *"] =
        "minute: 9999999999999999999 is not from 0 to 59",
      ["* * * * mon#6"] =
        "day of the week: behind the '#' of 'mon#6' a number from 1 to 5 is expected",
      ["0 0 30 2 *"] = "there is no such day",
      ["0 0 31 4,6 *"] = "there is no such day",
      ["@often"] = "the names are @hourly @daily @weekly @monthly @yearly",
    }
    for text, problem in pairs(cases) do
      local schedule, err = cron.parse(text)
      assert.is_nil(schedule)
      assert.is_true(errors.is(err, "EINVAL"))
      assert.equal(problem, err.message)
      assert.equal(("cron '%s': %s (EINVAL)"):format(text, problem), tostring(err))
    end
    local _, err = cron.parse(("1,"):rep(1e6) .. "1 * * * *")
    assert.equal("cron: it is too long (EINVAL)", tostring(err))
    assert.has_error(function() cron.parse(5) end)
  end)

  it("raises for times that are none", function()
    local schedule <const> = assert(cron.parse("@daily"))
    for _, after in ipairs { 0 / 0, math.huge, -math.huge, "1", 1e300 } do
      assert.has_error(function() schedule:next(after) end)
    end
    assert.has_error(function() schedule:next(0, "Mars") end)
  end)

  describe("when clocks are put forward", function()
    local before <const> = utc(2026, 3, 28, 12)

    it("makes up for fixed times once, right after the gap", function()
      assert.same({ "2026-03-29 03:00:00 CEST", "2026-03-30 02:15:00 CEST" },
        local_times("Europe/Prague", "15,45 2 * * *", before, 2))
      assert.same({ "2026-03-29 03:00:00 CEST", "2026-03-30 02:00:00 CEST" },
        local_times("Europe/Prague", "0 2,3 * * *", before, 2))
    end)

    it("lets others follow the time that passes", function()
      assert.same({ "2026-03-29 01:40:00 CET", "2026-03-29 03:00:00 CEST" },
        local_times("Europe/Prague", "*/20 * * * *", utc(2026, 3, 29, 0, 20), 2))
      assert.same({ "2026-03-29 01:30:00 CET", "2026-03-29 03:30:00 CEST" },
        local_times("Europe/Prague", "30 * * * *", utc(2026, 3, 29), 2))
      assert.same({ "2026-03-30 02:00:00 CEST" },
        local_times("Europe/Prague", "* 2 * * *", utc(2026, 3, 29), 1))
    end)
  end)

  describe("when clocks are put back", function()
    it("runs fixed times once, the first time", function()
      assert.same({ "2026-10-25 02:30:00 CEST", "2026-10-26 02:30:00 CET" },
        local_times("Europe/Prague", "30 2 * * *", utc(2026, 10, 24, 12), 2))
      assert.same({ "2026-10-26 02:30:00 CET" },
        local_times("Europe/Prague", "30 2 * * *", utc(2026, 10, 25, 1, 10), 1))
      assert.same({ "2026-10-25 02:59:59 CEST", "2026-10-26 02:59:00 CET" },
        local_times("Europe/Prague", "* 59 2 * * *", utc(2026, 10, 25, 0, 59, 58), 2))
    end)

    it("lets others follow the time that passes", function()
      assert.same({ "2026-10-25 02:30:00 CEST", "2026-10-25 02:00:00 CET",
        "2026-10-25 02:30:00 CET", "2026-10-25 03:00:00 CET" },
        local_times("Europe/Prague", "*/30 * * * *", utc(2026, 10, 25, 0, 10), 4))
    end)
  end)

  it("knows zones with odd changes of their clocks", function()
    assert.same({ "2026-10-04 02:30:00 +11", "2026-10-05 02:10:00 +11" },
      local_times("Australia/Lord_Howe", "10 2 * * *", utc(2026, 10, 3, 0), 2))
    assert.same({ "2011-12-29 12:00:00 -10", "2011-12-31 00:00:00 +14" },
      local_times("Pacific/Apia", "0 12 29,30 12 *", utc(2011, 12, 29, 0), 2))
  end)
end)
