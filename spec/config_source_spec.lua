local config <const> = require "ahost.config"
local configuration <const> = require "spec.configuration"
local json <const> = require "ahost.json"

-- What loading one file says is wrong.
local function problems(name, text, opts)
  local at <close> = configuration.new { [name] = text }
  return at:problems(name, opts)
end

local function loaded(name, text, opts)
  local at <close> = configuration.new { [name] = text }
  return assert(at:load(name, opts))
end

describe("a configuration file", function()
  it("may be empty, or hold nothing but comments", function()
    assert.same({}, loaded("a.yaml", ""))
    assert.same({}, loaded("a.yaml", "# nothing\n"))
    assert.same({}, loaded("a.yml", "---\n"))
    assert.same({}, loaded("a.lua", "return {}"))
  end)

  it("is a map", function()
    assert.same({ "a.yaml: the document must be a map, not a list" },
      problems("a.yaml", "- a\n"))
    assert.same({ "a.yaml: the document must be a map, not a text" },
      problems("a.yaml", "a\n"))
    assert.same({ "a.yaml: the document must be a map, not a tag" },
      problems("a.yaml", "!env A\n"))
    assert.same({ "a.lua: must return a map, not a list" },
      problems("a.lua", "return {1}"))
    assert.same({ "a.lua: must return a map, not an integer" },
      problems("a.lua", "return 5"))
    assert.same({ "a.lua: returns nothing; a configuration file returns a table" },
      problems("a.lua", "local a = 1"))
  end)

  it("has to exist, and to be a file", function()
    local at <close> = configuration.new { ["d.yaml/x"] = "" }
    assert.same({ "a.yaml cannot be read: No such file or directory",
      "d.yaml cannot be read: Is a directory" }, at:problems "a.yaml d.yaml")
  end)

  it("has a name that tells what it is", function()
    for _, name in ipairs { "a.conf", "a", "yaml" } do
      assert.same({ name .. " is no configuration file: its name ends neither in "
        .. ".yaml or .yml nor in .lua" }, problems(name, "a: 1"))
    end
  end)

  it("is no device and no monster", function()
    local at <close> = configuration.new()
    os.execute("ln -s /dev/zero " .. at:path "a.yaml")
    assert.same({ "a.yaml cannot be read: it is larger than 16 MiB" },
      at:problems "a.yaml")
  end)

  it("is no binary", function()
    local junk <const> = "\27Lua\0\1\2\255\254"
    assert.equal(1, #problems("a.yaml", junk))
    assert.matches("^a%.yaml:%d+:%d+: ", problems("a.yaml", junk)[1])
    assert.equal(1, #problems("a.lua", junk))
    assert.matches("binary chunk", problems("a.lua", junk)[1])
    local chunk <const> = string.dump(load("return {}"))
    assert.matches("binary chunk", problems("a.lua", chunk)[1])
  end)

  it("has a name without zero bytes", function()
    local _, err <const> = config.load("a\0.yaml", { env = {} })
    assert.equal("a\0.yaml cannot be read: a path cannot hold a zero byte", err.message)
  end)
end)

describe("a YAML configuration file", function()
  it("tells where its syntax is wrong", function()
    assert.matches("^a%.yaml:2:%d+: ", problems("a.yaml", "a: 1\nb: [1, }\n")[1])
  end)

  it("has keys that are texts", function()
    assert.same({ ["8080"] = "x" }, loaded("a.yaml", "8080: x"))
    assert.same({ "a.yaml:1:5: a: the key 5 is an integer; keys are texts" },
      problems("a.yaml", "a: {!!int 5: x}"))
    assert.same({ "a.yaml:1:1: the key 1 is an integer; keys are texts" },
      problems("a.yaml", "!!int 1: x"))
    assert.same({ "a.yaml:1:5: a: the key 1 is an integer; keys are texts",
      "a.yaml:1:17: a.b: environment variable X is not set, and there is no default "
        .. "(!env X:default)" }, problems("a.yaml", "a: {!!int 1: x, b: !env X}"))
  end)

  it("tells empty lists from empty maps", function()
    local t <const> = loaded("a.yaml", "l: []\nm: {}\nn:\n")
    assert.equal('{"l":[],"m":{},"n":null}', json.encode(t, { sort_keys = true }))
  end)
end)

describe("!env", function()
  local env <const> = { NAME = "x", EMPTY = "", MONEY = "$${a} ${b}", NUMBER = "5" }

  it("stands for a variable, wherever a value may stand", function()
    assert.same({ a = "x", l = { "x", { b = "5" } } },
      loaded("a.yaml", "a: !env NAME\nl: [!env NAME, {b: !env NUMBER}]", { env = env }))
  end)

  it("has a default, which may be empty", function()
    assert.same({ a = "x", b = "y:z", c = "", d = "" }, loaded("a.yaml",
      'a: !env NAME:y\nb: !env NO:y:z\nc: !env "NO:"\nd: !env EMPTY:y', { env = env }))
  end)

  it("gives texts in which references are nothing", function()
    assert.same({ a = "$${a} ${b}" }, loaded("a.yaml", "a: !env MONEY", { env = env }))
  end)

  it("takes references in its default", function()
    assert.same({ a = "http://h", h = "h" },
      loaded("a.yaml", "a: !env NO:http://${h}\nh: h", { env = env }))
  end)

  it("fails when the variable is not set", function()
    assert.same({
      "a.yaml:2:3: c.password: environment variable DB_PASSWORD is not set, and there is "
        .. "no default (!env DB_PASSWORD:default)",
    }, problems("a.yaml", "c:\n  password: !env DB_PASSWORD\n"))
  end)

  it("fails where it names no variable", function()
    assert.same({ 'a.yaml:1:1: a: "A B" is no name of an environment variable' },
      problems("a.yaml", "a: !env A B"))
    assert.same({ "a.yaml:1:1: a: !env takes the name of a variable" },
      problems("a.yaml", "a: !env [x]"))
    assert.same({ "a.yaml:1:1: a: !env takes the name of a variable" },
      problems("a.yaml", "a: !env"))
  end)

  it("names its place behind dotted keys and in lists", function()
    assert.matches("^a%.yaml:1:7: a%.b%.c: ", problems("a.yaml", "a.b: {c: !env X}")[1])
    assert.matches("^a%.yaml:1:5: l%.1: ", problems("a.yaml", "l: [!env X]")[1])
  end)
end)

describe("!file", function()
  it("stands for a file's contents without the last line end", function()
    local at <close> = configuration.new {
      ["etc/a.yaml"] = "a: !file secrets/one\nb: !file ../two\nc: !file three\n",
      ["etc/secrets/one"] = "s3cret ${x}\n",
      ["two"] = "line\n\n",
      ["etc/three"] = "dos\r\n",
    }
    assert.same({ a = "s3cret ${x}", b = "line\n", c = "dos" }, at:load "etc/a.yaml")
  end)

  it("is relative to the file that says it", function()
    local at <close> = configuration.new {
      ["a.yaml"] = "include: etc/b.yaml\n",
      ["etc/b.yaml"] = "k: !file key\n",
      ["etc/key"] = "K",
    }
    assert.same({ k = "K" }, at:load "a.yaml")
    at:write("abs.yaml", "k: !file " .. at:path "etc/key")
    assert.same({ k = "K" }, at:load "abs.yaml")
  end)

  it("fails when the file cannot be read", function()
    assert.same({ "a.yaml:1:5: c.k: no/key cannot be read: No such file or directory" },
      problems("a.yaml", "c: {k: !file no/key}"))
    assert.same({ "a.yaml:1:1: k: !file takes a path" },
      problems("a.yaml", "k: !file {a: b}"))
  end)
end)

describe("a Lua configuration file", function()
  it("has the pure part of the standard library", function()
    assert.same({ a = "AB", b = { 1, 2, 3 }, n = json.null }, loaded("a.lua", [[
      local list = {}
      for i = 1, 3 do table.insert(list, i) end
      return { a = ("ab"):upper(), b = list, n = null }
    ]]))
  end)

  it("has nothing else, and changes nothing for others", function()
    for _, name in ipairs { "os", "io", "require", "load", "print", "debug", "_G" } do
      assert.same({ ("a.lua:1: there is no %s in a configuration file"):format(name) },
        problems("a.lua", "return { a = " .. name .. " }"))
    end
    loaded("a.lua", "string.upper = nil; extra = 1; return {}")
    assert.equal("A", ("a"):upper())
    assert.is_nil(rawget(_G, "extra"))
  end)

  it("has env and file, in whose texts references are nothing", function()
    local at <close> = configuration.new {
      ["etc/a.lua"] = "return { a = env 'A', b = env('B', 2), c = file 'c'," ..
        " d = env('D', '') }",
      ["etc/c"] = "${c}\n",
    }
    assert.same({ a = "${a}", b = 2, c = "${c}", d = "" },
      at:load("etc/a.lua", { env = { A = "${a}" } }))
  end)

  it("tells file and line of what it raises", function()
    assert.same({ "a.lua:2: environment variable X is not set" },
      problems("a.lua", "\nreturn { env 'X' }"))
    assert.same({ "a.lua:1: no cannot be read: No such file or directory" },
      problems("a.lua", "return { file 'no' }"))
    assert.same({ "a.lua:1: bad" }, problems("a.lua", "error 'bad'"))
    assert.same({ "a.lua: raised a map" }, problems("a.lua", "error {}"))
    assert.same({ "a.lua:1: env: the name of a variable expected" },
      problems("a.lua", "return { a = env(5) }"))
    assert.same({ "a.lua:1: unexpected symbol near '}'" }, problems("a.lua", "return }"))
  end)

  it("is plain data", function()
    assert.same({
      "a.lua: a.b: is a function; a configuration is made of texts, numbers, booleans, "
        .. "null, lists and maps",
    }, problems("a.lua", "return { a = { b = string.rep } }"))
    assert.same({ "a.lua: a.2: is a table that contains itself" },
      problems("a.lua", "local t = { 1 } t[2] = t return { a = t }"))
    assert.same({ "a.lua: t: is a table that contains itself" },
      problems("a.lua", "local t = {} t.t = t return t"))
    assert.same({ "a.lua: a: has both texts and integers as keys" },
      problems("a.lua", "return { a = { 1, b = 2 } }"))
    assert.same({ "a.lua: a: is a list with holes; null can stand in a list" },
      problems("a.lua", "return { a = { 1, nil, 3 } }"))
    assert.same({ "a.lua: a: has the key 1.5; keys are texts, or 1 to n in a list" },
      problems("a.lua", "return { a = { [1.5] = 1 } }"))
    assert.same({ "a.lua: has the key true; keys are texts" },
      problems("a.lua", "return { [true] = 1 }"))
  end)

  it("may use one table twice, which becomes two", function()
    local t <const> = loaded("a.lua", "local t = { x = 1 } return { a = t, b = { t } }")
    assert.same({ a = { x = 1 }, b = { { x = 1 } } }, t)
    assert.are_not.equal(t.a, t.b[1])
  end)

  it("is neither too deep nor too large", function()
    assert.matches("^a%.lua: a%.a[.a]+: is nested more than 200 levels deep$",
      problems("a.lua", "local t = {} for _ = 1, 1e5 do t = { a = t } end return t")[1])
    assert.same({ "a.lua: has more than 1000000 values" }, problems("a.lua",
      "local t = {} for _ = 1, 40 do t = { t, t } end return { a = t }"))
  end)
end)

describe("dotted keys", function()
  it("are the nested form, at any level and wherever it is missing", function()
    assert.same({ a = { b = { c = 1, d = { e = 2 } }, f = { { g = { h = 3 } } } } },
      loaded("a.yaml", "a.b.c: 1\na:\n  b.d: {e: 2}\n  f: [{g.h: 3}]\n"))
    assert.same({ a = { b = { c = 1 } } },
      loaded("a.lua", "return { ['a.b'] = { c = 1 } }"))
  end)

  it("join maps that a file writes in several places", function()
    assert.same({ a = { b = 1, c = 2, d = { e = 3, f = 4 } } },
      loaded("a.yaml", "a: {b: 1}\na.c: 2\na.d: {e: 3}\na.d.f: 4\n"))
  end)

  it("keep dots that have a backslash", function()
    assert.same({ a = { ["b.c"] = 1 }, ["x.y"] = 2 },
      loaded("a.yaml", "a.b\\.c: 1\nx\\.y: 2\n"))
  end)

  it("are data in listen and under logging.loggers", function()
    local text <const> = "listen: {app.init: m:f}\nlogging:\n  loggers: {a.b: {x.y: 1}}\n"
    assert.same({ listen = { ["app.init"] = "m:f" },
      logging = { loggers = { ["a.b"] = { ["x.y"] = 1 } } } }, loaded("a.yaml", text))
    assert.same({ logging = { loggers = { ["a.b"] = { level = 1 } }, x = { y = 2 } } },
      loaded("a.yaml", "logging.loggers: {a.b: {level: 1}}\nlogging: {x.y: 2}\n"))
    assert.same({ logging = { loggers = { ["a.b"] = { level = 1 } } } },
      loaded("a.yaml", "logging.loggers.a\\.b.level: 1\n"))
    assert.same({ component = { listen = { app = { init = 1 } } } },
      loaded("a.yaml", "component: {listen: {app.init: 1}}\n"))
  end)

  it("cannot say two things in one file", function()
    assert.same({ "a.yaml:2:1: a.b: cannot be set: a is an integer (a.yaml:1:1), "
      .. "not a map" },
      problems("a.yaml", "a: 5\na.b: 2\n"))
    assert.same({ "a.yaml:1:1: a.b: is given twice, here and at a.yaml:2:5" },
      problems("a.yaml", "a.b: 2\na: {b: 3}\n"))
    assert.same({ "a.yaml:2:9: c.a.b.x: is given twice, here and at a.yaml:3:11" },
      problems("a.yaml", "c:\n  a.b: {x: 1}\n  a: {b: {x: 2}}\n"))
    assert.same({ "a.lua: a.b: is given twice, here and at a.lua" },
      problems("a.lua", "return { ['a.b'] = 1, a = { b = 2 } }"))
  end)

  it("of later layers win", function()
    local at <close> = configuration.new {
      ["a.yaml"] = "a: 5\nb.c: 1\n",
      ["b.yaml"] = "a.b: 2\nb: 7\n",
    }
    assert.same({ a = { b = 2 }, b = 7 }, at:load "a.yaml b.yaml")
    assert.same({ a = 5, b = { c = 1 } }, at:load "b.yaml a.yaml")
  end)

  it("are no way to go too deep", function()
    assert.same({ "a.lua: " .. ("a."):rep(20)
      .. "...: is nested more than 200 levels deep" },
      problems("a.lua", "return { [('a.'):rep(1e5)] = 1 }"))
    local half <const> = ("a."):rep(149) .. "b"
    assert.matches("is nested more than 200 levels deep$",
      problems("a.yaml", ("%s:\n  %s: 1\n"):format(half, half))[1])
    assert.truthy(loaded("a.yaml", ("a."):rep(199) .. "b: 1\n"))
  end)
end)

describe("include", function()
  it("overrides the including file, later files win", function()
    local at <close> = configuration.new {
      ["a.yaml"] = "include: [b.yaml, c.lua]\nx: a\ny: a\nz: a\nw: a\n",
      ["b.yaml"] = "x: b\ny: b\ninclude: d.yaml\nz: b\n",
      ["c.lua"] = "return { x = 'c' }",
      ["d.yaml"] = "z: d\n",
    }
    assert.same({ x = "c", y = "b", z = "d", w = "a" }, at:load "a.yaml")
  end)

  it("takes globs, in the order of names", function()
    local at <close> = configuration.new {
      ["etc [1]/a.yaml"] = "include: conf.d/*.yaml\n",
      ["etc [1]/conf.d/10.yaml"] = "x: 10\ny: 10\n",
      ["etc [1]/conf.d/20.yaml"] = "x: 20\n",
      ["etc [1]/conf.d/.hidden.yaml"] = "x: hidden\n",
      ["etc [1]/conf.d/readme"] = "x",
    }
    assert.same({ x = 20, y = 10 },
      config.load(at:path "etc [1]/a.yaml", { env = {} }))
  end)

  it("may match nothing, but what is named has to exist", function()
    local at <close> = configuration.new {
      ["a.yaml"] = "x: 1\ninclude: [no/*.yaml, '*.yml']\n",
      ["b.yaml"] = "x: 1\ninclude: no.yaml\n",
    }
    assert.same({ x = 1 }, at:load "a.yaml")
    assert.same({ "b.yaml:2:1: include: no.yaml cannot be read: No such file "
      .. "or directory" },
      at:problems "b.yaml")
  end)

  it("may name a file twice", function()
    local at <close> = configuration.new {
      ["a.yaml"] = "include: [b.yaml, c.yaml, b.yaml]\n",
      ["b.yaml"] = "x: b\n",
      ["c.yaml"] = "x: c\ninclude: ./b.yaml\n",
    }
    assert.same({ x = "b" }, at:load "a.yaml")
  end)

  it("cannot go round in circles", function()
    local at <close> = configuration.new {
      ["a.yaml"] = "include: sub/b.yaml\n",
      ["sub/b.yaml"] = "include: [../a.yaml]\n",
      ["c.yaml"] = "include: '*.yaml'\n",
    }
    assert.same({ "sub/b.yaml:1:11: include.1: files include each other: "
      .. "a.yaml -> sub/b.yaml -> sub/../a.yaml" }, at:problems "a.yaml")
    os.execute("ln -s a.yaml " .. at:path "link.yaml")
    at:write("a.yaml", "include: link.yaml\n")
    assert.same({ "a.yaml:1:1: include: files include each other: a.yaml -> link.yaml" },
      at:problems "a.yaml")
  end)

  it("cannot multiply without end", function()
    local at <close> = configuration.new()
    for i = 1, 30 do
      at:write(i .. ".yaml", ("include: [%d.yaml, %d.yaml]\n"):format(i + 1, i + 1))
    end
    at:write("31.yaml", "x: 1")
    assert.same({ "29.yaml:1:11: include.1: more than 1000 files are included" },
      at:problems("1.yaml"))
  end)

  it("is a path or a list of paths", function()
    assert.same({ "a.yaml:1:1: include: must be a path or a list of paths, not a map" },
      problems("a.yaml", "include: {a: b}"))
    assert.same({ "a.yaml:1:11: include.1: must be a path, not an integer" },
      problems("a.yaml", "include: [5]"))
    assert.same({ x = 1 }, loaded("a.yaml", "include:\nx: 1\n"))
    assert.same({ x = 1 }, loaded("a.yaml", "include: []\nx: 1\n"))
  end)

  it("tells of directories that cannot be read", function()
    local at <close> = configuration.new { ["a.yaml"] = "include: loop/*.yaml\n" }
    os.execute("ln -s loop " .. at:path "loop")
    assert.same({ "a.yaml:1:1: include: loop/*.yaml: too many symbolic links "
      .. "encountered" },
      at:problems "a.yaml")
  end)
end)
