local config <const> = require "ahost.config"
local gc_stress <const> = require "spec.gc_stress"
local json <const> = require "ahost.json"

local function raised(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return err
end

describe("config.merge", function()
  it("recurses into maps, and replaces everything else", function()
    assert.same({ a = 1, b = { c = 2, d = { 3 }, e = { f = 4, g = 5 } }, h = "x" },
      config.merge({ a = 1, b = { c = 1, d = { 1, 2 }, e = { f = 4 } }, h = { i = 1 } },
        { b = { c = 2, d = { 3 }, e = { g = 5 } }, h = "x" }))
    assert.same({ a = { b = 1 } }, config.merge({ a = 5 }, { a = { b = 1 } }))
    assert.same({ a = { b = 1 } }, config.merge({ a = { 5 } }, { a = { b = 1 } }))
    assert.same({ a = { 1 } }, config.merge({ a = { b = 5 } }, { a = { 1 } }))
  end)

  it("lets null and false replace", function()
    assert.same({ a = json.null, b = false, c = 1 },
      config.merge({ a = { x = 1 }, b = true, c = json.null }, { a = json.null, b = false,
        c = 1 }))
  end)

  it("tells empty lists from empty maps", function()
    local merged <const> = config.merge({ a = { x = 1 }, b = { x = 1 } },
      { a = json.array(), b = {} })
    assert.equal('{"a":[],"b":{"x":1}}', json.encode(merged, { sort_keys = true }))
  end)

  it("takes nothing for an empty map", function()
    assert.same({}, config.merge())
    assert.same({ a = 1 }, config.merge(nil, { a = 1 }))
    assert.same({ a = 1 }, config.merge({ a = 1 }, nil))
    assert.same({ a = 1 }, config.merge({ a = 1 }, json.null))
  end)

  it("expands dotted keys on both sides, fully, present or not", function()
    assert.same({ a = { b = { c = 1 } } }, config.merge({}, { ["a.b.c"] = 1 }))
    assert.same({ a = { b = { c = 1 } } }, config.merge({ ["a.b.c"] = 1 }, {}))
    assert.same({ a = { b = 2 } }, config.merge({ a = 5 }, { ["a.b"] = 2 }))
    assert.same({ a = { b = { c = 1, d = 2 }, x = 3 } },
      config.merge({ ["a.b.c"] = 1, ["a.x"] = 1 }, { a = { ["b.d"] = 2, x = 3 } }))
    assert.same({ l = { { a = { b = 1 } } } },
      config.merge({}, { l = { { ["a.b"] = 1 } } }))
  end)

  it("keeps dots that have a backslash, however often it is merged", function()
    local once <const> = config.merge({ ["a\\.b"] = 1 }, { ["c.d\\.e"] = 2 })
    assert.same({ ["a.b"] = 1, c = { ["d.e"] = 2 } }, once)
    assert.same(once, config.merge(once, {}))
    assert.same(once, config.merge({}, config.merge(once, once)))
    assert.same({ x = { ["a.b"] = 1, c = { ["d.e"] = 2 } }, y = { z = 1 } },
      config.merge({ x = once }, { ["y.z"] = 1 }))
    assert.same({ x = { y = { ["a.b"] = 1, c = { ["d.e"] = 2 } } } },
      config.merge({}, { ["x.y"] = once }))
  end)

  it("takes the dots for data in listen and under logging.loggers", function()
    local t <const> = { listen = { ["a.b"] = { ["c.d"] = 1 } },
      logging = { loggers = { ["e.f"] = { ["g.h"] = 2 } } },
      services = { s = { listen = { ["i.j"] = 3 } } } }
    assert.same(t, config.merge(t, {}))
    assert.same(t, config.merge({}, t))
    assert.same(t, config.merge(t, t))
    assert.same({ listen = { ["a.b"] = 1, ["c.d"] = 2 } },
      config.merge({ listen = { ["a.b"] = 1 } }, { listen = { ["c.d"] = 2 } }))
    assert.same({ c = { listen = { a = { b = 1 } } } },
      config.merge({}, { c = { listen = { ["a.b"] = 1 } } }))
  end)

  it("changes neither argument, and shares nothing with them", function()
    local base <const> = { a = { b = { 1, { c = 1 } } }, d = { e = 1 } }
    local over <const> = { ["a.f"] = { g = { 1 } }, d = { h = { i = 1 } } }
    local merged <const> = config.merge(base, over)
    merged.a.b[2].c = 2
    merged.a.f.g[1] = 2
    merged.d.h.i = 2
    merged.d.e = 2
    assert.same({ a = { b = { 1, { c = 1 } } }, d = { e = 1 } }, base)
    assert.same({ ["a.f"] = { g = { 1 } }, d = { h = { i = 1 } } }, over)
    local doubled <const> = config.merge(base, base)
    doubled.a.b[1] = 5
    assert.equal(1, base.a.b[1])
  end)

  it("hands on functions and objects as they are", function()
    local object <const> = setmetatable({ ["a.b"] = 1 }, {})
    local merged <const> = config.merge({ o = { x = 1 }, f = print }, { o = object })
    assert.equal(object, merged.o)
    assert.equal(print, merged.f)
    assert.same({ o = { x = 2 } }, config.merge({ o = object }, { o = { x = 2 } }))
  end)

  it("refuses an argument that says two things", function()
    local err <const> = raised(config.merge, {}, { a = 5, ["a.b"] = 2 })
    assert.equal("CONFIG", err.code)
    assert.equal("a.b: cannot be set: a is an integer, not a map", err.message)
    assert.equal("x.a.b: is given twice", raised(config.merge, {},
      { x = { ["a.b"] = 1, a = { b = 2 } } }).message)
  end)

  it("refuses other keys than texts beside dotted ones", function()
    assert.equal("the key 1.5 is a number; keys are texts",
      raised(config.merge, { [1.5] = 1, ["a.b"] = 2 }).message)
  end)

  it("refuses tables that contain themselves", function()
    local t <const> = {}
    t.t, t.u = t, { t }
    for _, arguments in ipairs { { t, {} }, { {}, t }, { t, t }, { { ["a.b"] = t }, {} },
      { {}, { l = { t } } } } do
      local err <const> = raised(config.merge, table.unpack(arguments))
      assert.equal("tables are nested more than 200 levels deep, or contain themselves",
        err.message)
    end
  end)

  it("raises on what is no map", function()
    assert.has_error(function() config.merge(5) end,
      "config.merge: bad argument #1 (a map expected, got an integer)")
    assert.has_error(function() config.merge({}, { 1 }) end,
      "config.merge: bad argument #2 (a map expected, got a list)")
    assert.has_error(function() config.merge({}, json.array()) end,
      "config.merge: bad argument #2 (a map expected, got a list)")
  end)
end)

-- The naive model: trees as lists of paths, the last word about a path counts.

local KEYS <const> = { "a", "b", "c", "a.b", "b.c.a", "c.a", "x\\.y", "a\\.b.c" }
local LEAVES <const> = { 1, 2.5, "text", "${a}", true, false, json.null }

local function random_tree(depth)
  local tree = {}
  for _ = 1, math.random(0, 4) do
    local key, kind = KEYS[math.random(#KEYS)], math.random(6)
    if kind == 1 and depth > 0 then
      tree[key] = json.array { random_tree(depth - 1), math.random(9) }
    elseif kind <= 3 and depth > 0 then
      tree[key] = random_tree(depth - 1)
    else
      tree[key] = LEAVES[math.random(#LEAVES)]
    end
  end
  return tree
end

local function copy(t)
  if type(t) ~= "table" then return t end
  local result = setmetatable({}, getmetatable(t))
  for key, value in pairs(t) do result[key] = copy(value) end
  return result
end

local function is_map(t)
  return type(t) == "table" and getmetatable(t) == nil
end

local model_of

-- Adds what a key says to a map; false if something else is there.
local function add(map, parts, i, value)
  local key = parts[i]
  if i < #parts then
    if map[key] == nil then map[key] = {} end
    return is_map(map[key]) and add(map[key], parts, i + 1, value)
  elseif map[key] == nil then
    map[key] = value
    return true
  elseif not (is_map(map[key]) and is_map(value)) then
    return false
  end
  for inner, item in pairs(value) do
    if not add(map[key], { inner }, 1, item) then return false end
  end
  return true
end

-- The nested form, nil if the tree says two things.
function model_of(tree)
  if type(tree) ~= "table" then return tree end
  local result = setmetatable({}, getmetatable(tree))
  for key, value in pairs(tree) do
    local model = model_of(value)
    local parts = type(key) == "string" and config.split(key) or { key }
    if model == nil or not add(result, parts, 1, model) then return nil end
  end
  return result
end

local function model_merge(base, over)
  local result = copy(base)
  for key, value in pairs(over) do
    if is_map(value) and is_map(result[key]) then
      result[key] = model_merge(result[key], value)
    else
      result[key] = copy(value)
    end
  end
  return result
end

describe("config.merge of random trees", function()
  local count = gc_stress() and 300 or 5000
  before_each(function() math.randomseed(20261121) end)

  it("is what a naive model says, and mutates nothing", function()
    local merged_count, refused = 0, 0
    for _ = 1, count do
      local base, over = random_tree(3), random_tree(3)
      local before_base, before_over = copy(base), copy(over)
      local ok, merged = pcall(config.merge, base, over)
      local model_base, model_over = model_of(base), model_of(over)
      assert.same({ before_base, before_over }, { base, over })
      if model_base and model_over then
        assert.is_true(ok, tostring(merged))
        assert.same(model_merge(model_base, model_over), merged)
        merged_count = merged_count + 1
      elseif not ok then -- what says two things may have been replaced as a whole
        assert.equal("CONFIG", merged.code)
        refused = refused + 1
      end
    end
    assert.is_true(merged_count > count // 10 and refused > count // 10)
  end)

  it("is associative unless a scalar comes between two maps", function()
    -- {a={b=1}} + ({a=5} + {a={c=2}}) keeps b, as {a={c=2}} has hidden the 5.
    local function scalar_over_map(lower, upper)
      for key, value in pairs(upper) do
        local old = lower[key]
        if is_map(old) and (not is_map(value) or scalar_over_map(old, value)) then
          return true
        end
      end
      return false
    end
    local function expanded(tree)
      local ok, result = pcall(config.merge, tree)
      return ok and result or nil
    end
    local compared = 0
    for _ = 1, count do
      local a, b, c = expanded(random_tree(3)), expanded(random_tree(3)),
        expanded(random_tree(3))
      if a and b and c and not scalar_over_map(a, b) then
        assert.same(config.merge(config.merge(a, b), c),
          config.merge(a, config.merge(b, c)))
        compared = compared + 1
      end
    end
    assert.is_true(compared > count // 20)
  end)

  it("of itself changes nothing", function()
    for _ = 1, count do
      local ok, tree = pcall(config.merge, random_tree(4))
      if ok then
        assert.same(tree, config.merge(tree, tree))
        assert.same(tree, config.merge({}, tree))
      end
    end
  end)
end)
