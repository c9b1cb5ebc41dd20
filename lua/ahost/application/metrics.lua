-- The metrics of an application: their registry, which is its resource `metrics`, and
-- their flush.

local host <const> = require "ahost.metrics.host"
local metrics <const> = require "ahost.metrics"
local tags <const> = require "ahost.metrics.tags"
local time <const> = require "ahost.time"

local service <const> = {}

local function check_name(name)
  local problem <const> = tags.name_problem(name)
  return not problem, problem
end

local function check_tags(set)
  for name in next, set do
    local problem <const> = tags.tag_problem(name)
    if problem then return false, ("tag '%s' %s"):format(tostring(name), problem) end
  end
  return true
end

--- The top-level key `metrics`.
---@type ahost.Option
service.option = {
  type = "map",
  default = {},
  doc = "metrics",
  fields = {
    namespace = {
      type = "string",
      check = check_name,
      doc = "put before the name of each metric, with an underscore",
    },
    tags = {
      type = "map",
      of = { type = "string" },
      check = check_tags,
      default = {},
      doc = "tags of all metrics",
    },
    flush = {
      type = "duration",
      min = 0,
      default = 60,
      doc = "the period of rates and the like; 0: only metrics.current():flush()",
    },
    max_series = {
      type = "integer",
      min = 1,
      default = 1000,
      doc = "sets of tags of one metric; what is told to more is dropped and counted",
    },
    expiration = {
      type = "duration",
      min = 0.001,
      default = 60,
      doc = "how long a dynamic set of tags lasts that nobody touches",
    },
  },
}

--- Makes and publishes the registry of an application.
---@param app ahost.Application
function service.open(app)
  local set <const> = app.keys.metrics
  app.metrics = metrics.registry {
    namespace = set.namespace,
    tags = set.tags,
    max_series = set.max_series,
    expiration = set.expiration,
    bus = app.bus,
  }
  host.install(app.metrics, function() return app.restarts end)
  app.ctx:publish("metrics", app.metrics, { doc = "the metrics of the application" })
end

--- Starts to flush, the first time one period from now, until the current context ends.
---@param app ahost.Application
---@return ahost.Timer? timer    nil when there is no period
function service.start(app)
  local period <const> = app.keys.metrics.flush
  if period == 0 then return nil end
  local timer <const> = time.timer(function() app.metrics:flush() end,
    { autorestart = true })
  timer:start(period)
  return timer
end

--- Flushes with the period of another configuration from now on.
---@param app ahost.Application
---@param before table    the top-level keys that were in effect
function service.adopt(app, before)
  if app.keys.metrics.flush == before.metrics.flush then return end
  if app.flushes then app.flushes:close() end
  app.flushes = service.start(app)
end

return service
