-- Names of metrics and their tags: what may be one, and the key of a set of tags.

local tags <const> = {}

-- Bytes of a value; what comes from outside may be of any length.
local LONGEST <const> = 256

-- Expositions give these a meaning of their own.
local RESERVED <const> = { le = true, quantile = true }

--- What is wrong with the name of a metric, a unit or a namespace, or nil.
---@param name any
---@return string? problem
function tags.name_problem(name)
  if type(name) == "string" and name:find "^[%a_][%w_]*$" then return nil end
  return "must be of letters, digits and underscores, not beginning with a digit"
end

--- What is wrong with the name of a tag, or nil.
---@param name any
---@return string? problem
function tags.tag_problem(name)
  local problem <const> = tags.name_problem(name)
  if problem then return problem end
  if RESERVED[name] or name:find "^__" then return "is a name that is reserved" end
end

-- Cuts a text without splitting a character of UTF-8.
local function cut(text)
  if #text <= LONGEST then return text end
  local last = LONGEST
  while last > 0 and text:byte(last + 1) & 0xC0 == 0x80 do last = last - 1 end
  return text:sub(1, last)
end

-- Bytes that are not UTF-8 would spoil the exposition of all metrics.
local function clean(text)
  text = cut(text)
  if utf8.len(text) then return text end
  return (text:gsub("[\x80-\xFF]", "?"))
end

--- The value of a tag as text: at most 256 bytes of valid UTF-8.
---@param value any
---@return string? text      nil for what cannot be one
function tags.value(value)
  local kind <const> = type(value)
  if kind == "string" then return clean(value) end
  if kind == "number" then return tostring(math.tointeger(value) or value) end
  if kind == "boolean" then return tostring(value) end
end

local function add(set, name, value, level)
  local problem <const> = tags.tag_problem(name)
  if problem then error(("tag '%s' %s"):format(tostring(name), problem), level + 1) end
  local text <const> = tags.value(value)
  if not text then
    error(("tag '%s': a string, number or boolean expected, got %s"):format(name,
      type(value)), level + 1)
  end
  set[name] = text ~= "" and text or nil
end

--- A new set of tags: those of `base`, and others, which win. One with an empty value
--- is left out, as if it was not there. Raises for what cannot be a tag.
---@param base table<string, string>?
---@param others table<string, any>?
---@param level integer      of the stack, for messages
---@return table<string, string>
function tags.merge(base, others, level)
  local set <const> = {}
  for name, value in next, base or {} do set[name] = value end
  if others == nil then return set end
  if type(others) ~= "table" then
    error("tags: a table expected, got " .. type(others), level + 1)
  end
  for name, value in next, others do add(set, name, value, level + 1) end
  return set
end

--- Tags of one set and of another, which wins.
---@param base table<string, string>
---@param over table<string, string>
---@return table<string, string>
function tags.join(base, over)
  if next(base) == nil then return over end
  local set <const> = {}
  for name, value in next, base do set[name] = value end
  for name, value in next, over do set[name] = value end
  return set
end

--- The names in a set of tags, sorted.
---@param set table<string, string>
---@return string[]
function tags.sorted(set)
  local names <const> = {}
  for name in next, set do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function part(name, value) return ("%s=%d:%s"):format(name, #value, value) end

--- A text that is the same for the same tags, whatever their order.
---@param set table<string, string>
---@return string
function tags.key(set)
  local name <const>, value <const> = next(set)
  if name == nil then return "" end
  if next(set, name) == nil then return part(name, value) end
  local parts <const> = {}
  for i, sorted in ipairs(tags.sorted(set)) do parts[i] = part(sorted, set[sorted]) end
  return table.concat(parts, ",")
end

return tags
