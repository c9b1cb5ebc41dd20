local json <const> = require "ahost.json"
local yaml <const> = require "ahost.yaml"
local under_gc_stress <const> = require "spec.gc_stress"

local function tagged(tag, value)
  return setmetatable({ tag = tag, value = value }, yaml.Tagged)
end

-- Compares with types of numbers, which assert.same ignores.
local function identical(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return math.type(a) == math.type(b) and (a == b or a ~= a and b ~= b)
  end
  for key, value in pairs(a) do
    if not identical(value, b[key]) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return next(a) ~= nil or getmetatable(a) == getmetatable(b)
end

local opts <const> = { tags = { "!t", "!env" } }

local function round_trips(value)
  for _, how in ipairs { {}, { flow = true }, { indent = 5 } } do
    local text = yaml.encode(value, how)
    local again, err = yaml.decode(text, opts)
    if not identical(value, again) then
      error(("%q: %s"):format(text, err or "another value"), 2)
    end
  end
end

local function writes(text, value, how)
  assert.equal(text, yaml.encode(value, how))
  assert.is_true(identical(value, (yaml.decode(text, opts))), text)
end

local function raises(message, value, how)
  local ok, raised = pcall(yaml.encode, value, how)
  assert.is_false(ok)
  assert.equal("yaml.encode: cannot encode " .. message, raised)
end

describe("yaml.encode", function()
  it("writes blocks with sorted keys", function()
    writes([[
!!int 7: seven
10ms: d
a: 1
b:
  - 1
  - x: 1
    z:
      - 2
  - - 3
  - - - 4
c:
  d:
    e: f
]], {
      [7] = "seven", ["10ms"] = "d", a = 1,
      b = { 1, { x = 1, z = { 2 } }, { 3 }, { { 4 } } },
      c = { d = { e = "f" } },
    })
  end)

  it("indents as it is told", function()
    writes("a:\n    b:\n        - 1\n        - c: 1\n          d: 2\n",
      { a = { b = { 1, { c = 1, d = 2 } } } }, { indent = 4 })
  end)

  it("writes one line with flow", function()
    writes('{a: [1, {}, []], b: "1\\n2", c: {d: \'[\'}}',
      { a = { 1, {}, json.array() }, b = "1\n2", c = { d = "[" } }, { flow = true })
  end)

  it("writes scalars so that they are read back", function()
    for text, value in pairs {
      ["null"] = json.null, ["true"] = true, ["false"] = false, ["1"] = 1, ["1.0"] = 1.0,
      ["0.1"] = 0.1, ["1e+300"] = 1e300, [".inf"] = math.huge, ["-.inf"] = -math.huge,
      ["-9223372036854775808"] = math.mininteger, ["0.30000000000000004"] = 0.1 + 0.2,
      [".nan"] = 0 / 0, ["{}"] = {}, ["[]"] = json.array(),
    } do
      writes(text .. "\n", value)
    end
  end)

  it("quotes strings that other readers take for something else", function()
    for _, s in ipairs {
      "", "~", "null", "true", "1", "010", "0x1F", "1.5", ".5", ".inf", "yes", "No", "ON",
      "off", "12:30:45", "8080:80", "1_000", "0b101", "2024-02-29", "<<", "=",
      "- x", "? x", ": x", "a: b", "a:", "a #b", "#", "&a", "*a", "!t", "| x", "> x",
      "%x",
      "@x", "`x", "---", "--- x", "...", " x", "x ", "[x", "{x", ",x", '"x', "-",
      "190:20:30.15",
    } do
      writes(("'%s'\n"):format(s), s)
    end
    writes("\"'x\"\n", "'x")
    writes("'''\"x'\n", "'\"x")
  end)

  it("quotes strings that mean something within brackets only there", function()
    for _, s in ipairs { "a,b", "a[b", "a]", "a{", "a}", "a:?b" } do
      writes(("['%s']"):format(s), { s }, { flow = true })
      writes(s .. "\n", s)
    end
  end)

  it("leaves all others plain", function()
    for _, s in ipairs {
      "x", "a b", "10ms", "127.0.0.1:80", "a::1", "http://x/y?z#t",
      "C:\\x", "it's", 'say "x"', "-x", "--set", "a,b", "x[1]", "ä€😀", "1.2.3",
      "a-", "nothing",
      "$" .. "{a.b}", "a!", "/etc/x", "./x", ".x",
    } do
      writes(s .. "\n", s)
    end
  end)

  it("escapes what cannot be printed", function()
    writes('"\\x00\\a\\b\\t\\r\\e\\x7f\\x85\u{a0}\\u2028\\ufeff"\n',
      "\0\a\b\t\r\27\127\u{85}\u{a0}\u{2028}\u{feff}")
  end)

  it("writes several lines as a literal block", function()
    writes("|\n  a\n  b\n", "a\nb\n")
    writes("|-\n  a\n\n    b\tc\n", "a\n\n  b\tc")
    writes("a: |+\n  x\n\nb:\n  - |\n    y\n", { a = "x\n\n", b = { "y\n" } })
    for _, s in ipairs {
      "\na", " a\nb", "\ta\nb", "a\n\tb", "a \nb", "a\r\nb", "\n", "a\n ",
    } do
      writes(yaml.encode(s, { flow = true }) .. "\n", s)
    end
  end)

  it("writes tags", function()
    writes("a: !env X\nb: !t\n  - 1\nc:\n  - !t\n    d: 1\n  - !t {}\n",
      { a = tagged("!env", "X"), b = tagged("!t", { 1 }),
        c = { tagged("!t", { d = 1 }), tagged("!t", {}) } })
    writes("!t\na: 1\n", tagged("!t", { a = 1 }))
    writes("!env '1'\n", tagged("!env", "1"))
  end)

  it("writes keys of any length", function()
    for _, length in ipairs { 250, 251, 1024, 5000 } do
      round_trips { [("\1"):rep(length)] = { 1 }, [("k"):rep(length)] = { a = "b" } }
    end
  end)

  it("raises with the path to what it cannot write", function()
    local loop = { a = { {} } }
    loop.a[1].b = loop
    raises("a table inside itself at .a[1].b", loop)
    raises("a function at .a[1]", { a = { print } })
    raises("a userdata", io.stdout)
    raises('a string with invalid UTF-8 (byte 2) at ["a b"]', { ["a b"] = "x\xff" })
    raises("a key with invalid UTF-8 (byte 1) at .a", { a = { ["\xff"] = 1 } })
    raises("a key of type float at .a", { a = { [0.5] = 1 } })
    raises("a key of type boolean", { [true] = 1 })
    raises("an array with holes or other keys at .a", { a = json.array { 1, nil, 3 } })
    raises("a value with a bad tag", tagged("env", "x"))
    raises("a value with a bad tag", tagged("!a b", "x"))
    raises("a tagged number at [1]", { tagged("!t", 1) })
    raises("a tagged value with two tags", tagged("!t", tagged("!t", "x")))
    local deep = {}
    for _ = 1, 200 do deep = { deep } end
    raises("more than 200 nested tables at " .. ("[1]"):rep(16) .. "...", deep)
    round_trips(deep[1])
    assert.error_matches(function() yaml.encode(1, { indent = 1 }) end, "indent must be")
    assert.error_matches(function() yaml.encode() end, "value expected")
  end)

  it("round-trips whatever there is", function()
    local pieces <const> = {
      "a", "b c", " ", "\n", "\n\n", "\t", ":", ": ", " #", "#", "-", "- ", "'", '"',
      "\\", ",",
      "[", "]", "{", "}", "?", "!", "&", "*", "|", ">", "%", "@", "`", "1", ".", "e",
      "_", "0x",
      "ä", "\u{85}", "\u{2028}", "\u{feff}", "\r", "\0", "~", "null", "---", "...",
      "<<", "=",
    }
    local function random_string()
      local s = {}
      for i = 1, math.random(0, 5) do s[i] = pieces[math.random(#pieces)] end
      return table.concat(s)
    end
    local random_value
    local makers <const> = {
      function() return math.random(0) >> math.random(0, 63) end,
      function() return math.random() * 10.0 ^ math.random(-20, 20) end,
      function() return math.random() < 0.5 end,
      function() return json.null end,
      random_string, random_string, random_string,
      function(depth)
        local list = json.array()
        for i = 1, math.random(0, 4) do list[i] = random_value(depth - 1) end
        return list
      end,
      function(depth)
        local map = {}
        for _ = 1, math.random(0, 4) do map[random_string()] = random_value(depth - 1) end
        return map
      end,
      function(depth)
        local value = random_value(depth - 1)
        if type(value) == "string" or type(value) == "table"
          and getmetatable(value) ~= yaml.Tagged then
          return tagged("!t", value)
        end
        return value
      end,
    }
    function random_value(depth)
      return makers[math.random(depth > 0 and #makers or 7)](depth)
    end
    math.randomseed(20240229)
    for _ = 1, under_gc_stress() and 300 or 5000 do round_trips(random_value(4)) end
  end)
end)
