-- What has changed since components were made: in the files that they have read, and in
-- their configuration.

local code <const> = require "ahost.component.code"

local changes <const> = {}

-- ---- configurations ------------------------------------------------------------------

-- A function of a Lua configuration is made anew each time that the file is read: it is
-- the same as long as its code is, and that depends on nothing around it.
local function same_function(a, b)
  local function is_plain(fn)
    local name <const> = debug.getupvalue(fn, 1)
    return (name == nil or name == "_ENV") and debug.getupvalue(fn, 2) == nil
  end
  if not (is_plain(a) and is_plain(b)) then return false end
  local ok_a, dump_a = pcall(string.dump, a)
  local ok_b, dump_b = pcall(string.dump, b)
  return ok_a and ok_b and dump_a == dump_b
end

--- Whether two values of configurations are the same. Maps and lists have no loops.
---@param ignored? any    a key of the outermost map that does not matter
---@return boolean
function changes.same(a, b, ignored)
  if a == b then return true end
  local kind <const> = type(a)
  if kind ~= type(b) then return false end
  if kind == "function" then return same_function(a, b) end
  if kind ~= "table" or getmetatable(a) ~= getmetatable(b) then return false end
  for key, value in next, a do
    if key ~= ignored and not changes.same(value, b[key]) then return false end
  end
  for key in next, b do
    if key ~= ignored and a[key] == nil then return false end
  end
  return true
end

-- ---- files ---------------------------------------------------------------------------

---@class ahost.FileChanges    one look at the files: each is read once
local Files <const> = {}
Files.__index = Files

---@return ahost.FileChanges
function changes.files() return setmetatable({ found = {} }, Files) end

--- A file that the code has read and that is another by now, or is gone.
---@param by ahost.Code
---@return string? path
function Files:first_changed(by)
  for path, fingerprint in next, by.files do
    if self.found[path] == nil then self.found[path] = code.fingerprint(path) or false end
    if self.found[path] ~= fingerprint then return path end
  end
end

return changes
