local config <const> = require "ahost.config"
local configuration <const> = require "spec.configuration"
local context <const> = require "ahost.context"
local json <const> = require "ahost.json"
local subprocess <const> = require "spec.subprocess"

describe("config.load", function()
  it("merges files left to right", function()
    local at <close> = configuration.new {
      ["a.yaml"] = "component:\n  type: web\n  port: 80\n  hosts: [a, b]\n",
      ["b.lua"] = "return { component = { port = 81, hosts = { 'c' } }," ..
        " max_threads = 3 }",
    }
    assert.same({ component = { type = "web", port = 81, hosts = { "c" } },
      max_threads = 3 },
      at:load("a.yaml b.lua"))
    assert.same({ component = { type = "web", port = 80, hosts = { "a", "b" } },
      max_threads = 3 }, at:load("b.lua a.yaml"))
  end)

  it("takes one path, and none", function()
    local at <close> = configuration.new { ["a.yaml"] = "tick_period: 2" }
    assert.same({ tick_period = 2 }, config.load(at:path "a.yaml", { env = {} }))
    assert.same({}, config.load(nil, { env = {} }))
    assert.same({ component = { port = 1 } },
      config.load({}, { env = {}, set = { "component.port=1" } }))
  end)

  it("raises on misuse", function()
    assert.has_error(function() config.load(5) end)
    assert.has_error(function() config.load({ 5 }) end,
      "config.load: files are paths, got a number")
    assert.has_error(function() config.load({}, { set = { 5 } }) end,
      "config.load: set is a list of strings, got a number")
    assert.has_error(function() config.load({}, { service = 5 }) end,
      "config.load: service is a string, got a number")
    assert.has_error(function() config.load({}, { defaults = "x" }) end,
      "config.load: defaults is a table, got a string")
    assert.has_error(function() config.split(5) end, "a path is a string, got a number")
  end)

  it("has defaults as the lowest layer", function()
    local at <close> = configuration.new { ["a.yaml"] = "a.b: 2\nurl: http://${host}" }
    local defaults <const> = { ["a.b"] = 1, ["a.c"] = 3, host = "localhost" }
    local loaded <const> = at:load("a.yaml", { defaults = defaults })
    assert.same({ a = { b = 2, c = 3 }, host = "localhost", url = "http://localhost" },
      loaded)
    assert.equal("defaults", config.origin(loaded.a, "c"))
    assert.same({ ["a.b"] = 1, ["a.c"] = 3, host = "localhost" }, defaults)
  end)

  it("tells all that is wrong at once", function()
    local at <close> = configuration.new {
      ["a.yaml"] = "a: !env MISSING\nb: ${nowhere}\n",
      ["b.lua"] = "return { f = string.rep }",
    }
    assert.same({
      "a.yaml:1:1: a: environment variable MISSING is not set, and there is no default "
        .. "(!env MISSING:default)",
      "b.lua: f: is a function; a configuration is made of texts, numbers, booleans, "
        .. "null, lists and maps",
      "c.yaml cannot be read: No such file or directory",
      'Cannot apply --set x: there is no "="; write --set KEY=VALUE',
      "a.yaml:2:1: b: ${nowhere} names nothing in the configuration; $${ is a literal ${",
    }, at:problems("a.yaml b.lua c.yaml", { set = { "x" } }))
  end)

  it("tells it in the order of places", function()
    local lines <const>, places <const> = {}, {}
    for i = 1, 20 do
      lines[i] = ("%s: [%s, '${x}']"):format(string.char(96 + i),
        i % 2 == 0 and "!env X" or 1)
    end
    local at <close> = configuration.new { ["a.yaml"] = table.concat(lines, "\n") }
    for i, message in ipairs(at:problems "a.yaml") do
      places[i] = tonumber(message:match "^a.yaml:(%d+):")
    end
    assert.same({ 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
      12, 13, 14, 15, 16, 17, 18, 19, 20 }, places)
  end)

  it("says no more than a hundred things", function()
    local lines <const> = {}
    for i = 1, 150 do
      lines[i] = ("k%03d: ${nowhere}"):format(i)
    end
    local at <close> = configuration.new { ["a.yaml"] = table.concat(lines, "\n") }
    local _, err <const> = at:load("a.yaml")
    assert.equal(100, #err.errors)
    assert.matches("\nand 50 more$", err.message)
  end)
end)

describe("--set", function()
  local function set(base, ...)
    local list <const> = { ... }
    return config.load({}, { env = {}, defaults = base, set = list })
  end

  local function refused(base, ...)
    local loaded, err = set(base, ...)
    assert.is_nil(loaded)
    return err.message
  end

  it("replaces values, of any kind that YAML has", function()
    assert.same({ a = { b = 5, c = { 1, "x" }, d = { e = true } }, n = json.null },
      set({ a = { b = 1, d = { old = 1 } } }, "a.b=5", "a.c=[1, x]",
        "a.d={e: true}", "n="))
  end)

  it("makes the maps that are missing, also where null is", function()
    assert.same({ a = { b = { c = "x=y" } }, z = { y = 1 } },
      set({ z = json.null }, "a.b.c=x=y", "z.y=1"))
  end)

  it("takes \\. for a dot of a key", function()
    assert.same({ logging = { loggers = { ["a.b"] = { level = "debug" } } } },
      set({}, "logging.loggers.a\\.b.level=debug"))
  end)

  it("expands dotted keys in its value, and replaces tags and references", function()
    local loaded <const> = config.load({}, { env = { HOME = "/root" },
      set = { "a={b.c: !env HOME, d: '${x}'}", "x=7", "listen={a.b: f}" } })
    assert.same({ a = { b = { c = "/root" }, d = 7 }, x = 7, listen = { ["a.b"] = "f" } },
      loaded)
  end)

  it("is the last word, also about what a service says", function()
    local base <const> = { a = 1, services = { web = { a = 2, b = 2 } } }
    assert.same({ a = 3, b = 2 }, set(base, "a=3"))
    assert.same({ a = 4, b = 2 }, set(base, "services.web.a=4"))
    assert.same({ a = 5, b = 2 }, set(base, "a=5", "services.web.a=4"))
  end)

  it("is the origin, without the value", function()
    local loaded <const> = set({ a = { c = 1 } }, "a.password=secret", "l=[x, {y: 1}]")
    assert.equal("--set a.password", config.origin(loaded.a, "password"))
    assert.equal("defaults", config.origin(loaded.a, "c"))
    assert.equal("--set l", config.origin(loaded, "l"))
    assert.equal("--set l", config.origin(loaded.l, 1))
    assert.equal("--set l", config.origin(loaded.l[2], "y"))
  end)

  it("needs a key and a value", function()
    assert.equal('Cannot apply --set foobar: there is no "="; write --set KEY=VALUE',
      refused({}, "foobar"))
    assert.equal('Cannot apply --set =1: there is no key before the "="',
      refused({}, "=1"))
  end)

  it("does not go through what is no map", function()
    local at <close> = configuration.new {
      ["app.yaml"] = "component:\n  name: x\n  list: [1]\n",
    }
    assert.same({
      "Cannot apply --set component.list.foo: component.list (app.yaml:3:3) is a list, "
        .. "not a map",
      "Cannot apply --set component.name.a.b: component.name (app.yaml:2:3) is a text, "
        .. "not a map",
    }, at:problems("app.yaml",
      { set = { "component.list.foo=1", "component.name.a.b=1" } }))
  end)

  it("tells what is wrong with its value", function()
    assert.matches("^%-%-set a:%d+:%d+: ", refused({}, "a=[1"))
    assert.equal("--set a.b: a.b: environment variable X is not set, and there is no "
      .. "default (!env X:default)", refused({}, "a.b=!env X"))
    assert.equal("--set a: a: ${b} names nothing in the configuration; "
      .. "$${ is a literal ${",
      refused({}, "a=${b}"))
  end)

  it("has no more than 200 keys", function()
    assert.matches("^Cannot apply %-%-set a%.a%.[a.]+%.%.%.: more than 200 keys$",
      refused({}, ("a."):rep(100000) .. "a=1"))
    assert.truthy(set({}, ("a."):rep(199) .. "a=1"))
  end)
end)

describe("services", function()
  local services <const> = [[
component: {type: app, port: 80}
max_threads: 15
services:
  api: {component.port: 8080, max_threads: 30}
  worker:
    component: {type: worker}
    logging: {loggers: {a.b: {level: debug}}}
    listen: {app.init: m:f}
]]

  local function chosen(text, opts)
    local at <close> = configuration.new { ["a.yaml"] = text }
    return at:load("a.yaml", opts)
  end

  local function refused(text, opts)
    local at <close> = configuration.new { ["a.yaml"] = text }
    return at:problems("a.yaml", opts)
  end

  it("are merged over the top level, and out of the result", function()
    assert.same({ component = { type = "app", port = 8080 }, max_threads = 30 },
      chosen(services, { service = "api" }))
  end)

  it("have keys that are data where the top level has them", function()
    assert.same({ component = { type = "worker", port = 80 }, max_threads = 15,
      logging = { loggers = { ["a.b"] = { level = "debug" } } },
      listen = { ["app.init"] = "m:f" } }, chosen(services, { service = "worker" }))
  end)

  it("are chosen by AHOST_SERVICE, which an option beats", function()
    local env <const> = { AHOST_SERVICE = "api" }
    assert.equal(30, chosen(services, { env = env }).max_threads)
    assert.equal(15, chosen(services, { env = env, service = "worker" }).max_threads)
  end)

  it("need no choice when there is one, or one called default", function()
    assert.same({ a = 1 }, chosen("services: {web: {a: 1}}"))
    assert.same({ a = 1 },
      chosen("services: {web: {a: 1}}", { env = { AHOST_SERVICE = "" } }))
    assert.same({ a = 2 }, chosen("services: {web: {a: 1}, default: {a: 2}}"))
    assert.same({ b = 1 }, chosen("b: 1\nservices: {web: null}"))
  end)

  it("are not needed: all else is the service default", function()
    assert.same({ component = { type = "x" } },
      chosen("component: {type: x}", { service = "default" }))
    assert.same({ component = { type = "x" } }, chosen("component: {type: x}\nservices:"))
    assert.same({ component = { type = "x" } },
      chosen("component: {type: x}\nservices: {}"))
  end)

  it("that do not exist are told with those that do", function()
    assert.same({ 'There is no service "web"; the configuration has: api, worker' },
      refused(services, { service = "web" }))
    assert.same({ 'There is no service "web" (AHOST_SERVICE); the configuration has: '
      .. "api, worker" }, refused(services, { env = { AHOST_SERVICE = "web" } }))
    assert.same({ 'There is no service "web"; the configuration has no services' },
      refused("component: {type: x}", { service = "web" }))
  end)

  it("have to be chosen when there are several", function()
    assert.same({ 'The configuration has several services, and none is called "default"; '
      .. "choose one by -s or AHOST_SERVICE: api, worker" }, refused(services))
  end)

  it("are a map of maps", function()
    assert.same({ "a.yaml:2:1: services: must be a map of services, not a list" },
      refused("a: 1\nservices: [a]"))
    assert.same({ "a.yaml:1:12: services.web: must be a map, not a text" },
      refused("services: {web: x}"))
  end)
end)

describe("config.origin", function()
  it("tells file, line and column, through all layers", function()
    local at <close> = configuration.new {
      ["a.yaml"] = "a:\n  b: 1\n  c: 2\n  l: [x, {y: 1}]\ninclude: inc.yaml\n",
      ["inc.yaml"] = "# included\na.d: 4\n",
      ["b.lua"] = "return { a = { c = 3, m = { n = 1 } }, e = 5 }",
    }
    local loaded <const> = at:load("a.yaml b.lua", { set = { "a.f=1" } })
    local found <const> = {}
    for path, value, place in config.origins(loaded) do
      found[#found + 1] = ("%s=%s %s"):format(path, value, at:relative(place))
    end
    assert.same({
      "a.b=1 a.yaml:2:3", "a.c=3 b.lua", "a.d=4 inc.yaml:2:1", "a.f=1 --set a.f",
      "a.l.1=x a.yaml:4:7", "a.l.2.y=1 a.yaml:4:11", "a.m.n=1 b.lua", "e=5 b.lua",
    }, found)
    assert.equal("b.lua", at:relative(config.origin(loaded, "a")))
  end)

  it("stays with values that are merged", function()
    local at <close> = configuration.new { ["a.yaml"] = "a: {b: {c: 1}}\nl: [1]" }
    local loaded <const> = at:load("a.yaml")
    local merged <const> = config.merge({ a = { x = 1 } }, loaded)
    assert.equal("a.yaml:1:9", at:relative(config.origin(merged.a.b, "c")))
    assert.equal("a.yaml:2:5", at:relative(config.origin(merged.l, 1)))
    assert.is_nil(config.origin(merged.a, "x"))
    local other <const> = config.merge(loaded, { a = { b = { d = 1 } } })
    assert.equal("a.yaml:1:9", at:relative(config.origin(other.a.b, "c")))
    assert.is_nil(config.origin(other.a.b, "d"))
  end)

  it("is nil for what it knows nothing about", function()
    assert.is_nil(config.origin({ a = 1 }, "a"))
  end)
end)

describe("config.origins", function()
  it("gives leaves in order, null and empty containers too", function()
    local found <const> = {}
    local t <const> = { b = json.null, a = { ["x.y"] = 1 }, e = {}, l = json.array(),
      m = { 10, 9, 8, 7, 6, 5, 4, 3, 2, 1 } }
    for path in config.origins(t) do
      found[#found + 1] = path
    end
    assert.same({ "a.x\\.y", "b", "e", "l", "m.1", "m.2", "m.3", "m.4", "m.5",
      "m.6", "m.7",
      "m.8", "m.9", "m.10" }, found)
  end)

  it("names empty keys so that lookup finds them", function()
    local t <const> = { [""] = { [""] = 1, y = 2 }, y = 3 }
    for path, value in config.origins(t) do
      assert.equal(value, (config.lookup(t, path)), path)
    end
  end)
end)

describe("config.literal", function()
  it("is a map with its dotted keys as they were written", function()
    local at <close> = configuration.new {
      ["a.yaml"] = "types:\n  .html: text/html\n" ..
        "  text.plain: {a.b: 1}\n  x\\.y: 2\n  z: 3\n",
      ["b.yaml"] = "types: {text.plain: {a.b: false, c: 2}, q.r: 1}",
    }
    local loaded <const> = at:load("a.yaml b.yaml", { set = { "types.u.v=1" } })
    assert.same({ [".html"] = "text/html", ["text.plain"] = { ["a.b"] = false, c = 2 },
      ["x.y"] = 2, z = 3, ["q.r"] = 1, ["u.v"] = 1 }, config.literal(loaded.types))
    assert.equal("text/html", loaded.types[""].html)
  end)

  it("knows what dotted keys from further up put into a map", function()
    local at <close> = configuration.new {
      ["a.yaml"] = "component.headers.X.Y: 1\ncomponent:\n  headers: {Z: 2}\n",
    }
    local literal <const> = config.literal(at:load("a.yaml").component.headers)
    assert.same({ ["X.Y"] = 1, Z = 2 }, literal)
    assert.equal("a.yaml:1:1", at:relative(config.origin(literal, "X.Y")))
    assert.equal("a.yaml:3:13", at:relative(config.origin(literal, "Z")))
  end)

  it("leaves plain tables as they are", function()
    assert.same({ ["a.b"] = 1, c = { 1, 2 } },
      config.literal { ["a.b"] = 1, c = { 1, 2 } })
  end)
end)

describe("paths", function()
  it("are split at dots that have no backslash", function()
    assert.same({ "a", "b", "c" }, config.split "a.b.c")
    assert.same({ "a.b", "c" }, config.split "a\\.b.c")
    assert.same({ "a\\", "b" }, config.split "a\\\\.b")
    assert.same({ "C:\\x" }, config.split "C:\\x")
    assert.same({ "", "a", "", "" }, config.split ".a..")
    assert.same({ "" }, config.split "")
  end)

  it("are joined so that splitting gives the same keys", function()
    assert.equal("a\\.b.c", config.join { "a.b", "c" })
    assert.equal("l.2.x", config.join { "l", 2, "x" })
    local pieces <const> = { "a", ".", "\\", "", "b" }
    for _ = 1, 1000 do
      local keys <const> = {}
      for i = 1, math.random(5) do
        keys[i] = pieces[math.random(5)] .. pieces[math.random(5)]
          .. pieces[math.random(5)]
      end
      assert.same(keys, config.split(config.join(keys)))
    end
  end)

  it("lead to values in maps and lists", function()
    local t <const> = { a = { b = false, ["c.d"] = 1, l = { "x", { y = 2 } } } }
    local value, container, key = config.lookup(t, "a.b")
    assert.same({ false, t.a, "b" }, { value, container, key })
    assert.equal(1, (config.lookup(t, "a.c\\.d")))
    assert.equal(2, (config.lookup(t, "a.l.2.y")))
    assert.equal(2, (config.lookup(t, { "a", "l", 2, "y" })))
    for _, path in ipairs { "x", "a.x", "a.b.c", "a.l.0", "a.l.3", "a.l.y",
      "a.l.1.x", "" } do
      assert.is_nil((config.lookup(t, path)), path)
    end
  end)
end)

describe("config.get", function()
  it("looks into the configuration of the context", function()
    context.scope(function(ctx)
      ctx:publish("config", { a = { b = 5, n = json.null, f = false } })
      assert.equal(5, config.get("a.b"))
      assert.equal(5, config.get("a.b", 6))
      assert.is_false(config.get("a.f", true))
      assert.equal(6, config.get("a.c", 6))
      assert.equal(6, config.get("a.n", 6))
      assert.is_nil(config.get("a.n"))
    end)
  end)

  it("gives the default where there is no application", function()
    context.scope(function()
      assert.equal(1, config.get("a.b", 1))
      assert.is_nil(config.get("a.b"))
    end)
  end)
end)

describe("config.defaults", function()
  it("adds what is not set, and never overrides", function()
    local at <close> = configuration.new {
      ["a.yaml"] = "a: {b: 1, n: null}\nl: [1]\ns: x\n",
    }
    local root <const> = at:load("a.yaml")
    context.scope(function(ctx)
      ctx:publish("config", root)
      config.defaults { ["a.b"] = 2, ["a.c"] = 3, a = { n = 4 }, l = { 5 }, s = { t = 1 },
        m = { x = {} } }
    end)
    assert.same({ a = { b = 1, c = 3, n = json.null }, l = { 1 }, s = "x",
      m = { x = {} } },
      root)
    assert.equal("a.yaml:1:5", at:relative(config.origin(root.a, "b")))
    assert.matches("^spec/config_spec.lua:%d+$", config.origin(root.a, "c"))
    assert.equal("a.yaml:1:1", at:relative(config.origin(root, "a")))
  end)

  it("adds dotted keys that config.literal knows", function()
    context.scope(function(ctx)
      local root <const> = { types = { a = 1 } }
      ctx:publish("config", root)
      config.defaults { types = { ["x.y"] = 2 } }
      config.defaults { ["types.u.v"] = 3, types = { a = 4 } }
      assert.same({ types = { a = 1, x = { y = 2 }, u = { v = 3 } } }, root)
      assert.same({ a = 1, ["x.y"] = 2, ["u.v"] = 3 }, config.literal(root.types))
    end)
  end)

  it("shares nothing with what it was given", function()
    local given <const> = { a = { b = { c = 1 } } }
    context.scope(function(ctx)
      local root <const> = {}
      ctx:publish("config", root)
      config.defaults(given)
      config.defaults { ["a.b.d"] = 2 }
      assert.same({ a = { b = { c = 1, d = 2 } } }, root)
    end)
    assert.same({ a = { b = { c = 1 } } }, given)
  end)

  it("raises where there is no application, and on misuse", function()
    context.scope(function(ctx)
      local ok, err = pcall(config.defaults, {})
      assert.same({ false, "NOTFOUND" }, { ok, err.code })
      ctx:publish("config", {})
      assert.has_error(function() config.defaults(5) end,
        "config.defaults: a map expected, got an integer")
      assert.has_error(function() config.defaults { 1 } end,
        "config.defaults: a map expected, got a list")
    end)
  end)
end)

describe("config.find", function()
  local function found(files, prefix)
    local at <close> = configuration.new(files)
    at:write("find.lua", "print(require('ahost.config').find())")
    local run <const> = subprocess.shell(("cd %s; %s $ahost find.lua"):format(
      subprocess.quote(at.directory), prefix or "env -u AHOST_CONFIG"))
    assert.equal("", run.err)
    return (run.out:gsub("\n$", ""))
  end

  it("looks for YAML first, then for Lua", function()
    assert.equal("ahost.yaml", found { ["ahost.yaml"] = "", ["ahost.lua"] = "" })
    assert.equal("etc/ahost.yaml", found { ["etc/ahost.yaml"] = "", ["ahost.lua"] = "" })
    assert.equal("ahost.lua", found { ["ahost.lua"] = "", ["etc/ahost.lua"] = "" })
    assert.equal("etc/ahost.lua", found { ["etc/ahost.lua"] = "" })
  end)

  it("believes AHOST_CONFIG", function()
    assert.equal("x/y.yaml", found({ ["ahost.yaml"] = "" }, "AHOST_CONFIG=x/y.yaml"))
    assert.equal("ahost.yaml", found({ ["ahost.yaml"] = "" }, "AHOST_CONFIG="))
  end)

  it("finds nothing where nothing is", function()
    assert.equal("nil", found {})
  end)
end)
