-- ahost.cron.fields: reads the six fields of a schedule into sets of numbers.

local fields <const> = {}

local MONTHS <const> = { jan = 1, feb = 2, mar = 3, apr = 4, may = 5, jun = 6, jul = 7,
  aug = 8, sep = 9, oct = 10, nov = 11, dec = 12 }
local WEEKDAYS <const> = { sun = 0, mon = 1, tue = 2, wed = 3, thu = 4, fri = 5, sat = 6 }

local FIELDS <const> = {
  { name = "second", low = 0, high = 59 },
  { name = "minute", low = 0, high = 59 },
  { name = "hour", low = 0, high = 23 },
  { name = "day", low = 1, high = 31, what = "day of the month" },
  { name = "month", low = 1, high = 12, names = MONTHS },
  { name = "weekday", low = 0, high = 7, names = WEEKDAYS, what = "day of the week" },
}

local MACROS <const> = {
  ["@hourly"] = "0 * * * *",
  ["@daily"] = "0 0 * * *",
  ["@midnight"] = "0 0 * * *",
  ["@weekly"] = "0 0 * * 0",
  ["@monthly"] = "0 0 1 * *",
  ["@yearly"] = "0 0 1 1 *",
  ["@annually"] = "0 0 1 1 *",
}

-- What is wrong, raised as a table so that nothing else is taken for it.
local function fail(field, text, ...)
  error({ problem = ("%s: %s"):format(field.what or field.name, text:format(...)) }, 0)
end

local function read_value(field, text)
  local value = field.names and field.names[text]
  if value then return value end
  if not text:find("^%d+$") then
    fail(field, "'%s' is no number%s", text, field.names and " and no name" or "")
  end
  value = tonumber(text)
  if value < field.low or value > field.high then
    fail(field, "%s is not from %d to %d", text, field.low, field.high)
  end
  return value
end

-- "*", "5", "1-5" or "5" before a step, which goes on to the end. -> low, high
local function read_range(field, text, has_step)
  if text == "*" then return field.low, field == FIELDS[6] and 6 or field.high end
  local first, last = text:match("^([^-]*)-([^-]*)$")
  local low = read_value(field, first or text)
  if not first then return low, has_step and field.high or low end
  local high = read_value(field, last)
  if high == 0 and field == FIELDS[6] then high = 7 end -- "fri-sun"
  if low > high then fail(field, "the range '%s' goes backwards", text) end
  return low, high
end

local function read_step(field, text, low, high)
  if not text:find("^%d+$") or tonumber(text) == 0 then
    fail(field, "the step '%s' is no number above 0", text)
  end
  local step = tonumber(text)
  if step > high - low then
    fail(field, "the step %s is longer than the range from %d to %d", text, low, high)
  end
  return step
end

local function add_range(field, text, set)
  local range, step = text:match("^(.-)/(.*)$")
  local low, high = read_range(field, range or text, step ~= nil)
  for value = low, high, step and read_step(field, step, low, high) or 1 do
    set[value] = true
  end
end

-- "mon#1" is the first Monday, "friL" the last Friday. -> whether it is one of them
local function add_nth_weekday(field, text, set)
  local day, nth = text:match("^(.-)#(.*)$")
  if not day then
    day = text:match("^(%w+)l$")
    if not day then return false end
    nth = "last"
  elseif not nth:find("^[1-5]$") then
    fail(field, "behind the '#' of '%s' a number from 1 to 5 is expected", text)
  end
  set.nth[nth .. read_value(field, day) % 7] = true
  return true
end

local function add_item(field, text, set)
  if text == "" then fail(field, "an item of the list is missing") end
  if field.name == "day" and text == "l" then
    set.last = true
  elseif field.name ~= "weekday" or not add_nth_weekday(field, text, set) then
    add_range(field, text, set)
  end
end

-- `star`: the field leaves it to others to restrict; a step does not change that.
local function read_field(field, text)
  local set <const> = { star = text:sub(1, 1) == "*", nth = {} }
  for item in (text .. ","):gmatch("([^,]*),") do add_item(field, item, set) end
  if field.name == "weekday" and set[7] then set[0] = true end
  return set
end

local function split(text)
  local words = {}
  for word in text:gmatch("%S+") do words[#words + 1] = word end
  if #words == 5 then table.insert(words, 1, "0") end
  return words
end

local function read(text)
  local words = split(MACROS[text:lower()] or text:lower())
  if text:find("^%s*@") and #words == 1 then
    error({ problem = "the names are @hourly @daily @weekly @monthly @yearly" }, 0)
  elseif #words ~= 6 then
    error({ problem = "5 fields are expected (minute hour day month weekday), or 6 with "
      .. "the second first" }, 0)
  end
  local sets = {}
  for i, field in ipairs(FIELDS) do sets[field.name] = read_field(field, words[i]) end
  return sets
end

--- Reads a schedule.
---@param text string
---@return table? sets      by the names of the fields
---@return string? problem
function fields.read(text)
  local ok, result = pcall(read, text)
  if ok then return result end
  if type(result) ~= "table" then error(result, 0) end
  return nil, result.problem
end

--- The numbers of a set in order.
---@param set table
---@return integer[]
function fields.sorted(set)
  local numbers = {}
  for number in pairs(set) do
    if math.type(number) == "integer" then numbers[#numbers + 1] = number end
  end
  table.sort(numbers)
  return numbers
end

return fields
