-- What can go to a thread and come back, and what is said of the rest.

local errors <const> = require "ahost.error"
local json <const> = require "ahost.json"
local thread <const> = require "ahost.thread"

local function echo(...)
  return thread.call(function(...) return ... end, ...)
end

-- The message of what cannot be copied.
local function refusal(...)
  local ok, problem = pcall(echo, ...)
  assert.is_false(ok)
  return tostring(problem)
end

describe("values that go to a thread and back", function()
  it("are the same, and as many", function()
    local huge <const> = ("x\0y"):rep(100000)
    local values <const> = table.pack(
      echo(nil, true, false, 1, -0.0, 1.5, "", "a\0b", huge, nil))
    assert.equal(10, values.n)
    assert.same({ nil, true, false, 1, -0.0, 1.5, "", "a\0b", huge, nil, n = 10 }, values)
    assert.equal("integer", math.type(values[4]))
    assert.equal("float", math.type(values[5]))
    assert.equal(0, select("#", echo()))
  end)

  it("are numbers at their limits", function()
    local min, max, inf, nan = echo(math.mininteger, math.maxinteger, math.huge, 0 / 0)
    assert.equal(math.mininteger, min)
    assert.equal(math.maxinteger, max)
    assert.equal(math.huge, inf)
    assert.is_true(nan ~= nan)
  end)

  it("are tables with keys of all kinds", function()
    local value <const> = { 1, 2, nil, 4, x = { y = {} }, [2.5] = "f", [true] = "b" }
    local copy <const> = echo(value)
    assert.same(value, copy)
    assert.is_not.equal(value, copy)
    local by_table <const> = echo { [{ 1 }] = "t" }
    local key <const>, item <const> = next(by_table)
    assert.same({ 1 }, key)
    assert.equal("t", item)
  end)

  it("keep what they share, also between arguments, and circles", function()
    local shared <const> = { "shared" }
    local circle <const> = { shared }
    circle.self = circle
    local a, b = echo({ shared, shared, circle }, shared)
    assert.equal(a[1], a[2])
    assert.equal(a[1], b)
    assert.equal(a[3], a[3].self)
    assert.equal(b, a[3][1])
  end)

  it("are 10,000 tables, some more than once", function()
    local list <const> = {}
    for i = 1, 10000 do list[i] = { i } end
    list[10001] = list[5000]
    local copy <const> = echo(list)
    assert.equal(10001, #copy)
    assert.equal(copy[5000], copy[10001])
    assert.same({ 9999 }, copy[9999])
  end)

  it("are null and arrays of JSON, and errors", function()
    local gone <const> = errors.new("ENOENT", "gone", { n = 1 })
    local null, list, err = echo(json.null, json.array {}, gone)
    assert.equal(json.null, null)
    assert.equal("[]", json.encode(list))
    assert.is_true(errors.is(err, "ENOENT"))
    assert.equal(1, err.n)
    assert.equal("gone (ENOENT)", tostring(err))
  end)

  it("are null and arrays in the thread as well", function()
    assert.equal('{"a":[],"b":null}', thread.call(function(a, b)
      local codec <const> = require "ahost.json"
      assert(b == codec.null)
      return codec.encode({ a = a, b = b }, { sort_keys = true })
    end, json.array {}, json.null))
  end)

  it("are nested 200 deep and no deeper", function()
    local function nested(depth)
      local value = {}
      for _ = 2, depth do value = { value } end
      return value
    end
    assert.is_table(echo(nested(200)))
    assert.matches("a table, in too many others", refusal(nested(201)))
    assert.matches("a table, in too many others", refusal(nested(100000)))
  end)

  it("may have long names: what is said of them stays short", function()
    assert.is_true(#refusal { [("k"):rep(10000)] = { [("\n"):rep(1000)] = print } } < 300)
    local deep = { print }
    for _ = 1, 150 do deep = { some_name = deep } end
    assert.is_true(#refusal(deep) < 300)
  end)
end)

describe("what cannot go to a thread", function()
  it("is named with its place", function()
    assert.matches(": argument 2, field a%.b: a function cannot be copied",
      refusal(1, { a = { b = print } }))
    assert.matches(": argument 1: a coroutine cannot", refusal(coroutine.create(print)))
    assert.matches("field %[2%]%[\"x y\"%]%.z: a userdata %(FILE%*%) cannot",
      refusal { 1, { ["x y"] = { z = io.stdout } } })
    assert.matches("field %[a table%]", refusal { [{}] = print })
    assert.matches("argument 1, field a: a table with a metatable", refusal {
      a = setmetatable({}, {}),
    })
  end)

  it("can also be a key", function()
    assert.matches("a function cannot", refusal { [print] = 1 })
  end)

  it("is refused as a result, too", function()
    local ok, problem = pcall(thread.call, function() return 1, { f = print } end)
    assert.is_false(ok)
    assert.matches("result 2, field f: a function cannot be copied", problem)
    assert.matches("thread_value_spec.lua:%d+", problem)
    ok, problem = pcall(thread.call, function() return coroutine.create(print) end)
    assert.is_false(ok)
    assert.matches("result 1: a coroutine cannot", problem)
  end)
end)
