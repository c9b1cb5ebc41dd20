-- Layers configurations: maps recurse, everything else replaces, lists and null too.

local errors <const> = require "ahost.error"
local expand <const> = require "ahost.config.expand"
local origin <const> = require "ahost.config.origin"
local problems <const> = require "ahost.config.problems"
local value <const> = require "ahost.config.value"

local array <const> = value.array
local below <const> = expand.below
local is_map <const> = value.is_map
local find <const> = string.find
local getmetatable <const>, type <const> = getmetatable, type
local records <const> = origin.records
local LITERAL <const> = expand.LITERAL
local MAX_DEPTH <const> = value.MAX_DEPTH

local merge = {}

-- Layers what nobody else has upon what nobody else has, in place.
---@param base table
---@param over table
---@return table base
function merge.into(base, over)
  for key, v in next, over do
    local old = base[key]
    if is_map(v) and is_map(old) then
      merge.into(old, v)
    else
      base[key] = v
    end
  end
  records[base] = origin.layer(records[base], records[over], over)
  return base
end

---Adds to a map what it does not have; `mark` is the origin of that.
---@param base table
---@param defaults table    nobody else has it
---@param mark string
function merge.fill(base, defaults, mark)
  local marks = {}
  for key, v in next, defaults do
    local old = base[key]
    if old == nil then
      base[key] = v
      marks[key] = mark
    elseif is_map(v) and is_map(old) then
      merge.fill(old, v, mark)
    end
  end
  if next(marks) ~= nil then
    local under <const> = records[base]
    records[base] = { marks = marks, under = under,
      spellings = origin.join_spellings(under, records[defaults]) }
  end
end

local function fail_too_deep()
  error(errors.new("CONFIG", ("tables are nested more than %d levels deep, or contain "
    .. "themselves"):format(MAX_DEPTH)), 0)
end

-- A copy with its keys as they are; of what is expanded already, that is known.
local function raw_copy(t, depth)
  if depth > MAX_DEPTH then
    fail_too_deep()
  end
  local result = setmetatable({}, getmetatable(t))
  for key, v in next, t do
    result[key] = value.is_container(v) and raw_copy(v, depth + 1) or v
  end
  records[result] = records[t]
  return result
end

-- `trail` holds the keys that lead to the table; trail.plain[key] is true for keys
-- that are known to have no dot.
local function expanded_copy(t, zone, trail, depth)
  local result = raw_copy(t, depth)
  local found = problems.new()
  expand.tree(result, { problems = found, unmarked = true, depth = depth,
    trail = table.move(trail, 1, depth, 1, {}) }, zone)
  local err = found:error()
  if err then
    error(err, 0)
  end
  return result
end

-- Whether a key has a dot; `plain` remembers those that have none, as most keys of a
-- configuration occur often.
local function is_dotted(key, plain)
  if type(key) == "string" and find(key, ".", 1, true) then
    return true
  end
  plain[key] = true
  return false
end

local function has_dots(t, plain)
  for key in next, t do
    if not plain[key] and is_dotted(key, plain) then
      return true
    end
  end
  return false
end

local copy

-- Copies all that is not dotted. -> copy, or nil where a key is. Only what has a
-- record, or dots that are data, needs one.
local function copy_plain(t, zone, trail, depth)
  local record = records[t] or zone == LITERAL and origin.UNKNOWN
  local literal = record or getmetatable(t) == array
  local plain, result = trail.plain, {}
  for key, v in next, t do
    if not literal and not plain[key] and is_dotted(key, plain) then
      return nil
    end
    if type(v) == "table" then
      trail[depth + 1] = key
      result[key] = copy(v, zone and below(zone, key), trail, depth + 1)
    else
      result[key] = v
    end
  end
  if record then
    records[result] = record
  end
  return result
end

-- -> an expanded copy of a table; objects are handed on
function copy(t, zone, trail, depth)
  local metatable = getmetatable(t)
  if depth > MAX_DEPTH then
    fail_too_deep()
  elseif metatable == nil then
    return copy_plain(t, zone, trail, depth) or expanded_copy(t, zone, trail, depth)
  elseif metatable == array then
    zone = zone == LITERAL and zone or nil -- no names of zones in lists
    return setmetatable(copy_plain(t, zone, trail, depth), array)
  end
  return t
end

-- -> a map whose own keys have no dots that mean something
local function prepared(t, zone, trail, depth)
  if records[t] or zone == LITERAL or not has_dots(t, trail.plain) then
    return t
  end
  return expanded_copy(t, zone, trail, depth)
end

local function merged(base, over, zone, trail, depth)
  if depth > MAX_DEPTH then
    fail_too_deep()
  end
  base, over = prepared(base, zone, trail, depth), prepared(over, zone, trail, depth)
  local result = {}
  for key, v in next, base do
    local new = over[key]
    trail[depth + 1] = key
    if new == nil then
      result[key] = type(v) == "table"
        and copy(v, zone and below(zone, key), trail, depth + 1) or v
    elseif type(new) == "table" and is_map(new) and is_map(v) then
      result[key] = merged(v, new, zone and below(zone, key), trail, depth + 1)
    end
  end
  for key, new in next, over do
    if result[key] == nil then
      trail[depth + 1] = key
      result[key] = type(new) == "table"
        and copy(new, zone and below(zone, key), trail, depth + 1) or new
    end
  end
  local under, upper = records[base], records[over]
  if under or upper then
    records[result] = origin.layer(under, upper, over)
  elseif zone == LITERAL then
    records[result] = origin.UNKNOWN
  end
  return result
end

---@param base table
---@param over table
---@return table            new, expanded; raises an error object (code CONFIG)
function merge.copies(base, over)
  return merged(base, over, expand.ROOT, { plain = {} }, 0)
end

---@param t table
---@return table            a copy, expanded; raises as `merge.copies` does
function merge.copy(t)
  return copy(t, expand.ROOT, { plain = {} }, 0)
end

return merge
