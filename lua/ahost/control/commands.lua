-- ahost.control.commands: what can be asked of any application. Each gets its control
-- and the request, and returns what is to be answered.

local errors <const> = require "ahost.error"
local host <const> = require "ahost.host"
local json <const> = require "ahost.json"
local log <const> = require "ahost.log"
local metrics <const> = require "ahost.metrics"
local process <const> = require "ahost.process"
local reload <const> = require "ahost.reload"
local spelling <const> = require "ahost.spelling"
local status <const> = require "ahost.control.status"

local commands <const> = {}

-- -> nil, err
local function refuse(format, ...)
  return nil, errors.new("EINVAL", format:format(...))
end

local function one_of(value, names)
  for _, name in ipairs(names) do
    if name == value then return true end
  end
  return false
end

local function unknown(what, value, names)
  return refuse("%s '%s' %s", what, tostring(value),
    spelling.hint(tostring(value), names))
end

-- ---- looking -------------------------------------------------------------------------

commands.ping = { doc = "whether it is there, and what it is" }

function commands.ping.run(control)
  return {
    name = control.name,
    file = control.file,
    pid = process.pid,
    version = host.version,
    state = status.state(control.app),
  }
end

commands.commands = { doc = "what can be asked of it" }

function commands.commands.run(control)
  local list <const> = json.array()
  for name, command in next, control.commands do
    list[#list + 1] = { name = name, doc = command.doc }
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

commands.status = { doc = "components, listeners, resources and tasks, or one of them" }

local MOST_ENTRIES <const> = 100000

function commands.status.run(control, request)
  local part <const>, limit <const> = request.part, request.limit
  if part ~= nil and not one_of(part, status.parts) then
    return unknown("no part", part, status.parts)
  elseif limit ~= nil and not (math.type(limit) == "integer" and limit >= 0
        and limit <= MOST_ENTRIES) then
    return refuse("limit: must be an integer from 0 to %d", MOST_ENTRIES)
  end
  return status.of(control, {
    part = part,
    limit = limit,
    connections = request.connections == true,
  })
end

commands.metrics = { doc = "the metrics, as text" }

function commands.metrics.run(control, request)
  local ctx <const> = control.app.ctx
  local registry <const> = ctx:state() ~= "closed" and ctx:get "metrics"
  if not registry then
    return nil, errors.new("NOTFOUND", "this application has no metrics")
  end
  local format <const> = request.format or "openmetrics"
  if not one_of(format, metrics.formats) then
    return unknown("no format", format, metrics.formats)
  end
  return registry:render(format)
end

-- ---- changing ------------------------------------------------------------------------

commands.reload = { doc = "reload what has changed, or one component" }

function commands.reload.run(control, request)
  local component <const> = request.component
  if component ~= nil and type(component) ~= "string" then
    return refuse("component: must be the path of a component")
  end
  return control.app:reload(component, {
    force = request.force == true,
    quiet = request.quiet == true,
  })
end

commands.files = { doc = "the files that it was read from, which reloads look at" }

function commands.files.run(control) return json.array(reload.files(control.app)) end

commands.stop = { doc = "end it, with an exit status" }

function commands.stop.run(control, request)
  local code <const> = request.status or 0
  if math.type(code) ~= "integer" or code < 0 or code > 127 then
    return refuse("status: must be an integer from 0 to 127")
  end
  control.log:notice("asked to stop by the control socket")
  control.app:stop(code)
  return { state = status.state(control.app) }
end

commands.log = { doc = "show or set the lowest level of a logger" }

local INHERIT <const> = "inherit"
local LEVELS <const> = { "debug", "info", "notice", "warning", "error", "critical",
  INHERIT }

function commands.log.run(control, request)
  local level <const>, logger <const> = request.level, request.logger or ""
  if type(logger) ~= "string" or logger:find "%z" then
    return refuse("logger: must be the name of a logger")
  elseif level ~= nil then
    if not one_of(level, LEVELS) then return unknown("no level", level, LEVELS) end
    log.set_level(logger, level ~= INHERIT and level or nil)
    control.log:notice("level of logger '%s' set to %s", logger, log.level(logger))
  end
  return { logger = logger, level = log.level(logger) }
end

return commands
