-- The top-level keys of a configuration.

local errors <const> = require "ahost.error"
local config <const> = require "ahost.config"
local log_configuration <const> = require "ahost.log.configuration"
local log_schema <const> = require "ahost.log.schema"
local options <const> = require "ahost.options"

local schema <const> = {}

local function map(doc) return { type = "map", doc = doc } end

schema.keys = {
  component = map "the root component",
  components = map "components by alias, below a root that does nothing",
  defaults = map "configurations of components by their type",
  schedules = map "what is to be done every so often, by name",
  servers = map "what is to be served where, by name",
  listen = map "functions that are called with messages of the bus",
  commands = map "further commands: module:function by name",
  start_timeout = {
    type = "duration",
    min = 0,
    default = 20,
    doc = "how long all components together may take to start; 0: for ever",
  },
  stop_timeout = {
    type = "duration",
    min = 0,
    default = 10,
    doc = "how long tasks and teardown callbacks may take at the end",
  },
  tick_period = {
    type = "duration",
    min = 0.001,
    default = 1,
    doc = "the time between two messages app.tick",
  },
  max_threads = {
    type = "integer",
    min = 1,
    max = 1024,
    doc = "threads for files and names of hosts (4)",
  },
  workers = { type = "any", doc = "processes" },
  logging = {
    type = "map",
    fields = log_schema.fields,
    doc = "where log records go, and which",
  },
  daemon = map "running in the background",
  reload = map "reloading components",
  watchdog = map "code that hogs the loop",
  metrics = map "metrics",
  control = map "the control socket",
  limits = map "limits of the host",
}

--- The top-level values, checked.
---@param values table       an effective configuration
---@return table? checked
---@return ahost.Error? err  code CONFIG
function schema.check(values)
  local checked, problems = options.check(schema.keys, values, {
    path = "",
    origin = config.origin,
    literal = config.literal,
  })
  -- Where handlers are named and formed, it takes more than a schema.
  if checked then
    checked.logging, problems = log_configuration.check(values.logging,
      config.origin(values, "logging"))
    if checked.logging then return checked end
  end
  return nil, errors.new("CONFIG", table.concat(problems, "\n"), { errors = problems })
end

return schema
