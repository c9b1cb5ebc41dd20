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

--- The series with further tags, which is there until nobody has touched it for
--- `expiration`: calling this or a method that changes it touches it. May be kept, also
--- beyond that. Raises for what cannot be a tag.
---@generic T: ahost.Metric
---@param self T
---@param more table<string, string|number|boolean>
---@return T
function Metric:with(more)
  local family <const> = self.family
  local set <const> = tags.merge(self.tags, more, 2)
  local key <const> = tags.key(set)
  self.is_parent = true
  local series <const> = family.series[key]
  if series then
    if series.touched then series.touched = time.now() end
    return series
  end
  return family:add_dynamic(set, key)
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
