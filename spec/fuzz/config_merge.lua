-- config_merge.lua - a libFuzzer target for configuration: the input is cut at
-- bytes 0xFF into YAML texts, which are layers. Whatever they say, they load or
-- are refused with code CONFIG; what config.merge makes of two of them is what
-- a naive merge of their expanded forms makes; merging changes no argument.

local config, yaml = require "ahost.config", require "ahost.yaml"
local env = {A = "x", B = "${a}", C = ""}

local function is_map(v)
  return type(v) == "table" and getmetatable(v) == nil and #v == 0
end

local function copy(v)
  if type(v) ~= "table" then return v end
  local result = setmetatable({}, getmetatable(v))
  for k, item in next, v do result[k] = copy(item) end
  return result
end

local function with_texts_as_keys(v)
  if type(v) ~= "table" then return v end
  local result = setmetatable({}, getmetatable(v))
  for k, item in next, v do
    k = getmetatable(v) and k or tostring(k)
    result[k] = with_texts_as_keys(item)
  end
  return result
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b or a ~= a and b ~= b
  end
  for k, v in next, a do
    if not same(v, b[k]) then return false end
  end
  for k in next, b do
    if a[k] == nil then return false end
  end
  return getmetatable(a) == getmetatable(b)
end

local function naive(base, over)
  local result = copy(base)
  for k, v in next, over do
    local old = result[k]
    result[k] = is_map(v) and is_map(old) and naive(old, v) or copy(v)
  end
  return result
end

local function is_config_error(err)
  return type(err) == "table" and err.code == "CONFIG"
end

local function merge(a, b)
  local ok, result = pcall(config.merge, a, b)
  assert(ok or is_config_error(result), result)
  return ok and result or nil
end

local function check_merge(a, b)
  local before_a, before_b = copy(a), copy(b)
  local merged, left, right = merge(a, b), merge(a), merge(nil, b)
  assert(same(before_a, a) and same(before_b, b), "an argument changed")
  if left and right then
    assert(merged and same(merged, naive(left, right)), "a merge")
    assert(same(merged, merge(merged, merged)), "a merge with itself")
    for path, value in config.origins(merged) do
      assert(rawequal(config.lookup(merged, path), value)
        or value ~= value, path)
    end
    config.literal(merged)
  end
end

local function check_load(a, b, set)
  local base = merge(a, b)
  local opts = {env = env, defaults = base, set = {set}}
  local loaded, err = config.load(nil, opts)
  assert(loaded or is_config_error(err), err)
  local again, why = config.load(nil, opts)
  assert(again and same(loaded, again) or not loaded
    and why.message == err.message, "another result")
end

return function(text)
  local layers = {}
  for part in (text .. "\255"):gmatch "([^\255]*)\255" do
    layers[#layers + 1] = part
    if #layers == 3 then break end
  end
  local a = with_texts_as_keys(yaml.decode(layers[1]))
  local b = with_texts_as_keys(yaml.decode(layers[2] or ""))
  a, b = is_map(a) and a or {}, is_map(b) and b or {}
  check_merge(a, b)
  check_load(a, b, layers[3])
end
