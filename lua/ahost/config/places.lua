-- Where configuration files are looked for.

local files <const> = require "ahost.config.files"
local process <const> = require "ahost.process"

local places = {}

---The default places, in order.
places.list = {
  "ahost.yaml", "etc/ahost.yaml", "/etc/ahost/ahost.yaml",
  "ahost.lua", "etc/ahost.lua", "/etc/ahost/ahost.lua",
}

---The configuration file to take when none is named: what AHOST_CONFIG says, whether
---it exists or not, else the first that exists of ahost.yaml, etc/ahost.yaml,
---/etc/ahost/ahost.yaml and the same with .lua.
---@return string? path
function places.find()
  local named = process.env.AHOST_CONFIG
  if named and named ~= "" then
    return named
  end
  for _, name in ipairs(places.list) do
    if files.realpath(name) then
      return name
    end
  end
  return nil
end

return places
