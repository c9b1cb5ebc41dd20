-- What specs of reloading share: applications whose components are files in a directory
-- of their own, which the spec changes while they serve.

local subprocess <const> = require "spec.subprocess"
local testing <const> = require "ahost.testing"

local Files <const> = {}
Files.__index = Files
Files.__name = "reloading_files"

function Files:__close() self.remove() end

function Files:write(name, text) subprocess.write(self.directory .. "/" .. name, text) end

--- Writes `components`, texts by their aliases, and starts an application of them.
---@param components table<string, string>
---@param config? table    the top level; may say more of the components
---@return ahost.testing.Host
function Files:start(components, config)
  local values <const> = config or {}
  values.components = values.components or {}
  for alias, text in pairs(components) do
    self:write(alias .. ".lua", text)
    values.components[alias] = values.components[alias] or {}
    values.components[alias].type = "./" .. alias .. ".lua"
  end
  return testing.host { config = values, directory = self.directory }
end

--- The same of a configuration file, whose text is given.
---@return ahost.testing.Host
function Files:start_configured(components, yaml)
  for alias, text in pairs(components) do self:write(alias .. ".lua", text) end
  self:write("app.yaml", yaml)
  return testing.host { files = self.directory .. "/app.yaml" }
end

--- A component that publishes something.
---@param text string    Lua
---@param key? string    "value"
function Files.value(text, key)
  return ("return { start = function(_, ctx) ctx:publish('%s', %s) end }"):format(
    key or "value", text)
end

--- A new directory, which goes with the result.
return function()
  local directory <const>, remove <const> = subprocess.directory()
  return setmetatable({ directory = directory, remove = remove }, Files)
end
