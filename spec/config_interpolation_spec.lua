local config <const> = require "ahost.config"
local configuration <const> = require "spec.configuration"
local gc_stress <const> = require "spec.gc_stress"
local json <const> = require "ahost.json"

local function loaded(text, env)
  local at <close> = configuration.new { ["a.yaml"] = text }
  return assert(at:load("a.yaml", { env = env }))
end

local function problems(text, env)
  local at <close> = configuration.new { ["a.yaml"] = text }
  return at:problems("a.yaml", { env = env })
end

describe("a reference", function()
  it("stands for the value of a key, within a text", function()
    assert.same({ host = "h", port = 80, url = "http://h:80/" },
      loaded "host: h\nport: 80\nurl: http://${host}:${port}/\n")
    assert.equal("true-1.5", loaded("t: ${x}-${y}\nx: true\ny: 1.5\n").t)
  end)

  it("alone has the value's type", function()
    local t <const> = loaded [[
a: ${x.i}
b: ${x}
c: ${l}
d: ${n}
x: {i: 5, m: {}}
l: []
n: null
]]
    assert.same({ 5, { i = 5, m = {} }, json.null }, { t.a, t.b, t.d })
    assert.equal("[]", json.encode(t.c))
    assert.are_not.equal(t.x, t.b)
    assert.are_not.equal(t.x.m, t.b.m)
    assert.are_not.equal(t.l, t.c)
  end)

  it("sees what later files and overrides say", function()
    local at <close> = configuration.new {
      ["a.yaml"] = "host: a\nurl: http://${host}\n",
      ["b.yaml"] = "host: b\n",
    }
    assert.equal("http://b", at:load("a.yaml b.yaml").url)
    assert.equal("http://c", at:load("a.yaml b.yaml", { set = { "host=c" } }).url)
  end)

  it("goes through other references, into maps and lists", function()
    local t <const> = loaded [[
a: ${b}
b: ${c.d}
c: ${e}
e: {d: {f: 1, l: [x, '${g}']}}
g: y
h: ${a.f}${b.l.2}${c.d.l.1}
]]
    assert.equal("1yx", t.h)
    assert.same({ f = 1, l = { "x", "y" } }, t.a)
  end)

  it("may name a sibling inside the map that it stands in", function()
    assert.same({ a = { b = 1, c = 1, d = { e = "1!" } } },
      loaded "a: {b: 1, c: '${a.b}', d: {e: '${a.c}!'}}\n")
  end)

  it("names keys with dots by a backslash", function()
    local text <const> = "logging.loggers: {a.b: x}\nc: ${logging.loggers.a\\.b}\n"
    assert.equal("x", loaded(text).c)
  end)

  it("is looked for in lists, and not in keys", function()
    assert.same({ l = { "x", { ["${a}"] = "x" } }, a = "x" },
      loaded "l: ['${a}', {'${a}': '${a}'}]\na: x\n")
  end)

  it("is written $${ to stand for itself", function()
    local t <const> = loaded [[
a: $${b}
c: x$$${b}y${d}$
d: $
e: $${
f: ${a}!
g: ${a}
]]
    assert.same({ "${b}", "x$${b}y$$", "$", "${", "${b}!", "${b}" },
      { t.a, t.c, t.d, t.e, t.f, t.g })
  end)

  it("to a variable is a text", function()
    local env <const> = { A = "5", B = "${x}" }
    local t <const> = loaded([[
a: ${env:A}
b: <${env:B}>
c: ${env:C:d:e}
d: <${env:C:}>
e: ${env:B}
f: ${b}${e}
]], env)
    assert.same({ "5", "<${x}>", "d:e", "<>", "${x}", "<${x}>${x}" },
      { t.a, t.b, t.c, t.d, t.e, t.f })
  end)

  it("keeps origins", function()
    local at <close> = configuration.new {
      ["a.yaml"] = "a: {b: 1}\nc: ${a}\nd: x${a.b}\n",
    }
    local t <const> = at:load "a.yaml"
    assert.equal("a.yaml:1:5", at:relative(config.origin(t.c, "b")))
    assert.equal("a.yaml:2:1", at:relative(config.origin(t, "c")))
    assert.equal("a.yaml:3:1", at:relative(config.origin(t, "d")))
  end)
end)

describe("a bad reference", function()
  it("to nothing is told", function()
    assert.same({
      "a.yaml:2:3: a.b: ${c.d} names nothing in the configuration; $${ is a literal ${",
    }, problems "a:\n  b: x ${c.d}\nc: 1\n")
    assert.same({
      "a.yaml:1:1: a: ${} names nothing in the configuration; $${ is a literal ${",
    }, problems "a: ${}\n")
  end)

  it("without an end is told", function()
    assert.same({ 'a.yaml:1:1: a: "${" without "}"; $${ is a literal ${' },
      problems "a: x${b\n")
  end)

  it("to a variable that is not set is told", function()
    assert.same({ "a.yaml:1:1: a: environment variable HOST is not set, and there is no "
      .. "default (${env:HOST:default})" }, problems "a: x${env:HOST}\n")
    assert.same({ "a.yaml:1:1: a: ${env:A B} names no environment variable" },
      problems "a: ${env:A B}\n")
  end)

  it("to a map, a list or null within a text is told", function()
    assert.same({ "a.yaml:1:1: a: ${m} is a map, which cannot be a part of a text" },
      problems "a: x${m}\nm: {}\n")
    assert.same({ "a.yaml:1:1: a: ${m} is a list, which cannot be a part of a text" },
      problems "a: x${m}\nm: [1]\n")
    assert.same({ "a.yaml:1:1: a: ${m} is null, which cannot be a part of a text" },
      problems "a: x${m}\nm:\n")
  end)

  it("is told once, not where it is referred to", function()
    assert.same({
      "a.yaml:1:1: a: ${x} names nothing in the configuration; $${ is a literal ${",
    }, problems "a: ${x}\nb: ${a}\nc: x${b}\n")
  end)
end)

describe("references in a circle", function()
  it("are told with their chain", function()
    assert.same({
      "a.yaml:2:1: a: refers to itself: a (a.yaml:2:1) -> b (a.yaml:3:1) -> "
        .. "c (a.yaml:1:1) -> a",
    }, problems "c: x${a}\na: ${b}\nb: x${c}\nd: ${c}\n")
    assert.same({ "a.yaml:1:1: a: refers to itself: a (a.yaml:1:1) -> a" },
      problems "a: ${a}\n")
  end)

  it("are found through maps, too", function()
    assert.same({ "a.yaml:1:5: a.b: refers to itself: a.b (a.yaml:1:5) -> a.b" },
      problems "a: {b: '${a}'}\n")
    assert.same({
      "a.yaml:1:5: a.x: refers to itself: a.x (a.yaml:1:5) -> b.y (a.yaml:2:5) -> a.x",
    }, problems "a: {x: '${b}'}\nb: {y: '${a}'}\n")
    assert.same({ "a.yaml:1:1: a: refers to itself: a (a.yaml:1:1) -> a" },
      problems "a: ${a.b.c}\n")
  end)
end)

describe("the expansion of references", function()
  it("is bounded in size", function()
    local lines <const> = { "a0: {x: lol, y: lol}" }
    for i = 1, 30 do
      lines[i + 1] = ("a%d: {x: '${a%d}', y: '${a%d}'}"):format(i, i - 1, i - 1)
    end
    local found <const> = problems(table.concat(lines, "\n"))
    assert.equal(1, #found)
    assert.matches("^a%.yaml:%d+:%d+: a%d+%.[xy]: references expand to more than 16 MiB$",
      found[1])
    lines[1] = "a0: lollollollollollol"
    for i = 1, 30 do
      lines[i + 1] = ("a%d: <${a%d}${a%d}>"):format(i, i - 1, i - 1)
    end
    assert.matches("references expand to more than 16 MiB$",
      problems(table.concat(lines, "\n"))[1])
  end)

  it("is bounded in depth", function()
    local lines <const> = { "a000: x" }
    for i = 1, 900 do
      lines[i + 1] = ("a%03d: ${a%03d}"):format(i, i - 1)
    end
    assert.equal("x", loaded(table.concat(lines, "\n")).a900)
    for i = 901, 100000 do
      lines[i + 1] = ("a%03d: ${a%03d}"):format(i, i - 1)
    end
    local found <const> = problems(table.concat(lines, "\n"))
    assert.matches("^a%.yaml:%d+:1: a%d+: more than 1000 references lead to each "
      .. "other$", found[1])
  end)

  it("of random texts never raises, hangs or finds what is not CONFIG", function()
    math.randomseed(20261121)
    local pieces <const> = { "${", "}", "$", "a", "b", ".", "env:", "A", ":", "\\",
      "${a}", "${b.c}", "${b}", "$${", "1", "\0", "\255" }
    local function random_text()
      local out = {}
      for i = 1, math.random(0, 6) do
        out[i] = pieces[math.random(#pieces)]
      end
      return table.concat(out)
    end
    local good, bad = 0, 0
    for _ = 1, gc_stress() and 200 or 5000 do
      local tree <const> = { a = random_text(), l = { random_text() },
        b = { c = random_text(), d = random_text() } }
      local result, err = config.load({},
        { env = { A = random_text() }, defaults = tree })
      if result then
        good = good + 1
      else
        bad = bad + 1
        assert.equal("CONFIG", err.code)
      end
    end
    assert.is_true(good > 20 and bad > 20)
  end)
end)
