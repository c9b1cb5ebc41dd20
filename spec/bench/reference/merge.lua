-- The reference for `merge`: a plain recursive merge of the same tables, that knows
-- nothing of dotted keys and origins. An operation is one merge.
local trees <const> = dofile(
  debug.getinfo(1, "S").source:match "^@(.*)reference/" .. "trees.lua")

local count <const> = tonumber((...) or 100)

local function copy(t)
  local result = {}
  for key, value in pairs(t) do
    result[key] = type(value) == "table" and copy(value) or value
  end
  return result
end

local function is_map(value)
  return type(value) == "table" and #value == 0
end

local function merge(base, over)
  local result = {}
  for key, value in pairs(base) do
    local new = over[key]
    if new == nil then
      result[key] = type(value) == "table" and copy(value) or value
    elseif is_map(value) and is_map(new) then
      result[key] = merge(value, new)
    end
  end
  for key, new in pairs(over) do
    if result[key] == nil then
      result[key] = type(new) == "table" and copy(new) or new
    end
  end
  return result
end

local base <const>, over <const> = trees(1), trees(2)

local function run(n)
  for _ = 1, n do
    assert(merge(base, over).components.component_1.option_2)
  end
end

run(count // 10)
local began <const> = os.clock()
run(count)
print(("operations=%d\nseconds=%.6f"):format(count, os.clock() - began))
