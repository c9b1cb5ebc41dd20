-- The top-level keys of a configuration.

local errors <const> = require "ahost.error"
local config <const> = require "ahost.config"
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
  logging = map "where log records go",
  daemon = map "running in the background",
  reload = map "reloading components",
  watchdog = {
    type = "map",
    doc = "code that keeps the loop from turning",
    fields = {
      stall = {
        type = "duration",
        min = 0,
        doc = "code that runs on for so long is logged with its traceback (1s); 0: never",
      },
      stall_kill = {
        type = "duration",
        min = 0,
        doc = "an error is raised in code that runs on for so long; 0: never",
      },
      lag = {
        type = "duration",
        min = 0,
        doc = "a turn of the loop that takes longer is logged; 0: never",
      },
    },
  },
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
  if checked then return checked end
  return nil, errors.new("CONFIG", table.concat(problems, "\n"), { errors = problems })
end

return schema
