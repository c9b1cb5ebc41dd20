-- ahost.command: what `ahost WORD` does when WORD is no script: the commands of ahost,
-- and those that a configuration gives its application.
--
-- A command is a module with `summary`, `usage`, `doc`, `options` and `main(args)`,
-- which returns the exit status, or nil and an error: what was asked for is wrong. One
-- that is `raw` takes its words as they are. Modules are loaded when they are needed:
-- specs are not to find them loaded.

local arguments <const> = require "ahost.command.arguments"
local errors <const> = require "ahost.error"
local host <const> = require "ahost.host"

local BUILT_IN <const> = { "run", "check", "config", "test", "new", "components",
  "ctl" }

local BAD_USAGE <const> = 2

---@type ahost.command.Option[]
local COMMON <const> = {
  {
    key = "files",
    short = "c",
    value = "FILE",
    repeated = true,
    doc = "a configuration file; repeatable",
  },
  {
    key = "log_file",
    short = "l",
    value = "FILE",
    doc = "log to a file",
  },
  {
    key = "syslog",
    long = "syslog",
    value = "ADDRESS",
    optional = "unix:///dev/log",
    doc = "log to a syslog server (unix:///dev/log)",
  },
  { key = "verbose", short = "v", doc = "say more, and log debug records too" },
  { key = "help", short = "h", long = "help", doc = "show this and exit" },
}

-- What means `run`, with or without that word.
---@type ahost.command.Option[]
local BACKGROUND <const> = {
  { key = "daemon", short = "d", doc = "run in the background (run)" },
  { key = "kill", short = "k", doc = "end what runs in the background (run)" },
  {
    key = "watch",
    short = "w",
    long = "watch",
    doc = "reload when a file is saved (run, scripts)",
  },
}

local VERSION <const> = {
  key = "version",
  long = "version",
  doc = "show the version and exit",
}

-- ---- telling -------------------------------------------------------------------------

local function fail(message)
  io.stderr:write(message .. "\n")
  return BAD_USAGE
end

local function bad_usage(what, message)
  return fail(("%s: %s\ntry '%s --help'"):format(what, message, what))
end

-- The options before the first word.
local function head_options()
  local options <const> = table.move(COMMON, 1, #COMMON, 1, {})
  table.move(BACKGROUND, 1, #BACKGROUND, #options + 1, options)
  options[#options + 1] = VERSION
  return options
end

local function overview()
  local lines <const> = {
    "usage: ahost [options] SCRIPT [argument ...]\n",
    "       ahost [options] COMMAND [argument ...]\n\n",
    "SCRIPT is a Lua file; its body is the main task. commands:\n",
  }
  for _, name in ipairs(BUILT_IN) do
    lines[#lines + 1] = ("  %-10s  %s\n"):format(name,
      require("ahost.command." .. name).summary)
  end
  lines[#lines + 1] = "  NAME        one of `commands` in the configuration\n\noptions:\n"
  lines[#lines + 1] = arguments.help(head_options())
  lines[#lines + 1] = "\n'ahost COMMAND --help' tells more of a command\n"
  return table.concat(lines)
end

-- All options of a command.
local function options_of(command)
  local options <const> = table.move(command.options or {}, 1, #(command.options or {}),
    1, {})
  return table.move(COMMON, 1, #COMMON, #options + 1, options)
end

local function help_of(name, command)
  return ("usage: ahost %s [options] %s\n\n%s\n\noptions:\n%s"):format(name,
    command.usage, command.doc, arguments.help(options_of(command)))
end

-- ---- commands of ahost ---------------------------------------------------------------

-- -> status
local function finish(status, err)
  if status then return status end
  return fail(errors.is(err, "CONFIG") and err.message or "ahost: " .. err.message)
end

local function run_built_in(name, common, words)
  local command <const> = require("ahost.command." .. name)
  if command.raw then return finish(command.main(common, words)) end
  local args, message = arguments.parse(options_of(command), words)
  if not args then return bad_usage("ahost " .. name, message) end
  if args.help then
    io.write(help_of(name, command))
    return 0
  end
  args.files = table.move(args.files, 1, #args.files, #common.files + 1,
    table.move(common.files, 1, #common.files, 1, {}))
  for _, key in ipairs { "verbose", "log_file", "syslog", "daemon", "kill", "watch" } do
    args[key] = args[key] or common[key]
  end
  if args.verbose then require("ahost.log").set_level("", "debug") end
  local status, err = command.main(args)
  if errors.is(err, "USAGE") then return bad_usage("ahost " .. name, err.message) end
  return finish(status, err)
end

-- ---- the whole -----------------------------------------------------------------------

local function is_built_in(word)
  for _, name in ipairs(BUILT_IN) do
    if name == word then return true end
  end
  return false
end

-- What the command sees as the arguments of the program.
local function set_arguments(words)
  for i = 1, math.max(#host.args, #words) do host.args[i] = words[i] end
end

-- -> status
local function run(...)
  local common, message = arguments.parse(head_options(), { ... }, true)
  if not common then return bad_usage("ahost", message) end
  if common.help then
    io.write(overview())
    return 0
  elseif #common == 0 and not (common.daemon or common.kill or common.watch) then
    io.stderr:write(overview())
    return BAD_USAGE
  end
  local word <const> = common[1] or "run"
  local background <const> = common.daemon and "-d" or common.kill and "-k"
    or common.watch and "-w"
  if background and word ~= "run" then
    return bad_usage("ahost", ("%s is for run, not for %s"):format(background, word))
  end
  local words <const> = table.move(common, 2, #common, 1, {})
  for i = #common, 1, -1 do common[i] = nil end
  set_arguments(words)
  if is_built_in(word) then return run_built_in(word, common, words) end
  return finish(require "ahost.command.application".run(word, common, words,
    BUILT_IN))
end

--- Runs a command and stops the host with its status; 1 when it is cancelled.
---@param ... string    all words of the command line
return function(...)
  local status = 1
  local _ <close> = setmetatable({}, { __close = function() host.stop(status) end })
  status = run(...)
end
