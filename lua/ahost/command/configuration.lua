-- ahost.command.configuration: the application that commands are about: its files,
-- their values, and what is built from them.

local application <const> = require "ahost.application"
local config <const> = require "ahost.config"
local control <const> = require "ahost.control.place"
local errors <const> = require "ahost.error"
local json <const> = require "ahost.json"
local log <const> = require "ahost.log"
local process <const> = require "ahost.process"
local runtime <const> = require "ahost.component.runtime"
local search <const> = require "ahost.command.search"

local configuration <const> = {}

--- The options that say what is configured.
---@type ahost.command.Option[]
configuration.options = {
  {
    key = "set",
    long = "set",
    value = "KEY=VALUE",
    repeated = true,
    doc = "replace one value (YAML); repeatable",
  },
  {
    key = "service",
    short = "s",
    long = "service",
    value = "NAME",
    doc = "choose one of `services`, before AHOST_SERVICE does",
  },
}

--- The files that the words of a command name, behind those of -c; else the one in the
--- default places.
---@param args table        as parsed
---@return string[] files   may be empty
function configuration.files(args)
  local files <const> = table.move(args.files, 1, #args.files, 1, {})
  table.move(args, 1, #args, #files + 1, files)
  if #files == 0 then files[1] = config.find() end
  return files
end

--- What messages call the files.
function configuration.name(files)
  return #files > 0 and table.concat(files, ", ") or "the configuration"
end

--- The message when there are no files.
---@return ahost.Error
function configuration.missing()
  return errors.new("NOTFOUND", ("there is no configuration: none of %s exists; name a "
    .. "file, or set AHOST_CONFIG"):format(table.concat(config.places, ", ")))
end

--- Reads the configuration that a command is about.
---@param args table          as parsed
---@return table? values
---@return string[]|ahost.Error files   that were named, or what is wrong
---@return string[]? read     all that it depends on
function configuration.load(args)
  local files <const> = configuration.files(args)
  if #files == 0 and #(args.set or {}) == 0 then
    return nil, configuration.missing()
  end
  local values, err, read = config.load(files, { set = args.set, service = args.service })
  if not values then return nil, err end
  return values, files, read
end

local function directory_of(file) return file and file:match("^(.*)/[^/]*$") end

local NO_LIMIT <const> = 0xffffffff

local function apply_limits(limits, threads)
  runtime.limits {
    memory = limits.memory or 0,
    connections = limits.connections or NO_LIMIT,
    line = limits.line,
    events = limits.events,
    items = limits.queue,
    threads = threads,
  }
end

-- What is left out is as it was when the program started.
local watchdog
local function apply_watchdog(wanted)
  watchdog = watchdog or runtime.watchdog {}
  local all <const> = {}
  for name, seconds in next, watchdog do
    all[name] = wanted and wanted[name] or seconds
  end
  runtime.watchdog(all)
end

--- Gives the host the limits that the top-level keys set. They may change while it runs.
---@param keys table          checked
function configuration.limit(keys)
  runtime.stop_timeout(keys.stop_timeout)
  apply_watchdog(keys.watchdog)
  apply_limits(keys.limits, keys.max_threads)
end

--- Gives the host what the top-level keys say about it.
---@param keys table          checked
---@param verbose? boolean    its level of records is the last word
function configuration.apply(keys, verbose)
  local level <const> = keys.logging.levels[""]
  if level and not verbose then log.set_level("", level) end
  configuration.limit(keys)
  if keys.max_threads then process.env.UV_THREADPOOL_SIZE = keys.max_threads end
end

--- Opens the logs.
---@param values table        whose top-level keys are fine
---@param args table          `verbose`, `log_file` and `syslog` have the last word
---@return true? ok
---@return ahost.Error? err   code CONFIG: what cannot be opened
function configuration.open_logs(values, args)
  return log.configure(values.logging, {
    verbose = args.verbose,
    file = args.log_file,
    syslog = args.syslog,
  })
end

local ROOTS <const> = { "component", "components", "schedules", "servers", "listen" }

-- Whether something is to be run.
local function has_root(values)
  for _, name in ipairs(ROOTS) do
    if values[name] ~= nil and values[name] ~= json.null then return true end
  end
  return false
end

-- What is wrong with the values that no component sees.
local function top_level_problems(values, files)
  local problems <const> = {}
  if not has_root(values) then
    problems[#problems + 1] = ("%s: there is nothing to run; give component, "
      .. "components, schedules, servers or listen"):format(configuration.name(files))
  end
  return problems
end

--- Where the control socket of the application is.
---@param values table
---@param keys table                    its top-level keys, checked
---@param files string[]
---@param args table                    as parsed
---@return ahost.ControlPlace? where    nil: it is to have none
function configuration.control(values, keys, files, args)
  return control.of(values, keys, files, args.service)
end

--- Builds the application, without starting anything. May wait.
---@param values table
---@param files string[]
---@param source? ahost.ApplicationSource    for reloads
---@return ahost.Application? app
---@return ahost.Error? err              code CONFIG; `err.errors` has all that is wrong
---@return ahost.Application? partial    what could be built, to look at only
function configuration.build(values, files, source)
  local problems <const> = top_level_problems(values, files)
  search.beside(files[1])
  local app, err, partial = application.new(values,
    { directory = directory_of(files[1]), source = source })
  local wrong <const> = err and (err.errors or { err.message }) or {}
  table.move(wrong, 1, #wrong, #problems + 1, problems)
  if #problems == 0 then return app end
  return nil, errors.new("CONFIG", table.concat(problems, "\n"), { errors = problems }),
    app or partial
end

return configuration
