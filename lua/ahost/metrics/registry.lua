-- Registries: the metrics that are exposed together.

local Family <const> = require "ahost.metrics.family"
local context <const> = require "ahost.context"
local kinds <const> = require "ahost.metrics.kinds"
local log <const> = require "ahost.log"
local tags <const> = require "ahost.metrics.tags"
local time <const> = require "ahost.time"

local MOST_FAMILIES <const> = 10000

-- What a family of each exposed type adds to its name in OpenMetrics.
local SUFFIXES <const> = {
  counter = { "", "_total", "_created" },
  gauge = { "" },
  histogram = { "", "_bucket", "_count", "_sum", "_created" },
}

---@class ahost.metrics.RegistryOptions
---@field namespace? string     put before each name, with an underscore
---@field tags? table<string, string|number|boolean>    of all series
---@field max_series? integer   of one metric (1000)
---@field expiration? number    seconds without a touch that dynamic series last (60)
---@field bus? ahost.Bus        is told `metrics.flush` before each flush

---@class ahost.metrics.Registry
---@field tags table<string, string>
local Registry <const> = {}
Registry.__index = Registry
Registry.__name = "ahost.metrics.registry"

---@param opts? ahost.metrics.RegistryOptions
---@return ahost.metrics.Registry
function Registry.new(opts)
  opts = opts or {}
  local problem <const> = opts.namespace and tags.name_problem(opts.namespace)
  if problem then error("namespace " .. problem, 3) end
  return setmetatable({
    namespace = opts.namespace,
    tags = tags.merge(nil, opts.tags, 3),
    max_series = opts.max_series or 1000,
    expiration = opts.expiration or 60,
    bus = opts.bus,
    families = {},
    names = {},
    count = 0,
    collectors = {},
    log = log.get "ahost.metrics",
  }, Registry)
end

-- ---- families ------------------------------------------------------------------------

local function expect(what, is_good)
  return function(value)
    if not is_good(value) then return what .. " expected, got " .. tostring(value) end
  end
end

local function expect_type(name)
  return expect("a " .. name, function(value) return type(value) == name end)
end

local function is_number(value) return type(value) == "number" and value == value end

local function is_positive(value) return is_number(value) and value > 0 end

-- What is wrong with a value of each option, or nil.
local OPTIONS <const> = {
  unit = tags.name_problem,
  help = expect_type "string",
  max_series = expect("a number above 0", is_positive),
  expiration = expect("a number of seconds above 0", is_positive),
  init = expect("a number", is_number),
  reset = expect_type "boolean",
  fn = expect_type "function",
  buckets = function(value) return select(2, kinds.bounds(value)) end,
  namespace = expect_type "boolean",
}

-- Options of all kinds; `namespace` is for the host's own metrics.
local COMMON <const> = {
  unit = true,
  help = true,
  max_series = true,
  expiration = true,
  namespace = true,
}

local function check_options(kind, opts)
  for name, value in next, opts do
    if not (COMMON[name] or kind.options[name]) then
      error(("there is no option '%s' of a %s"):format(tostring(name), kind.name), 0)
    end
    local problem <const> = OPTIONS[name](value)
    if problem then error(("option '%s': %s"):format(name, problem), 0) end
  end
  if kind == kinds.counter and opts.init and opts.init < 0 and not opts.reset then
    error("option 'init': a counter begins with at least 0", 0)
  end
end

-- A counter that is reset, an aggregation that is not, are kinds of their own.
local function variant(kind, opts)
  if kind == kinds.counter and opts.reset then return kinds.period_counter end
  if kind == kinds.aggregation and not opts.reset then return kinds.live_aggregation end
  return kind
end

-- A copy of options with the defaults of the kind.
local function complete(kind, opts)
  local copy <const> = {}
  for key, value in next, kind.defaults or {} do copy[key] = value end
  for key, value in next, opts do copy[key] = value end
  if kind == kinds.histogram then copy.bounds = kinds.bounds(opts.buckets) end
  return copy
end

local function with_unit(name, unit)
  if not unit or name:sub(-#unit - 1) == "_" .. unit then return name end
  return name .. "_" .. unit
end

function Registry:full_name(name, opts)
  name = with_unit(name, opts.unit)
  if not self.namespace or opts.namespace == false then return name end
  return self.namespace .. "_" .. name
end

-- Takes the names of all samples of a family.
function Registry:claim(family)
  local suffixes <const> = SUFFIXES[family.kind.exposed]
  for _, suffix in ipairs(suffixes) do
    local other <const> = self.names[family.full_name .. suffix]
    if other then
      error(("metric '%s' would be mistaken for the %s '%s'"):format(
        family.full_name .. suffix, other.kind_name, other.full_name), 0)
    end
  end
  for _, suffix in ipairs(suffixes) do self.names[family.full_name .. suffix] = family end
end

local function check_name(kind, name)
  local problem <const> = tags.name_problem(name)
  if problem then
    error(("the name of a metric %s, not '%s'"):format(problem, tostring(name)), 0)
  elseif kind == kinds.counter and name:find "_total$" then
    error(("counter '%s': leave out _total, it is added"):format(name), 0)
  end
end

function Registry:new_family(kind, name, opts)
  check_name(kind, name)
  check_options(kind, opts)
  if self.count >= MOST_FAMILIES then
    error(("there are %d metrics already"):format(self.count), 0)
  end
  local full <const> = complete(kind, opts)
  local family <const> = Family.new {
    name = name,
    full_name = self:full_name(name, opts),
    kind_name = kind.name,
    kind = variant(kind, full),
    opts = full,
    max_series = opts.max_series or self.max_series,
    expiration = opts.expiration or self.expiration,
  }
  self:claim(family)
  self.families[name] = family
  self.count = self.count + 1
  return family
end

local function same_bounds(family, buckets)
  local bounds <const> = kinds.bounds(buckets)
  if #bounds ~= #family.opts.bounds then return false end
  for i, bound in ipairs(bounds) do
    if bound ~= family.opts.bounds[i] then return false end
  end
  return true
end

-- Those who use a metric after its maker need not say what it is like, but may not say
-- otherwise.
local function check_same(family, kind, opts)
  if family.kind_name ~= kind.name then
    error(("metric '%s' is a %s already, not a %s"):format(family.name, family.kind_name,
      kind.name), 0)
  end
  check_options(kind, opts)
  for _, name in ipairs { "unit", "reset", "init" } do
    if opts[name] ~= nil and opts[name] ~= family.opts[name] then
      error(("metric '%s' has another option '%s' already: %s, not %s"):format(
        family.name, name, tostring(family.opts[name]), tostring(opts[name])), 0)
    end
  end
  if opts.buckets ~= nil and not same_bounds(family, opts.buckets) then
    error(("metric '%s' has other buckets already"):format(family.name), 0)
  end
end

local function make(self, kind, name, set, opts)
  local family = self.families[name]
  if family then
    check_same(family, kind, opts)
    family.opts.fn = opts.fn or family.opts.fn
  else
    family = self:new_family(kind, name, opts)
  end
  return family:lasting(set)
end

--- The series of a metric with these tags, made if need be. Raises what is wrong with the
--- call, with the place of the caller `level` functions up.
---@return ahost.Metric
function Registry:metric(kind, name, given, opts, level)
  local set <const> = tags.merge(nil, given, level)
  if opts ~= nil and type(opts) ~= "table" then
    error("options: a table expected, got " .. type(opts), level)
  end
  local ok, result = pcall(make, self, kinds[kind], name, set, opts or {})
  if ok then return result end
  error(result, level)
end

---@class ahost.metrics.Options
---@field unit? string         "seconds", "bytes"; ends the name of the metric
---@field help? string         what it tells
---@field max_series? integer  how many series it may have, by their tags
---@field expiration? number   seconds without a touch that dynamic series last

---@class ahost.metrics.CounterOptions: ahost.metrics.Options
---@field init? number      to begin with (0); 0.0 for what will be fractions
---@field reset? boolean    true: it counts anew in each period between two flushes

---@class ahost.metrics.GaugeOptions: ahost.metrics.Options
---@field init? number

---@class ahost.metrics.AggregationOptions: ahost.metrics.Options
---@field fn? fun(old: number, new: number): number    (math.max); the last one given
---  counts, as a component that is started again makes its functions anew
---@field init? number      what each period begins with (nothing)
---@field reset? boolean    false: what all numbers come to, not those of a period

---@class ahost.metrics.HistogramOptions: ahost.metrics.Options
---@field buckets? number[]    their upper bounds, ascending

--- The functions that make metrics give the same one for the same name and tags. Each
--- raises for names, tags and options that cannot be, when the metric is of another kind
--- or has other options, and beyond `max_series`.
---@param name string
---@param set? table<string, string|number|boolean>
---@param opts? ahost.metrics.CounterOptions
---@return ahost.Counter|ahost.PeriodCounter
function Registry:counter(name, set, opts)
  return (self:metric("counter", name, set, opts, 3))
end

---@param name string
---@param set? table<string, string|number|boolean>
---@param opts? ahost.metrics.GaugeOptions
---@return ahost.Gauge
function Registry:gauge(name, set, opts)
  return (self:metric("gauge", name, set, opts, 3))
end

---@param name string
---@param set? table<string, string|number|boolean>
---@param opts? ahost.metrics.Options
---@return ahost.Rate
function Registry:rate(name, set, opts)
  return (self:metric("rate", name, set, opts, 3))
end

---@param name string
---@param set? table<string, string|number|boolean>
---@param opts? ahost.metrics.Options
---@return ahost.Duty
function Registry:duty(name, set, opts)
  return (self:metric("duty", name, set, opts, 3))
end

---@param name string
---@param set? table<string, string|number|boolean>
---@param opts? ahost.metrics.AggregationOptions
---@return ahost.Aggregation
function Registry:aggregation(name, set, opts)
  return (self:metric("aggregation", name, set, opts, 3))
end

---@param name string
---@param set? table<string, string|number|boolean>
---@param opts? ahost.metrics.HistogramOptions
---@return ahost.Histogram
function Registry:histogram(name, set, opts)
  return (self:metric("histogram", name, set, opts, 3))
end

-- ---- expositions ---------------------------------------------------------------------

--- The same as `collect`, but for as long as there is the registry.
function Registry:add_collector(fn) self.collectors[#self.collectors + 1] = fn end

--- Has `fn(registry)` called before each exposition and flush, to set what is not told
--- when it happens, until the current context ends.
---@param fn fun(registry: ahost.metrics.Registry)    what it raises is logged
function Registry:collect(fn)
  local collectors <const> = self.collectors
  self:add_collector(fn)
  context.current():on_close(function()
    for i = #collectors, 1, -1 do
      if collectors[i] == fn then return table.remove(collectors, i) end
    end
  end)
end

function Registry:call_collectors()
  for _, fn in ipairs(table.move(self.collectors, 1, #self.collectors, 1, {})) do
    local ok, trace = xpcall(fn, debug.traceback, self)
    if not ok then self.log:error("a collector failed: %s", tostring(trace)) end
  end
end

local function sorted_names(families)
  local names <const> = {}
  for name in next, families do names[#names + 1] = name end
  table.sort(names)
  return names
end

---@class ahost.metrics.Shown
---@field family ahost.metrics.Family
---@field series ahost.Metric[]     at least one

--- What there is to expose now, in the order of the names.
---@return ahost.metrics.Shown[]
function Registry:shown()
  self:call_collectors()
  local now <const> = time.now()
  local list <const> = {}
  for _, name in ipairs(sorted_names(self.families)) do
    local family <const> = self.families[name]
    family:expire(now)
    local series <const> = family:shown()
    if #series > 0 then list[#list + 1] = { family = family, series = series } end
  end
  return list
end

--- Ends a period: rates, duty cycles, aggregations and counters with `reset` show what
--- it came to, and begin anew. The bus is told before.
function Registry:flush()
  if self.bus then self.bus:publish "metrics.flush" end
  self:call_collectors()
  local now <const> = time.now()
  for _, family in next, self.families do family:flush(now) end
end

-- Modules that write expositions: write(shown, registry) -> text.
local FORMATS <const> = {
  openmetrics = "ahost.metrics.openmetrics",
  prometheus = "ahost.metrics.openmetrics",
  json = "ahost.metrics.json",
  influx = "ahost.metrics.influx",
}

--- Writes all metrics. Raises for a format that there is not.
---@param format? "openmetrics"|"prometheus"|"json"|"influx"    (openmetrics)
---@return string
function Registry:render(format)
  format = format or "openmetrics"
  local name <const> = FORMATS[format]
  if not name then
    error(("no format '%s' (openmetrics, prometheus, json or influx expected)"):format(
      tostring(format)), 2)
  end
  return require(name)[format](self:shown(), self)
end

return Registry
