-- ahost.options.quantity: durations and sizes as people write them.

local quantity <const> = {}

-- Units of time in seconds, longest first; a division is exact where 0.001 is not.
local TIMES <const> = {
  { "w", 604800, 1 }, { "d", 86400, 1 }, { "h", 3600, 1 },
  { "m", 60, 1 }, { "s", 1, 1 }, { "ms", 1, 1000 },
}

local LONGEST <const> = 100 -- bytes; more is none of either

local POWERS <const> = { k = 1, m = 2, g = 3, t = 4, p = 5 }

local function parse_number(text)
  return text:find("^%d+%.?%d*$") and tonumber(text)
end

-- Seconds of one number and its unit, and the place of the unit among them.
local function parse_time(digits, unit)
  for i, time in ipairs(TIMES) do
    if time[1] == unit then
      local number = parse_number(digits)
      return number and number * time[2] / time[3], i
    end
  end
end

-- 5.0 becomes 5.
local function simplify(number) return math.tointeger(number) or number end

--- Reads a duration: seconds, or numbers with units in falling order, as `1h30m`.
---@param text string
---@return number? seconds
function quantity.duration(text)
  if #text > LONGEST then return end
  local plain = parse_number(text)
  if plain then return simplify(plain) end
  local seconds, last, position = 0, 0, 1
  for digits, unit, after in text:gmatch("([%d.]+)(%a+)()") do
    local value, rank = parse_time(digits, unit)
    if not value or rank <= last or position + #digits + #unit ~= after then return end
    seconds, last, position = seconds + value, rank, after
  end
  if last == 0 or position <= #text then return end
  return simplify(seconds)
end

-- Bytes of a unit: "" and "B" are 1, "K" and "KiB" 1024, "KB" 1000.
local function unit_bytes(unit)
  if unit == "" or unit == "b" then return 1 end
  local power, suffix = POWERS[unit:sub(1, 1)], unit:sub(2)
  if not power then return end
  if suffix == "" or suffix == "ib" then return 1 << (10 * power) end
  if suffix == "b" then return math.tointeger(10 ^ (3 * power)) end
end

--- Reads a size: bytes, or a number with a unit.
---@param text string
---@return integer? bytes
function quantity.size(text)
  if #text > LONGEST then return end
  local digits, unit = text:match("^(%d+%.?%d*) ?(%a*)$")
  local bytes = unit and unit_bytes(unit:lower())
  if not bytes then return end
  local number = tonumber(digits)
  local whole = math.tointeger(number)
  if whole then return whole <= math.maxinteger // bytes and whole * bytes or nil end
  return math.tointeger(number * bytes)
end

return quantity
