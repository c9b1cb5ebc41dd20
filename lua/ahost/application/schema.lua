-- The top-level keys of a configuration.

local background <const> = require "ahost.application.background"
local errors <const> = require "ahost.error"
local config <const> = require "ahost.config"
local control <const> = require "ahost.control.place"
local log_configuration <const> = require "ahost.log.configuration"
local log_schema <const> = require "ahost.log.schema"
local metrics <const> = require "ahost.application.metrics"
local options <const> = require "ahost.options"
local workers <const> = require "ahost.application.workers"

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
    doc = "threads for files, for the names of hosts (4 each), and for thread.call (one "
      .. "for each processor)",
  },
  workers = workers.option,
  logging = {
    type = "map",
    fields = log_schema.fields,
    doc = "where log records go, and which",
  },
  daemon = {
    type = "map",
    fields = background.fields,
    doc = "running in the background (-d)",
  },
  reload = {
    type = "map",
    default = {},
    doc = "replacing components while they serve",
    fields = {
      grace = {
        type = "duration",
        min = 0,
        default = 30,
        doc = "how long connections may go on with the code that they began with",
      },
      generations = {
        type = "integer",
        min = 1,
        max = 1000,
        default = 8,
        doc = "old ones of a component at once; a further reload waits for the oldest",
      },
      on_hup = { type = "boolean", default = false, doc = "reload when SIGHUP comes" },
      watch = {
        type = "boolean",
        default = false,
        doc = "reload when a file is saved, as `ahost run --watch` does",
      },
    },
  },
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
  metrics = metrics.option,
  control = {
    type = "map",
    doc = "the control socket, for `ahost ctl`; false: none",
    fields = {
      enabled = { type = "boolean", default = true, doc = "whether there is one" },
      path = {
        type = "string",
        check = control.check,
        doc = "its file ($XDG_RUNTIME_DIR/ahost-NAME.sock, or in /run)",
      },
      name = {
        type = "string",
        check = control.check_name,
        doc = "that of the application (of its first file)",
      },
    },
  },
  limits = {
    type = "map",
    default = {},
    doc = "what holds where the program does not say how much",
    fields = {
      memory = {
        type = "size",
        min = "1MiB",
        doc = "what Lua and buffers may take in all; more is refused (no limit)",
      },
      connections = {
        type = "integer",
        min = 1,
        doc = "connections of a server at once; more wait in the backlog (no limit)",
      },
      line = {
        type = "size",
        min = 1,
        max = "1GiB",
        default = "64KiB",
        doc = "the length of a line",
      },
      events = {
        type = "integer",
        min = 1,
        default = 100,
        doc = "events or messages that wait for an iterator; more are dropped",
      },
      queue = {
        type = "integer",
        min = 1,
        default = 1000,
        doc = "items of a queue; who puts more waits",
      },
    },
  },
}

-- `control: false` is short for a map. -> values, origin
local function expand(values)
  if values.control ~= false then return values, config.origin end
  local expanded <const> = {}
  for name, value in next, values do expanded[name] = value end
  expanded.control = { enabled = false }
  return expanded, function(container, key)
    return config.origin(container == expanded and values or container, key)
  end
end

--- The top-level values, checked.
---@param values table       an effective configuration
---@return table? checked
---@return ahost.Error? err  code CONFIG
function schema.check(values)
  local expanded <const>, origin <const> = expand(values)
  local checked, problems = options.check(schema.keys, expanded, {
    path = "",
    origin = origin,
    literal = config.literal,
  })
  -- Workers, and handlers that are named and formed, take more than a schema.
  if checked then
    local wrong
    checked.workers, problems = workers.check(values)
    checked.logging, wrong = log_configuration.check(values.logging,
      config.origin(values, "logging"))
    if checked.logging and not problems then return checked end
    problems = table.move(wrong or {}, 1, #(wrong or {}), #(problems or {}) + 1,
      problems or {})
  end
  return nil, errors.new("CONFIG", table.concat(problems, "\n"), { errors = problems })
end

return schema
