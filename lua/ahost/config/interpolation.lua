-- `${a.b}`, `${env:NAME}` and `${env:NAME:default}` in the texts of a configuration,
-- replaced when all is merged. `$${` is `${` itself. A text that is nothing but a
-- reference becomes the value with its type.
--
-- A text is replaced where it stands when it is first needed; those that are being
-- replaced are in `chain`, which finds circles.

local origin <const> = require "ahost.config.origin"
local path <const> = require "ahost.config.path"
local value <const> = require "ahost.config.value"

local find <const> = string.find
local is_container <const> = value.is_container

local MOST_BYTES <const> = 16 * 1024 * 1024 -- that references expand to
local VALUE_BYTES <const> = 32 -- what a value counts besides its text
local MAX_CHAIN <const> = 1000

-- The outcome of a reference that has been complained about.
local FAILED <const> = {}

local Interpolation <const> = {}
Interpolation.__index = Interpolation

local function shown(link)
  local place = origin.of(link.container, link.key)
  return place and ("%s (%s)"):format(link.path, place) or link.path
end

local function complain(self, link, text)
  self.problems:add(origin.of(link.container, link.key), link.path, text)
  return FAILED
end

local function spend(self, link, bytes)
  self.bytes = self.bytes + bytes
  if self.bytes <= MOST_BYTES or self.stopped then
    return not self.stopped
  end
  self.stopped = true
  complain(self, link, "references expand to more than 16 MiB")
  return false
end

-- Copies what a reference names, as long as there is room.
local function copy(self, link, v)
  if not is_container(v) then
    local bytes = VALUE_BYTES + (type(v) == "string" and #v or 0)
    if not spend(self, link, bytes) then
      return FAILED
    end
    return v
  end
  local result = setmetatable({}, getmetatable(v))
  for key, item in next, v do
    local copied = item
    if type(item) == "table" or type(item) == "string" then
      copied = copy(self, link, item)
    elseif not spend(self, link, VALUE_BYTES) then
      copied = FAILED
    end
    if copied == FAILED then
      return FAILED
    end
    result[key] = copied
  end
  origin.records[result] = origin.records[v]
  self.settled[result] = true
  return result
end

-- Whether nothing is left to be replaced at a place.
local function is_settled(self, container, key)
  local settled = self.settled[container]
  return settled == true or settled ~= nil and settled[key] ~= nil
end

local function settle(self, container, key, outcome)
  local settled = self.settled[container]
  if not settled then
    settled = {}
    self.settled[container] = settled
  end
  if settled ~= true then
    settled[key] = outcome
  end
  if outcome ~= FAILED then
    container[key] = outcome
  end
end

local resolve

-- Replaces all texts in a container, to which the first keys of the trail lead.
-- -> whether that could be done
local function settle_all(self, container, trail, depth)
  if self.settled[container] == true then
    return true
  end
  local good, inner = true, depth + 1
  for key, v in next, container do
    if type(v) == "string" then
      if find(v, "${", 1, true) then
        trail[inner] = key
        local name = path.join(table.move(trail, 1, inner, 1, {}))
        good = resolve(self, container, key, name) ~= FAILED and good
      end
    elseif type(v) == "table" and is_container(v) then
      trail[inner] = key
      good = settle_all(self, v, trail, inner) and good
    end
  end
  if good then
    self.settled[container] = true
  end
  return good
end

-- -> the value of a key of the configuration, with nothing left to replace
local function look_up(self, link, name)
  local at, trail = self.root, {}
  for i, part in ipairs(path.split(name)) do
    local key = is_container(at) and path.key(at, part)
    if not key or at[key] == nil then
      return complain(self, link,
        ("${%s} names nothing in the configuration; $${ is a literal ${"):format(name))
    end
    trail[i] = key
    at = resolve(self, at, key, path.join(trail))
    if at == FAILED then
      return FAILED
    end
  end
  if is_container(at) and not settle_all(self, at, trail, #trail) then
    return FAILED
  end
  return at
end

local function variable(self, link, name)
  local v = self.env[name]
  local bare, default = name:match "^([^:]*):(.*)$"
  if bare then
    v = self.env[bare] or default
  end
  if not (bare or name):find "^[%w_]+$" then
    return complain(self, link, ("${env:%s} names no environment variable"):format(name))
  elseif v == nil then
    return complain(self, link, ("environment variable %s is not set, and there is no "
      .. "default (${env:%s:default})"):format(name, name))
  end
  return v
end

local function evaluate(self, link, expression)
  local name = expression:match "^env:(.*)$"
  if name then
    return variable(self, link, name)
  end
  return look_up(self, link, expression)
end

-- What a reference is as a part of a text.
local function as_text(self, link, expression, v)
  if type(v) == "string" then
    return v
  elseif type(v) == "number" or type(v) == "boolean" then
    return tostring(v)
  end
  return complain(self, link, ("${%s} is %s, which cannot be a part of a text"):format(
    expression, value.kind(v)))
end

-- Appends what a reference stands for. -> whether there is something
local function append(self, link, out, expression)
  local v = evaluate(self, link, expression)
  local part = v ~= FAILED and as_text(self, link, expression, v) or FAILED
  if part == FAILED or not spend(self, link, #part) then
    return false
  end
  out[#out + 1] = part
  return true
end

-- -> the text with its references replaced, or FAILED
local function replace(self, link, text)
  local out, at = {}, 1
  while true do
    local start = find(text, "${", at, true)
    if not start then
      break
    elseif start > at and text:byte(start - 1) == 36 then -- $${
      out[#out + 1] = text:sub(at, start - 2) .. "${"
      at = start + 2
    else
      local stop = find(text, "}", start, true)
      if not stop then
        return complain(self, link, '"${" without "}"; $${ is a literal ${')
      end
      out[#out + 1] = text:sub(at, start - 1)
      if not append(self, link, out, text:sub(start + 2, stop - 1)) then
        return FAILED
      end
      at = stop + 1
    end
  end
  out[#out + 1] = text:sub(at)
  return table.concat(out)
end

local function outcome_of(self, link, text)
  local expression = text:match "^%${([^}]*)}$"
  if not expression then
    return replace(self, link, text)
  end
  local v = evaluate(self, link, expression)
  return v == FAILED and FAILED or copy(self, link, v)
end

-- The end of the chain has come back to `link`. It is told from the least path on:
-- where it was entered is chance.
local function circle(self, link)
  local chain, from = self.chain, #self.chain
  while chain[from].container ~= link.container or chain[from].key ~= link.key do
    from = from - 1
  end
  local first, count = from, #chain - from + 1
  for i = from, #chain do
    first = chain[i].path < chain[first].path and i or first
  end
  local names = {}
  for i = 0, count - 1 do
    names[i + 1] = shown(chain[from + (first - from + i) % count])
  end
  names[count + 1] = chain[first].path
  return complain(self, chain[first], "refers to itself: " .. table.concat(names, " -> "))
end

-- Replaces the text at a place. -> its value, or FAILED
function resolve(self, container, key, name)
  local text = container[key]
  if type(text) ~= "string" or not find(text, "${", 1, true) then
    return text
  elseif is_settled(self, container, key) then
    local settled = self.settled[container]
    return settled ~= true and settled[key] == FAILED and FAILED or text
  end
  local link = { container = container, key = key, path = name }
  local active = self.active[container]
  if active and active[key] then
    return circle(self, link)
  elseif #self.chain >= MAX_CHAIN then
    return complain(self, link,
      ("more than %d references lead to each other"):format(MAX_CHAIN))
  end
  self.active[container] = active or {}
  self.active[container][key] = true
  self.chain[#self.chain + 1] = link
  local outcome = self.stopped and FAILED or outcome_of(self, link, text)
  self.chain[#self.chain] = nil
  self.active[container][key] = nil
  settle(self, container, key, outcome)
  return outcome
end

---Replaces all references in a configuration, in place.
---@param root table
---@param env table         variables by name
---@param problems table
return function(root, env, problems)
  local self = setmetatable({ root = root, env = env, problems = problems, bytes = 0,
    settled = {}, active = {}, chain = {} }, Interpolation)
  local count = problems.count
  settle_all(self, root, {}, 0)
  problems:sort(count)
end
