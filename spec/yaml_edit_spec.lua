local edit <const> = require "ahost.yaml.edit"
local json <const> = require "ahost.json"
local yaml <const> = require "ahost.yaml"
local under_gc_stress <const> = require "spec.gc_stress"

local FILE <const> = [[
# the head
component:
    type: web   # the type
    port: 80    # the port

    tls:        # about tls
        cert: "a.pem"

    list: [1, 2, 3] # in line
    items:
    - a
    - b: 1
      c: 2
    flow: {a: 1, b: {c: 2}}
    empty:
    text: |
        one
        two

# the tail
a.b.c: 5
a.b.e\.f: 6
last: x # the end
]]

local function keys(path)
  local list = {}
  for key in path:gmatch "[^.]+" do list[#list + 1] = key end
  return list
end

-- What a change takes out of FILE and what it puts there, whole lines.
local function changes(path, value, expected_out, expected_in)
  local text, err = edit.set(FILE, keys(path), value)
  if not text then error(path .. ": " .. tostring(err), 2) end
  local first, last = 1, 0
  while FILE:sub(first, first) == text:sub(first, first) and first <= #FILE do
    first = first + 1
  end
  first = #FILE:sub(1, first - 1):match "^(.*\n)" + 1
  while FILE:sub(-last - 1, -last - 1) == text:sub(-last - 1, -last - 1)
    and #text - last >= first and #FILE - last >= first do
    last = last + 1
  end
  local kept <const> = FILE:sub(#FILE - last + 1)
  last = #(kept:match "^[^\n]*\n(.*)$" or "")
  if FILE:sub(#FILE - #kept, #FILE - #kept) == "\n" then last = #kept end
  assert.equal(expected_out, FILE:sub(first, #FILE - last))
  assert.equal(expected_in, text:sub(first, #text - last))
end

local function sets(expected, text, path, value)
  local changed, err = edit.set(text, path, value)
  if not changed then error(("%q: %s"):format(text, err), 2) end
  assert.equal(expected, changed)
end

local function refuses(message, text, path, value)
  local changed, err = edit.set(text, path, value)
  assert.is_nil(changed)
  assert.equal("yaml.edit: " .. message .. " (CONFIG)", tostring(err))
end

describe("yaml.edit replaces", function()
  it("a scalar, and keeps the comment behind it", function()
    changes("component.port", 81, "    port: 80    # the port\n",
      "    port: 81    # the port\n")
    changes("last", "y z", "last: x # the end\n", "last: y z # the end\n")
  end)

  it("a string within its quotes", function()
    changes("component.tls.cert", 'b"c', '        cert: "a.pem"\n',
      '        cert: "b\\"c"\n')
    sets("a: 'it''s'", "a: 'x'", { "a" }, "it's")
    sets("a: '1'", "a: 'x'", { "a" }, "1")
    sets("a: 1", "a: 'x'", { "a" }, 1)
    sets('a: "\\e"', "a: 'x'", { "a" }, "\27")
  end)

  it("a scalar by a block, and keeps the comment", function()
    changes("component.port", { a = 1, b = { 2 } }, "    port: 80    # the port\n",
      "    port: # the port\n        a: 1\n        b:\n            - 2\n")
  end)

  it("a scalar by lines where these can stand", function()
    changes("component.port", "a\nb", "    port: 80    # the port\n",
      '    port: "a\\nb"    # the port\n')
    sets("a: |\n  x\n  y\nb: 1\n", "a: 1\nb: 1\n", { "a" }, "x\ny\n")
  end)

  it("a block by a scalar", function()
    changes("component.tls", "x", '    tls:        # about tls\n        cert: "a.pem"\n',
      "    tls: x # about tls\n")
    changes("component.text", "v", "    text: |\n        one\n        two\n",
      "    text: v\n")
    sets("a: v\n\nb: 1\n", "a: |+\n  x\n\nb: 1\n", { "a" }, "v")
  end)

  it("a block by a block, in its place", function()
    changes("component.tls", { x = 1 }, '        cert: "a.pem"\n', "        x: 1\n")
    changes("component.items", { 5, 6 }, "    - a\n    - b: 1\n      c: 2\n",
      "    - 5\n    - 6\n")
  end)

  it("what is in line by what is in line", function()
    changes("component.list", { 1 }, "    list: [1, 2, 3] # in line\n",
      "    list: [1] # in line\n")
    changes("component.list.2", "x, y", "    list: [1, 2, 3] # in line\n",
      "    list: [1, 'x, y', 3] # in line\n")
    changes("component.flow.b.c", { d = {} }, "    flow: {a: 1, b: {c: 2}}\n",
      "    flow: {a: 1, b: {c: {d: {}}}}\n")
  end)

  it("items of lists", function()
    changes("component.items.1", { q = 1, r = 2 }, "    - a\n",
      "    - q: 1\n      r: 2\n")
    changes("component.items.2", 1, "    - b: 1\n      c: 2\n", "    - 1\n")
    changes("component.items.2.c", 9, "      c: 2\n", "      c: 9\n")
    sets("- a\n- 2\n- c\n", "- a\n-\n- c\n", { 2 }, 2)
    sets("-\n  b: 1\n  c: 2\n", "-\n  a: 1\n", { 1 }, { b = 1, c = 2 })
    sets("-   b: 1\n    c: 2\n", "-   a: 1\n", { "1" }, { b = 1, c = 2 })
  end)

  it("what is missing behind a key", function()
    changes("component.empty", 1, "    empty:\n", "    empty: 1\n")
    changes("component.empty.x.z", 1, "", "        x:\n            z: 1\n")
    sets("{a: 1, b}", "{a, b}", { "a" }, 1)
    sets("{a: 1}", "{a: }", { "a" }, 1)
  end)

  it("a tag with its value", function()
    sets("a: 1\nb: !env Y\n", "a: !env X\nb: !env Y\n", { "a" }, 1)
    local tagged <const> = setmetatable({ tag = "!env", value = "X" }, yaml.Tagged)
    sets("a: !env X\n", "a: 1\n", { "a" }, tagged)
  end)

  it("values of keys that are written with dots", function()
    changes("a.b.c", 7, "a.b.c: 5\n", "a.b.c: 7\n")
    sets("a\\.b: 2\n", "a\\.b: 1\n", { "a.b" }, 2)
    sets("a.b: {c.d: 2}\n", "a.b: {c.d: 1}\n", { "a", "b", "c", "d" }, 2)
    sets("loggers: {a.b: 2}\n", "loggers: {a.b: 1}\n", { "loggers", "a.b" }, 2)
  end)
end)

describe("yaml.edit adds", function()
  it("a key behind the last one of its map", function()
    changes("component.tls.key", "k", "", "        key: k\n")
    changes("component.flow.b.d", { 1 }, "    flow: {a: 1, b: {c: 2}}\n",
      "    flow: {a: 1, b: {c: 2, d: [1]}}\n")
    changes("new.q.r", { 1 }, "", "new:\n    q:\n        r:\n            - 1\n")
    sets("a: {b: 1}\n", "a: {}\n", { "a", "b" }, 1)
    sets("a: |+\n  x\n\nb: 1\n", "a: |+\n  x\n\n", { "b" }, 1)
    sets("a: |\n  x\nb: 1\n\n", "a: |\n  x\n\n", { "b" }, 1)
    sets("a: 1\nb: 2\n...\n", "a: 1\n...\n", { "b" }, 2)
    sets("a: 1\nb: 2", "a: 1", { "b" }, 2)
  end)

  it("a key with dots where its neighbours have them", function()
    changes("a.b.d", 8, "", "a.b.d: 8\n")
    sets("a.b: 1\na.c\\.d: 2\n", "a.b: 1\n", { "a", "c.d" }, 2)
  end)

  it("an item behind the last one", function()
    changes("component.items.3", { q = 1, r = 2 }, "", "    - q: 1\n      r: 2\n")
    changes("component.list.4", 4, "    list: [1, 2, 3] # in line\n",
      "    list: [1, 2, 3, 4] # in line\n")
    sets("[1]", "[]", { 1 }, 1)
  end)

  it("to files without anything", function()
    sets("a:\n  b: 1\n", "", { "a", "b" }, 1)
    sets("# comment\na: 1\n", "# comment", { "a" }, 1)
    sets("---\na: 1\n", "---\n", { "a" }, 1)
  end)

  it("with the line ends and the BOM of the file", function()
    sets("\xef\xbb\xbfü: 1\r\nb:\r\n  c: 1\r\n", "\xef\xbb\xbfü: 1\r\n", { "b", "c" }, 1)
    sets("ü: ä # ö\nb: ü\n", "ü: ä # ö\nb: 1\n", { "b" }, "ü")
  end)
end)

describe("yaml.edit refuses", function()
  it("to change other values", function()
    refuses("b comes through an alias", "a: &x 1\nb: *x\n", { "b" }, 2)
    refuses("b comes through an alias",
      "a: &x {c: 1}\nb: *x\n", { "b", "c" }, 2)
    refuses("b.p comes through a merge key", "a: &x {p: 1}\nb:\n  <<: *x\n  q: 1\n",
      { "b", "p" }, 2)
    refuses("a cannot be changed without changing something else", "a: &x 1\nb: *x\n",
      { "a" }, 2)
    refuses("a.p cannot be changed without changing something else",
      "a: &x {p: 1}\nb: *x\n", { "a", "p" }, 2)
  end)

  it("what the path does not fit", function()
    refuses("x is neither a map nor a list", "x: 5", { "x", "y" }, 1)
    refuses("x is a list of 1 items, without an item 3", "x: [5]", { "x", "3" }, 1)
    refuses("the document is a list of 1 items, without an item y", "- 5", { "y" }, 1)
    refuses("the document is neither a map nor a list", "text", { "y" }, 1)
    refuses("a.b is written with dotted keys", FILE, { "a", "b" }, 1)
    refuses("a has the tag !t", "a: !t {b: 1}", { "a", "b" }, 1)
    refuses("the file holds an explicit null", "null", { "a" }, 1)
  end)

  it("bad texts", function()
    local changed, err = edit.set("a: [", { "a" }, 1)
    assert.is_nil(changed)
    assert.equal("SYNTAX", err.code)
    assert.is_nil((edit.has("a: [", { "a" })))
  end)

  it("bad arguments", function()
    assert.error_matches(function() edit.set("", {}, 1) end, "the path must be a list")
    assert.error_matches(function() edit.set("", { {} }, 1) end, "a key must be a string")
    assert.error_matches(function() edit.set("", { "a" }, print) end, "cannot encode")
    assert.error_matches(function() edit.has("", "a") end, "the path must be a list")
  end)
end)

describe("yaml.edit.has", function()
  it("finds what is there, however it is written", function()
    local text <const> = FILE .. "alias: &x {y: [1]}\nother: *x\nmerged: {<<: *x}\n"
    for _, path in ipairs {
      "component", "component.tls.cert", "component.list.3", "component.empty", "a.b.c",
      "a.b", "a", "other.y.1", "merged.y", "last",
    } do
      assert.is_true(edit.has(text, keys(path)), path)
    end
    assert.is_true(edit.has(text, { "a", "b", "e.f" }))
    for _, path in ipairs {
      "x", "component.x", "component.list.4", "component.list.x", "last.x", "a.b.c.d",
      "a.c", "a.b.e.f",
    } do
      assert.is_false(edit.has(text, keys(path)), path)
    end
    assert.is_false(edit.has("", { "a" }))
  end)
end)

describe("yaml.edit", function()
  -- All paths to what is in a value.
  local function paths_of(value, path, all)
    if type(value) == "table" then
      for key, item in pairs(value) do
        local inner <const> = table.move(path, 1, #path, 1, {})
        inner[#inner + 1] = key
        all[#all + 1] = inner
        paths_of(item, inner, all)
      end
    end
    return all
  end

  it("can change everything of a file to everything", function()
    local values <const> = {
      1, "x", "a: b", "a\nb\n", true, json.null, {}, json.array(), { 1, { 2 } },
      { a = { b = 1, c = { 1, "x\ny" } } },
    }
    local text = FILE:gsub("a%.b[^\n]*\n", "")
    local paths = paths_of(yaml.decode(text), {}, {})
    for i = 1, #paths, under_gc_stress() and 5 or 1 do
      for _, value in ipairs(values) do
        local changed, err = edit.set(text, paths[i], value)
        if not changed then
          error(table.concat(paths[i], ".") .. ": " .. tostring(err))
        end
        for comment in text:gmatch "# the [^\n]*" do
          assert.is_truthy(changed:find(comment, 1, true) or #paths[i] == 1)
        end
      end
    end
  end)
end)
