-- ahost.application.script: the application of a component that a script has returned.
--
-- For a reload the script is run again, with the same arguments, globals of its own and
-- modules of its own. The first time it has run as any script: what it has loaded then by
-- `require` is found afterwards.

local application <const> = require "ahost.application"
local code <const> = require "ahost.component.code"
local errors <const> = require "ahost.error"
local host <const> = require "ahost.host"
local log <const> = require "ahost.log"
local task <const> = require "ahost.task"

local script <const> = {}

--- Called with the application when it has been opened; set by the program.
---@type fun(app: ahost.Application)?
script.opened = nil

local FIELDS <const> = { "start", "prepare", "run", "init", "components" }

-- As host.c tells components from other results.
local function is_component(value)
  if type(value) ~= "table" then return false end
  for _, name in ipairs(FIELDS) do
    if rawget(value, name) ~= nil then return true end
  end
  return false
end

-- What is of the script only.
local function trace(err)
  if errors.is(err, "CANCELLED") then return err end
  return (debug.traceback(tostring(err), 2):gsub("\n\t%[C%]: in function 'xpcall'.*", ""))
end

-- -> component | nil, err
local function run(path, own)
  local chunk, problem = own:compile(path)
  if not chunk then return nil, errors.new("FAILED", problem) end
  local ok, result = own:run(task.current(), xpcall, chunk, trace,
    table.unpack(host.args))
  if errors.is(result, "CANCELLED") then error(result, 0) end
  if not ok then return nil, errors.new("FAILED", result) end
  if is_component(result) then return result end
  return nil, errors.new("FAILED", path .. ": the script returns no component any more")
end

--- Runs a component that a script has returned, and ends the host with its status.
---@param component table
---@param process_signals boolean    as of ahost.ApplicationOptions
---@param path? string    of the script; without it there is nothing to load again
function script.run(component, process_signals, path)
  local app, err = application.new({}, {
    component = component,
    code = path and code.of_script(path),
    load_root = path and function(own) return run(path, own) end,
  })
  if not app then
    log.get "ahost.application":error("%s", err.message)
    return host.stop(2)
  end
  host.stop(app:run {
    stops = true,
    process_signals = process_signals,
    opened = script.opened,
  })
end

return script
