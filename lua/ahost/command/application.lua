-- ahost.command.application: the commands that a configuration gives its application:
--
--     commands:
--       migrate: shop.database:migrate

local application <const> = require "ahost.application"
local config <const> = require "ahost.config"
local configuration <const> = require "ahost.command.configuration"
local context <const> = require "ahost.context"
local errors <const> = require "ahost.error"
local log <const> = require "ahost.log"
local reference <const> = require "ahost.reference"
local schema <const> = require "ahost.application.schema"
local search <const> = require "ahost.command.search"
local spelling <const> = require "ahost.spelling"
local value <const> = require "ahost.config.value"

-- What there is instead of a command. -> nil, err
local function unknown(name, built_in, own, files)
  local names <const>, of <const> = table.move(built_in, 1, #built_in, 1, {}), {}
  for command in next, own do of[#of + 1] = command end
  table.sort(of)
  table.move(of, 1, #of, #names + 1, names)
  local text = ("no such command '%s', and no such script"):format(name)
  local nearest <const> = spelling.nearest(name, names)
  if nearest then text = ('%s (did you mean "%s"?)'):format(text, nearest) end
  text = ("%s\nthe commands are %s"):format(text, table.concat(built_in, ", "))
  if #of > 0 then
    text = ("%s; of %s: %s"):format(text, configuration.name(files),
      table.concat(of, ", "))
  end
  return nil, errors.new("NOTFOUND", text)
end

-- -> values, files, both empty when there are none | nil, err
local function load_values(common)
  local values, files = configuration.load(common)
  if not values then
    if errors.is(files, "NOTFOUND") then return {}, {} end
    return nil, files
  end
  local keys, err = schema.check(values)
  if not keys then return nil, err end
  configuration.apply(keys, common.verbose)
  local ok, wrong = configuration.open_logs(values, common)
  if not ok then return nil, wrong end
  return values, files
end

-- -> function | nil, err
local function resolve(commands, name)
  local origin <const> = config.origin(commands, name)
  local fn, err = reference.resolve(commands[name],
    { directory = config.directory(commands, name) })
  if type(fn) == "function" then return fn end
  return nil, errors.new("CONFIG", ("%scommands.%s: %s"):format(
    origin and origin .. ": " or "", name,
    fn == nil and err.message
      or ("must be module:function, not %s"):format(value.kind(fn))))
end

local function commands_of(values)
  local given <const> = values.commands
  return type(given) == "table" and config.literal(given) or {}
end

local commands <const> = {}

--- What is wrong with the commands. May wait, as modules are loaded.
---@param values table        an effective configuration
---@return string[] problems
function commands.check(values)
  local own <const>, problems <const> = commands_of(values), {}
  for name in next, own do
    local fn, err = resolve(own, name)
    if not fn then problems[#problems + 1] = err.message end
  end
  table.sort(problems)
  return problems
end

--- Runs a command of the application in the calling task. Waits.
---@param name string
---@param common table        the options before it
---@param words string[]      those behind it
---@param built_in string[]   the names of other commands
---@return integer? status
---@return ahost.Error? err
function commands.run(name, common, words, built_in)
  local values, files = load_values(common)
  if not values then return nil, files end
  local own <const> = commands_of(values)
  if own[name] == nil then return unknown(name, built_in, own, files) end
  search.beside(files[1])
  local fn, err = resolve(own, name)
  if not fn then return nil, err end
  context.current():publish("config", values)
  return application.exit_status(fn(table.unpack(words)), log.get "ahost.command")
end

return commands
