-- Expositions as JSON:
--
--     {"time": 1700000000.5, "metrics": [{"name": "requests", "type": "counter",
--       "series": [{"tags": {"method": "GET"}, "value": 3}]}]}
--
-- A histogram has `count`, `sum` and `buckets`, of which each counts what the ones
-- before it do; the last bound is the string "+Inf". What JSON has no number for is null.

local json <const> = require "ahost.json"
local number <const> = require "ahost.metrics.number"
local tags <const> = require "ahost.metrics.tags"
local time <const> = require "ahost.time"

local exposition <const> = {}

local function finite(value)
  local is_finite <const> = value == value and math.abs(value) < math.huge
  return is_finite and value or json.null
end

local function histogram(series, result)
  local total = 0
  result.buckets = json.array()
  for i, bound in ipairs(series.bounds) do
    total = total + series.counts[i]
    local le <const> = math.abs(bound) < math.huge and bound or number.sample(bound)
    result.buckets[i] = { le = le, count = total }
  end
  result.count, result.sum = total, finite(series.sum)
  return result
end

local function describe(series, own)
  local result <const> = { tags = tags.join(own, series.tags) }
  if series.counts then return histogram(series, result) end
  result.value = finite(series.value)
  return result
end

---@param shown ahost.metrics.Shown[]
---@param registry ahost.metrics.Registry
---@return string
function exposition.json(shown, registry)
  local metrics <const> = json.array()
  for i, item in ipairs(shown) do
    local family <const> = item.family
    local list <const> = json.array()
    for j, series in ipairs(item.series) do list[j] = describe(series, registry.tags) end
    metrics[i] = {
      name = family.full_name,
      type = family.kind.exposed,
      unit = family.opts.unit,
      help = family.opts.help,
      series = list,
    }
  end
  return json.encode({ time = time.wall(), metrics = metrics })
end

return exposition
