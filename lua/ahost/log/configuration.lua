-- ahost.log.configuration: makes the handlers that a configuration describes, and gives
-- each logger its own.

local config <const> = require "ahost.config"
local errors <const> = require "ahost.error"
local json <const> = require "ahost.json"
local options <const> = require "ahost.options"
local process <const> = require "ahost.process"
local schema <const> = require "ahost.log.schema"
local sinks <const> = require "ahost.log.sinks"
local spelling <const> = require "ahost.spelling"

local configuration <const> = {}

local LEVELS <const> = { debug = 10, info = 20, notice = 25, warning = 30, error = 40,
  critical = 50 }

local SHORT <const> = { "console", "file", "json", "syslog" }

---@class ahost.log.Handler
---@field class "console"|"file"|"syslog"|"json"
---@field options table      checked
---@field path string        of the handler in the configuration
---@field given table        as it was written

---@class ahost.log.Plan
---@field handlers ahost.log.Handler[]
---@field by_name table<string, ahost.log.Handler>    those of `handlers`
---@field routes {name: string, propagate: boolean, handlers: ahost.log.Handler[]}[]
---@field levels table<string, string>                by logger, "" is above all

-- ---- checking ------------------------------------------------------------------------

local function given(value)
  if value == json.null then return nil end
  return value
end

local Check <const> = {}
Check.__index = Check

function Check:refuse(container, key, path, text)
  local origin <const> = container and config.origin(container, key) or self.at
  self.problems[#self.problems + 1] = ("%s%s: %s"):format(
    origin and origin .. ": " or "", path, text)
end

local function place(path, origin)
  return { path = path, at = origin, origin = config.origin, literal = config.literal }
end

-- -> checked values | nil
function Check:options(fields, values, path, origin)
  local checked, problems = options.check(fields, values, place(path, origin))
  if checked then return checked end
  table.move(problems, 1, #problems, #self.problems + 1, self.problems)
end

-- A file, or standard error, but one of them.
function Check:needs_path(handler)
  local chosen <const> = handler.options
  if handler.class == "json" and chosen.stderr then
    if chosen.path then
      self:refuse(handler.given, "path", handler.path .. ".path",
        "give either this or stderr")
    end
  elseif (handler.class == "json" or handler.class == "file") and not chosen.path then
    self:refuse(handler.container, handler.key, handler.path .. ".path",
      "is required, but missing")
  end
end

function Check:add(class, container, key, path, fields)
  local checked <const> = self:options(fields, container[key], path,
    config.origin(container, key))
  if not checked then return end
  local handler <const> = {
    class = class,
    options = checked,
    path = path,
    given = container[key],
    container = container,
    key = key,
  }
  self:needs_path(handler)
  table.insert(self.plan.handlers, handler)
  return handler
end

-- Whatever stands in `logging` itself goes to the root.
function Check:short_handlers(values)
  for _, class in ipairs(SHORT) do
    if given(values[class]) ~= nil then
      local handler <const> = self:add(class, values, class, "logging." .. class,
        schema.short[class])
      table.insert(self.root, handler)
    end
  end
end

local function sorted_names(map)
  local names <const> = {}
  for name in next, map do
    if given(map[name]) ~= nil then names[#names + 1] = name end
  end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  return names
end

local function path_of(map, name)
  return ("logging.%s.%s"):format(map, (tostring(name):gsub("[.\\]", "\\%0")))
end

-- A key whose value is to be one of the names in a map.
function Check:unknown_name(container, key, path, name, kind, known)
  self:refuse(container, key, path, ("there is no %s %q %s"):format(kind, name,
    spelling.hint(name, sorted_names(known))))
end

function Check:named_handler(handlers, name, formatters)
  local values <const> = handlers[name]
  local path <const> = path_of("handlers", name)
  local class <const> = type(values) == "table" and values.class
  local fields <const> = schema.full[class]
  if not fields then
    local others <const> = {}
    for key in next, type(values) == "table" and values or {} do
      others[key] = key ~= "class" or nil
    end
    local spot <const> = place(path, config.origin(handlers, name))
    spot.reserved = others
    local _, problems = options.check(schema.class, values, spot)
    table.move(problems or {}, 1, #(problems or {}), #self.problems + 1, self.problems)
    return
  end
  local handler <const> = self:add(class, handlers, name, path, fields)
  local formatter <const> = handler and handler.options.formatter
  if formatter and self.without_formatters then
    return handler
  elseif formatter and formatters[formatter] == nil then
    self:unknown_name(values, "formatter", path .. ".formatter", formatter, "formatter",
      formatters)
  elseif formatter then
    for key, value in pairs(formatters[formatter]) do handler.options[key] = value end
  end
  return handler
end

-- Handlers by name, also those that are wrong: they are known all the same.
function Check:named_handlers(values, formatters)
  local handlers <const> = config.literal(values or {})
  for _, name in ipairs(sorted_names(handlers)) do
    self.plan.by_name[name] = self:named_handler(handlers, name, formatters) or false
  end
end

-- -> the handlers that a list names
function Check:resolve(names, list, path)
  local found <const> = {}
  for i, name in ipairs(names or {}) do
    local handler <const> = self.plan.by_name[name]
    if handler == nil then
      self:unknown_name(list, i, ("%s[%d]"):format(path, i), name, "handler",
        self.plan.by_name)
    elseif handler then
      found[#found + 1] = handler
    end
  end
  return found
end

function Check:loggers(checked, values)
  local written <const> = given(values.loggers) and config.literal(values.loggers) or {}
  for _, name in ipairs(sorted_names(checked.loggers or {})) do
    local logger <const> = checked.loggers[name]
    self.plan.levels[name] = logger.level
    table.insert(self.plan.routes, {
      name = name,
      propagate = logger.propagate,
      handlers = self:resolve(logger.handlers, written[name].handlers,
        path_of("loggers", name) .. ".handlers"),
    })
  end
end

function Check:rest(checked, values)
  local plan <const> = self.plan
  local root <const> = checked.root or {}
  for name, level in pairs(checked.levels or {}) do plan.levels[name] = level end
  self:loggers(checked, values)
  plan.levels[""] = root.level or checked.level
  for _, handler in ipairs(self:resolve(root.handlers, root.handlers
    and values.root.handlers, "logging.root.handlers")) do
    table.insert(self.root, handler)
  end
  table.insert(plan.routes, { name = "", propagate = false, handlers = self.root })
end

--- Checks what stands under `logging:` without opening anything.
---@param values table?
---@param at string?     where it was written
---@return ahost.log.Plan? plan
---@return string[]? problems
function configuration.check(values, at)
  local check <const> = setmetatable({
    problems = {},
    root = {},
    at = at,
    plan = { handlers = {}, by_name = {}, routes = {}, levels = {} },
  }, Check)
  values = given(values) or {}
  local checked <const> = check:options(schema.fields, values, "logging", at)
  if type(values) ~= "table" then
    return nil, check.problems
  elseif not checked then
    check.without_formatters = true
    if type(given(values.handlers)) == "table" then
      check:named_handlers(values.handlers, {})
    end
    return nil, check.problems
  end
  check:short_handlers(values)
  check:named_handlers(given(values.handlers), checked.formatters or {})
  check:rest(checked, values)
  if #check.problems > 0 then return nil, check.problems end
  return check.plan
end

-- ---- making --------------------------------------------------------------------------

local function has_colours(choice, descriptor)
  if choice ~= "auto" then return choice == "always" end
  local env <const> = process.env
  return sinks.is_terminal(descriptor) and not env.NO_COLOR and env.TERM ~= "dumb"
end

-- What all sinks take.
local function common(chosen, kind)
  return {
    kind = kind,
    level = LEVELS[chosen.level],
    queue_records = chosen.queue,
    queue_bytes = chosen.queue_size,
    format = chosen.format,
    datefmt = chosen.datefmt,
    utc = chosen.utc,
    sd_id = chosen.sd_id,
    host_name = sinks.host_name(),
  }
end

local makers <const> = {}

function makers.console(handler)
  local sink <const> = common(handler.options, "text")
  sink.colours = has_colours(handler.options.colours, 2)
  return sinks.console(sink)
end

-- The path of a handler's file; a relative one is seen from the file that names it.
local function path_of_file(handler)
  local path <const> = handler.options.path
  return handler.given and config.beside(handler.given, "path", path) or path
end

local function make_file(handler, kind)
  local chosen <const> = handler.options
  local sink <const> = common(chosen, kind)
  sink.path = path_of_file(handler)
  sink.backup_count = chosen.backup_count
  sink.max_size = chosen.backup_max_size
  sink.rotate_every = chosen.rotate_every
  return sinks.file(sink)
end

function makers.file(handler) return make_file(handler, "text") end

function makers.json(handler)
  if handler.options.stderr then return sinks.console(common(handler.options, "json")) end
  return make_file(handler, "json")
end

function makers.syslog(handler)
  local chosen <const> = handler.options
  local address <const> = schema.syslog_address(chosen.address)
  local is_unix <const> = address.port == nil
  local kind <const> = chosen.format or is_unix and "rfc3164" or "rfc5424"
  local sink <const> = common(chosen, kind)
  sink.format, sink.datefmt = nil, nil
  sink.transport, sink.host, sink.port = address.transport, address.host, address.port
  sink.newlines = chosen.framing == "newlines"
  sink.facility = schema.facilities[chosen.facility]
  sink.app_name = chosen.app_name
  sink.max_length = chosen.max_length
  sink.host_name = chosen.host_name or sink.host_name
  if is_unix and kind == "rfc3164" then sink.host_name = nil end -- as syslog() does
  return sinks.syslog(sink)
end

-- Opens all handlers. -> sinks by handler, all of them | nil, problems
local function make_all(plan)
  local made <const>, list <const>, problems <const> = {}, {}, {}
  for _, handler in ipairs(plan.handlers) do
    local sink, err = makers[handler.class](handler)
    if sink then
      made[handler] = sink
      list[#list + 1] = sink
    else
      local origin <const> = handler.given and config.origin(handler.given, "path")
      problems[#problems + 1] = ("%s%s: cannot open %s: %s"):format(
        origin and origin .. ": " or "",
        handler.given and handler.path .. ".path" or handler.path, path_of_file(handler),
        err.message)
    end
  end
  if #problems > 0 then return nil, problems end
  return made, list
end

local function routes_of(plan, made)
  local routes <const> = {}
  for i, route in ipairs(plan.routes) do
    local list <const> = {}
    for j, handler in ipairs(route.handlers) do list[j] = made[handler] end
    routes[i] = { name = route.name, propagate = route.propagate, sinks = list }
  end
  table.sort(routes, function(a, b) return #a.name > #b.name end)
  return routes
end

-- ---- applying ------------------------------------------------------------------------

-- Adds a handler that the command line asks for to the root, or changes the one there.
local function add(plan, class, key, value)
  local root <const> = plan.routes[#plan.routes].handlers
  for _, handler in ipairs(root) do
    if handler.class == class then
      handler.options[key] = value
      handler.given = nil
      return
    end
  end
  local handler <const> = {
    class = class,
    options = assert(options.check(schema.short[class], { [key] = value })),
    path = class == "file" and "-l" or "--syslog",
  }
  table.insert(plan.handlers, handler)
  table.insert(root, handler)
end

-- The levels that the last configuration has set.
local set = {}

local function set_levels(levels, verbose)
  local log <const> = require "ahost.log"
  for name in pairs(set) do log.set_level(name, nil) end
  set = {}
  for name, level in pairs(levels) do
    if name ~= "" or not verbose then
      log.set_level(name, level)
      set[name] = true
    end
  end
end

local function failure(problems)
  return nil, errors.new("CONFIG", table.concat(problems, "\n"), { errors = problems })
end

--- Implements log.configure.
---@param values table?
---@param opts ahost.LogConfigureOptions?
function configuration.apply(values, opts)
  opts = opts or {}
  local plan, problems = configuration.check(values)
  if not plan then return failure(problems) end
  if opts.syslog then
    local ok, problem = schema.syslog_address(opts.syslog)
    if not ok then return failure { "--syslog: " .. problem } end
    add(plan, "syslog", "address", opts.syslog)
  end
  if opts.file then add(plan, "file", "path", opts.file) end
  local made, list = make_all(plan)
  if not made then return failure(list) end
  set_levels(plan.levels, opts.verbose)
  sinks.install(list, routes_of(plan, made))
  return true
end

return configuration
