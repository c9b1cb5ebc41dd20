-- ahost.metrics: numbers that tell how an application does, for others to collect.
--
--     local requests <const> = metrics.counter("requests", nil, { help = "Requests." })
--     requests:with { method = "GET" }:add()
--     print(metrics.current():render())
--
-- Metrics belong to the application, whose registry is its resource `metrics`; without
-- an application to one of the process.

local Registry <const> = require "ahost.metrics.registry"
local context <const> = require "ahost.context"
local host <const> = require "ahost.metrics.host"

local metrics <const> = {}

--- What metrics can be rendered as.
---@type string[]
metrics.formats = { "openmetrics", "prometheus", "json", "influx" }

--- The types of what is rendered, as HTTP names them.
---@type table<string, string>
metrics.content_types = {
  openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8",
  prometheus = "text/plain; version=0.0.4; charset=utf-8",
  json = "application/json",
  influx = "text/plain; charset=utf-8",
}

--- A registry of its own, for tests. Nothing flushes it but `registry:flush()`. Raises
--- for a namespace and tags that cannot be.
---@param opts? ahost.metrics.RegistryOptions
---@return ahost.metrics.Registry
function metrics.registry(opts) return (Registry.new(opts)) end

local of_process

local function without_application()
  if not of_process then
    of_process = Registry.new()
    host.install(of_process)
  end
  return of_process
end

--- The registry of the application that runs this code, else that of the process, which
--- nothing flushes.
---@return ahost.metrics.Registry
function metrics.current()
  local found <const> = context.current():get "metrics"
  return getmetatable(found) == Registry and found or without_application()
end

--- As the functions of the same names of `metrics.current()`.
---@param name string
---@param tags? table<string, string|number|boolean>
---@param opts? ahost.metrics.CounterOptions
---@return ahost.Counter|ahost.PeriodCounter
function metrics.counter(name, tags, opts)
  return (metrics.current():metric("counter", name, tags, opts, 3))
end

---@param name string
---@param tags? table<string, string|number|boolean>
---@param opts? ahost.metrics.GaugeOptions
---@return ahost.Gauge
function metrics.gauge(name, tags, opts)
  return (metrics.current():metric("gauge", name, tags, opts, 3))
end

---@param name string
---@param tags? table<string, string|number|boolean>
---@param opts? ahost.metrics.Options
---@return ahost.Rate
function metrics.rate(name, tags, opts)
  return (metrics.current():metric("rate", name, tags, opts, 3))
end

---@param name string
---@param tags? table<string, string|number|boolean>
---@param opts? ahost.metrics.Options
---@return ahost.Duty
function metrics.duty(name, tags, opts)
  return (metrics.current():metric("duty", name, tags, opts, 3))
end

---@param name string
---@param tags? table<string, string|number|boolean>
---@param opts? ahost.metrics.AggregationOptions
---@return ahost.Aggregation
function metrics.aggregation(name, tags, opts)
  return (metrics.current():metric("aggregation", name, tags, opts, 3))
end

---@param name string
---@param tags? table<string, string|number|boolean>
---@param opts? ahost.metrics.HistogramOptions
---@return ahost.Histogram
function metrics.histogram(name, tags, opts)
  return (metrics.current():metric("histogram", name, tags, opts, 3))
end

return metrics
