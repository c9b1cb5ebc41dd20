-- yaml.lua - a libFuzzer target for YAML: whatever bytes come in, what decodes
-- must encode and read back as the same value, and a change in place either is
-- refused or gives a text that decodes.

local yaml, edit = require "ahost.yaml", require "ahost.yaml.edit"
local options = {tags = true, positions = true}

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return math.type(a) == math.type(b) and (a == b or a ~= a and b ~= b)
  end
  for k, v in pairs(a) do
    if not same(v, b[k]) then return false end
  end
  for k in pairs(b) do
    if a[k] == nil then return false end
  end
  return next(a) ~= nil or getmetatable(a) == getmetatable(b)
end

local function round_trip(value, how)
  local ok, text = pcall(yaml.encode, value, how)
  if not ok then
    assert(text:find "bad tag", text)
  else
    local again, err = yaml.decode(text, options)
    assert(again ~= nil, err)
    assert(same(value, again), "a round trip changed a value")
  end
end

local values = {1, "x", "a\nb", {}, {1, {2}}, {a = {b = "c: d"}}}

local function path_into(value, seed)
  local path = {}
  while type(value) == "table" and #path < 5 do
    local keys = {}
    for k in pairs(value) do keys[#keys + 1] = tostring(k) end
    table.sort(keys)
    local key = keys[seed % (#keys + 1) + 1] or "new"
    path[#path + 1] = key
    value = value[key] or value[math.tointeger(key)]
    seed = seed // 3
  end
  return path[1] and path or {"a", "b"}
end

return function(text)
  local value, err = yaml.decode(text, options)
  if value == nil then
    assert(err.code == "SYNTAX" and err.line > 0 and err.column > 0)
    assert(utf8.len(err.message) or not utf8.len(text))
    return
  end
  round_trip(value)
  round_trip(value, {flow = true})
  round_trip(value, {indent = 7})
  local seed = #text * 7 + (text:byte(-1) or 0)
  local path = path_into(value, seed)
  local changed = edit.set(text, path, values[seed % #values + 1])
  assert(not changed or yaml.decode(changed, options) ~= nil)
  edit.has(text, path)
end
