-- Makes the nested form of what one source says: `a.b.c: v` becomes maps in maps,
-- tags are replaced by what they stand for, and origins are registered.

local origin <const> = require "ahost.config.origin"
local path <const> = require "ahost.config.path"
local value <const> = require "ahost.config.value"

local find <const> = string.find
local records <const> = origin.records
local is_map <const>, is_container <const> = value.is_map, value.is_container

local expand = {}

-- Where keys are data: a zone is LITERAL, or a table of the zones below, by key.
local LITERAL <const> = {}
local ROOT <const> = { listen = LITERAL, logging = { loggers = LITERAL } }
ROOT.services = setmetatable({}, {
  __index = function()
    return ROOT
  end,
})
expand.LITERAL, expand.ROOT = LITERAL, ROOT

---The zone of what stands under a key.
function expand.below(zone, key)
  if zone == nil or zone == LITERAL then
    return zone
  end
  return zone[key]
end

local below <const> = expand.below

local Expansion <const> = {}
Expansion.__index = Expansion

-- Tells what is wrong with the value at the end of the trail.
function Expansion:complain(container, key, text)
  local trail = table.move(self.trail, 1, self.depth, 1, {})
  self.problems:add(origin.of(container, key), path.join(trail), text)
end

local function register(self, container, marks)
  records[container] = { source = self.source, marks = marks }
end

-- Sets a key that came from a dotted one.
local function set(self, container, key, v, mark)
  container[key] = v
  local record = records[container]
  if mark then
    record.marks = record.marks or {}
    record.marks[key] = mark
  end
  record.source = record.source or self.source
end

local function complain_at(self, mark, keys, text)
  local trail = table.move(self.trail, 1, self.depth, 1, {})
  table.move(keys, 1, #keys, #trail + 1, trail)
  self.problems:add(origin.describe(self.source, mark), path.join(trail), text)
end

local function described(container, key)
  local place = origin.of(container, key)
  return value.kind(container[key]) .. (place and (" (%s)"):format(place) or "")
end

-- Adds `v` to a map where the same file may have said something already: maps
-- are joined, all else is a conflict.
local function join(self, container, key, v, mark, keys)
  local old = container[key]
  if old == nil then
    set(self, container, key, v, mark)
  elseif is_map(old) and is_map(v) then
    for inner, item in next, v do
      local deeper = table.move(keys, 1, #keys, 1, {})
      deeper[#deeper + 1] = inner
      local record = records[v]
      join(self, old, inner, item, record.marks and record.marks[inner], deeper)
    end
    records[old].spellings = origin.join_spellings(records[old], records[v])
  else
    local place = origin.of(container, key)
    complain_at(self, mark, keys,
      "is given twice" .. (place and (", here and at %s"):format(place) or ""))
  end
end

local function spell(container, spelling)
  local record = records[container]
  record.spellings = record.spellings or {}
  table.insert(record.spellings, spelling)
end

-- Puts the value of a dotted key where it belongs.
local function place(self, container, parts, v, mark)
  local at = container
  for i = 1, #parts - 1 do
    local key = parts[i]
    spell(at, origin.spelling(parts, i))
    if at[key] == nil then
      local inner = {}
      register(self, inner)
      set(self, at, key, inner, mark)
    elseif not is_map(at[key]) then
      local name = path.join(table.move(parts, 1, i, self.depth + 1,
        table.move(self.trail, 1, self.depth, 1, {})))
      return complain_at(self, mark, parts, ("cannot be set: %s is %s, not a map"):format(
        name, described(at, key)))
    end
    at = at[key]
  end
  join(self, at, parts[#parts], v, mark, parts)
end

-- Moves the values of dotted keys; `dotted` is a list of { key =, parts = }.
local function spread(self, container, dotted)
  table.sort(dotted, function(a, b)
    return a.key < b.key
  end)
  for _, entry in ipairs(dotted) do
    entry.value, container[entry.key] = container[entry.key], nil
  end
  local marks = records[container].marks
  for _, entry in ipairs(dotted) do
    place(self, container, entry.parts, entry.value, marks and marks[entry.key])
  end
end

local TOO_DEEP <const> = ("is nested more than %d levels deep"):format(value.MAX_DEPTH)

-- Visits the table at the end of the trail. -> what is to stand there
local function visit_value(self, container, key, v, zone)
  if not is_container(v) then
    return self.resolve and self:resolve(container, key, v) or v
  elseif self.depth > value.MAX_DEPTH then
    self:complain(container, key, TOO_DEEP)
    return value.null
  elseif not records[v] then
    self:visit(v, zone)
  end
  return v
end

-- Visits a table in the container; `parts` are the keys of a dotted one.
local function visit_table(self, container, key, v, zone, parts)
  local outer = self.depth
  if parts then
    table.move(parts, 1, #parts, outer + 1, self.trail)
    self.depth = outer + #parts
  else
    self.trail[outer + 1] = key
    self.depth = outer + 1
  end
  local result = visit_value(self, container, key, v, zone)
  self.depth = outer
  if result ~= v then
    container[key] = result
  end
end

-- -> the parts of a dotted key, the zone of its value; nil if it is too deep
local function split_key(self, container, key, zone)
  local parts = path.split(key)
  if self.depth + #parts > value.MAX_DEPTH then
    local shown = #key > 40 and key:sub(1, 40) .. "..." or key
    self.problems:add(origin.of(container, key), shown, TOO_DEEP)
    return nil
  end
  for _, part in ipairs(parts) do
    zone = below(zone, part)
  end
  return parts, zone
end

local function visit_map(self, map, zone)
  local dotted
  for key, v in next, map do
    local inner, parts = nil, nil
    if type(key) ~= "string" then
      self:complain(map, key, ("the key %s is %s; keys are texts"):format(key,
        value.kind(key)))
      map[key], v = nil, nil
    elseif zone ~= LITERAL and find(key, ".", 1, true) then
      parts, inner = split_key(self, map, key, zone)
      dotted = dotted or {}
      dotted[#dotted + 1] = parts and { key = key, parts = parts }
    elseif zone then
      inner = below(zone, key)
    end
    if type(v) == "table" then
      visit_table(self, map, key, v, inner, parts)
    end
  end
  if dotted then
    spread(self, map, dotted)
  end
end

function Expansion:visit(container, zone)
  register(self, container, self.positions and self.positions[container])
  -- Only in tables that a program made, marks of lists may be missing.
  local is_list = self.unmarked and value.is_list(container)
  if not is_list and getmetatable(container) ~= value.array then
    return visit_map(self, container, zone)
  end
  for i, v in ipairs(container) do
    if type(v) == "table" then
      visit_table(self, container, i, v, zone == LITERAL and zone or nil)
    end
  end
end

---@class ahost.config.Source
---@field source? string        its name in origins
---@field positions? table      by container: by key: line << 20 | column
---@field resolve? function     (self, container, key, tagged) -> value
---@field problems table        where to tell what is wrong
---@field unmarked? boolean       lists are not always marked as such
---@field trail? string[]       the keys that lead to the tree; changed
---@field depth? integer        how many these are

---Expands a tree that nobody else has, in place.
---@param tree table
---@param about ahost.config.Source
---@param zone? table           ROOT for whole configurations
function expand.tree(tree, about, zone)
  about.trail, about.depth = about.trail or {}, about.depth or 0
  setmetatable(about, Expansion):visit(tree, zone)
end

---The same of a value that stands behind some keys.
---@param v any
---@param about ahost.config.Source
---@param keys string[]
---@return any v
function expand.value(v, about, keys)
  if type(v) ~= "table" then
    return v
  end
  local zone, holder = ROOT, {}
  about.trail, about.depth = table.move(keys, 1, #keys, 1, {}), #keys
  register(about, holder)
  for _, key in ipairs(keys) do
    zone = below(zone, key)
  end
  return visit_value(setmetatable(about, Expansion), holder, keys[#keys], v, zone)
end

return expand
