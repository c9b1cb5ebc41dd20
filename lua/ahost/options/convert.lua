-- ahost.options.convert: reads values by the specification of an option. Nothing stops
-- at the first problem: all are collected.

local json <const> = require "ahost.json"
local spelling <const> = require "ahost.spelling"
local types <const> = require "ahost.options.types"

-- One reading of a configuration: where it was written, and what is wrong with it.
local Reading <const> = {}
Reading.__index = Reading

local function is_given(value) return value ~= nil and value ~= json.null end

-- Sorts numbers before strings before the rest.
local function order_keys(a, b)
  local kind_a, kind_b = type(a), type(b)
  if kind_a ~= kind_b then return kind_a < kind_b end
  if kind_a == "number" or kind_a == "string" then return a < b end
  return tostring(a) < tostring(b)
end

--- The keys of several tables, each once, in order.
local function sorted_keys(...)
  local seen, keys = {}, {}
  for _, source in ipairs({ ... }) do
    for key in next, source do
      if not seen[key] then
        seen[key], keys[#keys + 1] = true, key
      end
    end
  end
  table.sort(keys, order_keys)
  return keys
end

-- The names of a schema's options, sorted once.
local schema_names <const> = setmetatable({}, { __mode = "k" })

local function names_of(schema)
  local names = schema_names[schema]
  if not names then
    names = sorted_keys(schema)
    schema_names[schema] = names
  end
  return names
end

local array <const> = getmetatable(json.array())

-- Objects are not configuration: what has a metatable of its own is passed on.
local function is_plain(value)
  if type(value) ~= "table" then return false end
  local metatable = getmetatable(value)
  return metatable == nil or metatable == array
end

--- A copy of any value: nothing that is changed in it changes the original.
local function copy(value, copies)
  if not is_plain(value) then return value end
  copies = copies or {}
  if copies[value] then return copies[value] end
  local result = setmetatable({}, getmetatable(value))
  copies[value] = result
  for key, item in next, value do result[key] = copy(item, copies) end
  return result
end

-- Where a value stands. `container` and `key` are for the place in a file; where that
-- is not known, the place of what is around has to do.
local function below(at, container, key, spec)
  return {
    container = container,
    key = key,
    outer = at,
    secret = at.secret or spec and spec.secret,
  }
end

-- The path of a place, which is only wanted when something is wrong there.
local function path_of(at)
  if at.path then return at.path end
  local outer <const> = path_of(at.outer)
  if math.type(at.key) == "integer" then return ("%s[%d]"):format(outer, at.key) end
  return (outer ~= "" and outer .. "." or "") .. tostring(at.key):gsub("[.\\]", "\\%0")
end

function Reading:origin_of(at)
  local origin <const> = self.place.origin
  local found = at.origin or origin and at.container and origin(at.container, at.key)
  return found or at.outer and self:origin_of(at.outer)
end

function Reading:report(at, text)
  local origin <const>, path <const> = self:origin_of(at), path_of(at)
  self.problems[#self.problems + 1] = (origin and origin .. ": " or "")
    .. (path ~= "" and path .. ": " or "") .. text
end

-- What is missing was not written anywhere: the map that lacks it was.
function Reading:report_missing(at)
  at.container = nil
  self:report(at, "is required, but missing")
end

function Reading:refuse(at, spec, value, reason)
  local text = "must be " .. types.expected(spec)
  if not at.secret then
    text = ("%s, not %s"):format(text, types.show(value, spec))
    if reason then text = ("%s (%s)"):format(text, reason) end
  end
  self:report(at, text)
end

-- Whether a value is within `min` and `max` of its option.
local function is_within(spec, measured)
  local low, high = types.bound(spec, "min"), types.bound(spec, "max")
  return not (low and measured < low or high and measured > high)
end

function Reading:single(spec, value, at)
  local kind <const> = types[spec.type]
  local parsed, reason = kind.parse(value, spec)
  if parsed == nil then return self:refuse(at, spec, value, reason) end
  if kind.measure and not is_within(spec, kind.measure(parsed)) then
    return self:refuse(at, spec, value)
  end
  return parsed
end

function Reading:list(spec, value, at)
  local is_list = type(value) == "table" and (types.is_list(value) or next(value) == nil)
  local count = is_list and rawlen(value) or 0
  for key in next, is_list and value or {} do
    if math.type(key) ~= "integer" or key < 1 or key > count then is_list = false end
  end
  if not is_list or not is_within(spec, count) then
    return self:refuse(at, spec, value)
  end
  if not spec.of then return copy(value) end
  local items = json.array()
  for i = 1, count do
    items[i] = self:value(spec.of, value[i], below(at, value, i, spec.of))
  end
  return items
end

function Reading:map(spec, value, at)
  if type(value) ~= "table" or types.is_list(value) then
    return self:refuse(at, spec, value)
  end
  if spec.fields then return self:fields(spec.fields, value, at) end
  local written = self.place.literal and self.place.literal(value) or value
  local count = 0
  for _ in next, written do count = count + 1 end
  if not is_within(spec, count) then return self:refuse(at, spec, value) end
  if not spec.of then return copy(written) end
  local result = {}
  for _, key in ipairs(sorted_keys(written)) do
    if is_given(written[key]) then
      result[key] = self:value(spec.of, written[key], below(at, written, key, spec.of))
    end
  end
  return result
end

function Reading:typed(spec, value, at)
  if spec.type == "any" then return copy(value) end
  if spec.type == "list" then return self:list(spec, value, at) end
  if spec.type == "map" then return self:map(spec, value, at) end
  return self:single(spec, value, at)
end

--- Reads one value.
---@param spec table
---@param value any
---@param at table
---@return any  nil when something is wrong, which has been noted then
function Reading:value(spec, value, at)
  local before <const> = #self.problems
  local read = self:typed(spec, value, at)
  if not spec.check or #self.problems > before then return read end
  local ok, problem = spec.check(read)
  if ok then return read end
  if at.secret then problem = nil end
  self:report(at, problem and tostring(problem) or "is not valid")
end

function Reading:option(spec, values, name, at)
  if is_given(values[name]) then return self:value(spec, values[name], at) end
  if spec.required then return self:report_missing(at) end
  if spec.default ~= nil then return self:value(spec, spec.default, at) end
end

-- The key of a map that is no option.
function Reading:unknown(schema, key, at)
  if type(key) ~= "string" then
    return self:report(at, "the names of options are strings")
  end
  self:report(at, "unknown option " .. spelling.hint(key, sorted_keys(schema)))
end

--- Reads a map by a schema.
---@param schema table
---@param values table
---@param at table
---@param reserved? table  names to pass over
---@return table
function Reading:fields(schema, values, at, reserved)
  local result = {}
  local unknown = {}
  for name in next, values do
    if not (schema[name] or reserved and reserved[name]) then unknown[name] = true end
  end
  local names <const> = next(unknown) and sorted_keys(schema, unknown) or names_of(schema)
  for _, name in ipairs(names) do
    local spec = schema[name]
    local inner = below(at, values, name, spec)
    if spec then
      result[name] = self:option(spec, values, name, inner)
    else
      self:unknown(schema, name, inner)
    end
  end
  return result
end

local convert <const> = { copy = copy, is_given = is_given, sorted_keys = sorted_keys }

--- Begins a reading.
---@param place? table  see options.check
---@return table reading
---@return table at      the place of its outermost map
function convert.begin(place)
  place = place or {}
  local reading = setmetatable({ place = place, problems = {} }, Reading)
  return reading, { path = place.path or "", origin = place.at }
end

return convert
