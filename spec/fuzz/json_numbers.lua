-- json_numbers.lua - a libFuzzer target for host/json.c: whatever bytes come in,
-- what scan() lets through and cjson accepts must restore, encode, and read
-- back as a value that encodes the same; the other way, bytes as a Lua string
-- either are refused or come back unchanged.

local cjson, numbers = require "cjson", require "ahost.json.numbers"
cjson.decode_invalid_numbers(false)

local function decode(text)
  local plain, list = numbers.scan(text)
  if not plain then return false end
  local ok, value = pcall(cjson.decode, plain)
  if not ok then return false end
  if list then value = numbers.restore(value, list) end
  return true, value
end

local function encode(value)
  local prepared, problem = numbers.prepare(value, 1000)
  assert(not problem, problem)
  return numbers.finish(cjson.encode(prepared))
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b and math.type(a) == math.type(b)
  end
  for k, v in pairs(a) do
    if not same(v, b[k]) then return false end
  end
  for k in pairs(b) do
    if a[k] == nil then return false end
  end
  return getmetatable(a) == getmetatable(b)
end

return function(text)
  local ok, value = decode(text)
  if ok then
    local again, other = decode(encode(value))
    assert(again and same(value, other), "a round trip changed a value")
  end
  numbers.finish(text)
  local prepared, problem = numbers.prepare(text, 1000)
  assert((problem ~= nil) == (utf8.len(text) == nil), "UTF-8")
  if not problem then
    local good, back = decode(numbers.finish(cjson.encode(prepared)))
    assert(good and back == text, "a string changed")
  end
end
