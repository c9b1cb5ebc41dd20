-- A family: all series of a metric, which differ in their tags. Their number is bounded,
-- as tags tend to come from outside: what is told to more of them is dropped and counted.

local kinds <const> = require "ahost.metrics.kinds"
local tags <const> = require "ahost.metrics.tags"
local time <const> = require "ahost.time"

local SWEEP <const> = 1 -- seconds between two searches for room in a full family

---@class ahost.metrics.Family
---@field name string              as it was given
---@field full_name string         with namespace and unit, as it is exposed
---@field kind table
---@field opts table
---@field series table<string, ahost.Metric>    by the key of their tags
---@field size integer
---@field dropped integer          updates of series that there was no room for
local Family <const> = {}
Family.__index = Family

---One series of a metric: its methods are those of its kind, and `with`.
---@class ahost.Metric
---@field tags table<string, string>
local Metric <const> = {}

-- What was found by one tag is found again without making a set of tags: `shortcuts` has
-- it by the name and the value of that tag. A series has one shortcut at most, which ends
-- with it; a value that had to be cut or cleaned has none.
local function add_shortcut(self, series, name, value)
  local is_same <const> = series.tags[name] == value or math.type(value) == "integer"
  if series.shortcut or series.detached or not is_same then return end
  self.shortcuts = self.shortcuts or {}
  local by_value <const> = self.shortcuts[name] or {}
  self.shortcuts[name] = by_value
  by_value[value] = series
  series.shortcut, series.shortcut_value = by_value, value
end

local function remove_shortcut(series)
  if not series.shortcut then return end
  series.shortcut[series.shortcut_value] = nil
  series.shortcut, series.shortcut_value = nil, nil
end

local function find_with(self, more)
  local set <const> = tags.merge(self.tags, more, 3)
  local key <const> = tags.key(set)
  self.is_parent = true
  return self.family.series[key] or self.family:add_dynamic(set, key)
end

--- The series with further tags. It is there until no method that changes it has been
--- called for `expiration`, and may be kept and used beyond that. Raises for what cannot
--- be a tag.
---@generic T: ahost.Metric
---@param self T
---@param more table<string, string|number|boolean>
---@return T
function Metric:with(more)
  local shortcuts <const> = self.shortcuts
  local name <const>, value <const> = next(more)
  local is_single <const> = name ~= nil and next(more, name) == nil
  local by_value <const> = is_single and shortcuts and shortcuts[name]
  local found <const> = by_value and by_value[value]
  if found then return found end
  local series <const> = find_with(self, more)
  if is_single then add_shortcut(self, series, name, value) end
  return series
end

-- A method that keeps its series in the family: one that has expired comes back, with
-- nothing in it.
local function touching(method)
  return function(self, ...)
    local series <const> = self.detached and self.family:attach(self) or self
    if series.touched then series.touched = time.now() end
    return method(series, ...)
  end
end

-- The metatables of the series of each kind, lasting ones and dynamic ones.
local LASTING <const>, DYNAMIC <const> = {}, {}

local function describe(self)
  return ("%s: %s"):format(self.family.kind_name, self.family.name)
end

for _, kind in next, kinds do
  if type(kind) == "table" then
    local lasting <const> = { with = Metric.with }
    local dynamic <const> = { with = Metric.with }
    for name, method in next, kind.methods do
      lasting[name], dynamic[name] = method, touching(method)
    end
    LASTING[kind] = { __index = lasting, __name = "ahost.metric", __tostring = describe }
    DYNAMIC[kind] = { __index = dynamic, __name = "ahost.metric", __tostring = describe }
  end
end

--- Makes a family without series.
---@param values table    its fields, but for those of the series
---@return ahost.metrics.Family
function Family.new(values)
  values.series, values.size, values.dropped, values.swept = {}, 0, 0, -math.huge
  return setmetatable(values, Family)
end

function Family:make(set, key, metatable)
  local series <const> = { family = self, tags = set, key = key }
  self.kind.start(series, self.opts)
  return setmetatable(series, metatable[self.kind])
end

-- ---- room ----------------------------------------------------------------------------

--- Lets go of the dynamic series that nobody has touched for too long.
---@param now number    of time.now()
function Family:expire(now)
  self.swept = now
  for key, series in next, self.series do
    if series.touched and now - series.touched >= self.expiration then
      series.detached = true
      remove_shortcut(series)
      self.series[key] = nil
      self.size = self.size - 1
    end
  end
end

function Family:has_room()
  if self.size < self.max_series then return true end
  local now <const> = time.now()
  if now - self.swept < SWEEP then return false end
  self:expire(now)
  return self.size < self.max_series
end

function Family:insert(series)
  self.series[series.key] = series
  self.size = self.size + 1
end

-- ---- series --------------------------------------------------------------------------

--- The series with these tags, for ever. Raises when there is no room.
---@param set table<string, string>
---@return ahost.Metric
function Family:lasting(set)
  local key <const> = tags.key(set)
  local series = self.series[key]
  if series then
    series.touched = nil
    return setmetatable(series, LASTING[self.kind])
  end
  if not self:has_room() then
    error(("metric '%s' has %d series already (for tags that come from outside there is "
      .. "metric:with)"):format(self.name, self.size), 0)
  end
  series = self:make(set, key, LASTING)
  self:insert(series)
  return series
end

--- A new series; without room it waits for some, outside the family.
function Family:add_dynamic(set, key)
  local series <const> = self:make(set, key, DYNAMIC)
  if self:has_room() then
    series.touched = time.now()
    self:insert(series)
  else
    series.detached = true
  end
  return series
end

--- Called when a series outside the family is about to change. -> the one that is to
--- change instead
function Family:attach(series)
  local present <const> = self.series[series.key]
  if present then return present end
  if not self:has_room() then
    self.dropped = self.dropped + 1
    self.sink = self.sink or self:make({}, "", LASTING)
    return self.sink
  end
  self.kind.start(series, self.opts)
  series.detached, series.touched = nil, time.now()
  self:insert(series)
  return series
end

-- ---- expositions ---------------------------------------------------------------------

--- Ends a period.
---@param now number    of time.now()
function Family:flush(now)
  self:expire(now)
  local flush <const> = self.kind.flush
  if not flush then return end
  for _, series in next, self.series do flush(series, self.opts, now) end
end

-- A series that only lends its tags to others has nothing to show.
local function is_shown(kind, series)
  if series.is_parent and kind.is_empty and kind.is_empty(series) then return false end
  return series.value ~= nil or series.counts ~= nil
end

--- The series that have something to show, in the order of their tags.
---@return ahost.Metric[]
function Family:shown()
  local list <const> = {}
  for _, series in next, self.series do
    if is_shown(self.kind, series) then list[#list + 1] = series end
  end
  table.sort(list, function(a, b) return a.key < b.key end)
  return list
end

return Family
