-- What keeps a value alive: the shortest way to it from what is never collected.

local task <const> = require "ahost.task"

local holders <const> = {}

local MOST_OBJECTS <const> = 200000
local SLICE <const> = 1000 -- objects between two turns of the loop

local Search <const> = {}
Search.__index = Search

local FOLLOWED <const> = { table = true, ["function"] = true, userdata = true,
  thread = true }

-- Notes that `from` holds a value. -> whether it is the one that is looked for
function Search:see(value, from, label)
  if not FOLLOWED[type(value)] or self.seen[value] or self.skipped[value] then
    return false
  end
  self.seen[value] = { from = from, label = label }
  self.count = self.count + 1
  self.queue[self.count] = value
  return value == self.target
end

-- ---- what values hold ----------------------------------------------------------------

local function key_label(key)
  if type(key) == "string" and key:find "^[%a_][%w_]*$" then return "." .. key end
  local is_name <const> = type(key) == "string" or type(key) == "number"
  return ("[%s]"):format(is_name and ("%q"):format(key) or type(key))
end

local FOLLOW <const> = {}

-- Weak references hold nothing.
FOLLOW["table"] = function(search, value)
  local meta <const> = debug.getmetatable(value)
  local mode <const> = meta and rawget(meta, "__mode") or ""
  local weak_keys <const> = mode:find "k" ~= nil
  local weak_values <const> = mode:find "v" ~= nil
  if search:see(meta, value, " (its metatable)") then return true end
  for key, item in next, value do
    if not weak_keys and search:see(key, value, " (a key)") then return true end
    if not weak_values and not weak_keys and search:see(item, value, key_label(key)) then
      return true
    end
  end
  return false
end

FOLLOW["function"] = function(search, value)
  local info <const> = debug.getinfo(value, "S")
  local where <const> = info.what == "C" and "a C function"
    or ("the function at %s:%d"):format(info.short_src, info.linedefined)
  local i = 1
  while true do
    local name <const>, item <const> = debug.getupvalue(value, i)
    if not name then return false end
    local label <const> = (" (upvalue '%s' of %s)"):format(name, where)
    if search:see(item, value, label) then return true end
    i = i + 1
  end
end

FOLLOW["userdata"] = function(search, value)
  if search:see(debug.getmetatable(value), value, " (its metatable)") then return true end
  local i = 1
  while true do
    local item <const>, is_there <const> = debug.getuservalue(value, i)
    if not is_there then return false end
    if search:see(item, value, (" (what a userdata has, %d)"):format(i)) then
      return true
    end
    i = i + 1
  end
end

-- -> whether it is found | nil: there is no such level
local function follow_level(search, value, level)
  local info <const> = debug.getinfo(value, level, "fSl")
  if not info then return nil end
  if search:see(info.func, value, " (a function that runs)") then return true end
  local where <const> = ("%s:%d"):format(info.short_src, info.currentline)
  for _, step in ipairs { 1, -1 } do
    local i = step
    while true do
      local name <const>, item <const> = debug.getlocal(value, level, i)
      if not name then break end
      local label <const> = (" (variable '%s' of a coroutine at %s)"):format(name, where)
      if search:see(item, value, label) then return true end
      i = i + step
    end
  end
  return false
end

FOLLOW["thread"] = function(search, value)
  local level = 0
  while true do
    local found <const> = follow_level(search, value, level)
    if found ~= false then return found or false end
    level = level + 1
  end
end

-- ---- the search ----------------------------------------------------------------------

-- The way to the target in words.
function Search:describe()
  local parts <const> = {}
  local value = self.target
  while value ~= nil do
    local step <const> = self.seen[value]
    table.insert(parts, 1, step.label)
    value = step.from
  end
  return table.concat(parts)
end

--- Finds what holds a value. Waits now and then, so that others have their turn.
---@param target table
---@param skipped table[]    that do not count
---@return string? way    nil: nothing that can be found
function holders.find(target, skipped)
  local self <const> = setmetatable({
    target = target,
    seen = {},
    skipped = { [coroutine.running()] = true },
    queue = {},
    count = 0,
  }, Search)
  for _, value in ipairs(skipped) do self.skipped[value] = true end
  self.skipped[self], self.skipped[self.seen], self.skipped[self.queue] = true, true, true
  local found = self:see(_G, nil, "_G") or self:see(package.loaded, nil, "package.loaded")
    or self:see(debug.getregistry(), nil, "the registry")
  local i = 0
  while not found and i < self.count and i < MOST_OBJECTS do
    i = i + 1
    local value <const> = self.queue[i]
    found = FOLLOW[type(value)](self, value)
    if i % SLICE == 0 then task.sleep(0) end -- the loop polls meanwhile
  end
  return found and self:describe() or nil
end

return holders
