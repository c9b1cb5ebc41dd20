local json <const> = require "ahost.json"

local function same_number(expected, text)
  local value = json.decode(text)
  assert.are.equal(math.type(expected), math.type(value), text)
  assert.are.equal(string.pack("n", expected), string.pack("n", value), text)
end

local function round_trips(number)
  same_number(number, json.encode(number))
  assert.are.equal(json.encode(number), json.encode(json.decode(json.encode(number))))
end

local function refuses(text, pattern)
  local value, err = json.decode(text)
  assert.is_nil(value, text)
  assert.are.equal("EINVAL", err.code)
  assert.are.equal("json.decode", err.op)
  if pattern then
    assert.matches(pattern, err.message, 1, false)
  end
  return err
end

local function raises(message, value, opts)
  local ok, raised = pcall(json.encode, value, opts)
  assert.is_false(ok)
  assert.are.equal("json.encode: cannot encode " .. message,
    (raised:gsub("^.-:%d+: ", "")))
end

-- Compares with types of numbers and signs of zeros, which assert.same ignores.
local function identical(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return math.type(a) == math.type(b) and a == b
      and (a ~= 0 or math.type(a) ~= "float" or 1 / a == 1 / b)
  end
  for key, value in pairs(a) do
    if not identical(value, b[key]) then
      return false
    end
  end
  for key in pairs(b) do
    if a[key] == nil then
      return false
    end
  end
  return getmetatable(a) == nil or next(a) ~= nil or getmetatable(a) == getmetatable(b)
end

local function nested(open, close, depth, core)
  return open:rep(depth) .. (core or "") .. close:rep(depth)
end

describe("json numbers", function()
  before_each(function()
    math.randomseed(20240229)
  end)

  it("keep integers integers", function()
    for _, n in ipairs {
      0, 1, -1, 99999999999999, 100000000000000, -100000000000000,
      999999999999999999, 1000000000000000000, -999999999999999999,
      9007199254740993, math.maxinteger, math.mininteger, math.mininteger + 1,
    } do
      assert.are.equal(("%d"):format(n), json.encode(n))
      round_trips(n)
    end
  end)

  it("keep random integers of all sizes", function()
    for _ = 1, 20000 do
      round_trips(math.random(0) >> math.random(0, 63))
      round_trips(-(math.random(0) >> math.random(1, 63)))
    end
  end)

  it("keep floats floats", function()
    for text, x in pairs {
      ["1.0"] = 1.0, ["-0.0"] = -0.0, ["0.0"] = 0.0, ["0.1"] = 0.1, ["1e+20"] = 1e20,
      ["0.3333333333333333"] = 1 / 3, ["9007199254740992.0"] = 2.0 ^ 53,
      ["1.7976931348623157e+308"] = 1.7976931348623157e308, ["100.0"] = 100.0,
      ["2.2250738585072014e-308"] = 2.2250738585072014e-308, ["1e-07"] = 1e-7,
      ["9.22337203685478e+18"] = 9.22337203685478e18, ["-1.5"] = -1.5,
    } do
      assert.are.equal(text, json.encode(x))
      round_trips(x)
    end
    round_trips(5e-324)
  end)

  it("keep random doubles bit by bit", function()
    for _ = 1, 20000 do
      local x = string.unpack("d", string.pack("j", math.random(0)))
      if x == x and x - x == 0 then
        round_trips(x)
      end
    end
  end)

  it("print a float with the fewest of 15 to 17 digits that read as the same", function()
    for _ = 1, 2000 do
      local x = (math.random() - 0.5) * 10.0 ^ math.random(-30, 30)
      local text = ("%.15g"):format(x)
      if tonumber(text) ~= x then
        text = ("%.16g"):format(x)
      end
      if tonumber(text) ~= x then
        text = ("%.17g"):format(x)
      end
      assert.are.equal(x, tonumber(json.encode(x)))
      assert.are.equal(text, (json.encode(x):gsub("%.0$", "")))
    end
  end)

  it("are read by the grammar of JSON", function()
    for text, number in pairs {
      ["0"] = 0, ["-0"] = 0, ["-0.0"] = -0.0, ["1E2"] = 100.0, ["1e-2"] = 0.01,
      ["1.5e+3"] = 1500.0, [" 7 "] = 7, ["-12"] = -12, ["1e-400"] = 0.0,
      ["0.10"] = 0.1, ["0e0"] = 0.0,
    } do
      same_number(number, text)
    end
  end)

  it("beyond 64 bits become floats", function()
    same_number(9223372036854775808.0, "9223372036854775808")
    same_number(-9223372036854775809.0, "-9223372036854775809")
    same_number(1e25, "10000000000000000000000000")
    same_number(1e300, "1" .. ("0"):rep(300))
    same_number(0.1, "0.1" .. ("0"):rep(500))
  end)

  it("beyond the doubles are refused", function()
    refuses("1e400", "^found a number too large at 1:1$")
    refuses("[0, -1e309]", "^found a number too large at 1:5$")
    refuses("1" .. ("0"):rep(400), "^found a number too large at 1:1$")
  end)

  it("of other notations are refused", function()
    for _, text in ipairs {
      "01", "-01", "00", "+1", "0x10", "1.", ".5", "-", "-.5", "1e", "1e+", "1.e1",
      "1..2", "1-2", "1+2", "1_000", "1a", "0b1", "1f", "--1", "1e5.5",
      "NaN", "nan", "-NaN", "Infinity", "-Infinity", "inf", "-inf", "INF", "0xA.8p1",
    } do
      refuses(text, "at 1:1$")
      refuses("[" .. text .. "]", "at 1:2$")
      refuses('{"a":' .. text .. "}", "at 1:6$")
    end
  end)

  it("are not finite: refused", function()
    raises("the number inf", 1 / 0)
    raises("the number -inf at .a[2]", { a = { 1, -1 / 0 } })
    raises("the number nan at [1]", { 0 / 0 })
  end)

  it("stand anywhere a value may, and nowhere else", function()
    assert.is_true(identical({ 1, { a = 2.0, b = { 3 } }, -0.0, "4" },
      json.decode '[1,{"a":2.0,"b":[3]},-0.0,"4"]'))
    for _, text in ipairs { "{1:2}", "{1}", "1 2", "[1 2]", "1[]", "[]1", "true1" } do
      refuses(text)
    end
  end)

  it("do not change the value that is encoded", function()
    local value = { list = { 1, 2.0, { x = 0.5 } }, empty = json.array {} }
    json.encode(value)
    assert.is_true(identical({ list = { 1, 2.0, { x = 0.5 } }, empty = json.array {} },
      value))
  end)
end)

describe("json strings", function()
  it("are read with every escape", function()
    assert.are.equal('"\\/\b\f\n\r\t', json.decode [["\"\\\/\b\f\n\r\t"]])
    assert.are.equal("A\0é€", json.decode [["\u0041\u0000\u00e9\u20AC"]])
  end)

  it("are read with surrogate pairs", function()
    assert.are.equal("😀", json.decode [["\uD83D\uDE00"]])
    assert.are.equal("\u{10FFFF}\u{10000}", json.decode [["\udbff\udfff\ud800\udc00"]])
  end)

  it("survive a round trip, whatever character", function()
    local all = {}
    for code = 0, 0xFFFF do
      if code < 0xD800 or code > 0xDFFF then
        all[#all + 1] = utf8.char(code)
      end
    end
    for code = 0x10000, 0x10FFFF, 257 do
      all[#all + 1] = utf8.char(code)
    end
    assert.are.same(all, json.decode(json.encode(all)))
    local text = table.concat(all)
    assert.are.equal(text, json.decode(json.encode(text)))
    assert.are.equal(text, next(json.decode(json.encode { [text] = text })))
  end)

  it("that look like numbers, arrays or marks stay strings", function()
    for _, s in ipairs {
      "1", "[]", "[0]", " 1 ", "\u{FF}1", "\u{FF}[]", "\\xFF1", "\\", '"', "\\\"", '\\"1',
      "a\\", "/", "\\/", "//", "\\\\/", "https://example.org/a", '","', '1,"2',
    } do
      local value = { s, { [s] = s }, 1, 2.5, s }
      assert.is_true(identical(value, json.decode(json.encode(value))), s)
      local pretty = json.encode(value, { pretty = true })
      assert.is_true(identical(value, json.decode(pretty)), s)
    end
  end)

  it("keep slashes plain", function()
    assert.are.equal([["/a\\/b\\\\/"]], json.encode [[/a\/b\\/]])
  end)

  it("that are not UTF-8 are refused with their position", function()
    for _, bad in ipairs {
      "\xFF", "\x80", "\xC3", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80",
      "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE2\x82", "\xFF1",
    } do
      raises("a string with invalid UTF-8 (byte 4) at .a", { a = "é." .. bad })
      raises("a string with invalid UTF-8 (byte 17)", ("x"):rep(16) .. bad .. "more text")
      raises("a key with invalid UTF-8 (byte 2) at .a", { a = { ["k" .. bad] = 1 } })
      refuses('"é.' .. bad .. '"', "^found invalid UTF%-8 at 1:4$")
      refuses('{"' .. bad .. '":1}', "^found invalid UTF%-8 at 1:3$")
      refuses('"' .. bad, "^found invalid UTF%-8 at 1:2$")
      refuses(bad, "at 1:1$")
      refuses('"\\' .. bad .. '"')
    end
  end)

  it("with bad escapes, lone surrogates or raw control characters are refused", function()
    for _, s in ipairs {
      [[\x]], [[\u12]], [[\u12g4]], [[\ud800]], [[\udc00]], [[\ud800\u0041]], [[\ud800x]],
      [[\U0041]], [[\']], "\\\n", "\n", "\t", "\0", "\1", "\31", [[\]],
    } do
      refuses('"' .. s .. '"', "at 1:%d$")
    end
  end)
end)

describe("json arrays and objects", function()
  it("that are empty stay what they were", function()
    for _, text in ipairs {
      "[]", "{}", "[[]]", "[{}]", "[[],[]]", '{"a":[]}', '{"a":{}}', '[[],{},[[]],[{}]]',
    } do
      assert.are.equal(text, json.encode(json.decode(text)))
      assert.are.equal(text, json.encode(json.decode(text), { sort_keys = true }))
    end
    assert.are.equal("[[]]", json.encode(json.decode "[[ \n\t\r]]"))
  end)

  it("stay arrays when decoded ones are emptied", function()
    local value = json.decode '{"list":["one"]}'
    table.remove(value.list)
    assert.are.equal('{"list":[]}', json.encode(value))
  end)

  it("are told apart by json.array", function()
    assert.are.equal("{}", json.encode {})
    assert.are.equal("[]", json.encode(json.array {}))
    assert.are.equal("[]", json.encode(json.array()))
    assert.are.equal("[1]", json.encode(json.array { 1 }))
    local t = {}
    assert.are.equal(t, json.array(json.array(t)))
  end)

  it("do not become arrays against their metatable", function()
    assert.has_error(function() json.array(setmetatable({}, {})) end,
      "json.array: the table has a metatable of its own")
    assert.has_error(function() json.array "x" end,
      "json.array: a table expected, got string")
  end)

  it("mark arrays for every copy of the module", function()
    local first = json.array {}
    package.loaded["ahost.json"], package.loaded["ahost.json.numbers"] = nil, nil
    local again = require "ahost.json"
    package.loaded["ahost.json"] = json
    assert.are.equal("[]", again.encode(first))
  end)

  it("carry null, true and false", function()
    assert.are.equal("[null,true,false]", json.encode { json.null, true, false })
    local value = json.decode '[null,true,false,{"a":null}]'
    assert.are.equal(json.null, value[1])
    assert.is_true(value[2])
    assert.is_false(value[3])
    assert.are.equal(json.null, value[4].a)
  end)

  it("are not needed: any value is a text", function()
    assert.are.equal(json.null, (json.decode "null"))
    assert.is_false((json.decode " false "))
    assert.are.equal("", (json.decode '""'))
    assert.are.equal('"a"', json.encode "a")
    assert.are.equal("null", json.encode(json.null))
  end)

  it("take the last of equal keys", function()
    assert.are.same({ a = 3, b = 2 }, json.decode '{"a":1,"b":2,"a":3}')
    assert.are.same({ a = {} }, json.decode '{"a":1,"\\u0061":{}}')
  end)

  it("may share tables that are not inside themselves", function()
    local shared = { 0.5 }
    assert.are.equal("[[0.5],[0.5]]", json.encode { shared, shared })
  end)

  it("nest as deep as the limit, not deeper", function()
    for open, close in pairs { ["["] = "]", ['{"a":'] = "}" } do
      local core = open == "[" and "" or "1"
      local text = nested(open, close, 1000, core)
      local value = assert(json.decode(text))
      assert.are.equal(text, json.encode(value))
      refuses(nested(open, close, 1001, core), "too many nested data structures")
      raises("tables nested more than 1000 deep at "
        .. (open == "[" and "[1]" or ".b") .. (open == "[" and "[1]" or ".a"):rep(15)
        .. "...", open == "[" and { value } or { b = value })
    end
  end)

  it("nest as deep as max_depth says", function()
    local text = nested("[", "]", 10000, "0.5")
    local value = assert(json.decode(text, { max_depth = 10000 }))
    assert.are.equal(text, json.encode(value, { max_depth = 10000 }))
    assert.are.equal(text, coroutine.wrap(json.encode)(value, { max_depth = 10000 }))
    assert.is_truthy(json.decode("[[]]", { max_depth = 2 }))
    assert.is_nil((json.decode("[[]]", { max_depth = 1 })))
    assert.is_truthy(json.decode(nested("[", "]", 1000)))
    raises("tables nested more than 1 deep at [1]", { {} }, { max_depth = 1 })
    for _, bad in ipairs { 0, 10001, 1.5, "2" } do
      local message = "max_depth must be an integer from 1 to 10000"
      assert.has_error(function() json.decode("1", { max_depth = bad }) end,
        "json.decode: " .. message)
      assert.has_error(function() json.encode(1, { max_depth = bad }) end,
        "json.encode: " .. message)
    end
  end)

  it("survive a round trip, whatever they hold", function()
    math.randomseed(42)
    local pieces = { "a", "é", "€", "😀", "\0", "\n", '"', "\\", "/", "1", "[]", "\u{FF}" }
    local function text()
      local parts = {}
      for i = 1, math.random(0, 6) do
        parts[i] = pieces[math.random(#pieces)]
      end
      return table.concat(parts)
    end
    local function value(depth)
      local kind = math.random(depth > 0 and 9 or 6)
      if kind == 1 then
        return math.random(0) >> math.random(0, 63)
      elseif kind == 2 then
        return math.random(-5, 5) * 1.0
      elseif kind == 3 then
        return (math.random() - 0.5) * 10.0 ^ math.random(-20, 20)
      elseif kind == 4 then
        return math.random(2) == 1
      elseif kind == 5 then
        return json.null
      elseif kind == 6 then
        return text()
      end
      local t = kind == 7 and {} or json.array {}
      for i = 1, math.random(0, 5) do
        t[kind == 7 and text() or i] = value(depth - 1)
      end
      return t
    end
    for _ = 1, 3000 do
      local v = value(5)
      for _, opts in ipairs { {}, { sort_keys = true }, { pretty = true } } do
        local encoded = json.encode(v, opts)
        assert.is_true(identical(v, json.decode(encoded)), encoded)
      end
    end
  end)
end)

describe("json.encode", function()
  it("names the path to what it cannot encode", function()
    raises("a function at .a.b[3]", { a = { b = { 1, 2, print } } })
    raises("a function", print)
    raises("nil", nil)
    raises("a userdata at [1]", { io.stdout })
    raises("a thread at [1][1]", { { coroutine.create(print) } })
    raises('a function at ["two words"]["1st"]._x1', { ["two words"] = { ["1st"] = {
      _x1 = print } } })
    raises('a function at [""]["é"]', { [""] = { ["é"] = print } })
    raises('a function at ["' .. ("k"):rep(40) .. '..."]', { [("k"):rep(50)] = print })
  end)

  it("refuses keys that JSON does not have", function()
    raises("a table with both string and integer keys at .t", { t = { 1, a = 2 } })
    raises("a table with a float key at .t", { t = { [1.5] = 1 } })
    raises("a table with a boolean key", { [true] = 1 })
    raises("a table with a table key", { [{}] = 1 })
    raises("a table with the key 0", { [0] = 1 })
    raises("a table with the key -1 at [1]", { { [-1] = 1 } })
    raises("an array with string keys at .t", { t = json.array { a = 1 } })
  end)

  it("refuses sparse arrays", function()
    raises("a sparse array (nothing at [2]) at .t", { t = { 1, nil, 3 } })
    raises("a sparse array (nothing at [1])", { [2] = 1 })
    raises("a sparse array (nothing at [1])", { [math.maxinteger] = 1 })
    raises("a sparse array (nothing at [1])", json.array { nil, 1 })
  end)

  it("refuses tables inside themselves", function()
    local t = { x = {} }
    t.x.y = { t }
    raises("a table inside itself at .x.y[1]", t)
  end)

  it("blames its caller", function()
    local ok, message = pcall(function() json.encode(print) end)
    assert.is_false(ok)
    assert.matches("json_spec%.lua:%d+: json%.encode: cannot", message)
  end)

  it("writes what it can after it refused something", function()
    for _ = 1, 3 do
      assert.is_false((pcall(json.encode, { 1.5, { 2.5, print } })))
      assert.are.equal("[1.5,[2.5]]", json.encode { 1.5, { 2.5 } })
    end
  end)

  it("sorts keys on request", function()
    local value = { b = 1, a = { d = {}, c = { 3, 2, 1.0 } }, ["é"] = "x", B = json.null }
    assert.are.equal('{"B":null,"a":{"c":[3,2,1.0],"d":{}},"b":1,"é":"x"}',
      json.encode(value, { sort_keys = true }))
  end)

  it("indents on request", function()
    local value = { b = 1, a = { {}, json.array {}, { 0.5 } }, ["a/b"] = "c" }
    assert.are.equal([[
{
  "a": [
    {},
    [],
    [
      0.5
    ]
  ],
  "a/b": "c",
  "b": 1
}]], json.encode(value, { pretty = true }))
    assert.are.equal("2.0", json.encode(2.0, { pretty = true }))
    assert.are.equal("[]", json.encode(json.array {}, { pretty = true }))
  end)

  it("keeps the order of long arrays", function()
    local value = {}
    for i = 1, 200 do
      value[i] = i
    end
    assert.are.equal("[" .. table.concat(value, ",") .. "]",
      json.encode(value, { sort_keys = true }))
  end)
end)

describe("json.decode", function()
  it("says what is wrong and where", function()
    for text, message in pairs {
      [""] = "expected value but found the end of the text at 1:1",
      ["[1,\n 2,\n  x]"] = "expected value but found invalid token at 3:3",
      ['{"a" 1}'] = "expected colon but found a number at 1:6",
      ["[1,2"] = "expected comma or array end but found the end of the text at 1:5",
      ['{"a":1,}'] = "expected object key string but found '}' at 1:8",
      ["[1][2]"] = "expected the end but found '[' at 1:4",
      ['["é\n'] = "found a control character in a string at 1:4",
      ['["é", 01]'] = "found an invalid number at 1:7",
      ['["é"\r\n,,]'] = "expected value but found ',' at 2:2",
      ["[]\0"] = "found a zero byte at 1:3",
    } do
      assert.are.equal(message, refuses(text).message)
    end
    local err = refuses "[\n\n 1 2]"
    assert.are.equal(3, err.line)
    assert.are.equal(4, err.column)
  end)

  it("reports the first of several mistakes", function()
    assert.matches("at 1:2$", refuses('[x, "\xFF", 01]').message)
    assert.matches("at 1:3$", refuses('["\xFF", x]').message)
    assert.matches("at 1:2$", refuses('[01, "\xFF"]').message)
    assert.matches("at 1:2$", refuses("[}\0").message)
  end)

  it("refuses all that is not JSON", function()
    for _, text in ipairs {
      "", " ", "[", "]", "{", "}", ",", ":", "[,]", "[1,]", "[,1]", "{,}", '{"a"}',
      '{"a":}', '{"a":1,}', "{a:1}", "{'a':1}", "'a'", '{"a":1 "b":2}', '{"a",1}',
      "[1:2]", "{[]:1}", "{[0]:1}", "{null:1}", "[1]]", "{}}", "[]{}", "[] []", "tru",
      "True", "NULL", "nulll", "nil", "undefined", '"a', '"a" "b"', "/*c*/1", "[1]//",
      "1 // x", "[1,\f2]", "[1,\v2]", "[\u{A0}]", "\u{FEFF}[]", "[\0]", "\0[]", "[]\0",
      "\0", "1\0", '"\0"', "#1", "[1;2]", "[truefalse]", '{"a":1}{"b":2}', "()", "[(1)]",
      "=1", "[[]", "[[]]]",
    } do
      refuses(text, "at 1:%d+$")
    end
  end)

  it("raises when it is given no text", function()
    assert.has_error(function() json.decode() end,
      "json.decode: a string expected, got nil")
    assert.has_error(function() json.decode(5) end,
      "json.decode: a string expected, got number")
  end)

  it("leaves the settings of cjson to others", function()
    local cjson = require "cjson"
    cjson.encode_number_precision(3)
    cjson.decode_max_depth(1)
    local value = json.decode "[[0.123456789]]"
    cjson.encode_number_precision(14)
    cjson.decode_max_depth(1000)
    assert.are.equal("[[0.123456789]]", json.encode(value))
  end)
end)
