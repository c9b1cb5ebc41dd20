-- Configuration files in Lua: chunks that return the table, in an environment of
-- `env`, `file`, `null` and the pure part of the standard library.

local value <const> = require "ahost.config.value"
local path <const> = require "ahost.config.path"

local chunk = {}

local LIBRARIES <const> = { string = string, table = table, math = math, utf8 = utf8 }
local FUNCTIONS <const> = {
  assert = assert,
  error = error,
  ipairs = ipairs,
  next = next,
  pairs = pairs,
  pcall = pcall,
  select = select,
  tonumber = tonumber,
  tostring = tostring,
  type = type,
}

-- All values of a chunk's table, those that stand in it twice counted twice.
local MOST <const> = 1000000

-- A misspelt name is an error, not a value that is missing.
local STRICT <const> = {
  __index = function(_, name)
    error(("there is no %s in a configuration file"):format(tostring(name)), 2)
  end,
}

-- -> what the chunk sees: copies, so that it changes nothing for others
local function environment(lookup)
  local env = {}
  for name, library in next, LIBRARIES do
    local own = {}
    for key, v in next, library do
      own[key] = v
    end
    env[name] = own
  end
  for name, fn in next, FUNCTIONS do
    env[name] = fn
  end
  env.null = value.null
  function env.env(name, default)
    if type(name) ~= "string" then
      error("env: the name of a variable expected", 2)
    end
    local v, problem = lookup.env(name, default)
    return v == nil and error(problem, 2) or v
  end
  function env.file(name)
    if type(name) ~= "string" then
      error("file: a path expected", 2)
    end
    local v, problem = lookup.file(name)
    return v == nil and error(problem, 2) or v
  end
  return setmetatable(env, STRICT)
end

local TOO_DEEP <const> = ("is nested more than %d levels deep"):format(value.MAX_DEPTH)

local Check <const> = {}
Check.__index = Check

local PLAIN <const> = { string = true, number = true, boolean = true }

function Check:complain(key, text)
  local trail = table.move(self.trail, 1, self.depth, 1, {})
  trail[#trail + 1] = key
  self.problems:add(self.source, path.join(trail), text)
  return value.null
end

-- -> whether the table is a list; nil, and a complaint, if it is neither that nor a
-- map
function Check:is_list(t, key)
  local texts, numbers = 0, 0
  for k in next, t do
    if type(k) == "string" then
      texts = texts + 1
    elseif math.type(k) == "integer" and k >= 1 then
      numbers = numbers + 1
    else
      self:complain(key, ("has the key %s; keys are texts, or 1 to n in a list"):format(
        tostring(k)))
      return nil
    end
  end
  if texts > 0 and numbers > 0 then
    self:complain(key, "has both texts and integers as keys")
  elseif numbers > 0 and rawlen(t) ~= numbers or numbers > 0 and t[1] == nil then
    self:complain(key, "is a list with holes; null can stand in a list")
  else
    return numbers > 0
  end
  return nil
end

function Check:copy_table(t, key)
  if self.inside[t] then
    return self:complain(key, "is a table that contains itself")
  elseif self.depth >= value.MAX_DEPTH then
    return self:complain(key, TOO_DEEP)
  elseif getmetatable(t) ~= nil then
    return self:complain(key, "is a table with a metatable")
  end
  local is_list = self:is_list(t, key)
  if is_list == nil then
    return value.null
  end
  self.inside[t] = true
  self.depth = self.depth + 1
  self.trail[self.depth] = key
  local result = is_list and setmetatable({}, value.array) or {}
  for k, v in next, t do
    result[k] = self:copy(v, k)
  end
  self.depth = self.depth - 1
  self.inside[t] = nil
  return result
end

function Check:copy(v, key)
  self.count = self.count + 1
  if self.count > MOST then
    return value.null
  elseif type(v) == "table" then
    return self:copy_table(v, key)
  elseif not PLAIN[type(v)] and v ~= value.null then
    return self:complain(key, ("is %s; a configuration is made of texts, numbers, "
      .. "booleans, null, lists and maps"):format(value.kind(v)))
  end
  return v
end

---A copy of a table that is plain data; what is not goes to `problems` and is null.
---@param t table
---@param source? string
---@param problems table
---@return table
function chunk.check(t, source, problems)
  local check = setmetatable({ source = source, problems = problems,
    inside = { [t] = true }, trail = {}, depth = 0, count = 0 }, Check)
  local result = {}
  for key, v in next, t do
    if type(key) == "string" then
      result[key] = check:copy(v, key)
    else
      problems:add(source, nil, ("has the key %s; keys are texts"):format(tostring(key)))
    end
  end
  if check.count > MOST then
    problems:add(source, nil, ("has more than %d values"):format(MOST))
  end
  return result
end

---Runs a configuration file.
---@param text string
---@param name string       of the file
---@param lookup table      `env(name, default)`, `file(path)` -> text | nil, problem
---@param problems table
---@return table? t
function chunk.run(text, name, lookup, problems)
  local fn, message = load(text, "@" .. name, "t", environment(lookup))
  if not fn then
    problems:add(nil, nil, message)
    return nil
  end
  local ok, result = pcall(fn)
  if not ok then
    local told = type(result) == "string" and result
      or ("%s: raised %s"):format(name, value.kind(result))
    problems:add(nil, nil, told)
    return nil
  elseif result == nil then
    problems:add(name, nil, "returns nothing; a configuration file returns a table")
    return nil
  elseif not value.is_map(result) then
    problems:add(name, nil, ("must return a map, not %s"):format(value.kind(result)))
    return nil
  end
  return chunk.check(result, name, problems)
end

return chunk
