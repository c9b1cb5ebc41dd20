local json <const> = require "ahost.json"
local yaml <const> = require "ahost.yaml"

local null <const> = json.null

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

local function reads(expected, text, opts)
  local value, err = yaml.decode(text, opts)
  if value == nil then error(("%q: %s"):format(text, err), 2) end
  assert.is_true(identical(expected, value), text)
  return value
end

local function refuses(message, text, opts)
  local value, err = yaml.decode(text, opts)
  assert.is_nil(value, text)
  assert.equal("SYNTAX", err.code)
  assert.equal(message, err.message)
  assert.equal(("yaml:%d:%d"):format(err.line, err.column), message:match "^yaml:%d+:%d+")
end

describe("yaml.decode gives plain scalars the meaning of YAML 1.2:", function()
  it("null", function()
    for _, text in ipairs { "", "~", "null", "Null", "NULL", "# comment", "---" } do
      reads(null, text)
    end
    reads("nULL", "nULL")
  end)

  it("booleans, of which yes and no are none", function()
    for _, text in ipairs { "true", "True", "TRUE" } do reads(true, text) end
    for _, text in ipairs { "false", "False", "FALSE" } do reads(false, text) end
    for _, text in ipairs { "yes", "no", "on", "off", "y", "n", "Yes", "tRUE" } do
      reads(text, text)
    end
  end)

  it("integers of three bases", function()
    for text, n in pairs {
      ["0"] = 0, ["7"] = 7, ["-7"] = -7, ["+7"] = 7, ["010"] = 10, ["0o17"] = 15,
      ["0x1F"] = 31, ["0xff"] = 255, ["9223372036854775807"] = math.maxinteger,
      ["-9223372036854775808"] = math.mininteger,
      ["0x7fffffffffffffff"] = math.maxinteger,
    } do
      reads(n, text)
    end
  end)

  it("floats", function()
    for text, x in pairs {
      ["1.5"] = 1.5, ["-0.5"] = -0.5, [".5"] = 0.5, ["5."] = 5.0, ["+1.0"] = 1.0,
      ["1e3"] = 1000.0, ["1.5E-3"] = 0.0015, [".inf"] = math.huge,
      ["-.Inf"] = -math.huge, ["+.INF"] = math.huge, [".nan"] = 0 / 0, [".NaN"] = 0 / 0,
    } do
      reads(x, text)
    end
  end)

  it("and strings for all that is none of these", function()
    for _, text in ipairs {
      "12:30:45", "2024-02-29", "1.2.3", "1_000", "0b101", "0o8", "0xg", "-0x1", "e5",
      "1e", "1e+", ".", "-", "+", "..5", "inf", "nan", "-.nan", "0o", "0x", "1 2", "10ms",
      "127.0.0.1:80", "http://example.org/#top", "a b",
    } do
      if text ~= "-" then reads(text, text) end
      reads({ text }, ("[%q]"):format(text))
    end
  end)

  it("but an error for numbers that do not fit", function()
    refuses("yaml:1:4: the integer 9223372036854775808 does not fit into 64 bits; quote"
      .. " it if it is a string", "a: 9223372036854775808")
    refuses("yaml:1:1: the integer 0x8000000000000000 does not fit into 64 bits; quote"
      .. " it if it is a string", "0x8000000000000000")
    refuses("yaml:1:1: the number 1e999 is too large", "1e999")
    refuses("yaml:1:1: the integer " .. ("9"):rep(40) .. "... does not fit into 64 bits;"
      .. " quote it if it is a string", ("9"):rep(400))
  end)

  it("never those in quotes or in blocks", function()
    reads({ "1", "true", "~", "" }, [=[['1', "true", '~', '']]=])
    reads({ a = "1\n", b = "2" }, "a: |\n  1\nb: >-\n  2\n")
  end)

  it("unless a tag says so", function()
    reads({ "1", 1, 1.0, true, null, "", "~" },
      "[!!str 1, !!int '1', !!float 1, !!bool 'true', !!null '', !!str , !!str ~]")
    reads({ a = { 1 }, b = {} }, "a: !!seq [1]\nb: !!map {}")
    reads({ "1" }, "[!<tag:yaml.org,2002:str> 1]")
    refuses("yaml:1:1: 'x' is no !!int", "!!int x")
    refuses("yaml:1:1: '1.5' is no !!int", "!!int 1.5")
    refuses("yaml:1:1: 'yes' is no !!bool", "!!bool yes")
    refuses("yaml:1:1: '0' is no !!null", "!!null 0")
    refuses("yaml:1:1: 'x' is no !!map", "!!map x")
    refuses("yaml:1:1: this is a !!seq, and cannot be a !!map", "!!map [1]")
  end)
end)

describe("yaml.decode of collections", function()
  it("tells an empty list from an empty map", function()
    local value <const> = yaml.decode "list: []\nmap: {}\n"
    assert.equal('{"list":[],"map":{}}', json.encode(value, { sort_keys = true }))
  end)

  it("takes keys as strings, however they look", function()
    reads({ ["8080"] = 1, ["true"] = 2, ["~"] = 3, ["1.0"] = 4, [""] = 5 },
      "8080: 1\ntrue: 2\n~: 3\n1.0: 4\n'': 5\n")
  end)

  it("takes keys as integers with a tag", function()
    reads({ [8080] = 1, ["8080"] = 2 }, "!!int 8080: 1\n8080: 2\n")
    refuses("yaml:1:1: a key with the tag !!bool; keys are strings, or integers with"
      .. " !!int", "!!bool true: 1")
    refuses("yaml:1:1: 'x' is no !!int", "!!int x: 1")
  end)

  it("refuses other keys", function()
    refuses("yaml:1:3: a key that is a list or a map; keys are strings", "? [a]\n: b")
    refuses("yaml:1:1: a key that is a list or a map; keys are strings", "{a: 1}: b")
    refuses('yaml:1:2: an empty key; write "" if it is meant', "? \n: b")
    refuses("yaml:2:1: an alias as a key; write the key itself", "a: &x b\n*x : c")
  end)

  it("names both places of a key that stands twice", function()
    local message <const> = "yaml:3:3: the key 'b' again, it stands at 2:3 already"
    refuses(message, "a:\n  b: 1\n  b: 2\n")
    refuses(message, "a:\n  b: 1\n  'b': 2\n", { positions = true })
  end)

  it("bounds their nesting", function()
    assert.is_table(yaml.decode(("["):rep(200) .. ("]"):rep(200)))
    refuses("yaml:1:201: nested more than 200 levels deep", ("["):rep(100000))
    refuses("yaml:1:401: nested more than 200 levels deep", ("- "):rep(1000))
  end)
end)

describe("yaml.decode of anchors and aliases", function()
  it("gives each alias a copy", function()
    local value <const> = reads({ a = { x = { 1 } }, b = { x = { 1 } } },
      "a: &a {x: [1]}\nb: *a\n")
    value.b.x[1] = 2
    assert.equal(1, value.a.x[1])
    assert.equal(getmetatable(json.array()), getmetatable(value.b.x))
  end)

  it("knows scalars, redefinitions and anchors of keys", function()
    reads({ 1, 1, "x", "x" }, "[&a 1, *a, &a x, *a]")
    reads({ k = "k" }, "&k k: *k")
    reads({ { 2, 2 }, { 2, 2 } }, "[&a [&a 2, *a], *a]")
  end)

  it("refuses those of nothing, and of what they are part of", function()
    refuses("yaml:1:1: the alias *a of no anchor before it", "*a")
    refuses("yaml:1:8: the alias *a within what it stands for", "a: &a [*a]")
    refuses("yaml:1:13: the alias *a within what it stands for", "a: &a {<<: [*a]}")
  end)

  it("refuses a bomb of them", function()
    local lines = { "a0: &a0 [x, x, x, x, x, x, x, x, x, x]" }
    for i = 1, 9 do
      local alias <const> = ("*a%d, "):format(i - 1)
      lines[#lines + 1] = ("a%d: &a%d [%s]"):format(i, i, alias:rep(10))
    end
    refuses("yaml:5:45: aliases stand for more than 100000 values",
      table.concat(lines, "\n"))
  end)

  it("refuses nesting through them", function()
    local text = "- &a " .. ("["):rep(150) .. ("]"):rep(150) .. "\n- " .. ("["):rep(50)
      .. "*a" .. ("]"):rep(50)
    refuses("yaml:2:53: nested more than 200 levels deep", text)
  end)
end)

describe("yaml.decode of merge keys", function()
  it("merges a map, whose keys give way to those of the place", function()
    reads({ base = { a = 1, b = { 2 } }, own = { a = 9, b = { 2 }, c = 3 } },
      "base: &base {a: 1, b: [2]}\nown:\n  a: 9\n  <<: *base\n  c: 3\n")
    reads({ a = 1, b = 2 }, "<<: {a: 0, b: 2}\na: 1\n")
  end)

  it("merges a list of maps, of which the first one wins", function()
    reads({ { a = 1 }, { a = 2, b = 2 }, { a = 1, b = 2, c = 3 } },
      "- &x {a: 1}\n- &y {a: 2, b: 2}\n- {<<: [*x, *y, {c: 3}]}\n")
  end)

  it("takes a quoted one as a key", function()
    reads({ ["<<"] = 1 }, "'<<': 1")
  end)

  it("refuses all else", function()
    local message <const> = "'<<' takes a map or a list of maps; quote it if it is a key"
    for _, value in ipairs { "1", "[1]", "[[]]", "!env X", "[{}, ~]" } do
      refuses("yaml:2:3: " .. message, "a:\n  <<: " .. value, { tags = { "!env" } })
    end
    refuses("yaml:2:1: a second '<<'; merge a list of maps", "<<: {a: 1}\n<<: {b: 1}")
  end)
end)

describe("yaml.decode of tags", function()
  it("lets through those that the caller names", function()
    local value <const> = yaml.decode(
      "a: !env PORT\nb: !list [1, 2]\nc: !env 010\nd: !map {x: 1}\n",
      { tags = { "!env", "!list", "!map" } })
    assert.same({ tag = "!env", value = "PORT" }, value.a)
    assert.same({ tag = "!list", value = { 1, 2 } }, value.b)
    assert.same({ tag = "!env", value = "010" }, value.c)
    assert.same({ tag = "!map", value = { x = 1 } }, value.d)
    for _, tagged in pairs(value) do
      assert.equal(yaml.Tagged, getmetatable(tagged))
    end
  end)

  it("refuses all others by name", function()
    local rest <const> = "; quote a value that begins with '!'"
    refuses("yaml:1:4: unknown tag !env" .. rest, "a: !env PORT")
    refuses("yaml:1:4: unknown tag !other" .. rest, "a: !other [1]",
      { tags = { "!env" } })
    refuses("yaml:1:1: unknown tag !!python/object" .. rest, "!!python/object {}")
    refuses("yaml:1:1: unknown tag !!binary" .. rest, "!!binary aGk=")
    refuses("yaml:1:1: unknown tag tag:example.org,2000:x" .. rest,
      "!<tag:example.org,2000:x> y")
    refuses("yaml:1:1: a tag with an undeclared handle", "!e!x y")
  end)
end)

describe("yaml.decode of bad texts", function()
  it("says what to do", function()
    refuses("yaml:2:1: a tab character; indent with spaces", "a:\n\tb: 1\n")
    refuses("yaml:1:4: '@' cannot begin a value; put it in quotes", "a: @x")
    refuses("yaml:1:4: '`' cannot begin a value; put it in quotes", "ä: `x")
    refuses("yaml:1:6: a quote that is never closed", "a: 'x")
    refuses("yaml:2:1: a key without ':', or text that is not indented enough",
      "a: 1\nb")
    refuses("yaml:1:5: a ':' that cannot stand here; check the indentation, and quote"
      .. " a value that contains ': '", "a: b: c")
    refuses("yaml:3:2: expected ',' or ']' in a list that begins with '[' (begun on"
      .. " line 1)", "a: [1,\n 2\nb: 3\n")
    refuses("yaml:2:1: a second document; a file holds only one", "a: 1\n---\nb: 2\n")
  end)

  it("shows the beginning of what is long or of several lines", function()
    refuses("yaml:1:1: the alias *" .. ("a"):rep(40) .. "... of no anchor before it",
      "*" .. ("a"):rep(1000))
    refuses("yaml:1:1: unknown tag !" .. ("ä"):rep(19) .. "...; quote a value that begins"
      .. " with '!'", "!" .. ("%C3%A4"):rep(1000) .. " x")
    refuses("yaml:2:1: the key 'a...' again, it stands at 1:1 already",
      '"a\\nb": 1\n"a\\nb": 2')
  end)

  it("names their characters", function()
    refuses("yaml:2:2: invalid UTF-8", "ä: 1\nü\xff: 2\n")
    refuses("yaml:1:1: invalid UTF-8", "\xc3")
    refuses("yaml:1:4: the control character U+0000; write it as an escape in double"
      .. " quotes", "a: \0")
    refuses("yaml:1:1: UTF-16; save the file as UTF-8", "\xff\xfea\0:\0")
  end)

  it("uses the name that it is given", function()
    local _, err = yaml.decode("a: [\n", { name = "app.yaml" })
    assert.equal("app.yaml:2:1: expected a value here (SYNTAX)", tostring(err))
  end)

  it("raises when it is called with something else", function()
    local function raises(pattern, ...)
      local ok, message = pcall(yaml.decode, ...)
      assert.is_false(ok)
      assert.matches(pattern, message)
    end
    raises("string expected", nil)
    raises("string expected", 12)
    raises("table expected", "", 1)
    raises("name must be", "", { name = 1 })
    raises("tags must be", "", { tags = "!env" })
    raises("a tag must", "", { tags = { "env" } })
  end)

  it("takes a BOM and line ends of all kinds", function()
    reads({ a = 1, b = { 2 } }, "\xef\xbb\xbfa: 1\r\nb:\r\n  - 2\r\n")
    refuses("yaml:1:4: unknown tag !x; quote a value that begins with '!'",
      "\xef\xbb\xbfa: !x\r\n")
    refuses("yaml:1:1: a second byte order mark", "\xef\xbb\xbf\xef\xbb\xbfa: 1")
  end)
end)

describe("the positions of yaml.decode", function()
  local function place(n)
    return ("%d:%d"):format(yaml.unpack_position(n))
  end

  it("are those of keys and of items", function()
    local value, positions, root = yaml.decode(
      "# comment\na: 1\nb:\n  - x\n  - {ü: 1, d: [2]}\n", { positions = true })
    assert.equal("2:1", place(root))
    assert.equal("2:1", place(positions[value].a))
    assert.equal("3:1", place(positions[value].b))
    assert.equal("4:5", place(positions[value.b][1]))
    assert.equal("5:5", place(positions[value.b][2]))
    assert.equal("5:6", place(positions[value.b[2]]["ü"]))
    assert.equal("5:12", place(positions[value.b[2]].d))
    assert.equal("5:16", place(positions[value.b[2].d][1]))
  end)

  it("are, of copies and of merged values, where these were written", function()
    local value, positions = yaml.decode(
      "a: &a {x: [1]}\nb: *a\nc:\n  <<: *a\n  y: 1\n", { positions = true })
    assert.equal("2:1", place(positions[value].b))
    assert.equal("1:8", place(positions[value.b].x))
    assert.equal("1:12", place(positions[value.b.x][1]))
    assert.equal("1:8", place(positions[value.c].x))
    assert.equal("1:12", place(positions[value.c.x][1]))
    assert.equal("5:3", place(positions[value.c].y))
    assert.is_nil(positions[value.c]["<<"])
  end)

  it("are there within tagged values", function()
    local value, positions = yaml.decode("a: !t\n  b: 1\n",
      { positions = true, tags = { "!t" } })
    assert.equal("2:3", place(positions[value.a.value].b))
  end)

  it("are given for what is no table too", function()
    local value, positions, root = yaml.decode("\n 12", { positions = true })
    assert.equal(12, value)
    assert.same({}, positions)
    assert.equal("2:2", place(root))
  end)
end)
