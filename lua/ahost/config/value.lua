-- What configurations are made of: maps (tables with string keys), lists (arrays,
-- marked like those of ahost.json), texts, numbers, booleans and null. Tables with
-- a metatable of their own are objects: they are handed on as they are.

local json <const> = require "ahost.json"

local value = {}

value.null = json.null

-- The metatable that tells an empty list from an empty map.
value.array = getmetatable(json.array())

local array <const> = value.array

-- How deep containers may stand in each other, dotted keys included.
value.MAX_DEPTH = 200

function value.is_map(v)
  return type(v) == "table" and getmetatable(v) == nil and rawlen(v) == 0
end

function value.is_list(v)
  if type(v) ~= "table" then
    return false
  end
  local metatable = getmetatable(v)
  return metatable == array or metatable == nil and rawlen(v) > 0
end

function value.is_container(v)
  if type(v) ~= "table" then
    return false
  end
  local metatable = getmetatable(v)
  return metatable == nil or metatable == array
end

local KINDS <const> = { string = "a text", boolean = "a boolean" }

---@return string words     for messages: "a map", "an integer", "null"
function value.kind(v)
  if v == json.null then
    return "null"
  elseif value.is_list(v) then
    return "a list"
  elseif value.is_map(v) then
    return "a map"
  elseif math.type(v) then
    return math.type(v) == "integer" and "an integer" or "a number"
  end
  return KINDS[type(v)] or "a " .. type(v)
end

---@return any[] keys       of a container, in order
function value.sorted_keys(container)
  local keys = {}
  for key in next, container do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    if type(a) == type(b) then
      return a < b
    end
    return type(a) == "number"
  end)
  return keys
end

return value
