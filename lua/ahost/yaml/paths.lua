-- Where a path leads in the outline and in the value of a YAML text. A key of the text
-- may stand for several keys of the path: "a.b.c" for a, b, c.

local json <const> = require "ahost.json"
local split <const> = require "ahost.config.path".split
local yaml <const> = require "ahost.yaml"

local paths = {}

---The path up to key `last`, for messages.
---@param path string[]
---@param last? integer
---@return string
function paths.show(path, last)
  return last == 0 and "the document" or table.concat(path, ".", 1, last)
end

-- How many keys of the path from `i` on a key of the file stands for: nil if it is
-- another one; and true if the path ends within it.
local function match(key, path, i)
  if key == path[i] then
    return 1
  end
  local parts <const> = split(key)
  for n, part in ipairs(parts) do
    if path[i + n - 1] == nil then
      return n - 1, true
    elseif path[i + n - 1] ~= part then
      return nil
    end
  end
  return #parts > 0 and #parts or nil
end

local function index_of(key, count)
  local index <const> = key:match "^%d+$" and math.tointeger(tonumber(key))
  return index and index >= 1 and index <= count and index or nil
end

local function is_list(value)
  return getmetatable(value) == getmetatable(json.array())
end

---Whether a decoded value is a map or a list, without a tag.
---@param value any
---@return boolean
function paths.is_table(value)
  return type(value) == "table" and getmetatable(value) ~= yaml.Tagged
end

---Whether a decoded value holds something at the path from key `i` on.
---@param value any
---@param path string[]
---@param i integer
---@return boolean
function paths.has(value, path, i)
  if i > #path then
    return true
  elseif not paths.is_table(value) then
    return false
  elseif is_list(value) then
    local index <const> = index_of(path[i], #value)
    return index ~= nil and paths.has(value[index], path, i + 1)
  end
  for key, item in pairs(value) do
    local count, within
    if type(key) == "string" then
      count, within = match(key, path, i)
    end
    if count and (within or paths.has(item, path, i + count)) then
      return true
    end
  end
  return false
end

-- A spot is what is there: `node` and, in a mapping, its `key`;
-- `done`, how many keys of the path lead to it; `trail`, the keys as the file has
-- them; `flow`, whether it is within brackets or braces. `problem` says why it
-- cannot be changed, `dotted` that the next key is written with dots nearby, `merged`
-- that there is a merge key.

---@param node table    of an outline
---@return boolean
function paths.is_null(node)
  return node.kind == "scalar" and node.plain and not node.tag
    and yaml.decode(node.value) == json.null
end

-- Keys behind !!int are no keys of paths.
local function is_integer(node)
  return node.tag == "tag:yaml.org,2002:int"
end

local function inner_spot(spot, node, key, name, count)
  local trail <const> = table.move(spot.trail, 1, #spot.trail, 1, {})
  trail[#trail + 1] = name
  return {
    node = node, key = key, done = spot.done + count, trail = trail,
    flow = spot.flow or spot.node.flow,
  }
end

local function find_item(spot, path)
  local index <const> = index_of(path[spot.done + 1], #spot.node + 1)
  if not index or index > #spot.node and spot.done + 1 < #path then
    spot.problem = ("%s is a list of %d items, without an item %s"):format(
      paths.show(path, spot.done), #spot.node, path[spot.done + 1])
    return spot
  elseif index > #spot.node then
    return spot
  end
  return paths.find(inner_spot(spot, spot.node[index], nil, index, 1), path)
end

local function find_pair(spot, path)
  local node <const>, next_key <const> = spot.node, spot.done + 1
  local best = nil
  for i = 1, #node, 2 do
    local name <const> = node[i].value
    local count, within = match(name, path, next_key)
    if is_integer(node[i]) then
      count, within = nil, nil
    end
    if within then
      spot.problem = paths.show(path) .. " is written with dotted keys"
    elseif count then
      local inner = inner_spot(spot, node[i + 1], node[i], name, count)
      inner = paths.find(inner, path)
      if inner.done == #path then
        return inner
      elseif not best or inner.done > best.done then
        best = inner
      end
    elseif split(name)[1] == path[next_key] then
      spot.dotted = true
    elseif name == "<<" and node[i].plain then
      spot.merged = true
    end
  end
  return best or spot
end

---Goes on from the spot as far as the path leads.
---@param spot table
---@param path string[]
---@return table spot
function paths.find(spot, path)
  local kind <const> = spot.node.kind
  if kind == "alias" then
    spot.problem = paths.show(path, spot.done) .. " comes through an alias"
  elseif spot.done < #path then
    local tag <const> = spot.node.tag
    if tag and tag:sub(1, 1) == "!" then
      spot.problem = ("%s has the tag %s"):format(paths.show(path, spot.done), tag)
    elseif kind == "mapping" then
      return find_pair(spot, path)
    elseif kind == "sequence" then
      return find_item(spot, path)
    elseif not paths.is_null(spot.node) then
      spot.problem = paths.show(path, spot.done) .. " is neither a map nor a list"
    end
  end
  return spot
end

return paths
