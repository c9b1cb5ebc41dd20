local json <const> = require "ahost.json"
local options <const> = require "ahost.options"

-- The value of one option, or its problem without its name.
local function read(spec, value)
  local checked, problems = options.check({ x = spec }, { x = value })
  if checked then return checked.x end
  assert.equal(1, #problems)
  return nil, problems[1]:match("^x: (.*)$")
end

local function assert_reads(spec, cases)
  for value, expected in pairs(cases) do
    local got, problem = read(spec, value)
    assert.equal(expected, got, ("%s: %s"):format(value, problem))
  end
end

local function assert_refuses(spec, values)
  for _, value in ipairs(values) do
    local got, problem = read(spec, value)
    assert.is_nil(got, tostring(value))
    assert.match("^must be ", problem)
  end
end

describe("options.check", function()
  it("converts, fills in defaults and leaves its input alone", function()
    local schema = {
      port = { type = "integer", default = 80 },
      idle = { type = "duration", default = "1h30m" },
      name = { type = "string" },
      verbose = { type = "boolean", default = false },
    }
    local values = { port = "8080", name = json.null }
    assert.same({ port = 8080, idle = 5400, verbose = false },
      options.check(schema, values))
    assert.same({ port = "8080", name = json.null }, values)
    assert.same({ port = 80, idle = 5400, verbose = false }, options.check(schema, nil))
  end)

  it("tells all problems with place, path, what is wrong and what would be right",
    function()
      local values = { port = "abc", prot = 1, idle = -1 }
      local lines = { port = 3, prot = 4, idle = 5 }
      local schema = {
        port = { type = "integer", min = 1, max = 65535 },
        idle = { type = "duration" },
        host = { type = "string", required = true },
      }
      local checked, problems = options.check(schema, values, {
        path = "web.sessions",
        at = "app.yaml:2:5",
        origin = function(container, key)
          assert.equal(values, container)
          return "app.yaml:" .. lines[key] .. ":9"
        end,
      })
      assert.is_nil(checked)
      assert.same({
        "app.yaml:2:5: web.sessions.host: is required, but missing",
        "app.yaml:5:9: web.sessions.idle: must be a duration (seconds, or as 10ms 5s 2m "
          .. "1h30m 3d 1w), not -1",
        'app.yaml:3:9: web.sessions.port: must be an integer from 1 to 65535, not "abc"',
        'app.yaml:4:9: web.sessions.prot: unknown option (did you mean "port"?)',
      }, problems)
    end)

  it("lists what is known when an unknown option resembles nothing", function()
    local schema = { address = { type = "address" }, idle = { type = "duration" } }
    local _, problems = options.check(schema, { colour = 1, ["a.b"] = 2, [true] = 3 })
    assert.same({
      "true: the names of options are strings",
      "a\\.b: unknown option (known are: address, idle)",
      "colour: unknown option (known are: address, idle)",
    }, problems)
    _, problems = options.check({}, { x = 1 })
    assert.same({ "x: unknown option (there are none)" }, problems)
  end)

  it("refuses values that are no map", function()
    local _, problems = options.check({}, "x", { path = "web" })
    assert.same({ 'web: must be a map, not "x"' }, problems)
    _, problems = options.check({}, { "x" }, { path = "web", at = "a.yaml:1:1" })
    assert.same({ "a.yaml:1:1: web: must be a map, not a list of 1" }, problems)
    _, problems = options.check({}, json.array())
    assert.same({ "must be a map, not a list of 0" }, problems)
  end)

  it("accepts anything but reserved names and nulls without a schema", function()
    local values = { type = "x", a = { b = { 1 } }, n = json.null }
    local checked = options.check(nil, values, { reserved = { type = true } })
    assert.same({ a = { b = { 1 } } }, checked)
    assert.not_equal(values.a, checked.a)
  end)

  it("passes over reserved names, and refuses options named so", function()
    local place = { reserved = { type = true } }
    assert.same({ a = 1 },
      options.check({ a = { type = "integer" } }, { a = 1, type = "web" }, place))
    assert.has_error(function()
      options.check({ type = { type = "string" } }, {}, place)
    end, "option 'type': the name is reserved")
  end)

  it("reads integers", function()
    assert_reads({ type = "integer" }, {
      [1] = 1, [2.0] = 2, ["-17"] = -17, ["+5"] = 5,
      ["9223372036854775807"] = math.maxinteger,
    })
    assert_refuses({ type = "integer" },
      { 1.5, "1.5", "", " 1", "0x10", "9223372036854775808", "abc", true, {}, 1e300 })
    assert_refuses({ type = "integer", min = 1, max = 3 }, { 0, 4, "4" })
    assert.equal("integer", math.type(read({ type = "integer" }, 2.0)))
  end)

  it("reads numbers, but no infinities", function()
    assert_reads({ type = "number" },
      { [1] = 1, [0.5] = 0.5, ["1e3"] = 1000, ["-.5"] = -0.5 })
    assert_refuses({ type = "number" },
      { "", "1e999", "inf", "nan", "0x1p4", " 1", math.huge, 0 / 0, "1 2", true })
    local _, problem = read({ type = "number", min = 0 }, -1)
    assert.equal("must be a number at least 0, not -1", problem)
  end)

  it("reads booleans", function()
    assert_reads({ type = "boolean" }, {
      [true] = true, [false] = false, ["yes"] = true, ["No"] = false, ["on"] = true,
      ["off"] = false, ["1"] = true, ["0"] = false, ["TRUE"] = true, ["false"] = false,
    })
    assert_refuses({ type = "boolean" }, { "", "2", "y", 1, 0, {} })
  end)

  it("reads strings, and asks for quotes around what is none", function()
    local spec = { type = "string", min = 2, max = 3 }
    assert_reads(spec, { ["ab"] = "ab", ["äöü"] = "äöü", ["\xff\xff"] = "\xff\xff" })
    assert_refuses(spec, { "a", "abcd", 12, true, {} })
    local _, problem = read({ type = "string" }, 12)
    assert.equal("must be a string, not 12 (write it in quotes)", problem)
    _, problem = read(spec, "a")
    assert.equal('must be a string of 2 to 3 characters, not "a"', problem)
  end)

  it("reads durations", function()
    assert_reads({ type = "duration" }, {
      [0] = 0, [1.5] = 1.5, ["10"] = 10, ["0.5"] = 0.5, ["10ms"] = 0.01, ["3ms"] = 0.003,
      ["5s"] = 5, ["2m"] = 120, ["1h"] = 3600, ["3d"] = 259200, ["1w"] = 604800,
      ["1h30m"] = 5400, ["1.5h"] = 5400, ["1m1s500ms"] = 61.5,
    })
    assert_refuses({ type = "duration" }, {
      -1, "", "-1s", "1x", "s", "30m1h", "1h1h", "1h 30m", "1h30", "1..5s", ".", "5 s",
      math.huge, 0 / 0, true, ("9"):rep(400) .. "s",
    })
    assert_reads({ type = "duration", min = 1, max = "1m" }, { ["1s"] = 1, [60] = 60 })
    local _, problem = read({ type = "duration", min = 1, max = "1m" }, "10ms")
    assert.equal("must be a duration from 1 to 1m (seconds, or as 10ms 5s 2m 1h30m 3d 1w)"
      .. ', not "10ms"', problem)
  end)

  it("reads sizes", function()
    assert_reads({ type = "size" }, {
      [0] = 0, [1e6] = 1000000, ["512"] = 512, ["512B"] = 512, ["64K"] = 65536,
      ["64KiB"] = 65536, ["64KB"] = 64000, ["10MB"] = 10000000, ["1G"] = 1073741824,
      ["1.5K"] = 1536, ["2 MiB"] = 2097152, ["1k"] = 1024,
      ["7P"] = 7 * 1024 ^ 5,
    })
    assert_refuses({ type = "size" }, {
      -1, 1.5, "1.5", "", "K", "1X", "1KX", "8192P", "99999999999999999999",
      "9223372036854775807K", true, math.huge, "0.3K",
    })
    assert.equal("integer", math.type(read({ type = "size" }, "1.5K")))
  end)

  it("checks addresses as ahost.net does", function()
    assert_reads({ type = "address" }, {
      ["127.0.0.1:80"] = "127.0.0.1:80",
      [":0"] = ":0",
      ["unix:/run/x"] = "unix:/run/x",
    })
    assert_refuses({ type = "address" }, {
      "localhost", "a:70000", "::1:80", 80, "", { host = "a" }, { prot = 1, port = 1 },
    })
    local written = { host = "::1", port = 80, path = json.null }
    local address = read({ type = "address" }, written)
    assert.same({ host = "::1", port = 80 }, address)
    local _, problem = read({ type = "address" }, "localhost")
    assert.match('^must be an address, not "localhost" %(the port is missing', problem)
    _, problem = read({ type = "address" }, 80)
    assert.equal("must be an address, not 80 (it is neither a string nor a table)",
      problem)
  end)

  it("checks URLs", function()
    local good = {
      "http://example.com", "https://a.b:8443/p?q=1#f", "http://[::1]:80/",
      "http://[::1]", "postgres://user:p%20w@db/x",
      "redis://:secret@127.0.0.1:6379/0", "amqp+tls://u@h",
      "http://a/?x=@y", "http://ü.example/ä",
    }
    for _, text in ipairs(good) do assert.equal(text, (read({ type = "url" }, text))) end
    assert_refuses({ type = "url" }, {
      "", "example.com", "//x", "http:/x", "http://", "http:///x", "http://a b", "1a://x",
      "http://a:0", "http://a:70000", "http://a:", "http://[::1", "http://[x]/",
      "http://::1/", "http://a/%zz", "http://a/%2", "http://a/\n", 5, "http://u@",
      "http://[::1]x/",
    })
    local _, problem = read({ type = "url" }, "http://u:hidden@a:99999/")
    assert.equal('must be a URL, not "http://u:********@a:99999/" '
      .. "(the port must be from 0 to 65535)", problem)
    for _, text in ipairs { "http://u:hid/den@a", "u:hidden@a", "postgres:u:hidden@a" } do
      _, problem = read({ type = "url" }, text)
      assert.not_match("den", problem)
    end
  end)

  it("reads enums by value or text", function()
    local spec = { type = "enum", values = { "skip", "run", 3, true } }
    assert_reads(spec, { skip = "skip", ["3"] = 3, [3] = 3, ["true"] = true })
    local _, problem = read(spec, "walk")
    assert.equal('must be skip, run, 3 or true, not "walk"', problem)
    assert_refuses({ type = "enum", values = { "a" } }, { "A", 1, {}, "" })
  end)

  it("reads lists and names the items that are wrong", function()
    local spec = { type = "list", of = { type = "integer", min = 1 }, max = 3 }
    assert.same({ 1, 2 }, read(spec, { 1, "2" }))
    assert.same({}, read(spec, {}))
    assert.equal("[]", json.encode(read(spec, {})))
    assert_refuses(spec, { "1", 1, { a = 1 }, { 1, 2, 3, 4 }, { 1, nil, 3, x = 1 } })
    local _, problems = options.check({ x = spec }, { x = { 0, 1, json.null } },
      { path = "web", origin = function(_, key) return "f:" .. tostring(key) end })
    assert.same({
      "f:1: web.x[1]: must be an integer at least 1, not 0",
      "f:3: web.x[3]: must be an integer at least 1, not null",
    }, problems)
    local _, problem = read({ type = "list", min = 1 }, {})
    assert.equal("must be a list of at least 1 item, not a map", problem)
  end)

  it("reads maps of values", function()
    local spec = { type = "map", of = { type = "duration" } }
    assert.same({ a = 5, b = 1 }, read(spec, { a = "5s", b = 1, c = json.null }))
    assert.same({}, read(spec, {}))
    assert_refuses(spec, { "a", 1, { 1 }, json.array() })
    local _, problem = options.check({ x = spec }, { x = { ["a.b"] = "?" } })
    assert.match("^x.a\\%.b: must be a duration", problem[1])
  end)

  it("takes the keys of maps as they were written", function()
    local expanded = { a = { b = 1 } }
    local place = {
      literal = function(map) return map == expanded and { ["a.b"] = 1 } or map end,
    }
    local schema = {
      levels = { type = "map", of = { type = "integer" } },
      data = { type = "map" },
      tls = { type = "map", fields = {
        a = { type = "map", fields = { b = { type = "integer" } } },
      } },
    }
    assert.same({ levels = { ["a.b"] = 1 } },
      options.check(schema, { levels = expanded }, place))
    assert.same({ data = { ["a.b"] = 1 } },
      options.check(schema, { data = expanded }, place))
    assert.same({ tls = { a = { b = 1 } } },
      options.check(schema, { tls = expanded }, place))
  end)

  it("reads maps with fields of their own", function()
    local schema = {
      tls = { type = "map", fields = {
        cert = { type = "string", required = true },
        verify = { type = "boolean", default = true },
      } },
      retry = { type = "map", default = {}, fields = {
        first = { type = "duration", default = "100ms" },
      } },
    }
    assert.same({ retry = { first = 0.1 } }, options.check(schema, {}))
    assert.same({ tls = { cert = "x", verify = true }, retry = { first = 0.1 } },
      options.check(schema, { tls = { cert = "x" } }))
    local values = { tls = { certt = "x" } }
    local _, problems = options.check(schema, values, {
      path = "web",
      origin = function(container, key)
        return container == values and "a.yaml:1:1" or key == "certt" and "a.yaml:2:3"
      end,
    })
    assert.same({
      "a.yaml:1:1: web.tls.cert: is required, but missing",
      'a.yaml:2:3: web.tls.certt: unknown option (did you mean "cert"?)',
    }, problems)
  end)

  it("never shows a secret", function()
    local schema = {
      password = { type = "string", min = 8, secret = true },
      key = { type = "address", secret = true },
      inner = { type = "map", secret = true, fields = { pin = { type = "integer" } } },
      list = { type = "list", of = { type = "integer", secret = true } },
    }
    local _, problems = options.check(schema, {
      password = "hidden", key = "hidden", inner = { pin = "hidden" },
      list = { "hidden" },
    })
    assert.same({
      "inner.pin: must be an integer",
      "key: must be an address",
      "list[1]: must be an integer",
      "password: must be a string of at least 8 characters",
    }, problems)
  end)

  it("asks a function of the option about what is well-typed", function()
    local function even(value)
      if value % 2 == 0 then return true end
      return nil, "must be even, not " .. value
    end
    local spec = { type = "integer", check = even }
    assert.equal(2, read(spec, "2"))
    assert.same({ nil, "must be even, not 3" }, { read(spec, 3) })
    assert.same({ nil, "must be an integer, not \"x\"" }, { read(spec, "x") })
    assert.same({ nil, "is not valid" },
      { read({ type = "integer", check = even, secret = true }, 3) })
    local list = { type = "list", of = spec,
      check = function(items) return #items < 2, "has too many items" end }
    assert.same({ 2 }, read(list, { "2" }))
    assert.same({ nil, "has too many items" }, { read(list, { 2, 2 }) })
  end)

  it("tells where what is around was written, if no more is known", function()
    local values = { l = { { a = "x" } } }
    local spec = { type = "list", of = { type = "map",
      fields = { a = { type = "integer" }, b = { type = "any", required = true } } } }
    local function origin(container, key)
      return container == values and key == "l" and "app.yaml:1:2" or nil
    end
    local _, problems = options.check({ l = spec }, values, { origin = origin })
    assert.same({
      "app.yaml:1:2: l[1].a: must be an integer, not \"x\"",
      "app.yaml:1:2: l[1].b: is required, but missing",
    }, problems)
  end)

  it("shares no table with its input or the schema", function()
    local schema = { a = { type = "any", default = { b = {} } }, l = { type = "list" } }
    local values = { l = { { 1 } } }
    local one, two = options.check(schema, values), options.check(schema, values)
    assert.not_equal(one.a, two.a)
    assert.not_equal(one.a.b, two.a.b)
    assert.not_equal(one.a, schema.a.default)
    assert.not_equal(one.l[1], values.l[1])
  end)

  it("copies tables inside themselves, and passes objects on", function()
    local loop = {}
    loop.loop = loop
    local copy = read({ type = "any" }, loop)
    assert.not_equal(loop, copy)
    assert.equal(copy, copy.loop)
    local object = setmetatable({}, { __name = "object" })
    assert.equal(object, read({ type = "any" }, object))
  end)

  it("is done at once with long texts", function()
    local texts <const> = { ("9."):rep(1e6), ("9"):rep(1e6), "x:" .. ("/"):rep(1e6),
      "http://" .. ("a"):rep(1e6) .. "@", ("a:"):rep(1e6) .. "@" }
    for _, kind in ipairs { "integer", "number", "boolean", "duration", "size", "address",
      "url" } do
      for _, text in ipairs(texts) do
        local value, problem = read({ type = kind }, text)
        assert.is_nil(value)
        assert.is_true(#problem < 300)
      end
    end
    assert.equal("********", options.mask({ u = { type = "url" } }, { u = texts[3] }).u)
    local _, problems = options.check({ x = { type = "any" } }, { [("x"):rep(1e6)] = 1 })
    assert.match("unknown option %(known are: x%)$", problems[1])
  end)

  it("shortens and escapes what it shows", function()
    assert.same({ nil, "must be an integer, not a function" },
      { read({ type = "integer" }, print) })
    local _, problem = read({ type = "integer" }, ("x"):rep(1000))
    assert.is_true(#problem < 100)
    _, problem = read({ type = "integer" }, "a\n\27")
    assert.equal('must be an integer, not "a\\10\\27"', problem)
    _, problem = read({ type = "integer" }, ("ä"):rep(100))
    assert.truthy(utf8.len(problem))
  end)
end)

describe("a schema", function()
  local function assert_raises(schema, text)
    local ok, problem = pcall(options.check, schema, {})
    assert.is_false(ok)
    assert.equal(text, problem)
  end

  it("that makes no sense raises, naming the option", function()
    assert_raises({ a = {} }, "option 'a': it has no type")
    assert_raises({ a = "string" },
      "option 'a': a table { type = ... } expected, got string")
    assert_raises({ a = { type = "int" } }, "option 'a': unknown type 'int' (known are: "
      .. "string, integer, number, boolean, duration, size, address, url, enum, list, "
      .. "map, any)")
    assert_raises({ a = { type = "sring" } },
      "option 'a': unknown type 'sring' (did you mean \"string\"?)")
    assert_raises({ a = { type = "enum" } },
      "option 'a': type enum needs 'values', a list of what is allowed")
    assert_raises({ a = { type = "integer", defualt = 1 } },
      "option 'a': unknown attribute 'defualt' (did you mean \"default\"?)")
    assert_raises({ a = { type = "integer", default = "x" } },
      "option 'a': bad default: must be an integer, not \"x\"")
    assert_raises({ a = { type = "integer", min = "x" } },
      "option 'a': 'min' must be a number")
    assert_raises({ a = { type = "integer", min = 2, max = 1 } },
      "option 'a': 'min' is greater than 'max'")
    assert_raises({ a = { type = "boolean", min = 2 } },
      "option 'a': type boolean has no 'min'")
    assert_raises({ a = { type = "string", required = true, default = "x" } },
      "option 'a': what is required needs no default")
    assert_raises({ a = { type = "string", required = "yes" } },
      "option 'a': 'required' must be a boolean, not a string")
    assert_raises({ a = { type = "list", of = { type = "x" } } },
      "option 'a.*': unknown type 'x' (known are: "
        .. "string, integer, number, boolean, duration, size, address, url, enum, list, "
        .. "map, any)")
    local inner = { b = { type = "list", values = {} } }
    assert_raises({ a = { type = "map", fields = inner } },
      "option 'a.b': type list has no 'values'")
    assert_raises({ { type = "string" } },
      "the name of an option must be a string, not 1")
    assert_raises("x", "options must be a table of options by name, not a string")
    local loop = { type = "map" }
    loop.fields = { loop = loop }
    assert_raises({ a = loop }, "option 'a.loop': it contains itself")
    loop = { type = "list" }
    loop.of = loop
    assert_raises({ a = loop }, "option 'a.*': it contains itself")
  end)
end)

describe("options.describe", function()
  it("lists options in order, those in maps too", function()
    assert.same({
      { name = "hosts", type = "list of string", required = true, secret = false,
        range = "of at least 1 item" },
      { name = "password", type = "string", default = "********", required = false,
        secret = true },
      { name = "tls", type = "map", required = false, secret = false },
      { name = "tls.port", type = "integer", default = 80, required = false,
        secret = false, range = "from 1 to 65535", doc = "the port" },
    }, options.describe {
      tls = { type = "map", fields = {
        port = { type = "integer", default = 80, min = 1, max = 65535, doc = "the port" },
      } },
      hosts = { type = "list", of = { type = "string" }, min = 1, required = true },
      password = { type = "string", secret = true, default = "changeme" },
    })
    assert.same({}, options.describe(nil))
  end)
end)

describe("options.help", function()
  it("aligns columns and wraps what is long", function()
    assert.equal([[
  web.address  address   127.0.0.1:64100  where to listen
  web.idle     duration  1m               how long a connection may be silent
                                          before it is closed (at least 1)
  web.mode     enum      "true"           true or off
  web.name     string    required
]], options.help({
      address = { type = "address", default = "127.0.0.1:64100",
        doc = "where to listen" },
      idle = { type = "duration", default = "1m", min = 1,
        doc = "how long a connection may be silent before it is closed" },
      mode = { type = "enum", values = { "true", "off" }, default = "true" },
      name = { type = "string", required = true },
    }, "web"))
    assert.equal("", options.help({}))
  end)

  it("puts the text below when there is no room beside", function()
    local text = options.help({
      an_option_with_quite_a_long_name = { type = "map", of = { type = "integer" },
        default = { a = 1, b = 2 }, doc = ("word "):rep(40) },
    })
    for line in text:gmatch("[^\n]+") do assert.is_true(#line <= 80) end
    assert.match('^  an_option_with_quite_a_long_name  map of integer  {"a":1,"b":2}\n'
      .. "      word word", text)
  end)
end)

describe("options.mask", function()
  it("hides secrets wherever they are, and passwords in URLs", function()
    local schema = {
      password = { type = "string", secret = true },
      db = { type = "map", fields = { key = { type = "string", secret = true } } },
      keys = { type = "list", of = { type = "string", secret = true } },
      by_name = { type = "map", of = { type = "map",
        fields = { pin = { type = "integer", secret = true } } } },
      url = { type = "url" },
    }
    local values = {
      password = "a", db = { key = "b", other = 1 }, keys = { "c", "d" },
      by_name = { x = { pin = 1 } }, url = "pg://u:p@h/x?a=@", type = "web",
    }
    assert.same({
      password = "********", db = { key = "********", other = 1 },
      keys = { "********", "********" }, by_name = { x = { pin = "********" } },
      url = "pg://u:********@h/x?a=@", type = "web",
    }, options.mask(schema, values))
    assert.equal("a", values.password)
    assert.same({ a = 1 }, options.mask(nil, { a = 1 }))
  end)
end)
