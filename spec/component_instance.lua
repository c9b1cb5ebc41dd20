-- An instance of a component without an application around it: its options checked,
-- its `init` called, and a logger that remembers.

local options <const> = require "ahost.options"

local function recorder()
  local records <const> = {}
  local function record(level)
    return function(_, format, ...)
      records[#records + 1] = level .. ": " .. format:format(...)
    end
  end
  return {
    records = records,
    debug = record "debug",
    info = record "info",
    error = record "error",
  }
end

--- Makes an instance. Raises what `init` raises.
---@param component table
---@param alias string
---@param values table        its configuration
---@return table? instance    instance.log.records lists what was logged
---@return string[]? problems of the configuration
return function(component, alias, values)
  local checked, problems = options.check(component.options, values, { path = alias })
  if not checked then return nil, problems end
  local instance <const> = setmetatable({
    config = checked,
    name = alias,
    path = alias,
    log = recorder(),
    directory_of = function() return nil end,
  }, { __index = component })
  if component.init then instance:init() end
  return instance
end
