-- Where the values of a configuration came from, and how their keys were spelt.
--
-- A weak registry holds a record of each container that was loaded or merged. So
-- one that has a record is expanded already: the dots in its keys are data. A
-- record is never changed once two containers may share it:
--
--   source     the name of the file or layer
--   marks      by key: a packed position in the source, a text, or the record
--              that knows more
--   under      the record of the layer below, for keys without a mark
--   spellings  by dotted keys: { path = {"a", "b"}, key = "a.b" }, from here on

local value <const> = require "ahost.config.value"
local path <const> = require "ahost.config.path"

local origin = {}

local records <const> = setmetatable({}, { __mode = "k" })
origin.records = records

-- The record of containers of which nothing is known.
origin.UNKNOWN = {}

-- Positions are line << 20 | column.
local COLUMN_BITS <const> = 20

---@return string? text     what a mark of a source says
function origin.describe(source, mark)
  if math.type(mark) == "integer" then
    return ("%s:%d:%d"):format(source, mark >> COLUMN_BITS, mark & (1 << COLUMN_BITS) - 1)
  end
  return mark or source
end

-- -> the record that knows most about a key, and its mark in there | nil
local function find(container, key)
  local record = records[container]
  while record do
    local mark = record.marks and record.marks[key]
    if type(mark) ~= "table" and (mark or not record.under) then
      return record, mark
    end
    record = mark or record.under
  end
end

---Where `container[key]` came from: "app.yaml:3:9", "--set component.port".
---@param container table   a map or list of a loaded configuration
---@param key string|integer
---@return string? text     nil if it is not known
function origin.of(container, key)
  local record, mark = find(container, key)
  return record and origin.describe(record.source, mark)
end

---The directory of the file that `container[key]` came from.
---@param container table
---@param key string|integer
---@return string? directory    "." for a file without one; nil if it is not known
function origin.directory(container, key)
  local record = find(container, key)
  return record and record.source and (record.source:match("^(.*)/[^/]*$") or ".")
end

---A relative path as it is meant by the file that says `container[key]`.
---@param container table
---@param key string|integer
---@param name string
---@return string path
function origin.beside(container, key, name)
  local directory = origin.directory(container, key) or "."
  if directory == "." or name:sub(1, 1) == "/" then
    return name
  end
  return directory .. "/" .. name
end

---The spellings of two records together; nil if there are none.
function origin.join_spellings(under, over)
  local first, second = under and under.spellings, over and over.spellings
  if not (first and second) then
    return first or second
  end
  local all = table.move(first, 1, #first, 1, {})
  return table.move(second, 1, #second, #all + 1, all)
end

---A record of `over` layered upon `under`; `keys` are those of the upper one.
function origin.layer(under, over, keys)
  local marks, mark = {}, over or origin.UNKNOWN
  for key in next, keys do
    marks[key] = mark
  end
  return { marks = marks, under = under, spellings = origin.join_spellings(under, over) }
end

---Changes the origin of some keys.
---@param container table
---@param marks table<string, string>
---@param spelling? table   that the container now has
function origin.mark(container, marks, spelling)
  local under = records[container]
  local over = spelling and { spellings = { spelling } }
  records[container] = {
    marks = marks,
    under = under,
    spellings = origin.join_spellings(under, over),
  }
end

---@return table spelling   of the keys from one on
function origin.spelling(parts, from)
  local rest = table.move(parts, from, #parts, 1, {})
  return { path = rest, key = table.concat(rest, ".") }
end

---@return table copy       of a container, that shares nothing but objects and
---  knows the same origins
function origin.copy(container)
  local result = setmetatable({}, getmetatable(container))
  for key, v in next, container do
    result[key] = value.is_container(v) and origin.copy(v) or v
  end
  records[result] = records[container]
  return result
end

-- Takes what a spelling names out of nested maps. -> value | nil
local function take(map, parts, from)
  local key = parts[from]
  if from == #parts then
    local v = map[key]
    map[key] = nil
    return v
  end
  local inner = map[key]
  if not value.is_map(inner) then
    return nil
  end
  local v = take(inner, parts, from + 1)
  if v ~= nil and next(inner) == nil then
    map[key] = nil
  end
  return v
end

---A container with its dotted keys as they were written, for maps whose keys are
---data: `{a = {b = 1}}` that was written `a.b: 1` gives `{["a.b"] = 1}`. What was
---written as `\.` is a dot. Origins of the copy are known.
---@param container table
---@return table copy
function origin.literal(container)
  local result = setmetatable({}, getmetatable(container))
  for key, v in next, container do
    result[key] = value.is_container(v) and origin.literal(v) or v
  end
  local record = records[container]
  records[result] = record
  for _, spelling in ipairs(record and record.spellings or {}) do
    local v = take(result, spelling.path, 1)
    if v ~= nil then
      result[spelling.key] = v
      local _, holder, key = path.lookup(container, spelling.path)
      origin.mark(result, { [spelling.key] = origin.of(holder, key) })
    end
  end
  return result
end

local function collect(container, prefix, leaves)
  for _, key in ipairs(value.sorted_keys(container)) do
    local v = container[key]
    local name = path.append(prefix, key)
    if value.is_container(v) and next(v) ~= nil then
      collect(v, name, leaves)
    else
      leaves[#leaves + 1] = { name, v, origin.of(container, key) }
    end
  end
end

---Iterates over all values that are no maps or lists, and the empty ones, in the
---order of their keys.
---@param config table
---@return fun(): string?, any, string?     path, value, origin
function origin.leaves(config)
  local leaves, i = {}, 0
  collect(config, nil, leaves)
  return function()
    i = i + 1
    if leaves[i] then
      return table.unpack(leaves[i], 1, 3)
    end
  end
end

return origin
