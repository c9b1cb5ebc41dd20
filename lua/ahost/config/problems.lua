-- Collects what is wrong with a configuration, to tell it all at once.

local errors <const> = require "ahost.error"

local MOST <const> = 100 -- that are told in full

local Problems <const> = {}
Problems.__index = Problems

---One message: `ORIGIN: PATH: TEXT`; unknown parts are left out.
function Problems:add(place, path, text)
  self.count = self.count + 1
  if self.count > MOST then
    return
  end
  local message = text
  if path and path ~= "" then
    message = path .. ": " .. message
  end
  if place then
    message = place .. ": " .. message
  end
  local fields = { origin = place, path = path }
  self.list[self.count] = errors.new("CONFIG", message, fields)
end

---@return ahost.Error? err code CONFIG, `errors` lists all; nil if all is well
function Problems:error()
  if self.count == 0 then
    return nil
  end
  local lines = {}
  for i, err in ipairs(self.list) do
    lines[i] = err.message
  end
  if self.count > MOST then
    lines[MOST + 1] = ("and %d more"):format(self.count - MOST)
  end
  return errors.new("CONFIG", table.concat(lines, "\n"), { errors = self.list })
end

return {
  new = function()
    return setmetatable({ list = {}, count = 0 }, Problems)
  end,
}
