-- Collects what is wrong with a configuration, to tell it all at once.

local errors <const> = require "ahost.error"

local MOST <const> = 100 -- that are told in full
local MOST_KEPT <const> = 10000 -- until they are put in order

local Problems <const> = {}
Problems.__index = Problems

---One message: `ORIGIN: PATH: TEXT`; unknown parts are left out.
function Problems:add(place, path, text)
  self.count = self.count + 1
  if self.count > MOST_KEPT then
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

-- Numbers in places compare as such.
local function order(err)
  local place = (err.origin or ""):gsub("%d+", function(digits)
    return ("0"):rep(10 - #digits) .. digits
  end)
  return place .. "\0" .. (err.path or "") .. "\0" .. err.message
end

---Puts what was added since there were `count` in the order of their places: maps are
---traversed in none.
function Problems:sort(count)
  local keys, added = {}, table.move(self.list, count + 1, #self.list, 1, {})
  for _, err in ipairs(added) do
    keys[err] = order(err)
  end
  table.sort(added, function(a, b)
    return keys[a] < keys[b]
  end)
  table.move(added, 1, #added, count + 1, self.list)
end

---@return ahost.Error? err code CONFIG, `errors` lists all; nil if all is well
function Problems:error()
  if self.count == 0 then
    return nil
  end
  local list, lines = table.move(self.list, 1, math.min(self.count, MOST), 1, {}), {}
  for i, err in ipairs(list) do
    lines[i] = err.message
  end
  if self.count > MOST then
    lines[MOST + 1] = ("and %d more"):format(self.count - MOST)
  end
  return errors.new("CONFIG", table.concat(lines, "\n"), { errors = list })
end

return {
  new = function()
    return setmetatable({ list = {}, count = 0 }, Problems)
  end,
}
