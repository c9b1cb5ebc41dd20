-- What the specs of examples in C need: the tutorial is played in a copy of the
-- example's folder, with the build under test installed in a temporary directory.

local installed <const> = require "spec.installed"
local tutorial <const> = require "spec.tutorial"

local program <const> = {}

--- Installs the build under test and copies a folder. -> nil when nothing can be built
---@param folder string
---@return table? at  see spec/installed.lua
function program.new(folder)
  if installed.missing then return nil end
  local at <const> = installed.new()
  at:run(("cp $root/%s/* ."):format(folder))
  return at
end

--- Does what the tutorial in a folder says.
---@param at table
---@param folder string
function program.play(at, folder)
  tutorial.play(folder, function(command) return at:script(command) end)
end

return program
