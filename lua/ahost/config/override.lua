-- `--set KEY=VALUE`: replaces one value, the last word about it.

local origin <const> = require "ahost.config.origin"
local path <const> = require "ahost.config.path"
local source <const> = require "ahost.config.source"
local value <const> = require "ahost.config.value"

local override = {}

local records <const> = origin.records

---@class ahost.config.Override
---@field key string        as it was written
---@field keys string[]
---@field text string       YAML

---@param text string       "component.port=1"
---@return ahost.config.Override?
---@return string? problem
function override.parse(text)
  local key, v = text:match "^(.-)=(.*)$"
  if not key then
    return nil,
      ('Cannot apply --set %s: there is no "="; write --set KEY=VALUE'):format(text)
  elseif key == "" then
    return nil, ('Cannot apply --set %s: there is no key before the "="'):format(text)
  end
  local keys = path.split(key)
  if #keys > value.MAX_DEPTH then
    return nil, ("Cannot apply --set %s...: more than %d keys"):format(text:sub(1, 40),
      value.MAX_DEPTH)
  end
  return { key = key, keys = keys, text = v }
end

-- The first container on the way that is no map. -> its keys, itself, its origin
local function obstacle(root, keys)
  local at = root
  for i = 1, #keys - 1 do
    local inner = at[keys[i]]
    if inner == nil or inner == value.null then
      return nil
    elseif not value.is_map(inner) then
      return table.move(keys, 1, i, 1, {}), inner, origin.of(at, keys[i])
    end
    at = inner
  end
  return nil
end

local function put(root, set, v, name)
  local at, last = root, #set.keys
  for i, key in ipairs(set.keys) do
    local marks = {}
    if i == last then
      at[key], marks[key] = v, name
    elseif not value.is_map(at[key]) then
      at[key], marks[key] = {}, name
      records[at[key]] = { source = name }
    end
    origin.mark(at, marks, i < last and origin.spelling(set.keys, i) or nil)
    at = at[key]
  end
end

---Applies one; what is wrong goes to `load.problems`. The value is not part of the
---origin: it may be a secret.
---@param root table
---@param set ahost.config.Override
---@param load table
function override.apply(root, set, load)
  local keys, container, place = obstacle(root, set.keys)
  if keys then
    load.problems:add(nil, nil, ("Cannot apply --set %s: %s%s is %s, not a map"):format(
      set.key, path.join(keys), place and (" (%s)"):format(place) or "",
      value.kind(container)))
    return
  end
  local name = "--set " .. set.key
  local v = source.value(load, set.text, name, set.keys)
  if v ~= nil then
    put(root, set, v, name)
  end
end

return override
