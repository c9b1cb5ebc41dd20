-- JSON: lua-cjson for the grammar, and exact numbers and empty arrays around it.

local cjson <const> = require "cjson"
local errors <const> = require "ahost.error"
local numbers <const> = require "ahost.json.numbers"

local MAX_DEPTH <const> = 1000
local DEPTH_LIMIT <const> = 10000 -- what the C stack bears
local INDENT <const> = "  "

-- A codec of our own: whatever others set on `cjson` stays theirs.
local codec <const> = cjson.new()
codec.decode_invalid_numbers(false)
codec.decode_max_depth(MAX_DEPTH)
codec.encode_max_depth(DEPTH_LIMIT)
codec.encode_keep_buffer(false)

local json = {}

---The null of JSON, in both directions (`nil` cannot stand in a table).
json.null = cjson.null

---Marks a table as an array, so that it is `[]` when it is empty. Arrays that
---`decode` returns are marked already.
---@generic T: table
---@param t? T      an array; a new one if left out; raises if it has a metatable
---@return T t      the same table
function json.array(t)
  if t == nil then
    t = {}
  elseif type(t) ~= "table" then
    error("json.array: a table expected, got " .. type(t), 2)
  end
  local metatable = getmetatable(t)
  if metatable ~= nil and metatable ~= numbers.array then
    error("json.array: the table has a metatable of its own", 2)
  end
  return setmetatable(t, numbers.array)
end

local function depth_of(opts, name)
  local depth = opts and opts.max_depth or MAX_DEPTH
  if math.type(depth) ~= "integer" or depth < 1 or depth > DEPTH_LIMIT then
    error(("%s: max_depth must be an integer from 1 to %d"):format(name, DEPTH_LIMIT), 3)
  end
  return depth
end

local function sorted_keys(t)
  local keys = {}
  for key in next, t do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return keys
end

-- Writes what `prepare` returned with the keys in order. `gap` is the line break
-- and indentation before the value, or "" when all is on one line.
local function write(out, value, gap)
  if type(value) ~= "table" or next(value) == nil then
    out[#out + 1] = codec.encode(value)
    return
  end
  local is_array = value[1] ~= nil
  local inner = gap == "" and "" or gap .. INDENT
  local separator = is_array and "[" or "{"
  for _, key in ipairs(sorted_keys(value)) do
    out[#out + 1] = separator
    out[#out + 1] = inner
    if not is_array then
      out[#out + 1] = codec.encode(key)
      out[#out + 1] = gap == "" and ":" or ": "
    end
    write(out, value[key], inner)
    separator = ","
  end
  out[#out + 1] = gap
  out[#out + 1] = is_array and "]" or "}"
end

local function encode_in_order(value, pretty)
  local out = {}
  write(out, value, pretty and "\n" or "")
  return table.concat(out)
end

---@class ahost.json.EncodeOptions
---@field pretty? boolean       one value per line, indented, keys sorted
---@field sort_keys? boolean    keys in the order of their bytes
---@field max_depth? integer    of nested tables (1000, at most 10000)

---Writes a value as JSON. Integers and floats read back as the same numbers; a
---table whose keys are 1 to n is an array, one with string keys an object, an
---empty one an object unless `json.array` marked it. Metamethods are not called.
---Raises, with the path to the culprit, on all that JSON cannot say: functions,
---threads, userdata, NaN and infinities, strings that are not UTF-8, arrays with
---holes, other keys than strings, tables inside themselves.
---@param value any
---@param opts? ahost.json.EncodeOptions
---@return string text
function json.encode(value, opts)
  local prepared, problem = numbers.prepare(value, depth_of(opts, "json.encode"))
  if problem then
    error("json.encode: " .. problem, 2)
  end
  if opts and (opts.pretty or opts.sort_keys) then
    return numbers.finish(encode_in_order(prepared, opts.pretty))
  end
  return numbers.finish(codec.encode(prepared))
end

local TOKENS <const> = {
  T_OBJ_BEGIN = "'{'",
  T_OBJ_END = "'}'",
  T_ARR_BEGIN = "'['",
  T_ARR_END = "']'",
  T_STRING = "a string",
  T_NUMBER = "a number",
  T_BOOLEAN = "a boolean",
  T_NULL = "null",
  T_COLON = "':'",
  T_COMMA = "','",
  T_END = "the end of the text",
}

-- Takes cjson's message apart: what, and at which byte. The position is nil if
-- the message is not about the text (out of memory).
local function parse_problem(message)
  local problem, position = message:match("^(.-) at character (%d+)$")
  if not position then
    return message
  end
  problem = problem:gsub("T_[%u_]+", TOKENS):gsub("^%u", string.lower)
  return problem, math.tointeger(position)
end

-- The line and column of a byte; columns count characters.
local function line_and_column(text, position)
  local line, start = 1, 1
  for after in text:gmatch("\n()") do
    if after > position then
      break
    end
    line, start = line + 1, after
  end
  local column = utf8.len(text, start, position - 1) or position - start
  return line, column + 1
end

local function failure(text, problem, position)
  local line, column = line_and_column(text, position)
  local message = ("%s at %d:%d"):format(problem, line, column)
  local fields = { op = "json.decode", line = line, column = column }
  return errors.new("EINVAL", message, fields)
end

-- cjson tells what is wrong with the text itself: what it was given has other
-- positions. Of its finding and the scanner's, the first in the text counts.
local function explain(text, problem, position)
  local ok, message = pcall(codec.decode, text)
  if not ok then
    local grammar, at = parse_problem(message)
    if at and (not position or at < position) then
      problem, position = grammar, at
    elseif not position then
      error(message, 0)
    end
  end
  return failure(text, problem, position)
end

local function decode(text)
  local plain, list, position = numbers.scan(text)
  if not plain then
    return nil, explain(text, "found " .. list, position)
  end
  local ok, value = pcall(codec.decode, plain)
  if not ok then
    return nil, explain(text)
  end
  return list and numbers.restore(value, list) or value
end

---@class ahost.json.DecodeOptions
---@field max_depth? integer    of nested arrays and objects (1000, at most 10000)

---Reads a JSON text (RFC 8259, UTF-8). Numbers without point and exponent are
---integers if 64 bits hold them, all others floats; of equal keys the last one
---counts; `null` is `json.null`.
---@param text string
---@param opts? ahost.json.DecodeOptions
---@return any value    nil if the text is bad
---@return table? err   code EINVAL, with line and column
function json.decode(text, opts)
  if type(text) ~= "string" then
    error("json.decode: a string expected, got " .. type(text), 2)
  end
  local depth = depth_of(opts, "json.decode")
  if depth == MAX_DEPTH then
    return decode(text)
  end
  codec.decode_max_depth(depth)
  local ok, value, err = pcall(decode, text)
  codec.decode_max_depth(MAX_DEPTH)
  if not ok then
    error(value, 0)
  end
  return value, err
end

return json
