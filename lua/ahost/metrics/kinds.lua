-- The kinds of metrics: what each series of a kind keeps, what it does with it at a
-- flush, and its methods. What is exposed is in `value`, nil while there is none; of a
-- histogram it is in `counts` and `sum`.
--
-- A kind without `flush` has a live value, one with `is_empty` a value from the start.

local time <const> = require "ahost.time"

local kinds <const> = {}

local HUGE <const> = math.huge

local function amount(n, what)
  if n == nil then return 1 end
  if not (n >= 0 and n < HUGE) then
    error(what .. ": a number that is at least 0 expected, got " .. tostring(n), 3)
  end
  return n
end

local function check_number(value, what, level)
  if type(value) ~= "number" or value ~= value then
    error(what .. ": a number expected, got " .. tostring(value), level or 3)
  end
end

-- ---- counter -------------------------------------------------------------------------

---A number that only grows, from `opts.init` (0) on.
---@class ahost.Counter: ahost.Metric
---@field value number
local Counter <const> = {}

---Raises unless the number is finite and at least 0.
---@param n? number    (1)
function Counter:add(n)
  if n == nil then
    self.value = self.value + 1
  else
    self.value = self.value + amount(n, "add")
  end
end

kinds.counter = {
  name = "counter",
  exposed = "counter",
  options = { init = true, reset = true },
  defaults = { init = 0, reset = false },
  methods = Counter,
  start = function(series, opts) series.value = opts.init end,
  is_empty = function(series) return series.value == series.family.opts.init end,
}

---A counter with `opts.reset`: it begins anew with each period between two flushes, and
---shows what it came to in the last one. It may go down.
---@class ahost.PeriodCounter: ahost.Metric
---@field value? number      of the period before
---@field pending number     of this one so far
local PeriodCounter <const> = {}

---@param n? number    (1)
function PeriodCounter:add(n)
  n = n or 1
  check_number(n, "add")
  self.pending = self.pending + n
end

---@param n? number    (1)
function PeriodCounter:sub(n)
  n = n or 1
  check_number(n, "sub")
  self.pending = self.pending - n
end

kinds.period_counter = {
  exposed = "gauge",
  methods = PeriodCounter,
  start = function(series, opts) series.pending = opts.init end,
  flush = function(series, opts)
    series.value, series.pending = series.pending, opts.init
  end,
}

-- ---- gauge ---------------------------------------------------------------------------

---A number that goes up and down; not exposed before it has one.
---@class ahost.Gauge: ahost.Metric
---@field value? number
local Gauge <const> = {}

---Raises unless it is a number.
---@param value number
function Gauge:set(value)
  check_number(value, "set")
  self.value = value
end

---@param n? number    (1)
function Gauge:add(n)
  n = n or 1
  check_number(n, "add")
  self.value = (self.value or 0) + n
end

---@param n? number    (1)
function Gauge:sub(n)
  n = n or 1
  check_number(n, "sub")
  self.value = (self.value or 0) - n
end

kinds.gauge = {
  name = "gauge",
  exposed = "gauge",
  options = { init = true },
  methods = Gauge,
  start = function(series, opts) series.value = opts.init end,
}

-- ---- rate ----------------------------------------------------------------------------

---Events per second, over the last period between two flushes.
---@class ahost.Rate: ahost.Metric
---@field value? number
local Rate <const> = {}

---Raises unless the number is finite and at least 0.
---@param n? number    of events (1)
function Rate:add(n) self.pending = self.pending + amount(n, "add") end

kinds.rate = {
  name = "rate",
  exposed = "gauge",
  options = {},
  methods = Rate,
  start = function(series)
    series.pending = 0
    series.since = time.now()
  end,
  flush = function(series, _, now)
    local elapsed <const> = now - series.since
    if elapsed <= 0 then return end
    series.value, series.pending, series.since = series.pending / elapsed, 0, now
  end,
}

-- ---- duty cycle ----------------------------------------------------------------------

---The share of the time, from 0 to 1, that something was on in the last period between
---two flushes; the time before the first `set` does not count.
---@class ahost.Duty: ahost.Metric
---@field value? number
local Duty <const> = {}

local function pass_time(series, now)
  if series.on ~= nil then
    local elapsed <const> = now - series.since
    series.known = series.known + elapsed
    if series.on then series.active = series.active + elapsed end
  end
  series.since = now
end

---Raises unless it is a boolean.
---@param on boolean
function Duty:set(on)
  if type(on) ~= "boolean" then
    error("set: a boolean expected, got " .. tostring(on), 2)
  end
  if on == self.on then return end
  pass_time(self, time.now())
  self.on = on
end

kinds.duty = {
  name = "duty",
  exposed = "gauge",
  options = {},
  methods = Duty,
  start = function(series) series.known, series.active, series.on = 0, 0, nil end,
  flush = function(series, _, now)
    pass_time(series, now)
    if series.known <= 0 then return end
    series.value = series.active / series.known
    series.known, series.active = 0, 0
  end,
}

-- ---- aggregation ---------------------------------------------------------------------

---What `opts.fn(old, new)` (math.max) makes of the numbers set in a period between two
---flushes; exposed is that of the last period, nothing when none was set in it. With
---`reset = false` it is that of all numbers, live.
---@class ahost.Aggregation: ahost.Metric
---@field value? number
local Aggregation <const> = {}

-- Sets `field` to what it becomes with one more number.
local function aggregate(series, field, value)
  check_number(value, "set", 4)
  local old <const> = series[field]
  if old == nil then
    series[field] = value
    return
  end
  local result <const> = series.family.opts.fn(old, value)
  if type(result) ~= "number" then
    error("the fn of an aggregation must return a number, not a " .. type(result), 0)
  end
  series[field] = result
end

---Raises unless it is a number.
---@param value number
function Aggregation:set(value) aggregate(self, "pending", value) end

kinds.aggregation = {
  name = "aggregation",
  exposed = "gauge",
  options = { fn = true, init = true, reset = true },
  defaults = { fn = math.max, reset = true },
  methods = Aggregation,
  start = function(series, opts) series.pending = opts.init end,
  flush = function(series, opts)
    series.value, series.pending = series.pending, opts.init
  end,
}

local LiveAggregation <const> = {}

function LiveAggregation:set(value) aggregate(self, "value", value) end

kinds.live_aggregation = {
  exposed = "gauge",
  methods = LiveAggregation,
  start = function(series, opts) series.value = opts.init end,
}

-- ---- histogram -----------------------------------------------------------------------

---How many values there were up to each bound of `opts.buckets`, their sum and number.
---@class ahost.Histogram: ahost.Metric
---@field bounds number[]    ascending, the last is infinite
---@field counts integer[]   of the values up to each bound and above the one before
---@field sum number
local Histogram <const> = {}

---Raises unless it is a number, and for one below 0 when no bucket is meant for that.
---@param value number
function Histogram:observe(value)
  local bounds <const>, counts <const> = self.bounds, self.counts
  if not (value >= 0 or value < 0 and bounds[1] < 0) then
    error(("observe: a number%s expected, got %s"):format(
      bounds[1] >= 0 and " that is at least 0" or "", tostring(value)), 2)
  end
  local i = 1
  while value > bounds[i] do i = i + 1 end
  counts[i] = counts[i] + 1
  self.sum = self.sum + value
end

local DEFAULT_BUCKETS <const> = {
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
}
local MOST_BUCKETS <const> = 200

-- -> the bounds as floats with infinity at the end, in a table that each family has one
-- of; or nil, what is wrong
local function read_bounds(buckets)
  if type(buckets) ~= "table" then return nil, "a list of numbers expected" end
  local bounds <const> = {}
  for i = 1, #buckets do
    local bound <const> = buckets[i]
    if type(bound) ~= "number" or bound ~= bound then
      return nil, ("a list of numbers expected, but item %d is %s"):format(i,
        tostring(bound))
    elseif i > 1 and bound <= buckets[i - 1] then
      return nil, ("they must ascend, but item %d is %s"):format(i, tostring(bound))
    end
    bounds[i] = bound + 0.0
  end
  if bounds[#bounds] ~= HUGE then bounds[#bounds + 1] = HUGE end
  if #bounds < 2 or #bounds > MOST_BUCKETS then
    return nil, ("from 1 to %d bounds expected, got %d"):format(MOST_BUCKETS - 1,
      #bounds - 1)
  end
  return bounds
end

--- Reads the bounds of a histogram.
---@param buckets number[]?
---@return number[]? bounds
---@return string? problem
function kinds.bounds(buckets)
  if buckets == nil then buckets = DEFAULT_BUCKETS end
  return read_bounds(buckets)
end

kinds.histogram = {
  name = "histogram",
  exposed = "histogram",
  options = { buckets = true },
  methods = Histogram,
  start = function(series, opts)
    local counts <const> = {}
    for i = 1, #opts.bounds do counts[i] = 0 end
    series.bounds, series.counts, series.sum = opts.bounds, counts, 0
  end,
  is_empty = function(series)
    for _, n in ipairs(series.counts) do
      if n > 0 then return false end
    end
    return true
  end,
}

return kinds
