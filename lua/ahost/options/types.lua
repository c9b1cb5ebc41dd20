-- ahost.options.types: the types of single values: how each is read, and what it is
-- called in messages.
--
-- A type has `noun`, `parse(value, spec) -> value | nil, reason` and, where `min` and
-- `max` make sense, `measure(value) -> number`, which they limit. `unit` is what is
-- counted where that is not the value itself.

local core <const> = require "ahost.net.core"
local json <const> = require "ahost.json"
local quantity <const> = require "ahost.options.quantity"
local url <const> = require "ahost.options.url"

local types <const> = {}

local LONGEST_SHOWN <const> = 60 -- bytes of a value in a message

local BOOLEANS <const> = {
  ["true"] = true, yes = true, on = true, ["1"] = true,
  ["false"] = false, no = false, off = false, ["0"] = false,
}

local function is_finite(number)
  return number == number and number ~= math.huge and number ~= -math.huge
end

local function identity(value) return value end

-- Characters, or bytes where it is no UTF-8.
local function length(text) return utf8.len(text) or #text end

types.string = { noun = "a string", measure = length, unit = "character" }

function types.string.parse(value)
  if type(value) == "string" then return value end
  if type(value) ~= "table" then return nil, "write it in quotes" end
end

types.integer = { noun = "an integer", measure = identity }

function types.integer.parse(value)
  if type(value) == "string" then
    return value:find("^[+-]?%d+$") and math.tointeger(tonumber(value)) or nil
  end
  return type(value) == "number" and math.tointeger(value) or nil
end

types.number = { noun = "a number", measure = identity }

function types.number.parse(value)
  if type(value) == "string" then
    value = value:find("^[%d.+-][%d.eE+-]*$") and tonumber(value)
  end
  return type(value) == "number" and is_finite(value) and value or nil
end

types.boolean = { noun = "true or false" }

function types.boolean.parse(value)
  if type(value) == "string" then return BOOLEANS[value:lower()] end
  if type(value) == "boolean" then return value end
end

types.duration = {
  noun = "a duration (seconds, or as 10ms 5s 2m 1h30m 3d 1w)",
  measure = identity,
}

function types.duration.parse(value)
  if type(value) == "string" then value = quantity.duration(value) end
  return type(value) == "number" and is_finite(value) and value >= 0 and value or nil
end

types.size = { noun = "a size (bytes, or as 64K 10MB 1G)", measure = identity }

function types.size.parse(value)
  if type(value) == "string" then return quantity.size(value) end
  local bytes = type(value) == "number" and math.tointeger(value)
  return bytes and bytes >= 0 and bytes or nil
end

types.address = { noun = "an address" }

-- A copy without nulls, which count as left out.
local function copy_address(value)
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, part in pairs(value) do
    if part ~= json.null then copy[key] = part end
  end
  return copy
end

function types.address.parse(value)
  local address = copy_address(value)
  local ok, problem = core.check_address(address)
  if ok then return address end
  return nil, problem
end

types.url = { noun = "a URL" }

function types.url.parse(value)
  if type(value) ~= "string" then return end
  local ok, problem = url.check(value)
  if ok then return value end
  return nil, problem
end

types.enum = {}

-- One of the values, or the text of one.
function types.enum.parse(value, spec)
  for _, candidate in ipairs(spec.values) do
    if candidate == value then return candidate end
  end
  for _, candidate in ipairs(spec.values) do
    if type(value) == "string" and tostring(candidate) == value then return candidate end
  end
end

types.list = { noun = "a list", unit = "item" }
types.map = { noun = "a map", unit = "key" }
types.any = {}

--- A text of at most so many bytes, which tells when something was left out.
---@param text string
---@param limit integer
---@return string
function types.cut(text, limit)
  if #text <= limit then return text end
  local last = utf8.len(text) and utf8.offset(text, 0, limit - 2) or limit - 2
  return text:sub(1, last - 1) .. "..."
end

--- How a value is written in a message.
---@param value any
---@param spec table
---@return string
function types.show(value, spec)
  if value == json.null then return "null" end
  if type(value) == "table" then
    return types.is_list(value) and ("a list of %d"):format(rawlen(value)) or "a map"
  end
  if type(value) == "number" or type(value) == "boolean" then return tostring(value) end
  if type(value) ~= "string" then return "a " .. type(value) end
  if spec.type == "url" then value = url.mask(value) end
  value = types.cut(value, LONGEST_SHOWN)
  return '"' .. value:gsub("%c", function(c) return ("\\%d"):format(c:byte()) end) .. '"'
end

-- The metatable of arrays, which tells an empty list from an empty map.
local array <const> = getmetatable(json.array())

--- Whether a table was written as a list: marked as one, or with items.
---@param value table
---@return boolean
function types.is_list(value)
  return getmetatable(value) == array or rawlen(value) > 0
end

--- The number that `min` or `max` says.
---@param spec table
---@param name "min"|"max"
---@return number?
function types.bound(spec, name)
  local bound = spec[name]
  if type(bound) == "string" then return types[spec.type].parse(bound) end
  return bound
end

-- "1 character", "8 characters"
local function count(number, unit)
  if not unit then return tostring(number) end
  return ("%s %s%s"):format(number, unit, number == 1 and "" or "s")
end

--- The limits of a value in words: "from 1 to 65535", "of at least 8 characters".
---@param spec table
---@return string?  nil where there are none
function types.range(spec)
  local unit, low, high = types[spec.type].unit, spec.min, spec.max
  local of = unit and "of " or ""
  if low and high then
    return (unit and "of %s to %s" or "from %s to %s"):format(low, count(high, unit))
  end
  if low then return of .. "at least " .. count(low, unit) end
  if high then return of .. "at most " .. count(high, unit) end
end

-- The values of an enum: "a, b or c"
local function alternatives(values)
  local texts = {}
  for i, value in ipairs(values) do texts[i] = tostring(value) end
  local last = table.remove(texts)
  return #texts > 0 and table.concat(texts, ", ") .. " or " .. last or last
end

--- What a value has to be, in words: "an integer from 1 to 65535".
---@param spec table
---@return string
function types.expected(spec)
  if spec.type == "enum" then return alternatives(spec.values) end
  local range = types.range(spec)
  local noun = types[spec.type].noun
  if not range then return noun end
  local plain, form = noun:match("^(.-) (%(.*)$")
  return form and ("%s %s %s"):format(plain, range, form) or noun .. " " .. range
end

return types
