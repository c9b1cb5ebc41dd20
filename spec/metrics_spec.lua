local context <const> = require "ahost.context"
local log <const> = require "ahost.log"
local metrics <const> = require "ahost.metrics"
local testing <const> = require "ahost.testing"

local function with_clock(fn)
  local clock <close> = testing.clock { manual = true }
  return fn(function(seconds) clock:advance(seconds) end)
end

-- The clock counts from any moment, so that differences of its times are not exact.
local function near(expected, value)
  assert.is_true(math.abs(value - expected) < 1e-6, tostring(value))
end

local function size(family)
  local n = 0
  for _ in next, family.series do n = n + 1 end
  return n
end

describe("a counter", function()
  it("grows from what it begins with", function()
    local registry <const> = metrics.registry()
    local counter <const> = registry:counter("hits")
    assert.equal(0, counter.value)
    counter:add()
    counter:add(4)
    counter:add(0)
    assert.equal(5, counter.value)
    assert.equal(7, registry:counter("others", nil, { init = 7 }).value)
  end)

  it("does not go down, nor to what is no number", function()
    local counter <const> = metrics.registry():counter "hits"
    for _, n in ipairs { -1, 0 / 0, math.huge } do
      assert.has_error(function() counter:add(n) end)
    end
    assert.has_error(function() counter:add "x" end)
    assert.is_nil(counter.sub)
    assert.equal(0, counter.value)
  end)

  it("is not touched by a flush", function()
    local registry <const> = metrics.registry()
    local counter <const> = registry:counter("hits")
    counter:add(3)
    registry:flush()
    registry:flush()
    assert.equal(3, counter.value)
  end)

  it("with reset shows the last period and begins anew", function()
    local registry <const> = metrics.registry()
    local counter <const> = registry:counter("hits", nil, { reset = true, init = 1 })
    counter:add(5)
    counter:sub(2)
    assert.is_nil(counter.value)
    registry:flush()
    assert.equal(4, counter.value)
    counter:add(1)
    assert.equal(4, counter.value)
    registry:flush()
    assert.equal(2, counter.value)
    registry:flush()
    assert.equal(1, counter.value)
  end)
end)

describe("a gauge", function()
  it("goes up and down and is kept at a flush", function()
    local registry <const> = metrics.registry()
    local gauge <const> = registry:gauge "depth"
    assert.is_nil(gauge.value)
    gauge:add(2)
    gauge:sub()
    assert.equal(1, gauge.value)
    gauge:set(-3.5)
    registry:flush()
    assert.equal(-3.5, gauge.value)
  end)

  it("takes numbers only", function()
    local gauge <const> = metrics.registry():gauge "depth"
    for _, value in ipairs { "1", true, 0 / 0 } do
      assert.has_error(function() gauge:set(value) end)
    end
  end)
end)

describe("a rate", function()
  it("tells the events per second of the last period", function()
    with_clock(function(pass)
      local registry <const> = metrics.registry()
      local rate <const> = registry:rate "hits"
      rate:add()
      rate:add(4)
      pass(10)
      assert.is_nil(rate.value)
      registry:flush()
      near(0.5, rate.value)
      registry:flush() -- no time has passed
      near(0.5, rate.value)
      pass(5)
      registry:flush()
      assert.equal(0, rate.value)
    end)
  end)

  it("has periods of its own from its making on", function()
    with_clock(function(pass)
      local registry <const> = metrics.registry()
      registry:rate "first"
      pass(50)
      local late <const> = registry:rate "late"
      late:add(20)
      pass(10)
      registry:flush()
      near(2, late.value)
    end)
  end)
end)

describe("a duty cycle", function()
  it("tells the share of the time that something was on", function()
    with_clock(function(pass)
      local registry <const> = metrics.registry()
      local duty <const> = registry:duty "busy"
      pass(100) -- unknown
      duty:set(true)
      pass(3)
      duty:set(false)
      pass(1)
      registry:flush()
      near(0.75, duty.value)
      pass(4) -- still off
      registry:flush()
      assert.equal(0, duty.value)
    end)
  end)

  it("is not disturbed by being told the same again", function()
    with_clock(function(pass)
      local registry <const> = metrics.registry()
      local duty <const> = registry:duty "busy"
      for _ = 1, 4 do
        duty:set(true)
        pass(1)
      end
      registry:flush()
      assert.equal(1, duty.value)
      assert.has_error(function() duty:set(1) end)
    end)
  end)

  it("is flushed for each of its series", function()
    with_clock(function(pass)
      local registry <const> = metrics.registry()
      local one <const> = registry:duty("busy", { disk = "a" })
      local two <const> = registry:duty("busy", { disk = "b" })
      one:set(true)
      two:set(false)
      pass(1)
      registry:flush()
      assert.equal(1, one.value)
      assert.equal(0, two.value)
    end)
  end)
end)

describe("an aggregation", function()
  it("shows the greatest number of the last period", function()
    local registry <const> = metrics.registry()
    local most <const> = registry:aggregation "most"
    most:set(3)
    most:set(8)
    most:set(5)
    assert.is_nil(most.value)
    registry:flush()
    assert.equal(8, most.value)
    most:set(-1)
    registry:flush()
    assert.equal(-1, most.value)
    registry:flush()
    assert.is_nil(most.value)
  end)

  it("takes another function", function()
    local registry <const> = metrics.registry()
    local all <const> = registry:aggregation("all", nil,
      { fn = function(old, new) return old + new end, init = 100 })
    all:set(1)
    all:set(2)
    registry:flush()
    assert.equal(103, all.value)
    registry:flush()
    assert.equal(100, all.value)
    local bad <const> = registry:aggregation("bad", nil, { fn = function() end })
    bad:set(1)
    assert.has_error(function() bad:set(2) end, "the fn of an aggregation must return a "
      .. "number, not a nil")
  end)

  it("takes the function of who asks for it last", function()
    local registry <const> = metrics.registry()
    local function get(fn) return registry:aggregation("some", nil, { fn = fn }) end
    assert.equal(get(math.min), get(math.max))
    registry:aggregation("some"):set(1)
    registry:aggregation("some"):set(2)
    registry:flush()
    assert.equal(2, registry:aggregation("some").value)
  end)

  it("without reset is about all numbers, at once", function()
    local registry <const> = metrics.registry()
    local least <const> = registry:aggregation("least", nil,
      { fn = math.min, reset = false })
    least:set(3)
    least:set(8)
    assert.equal(3, least.value)
    registry:flush()
    assert.equal(3, least.value)
  end)
end)

describe("a histogram", function()
  it("counts values in the bucket of the next bound", function()
    local registry <const> = metrics.registry()
    local sizes <const> = registry:histogram("sizes", nil, { buckets = { 1, 10, 100 } })
    for _, value in ipairs { 0, 1, 1.5, 10, 11, 1000, math.huge } do
      sizes:observe(value)
    end
    assert.same({ 2, 2, 1, 2 }, sizes.counts)
    registry:flush()
    assert.same({ 2, 2, 1, 2 }, sizes.counts)
  end)

  it("refuses what no bucket is meant for", function()
    local registry <const> = metrics.registry()
    local sizes <const> = registry:histogram "sizes"
    for _, value in ipairs { -1, 0 / 0 } do
      assert.has_error(function() sizes:observe(value) end)
    end
    local offsets <const> = registry:histogram("offsets", nil, { buckets = { -1, 1 } })
    offsets:observe(-5)
    assert.same({ 1, 0, 0 }, offsets.counts)
  end)

  it("refuses bounds that do not ascend, and none or too many", function()
    local registry <const> = metrics.registry()
    local function problem(buckets)
      local ok, err = pcall(registry.histogram, registry, "h", nil, { buckets = buckets })
      assert.is_false(ok)
      return err
    end
    local many <const> = {}
    for i = 1, 200 do many[i] = i end
    assert.matches("they must ascend, but item 2 is 1", problem { 1, 1 })
    assert.matches("from 1 to 199 bounds expected, got 0", problem {})
    assert.matches("from 1 to 199 bounds expected, got 0", problem { math.huge })
    assert.matches("from 1 to 199 bounds expected, got 200", problem(many))
    assert.matches("a list of numbers expected, but item 1 is x", problem { "x" })
    assert.is_nil(next(registry.families))
  end)
end)

describe("a registry", function()
  it("gives the same metric for the same name and tags", function()
    local registry <const> = metrics.registry()
    local one <const> = registry:counter("hits", { a = 1, b = "x" }, { help = "Hits." })
    assert.equal(one, registry:counter("hits", { b = "x", a = "1" }))
    assert.not_equal(one, registry:counter("hits", { a = 2, b = "x" }))
    assert.equal(one, registry:counter("hits", { a = 1 }):with { b = "x" })
    assert.equal(one, registry:counter("hits", { a = 1, b = "x" },
      { reset = false, init = 0 }))
  end)

  it("tells different sets of tags apart, whatever is in them", function()
    local registry <const> = metrics.registry()
    local one <const> = registry:counter("hits", { a = "1,b=1:2" })
    assert.not_equal(one, registry:counter("hits", { a = "1", b = "2" }))
    assert.equal(registry:counter "hits", registry:counter("hits", { a = "" }))
  end)

  it("refuses another kind or other options for the same name", function()
    local registry <const> = metrics.registry()
    registry:counter("hits", nil, { unit = "bytes" })
    registry:histogram("sizes", nil, { buckets = { 1, 2 } })
    registry:histogram("sizes", nil, { buckets = { 1, 2 } })
    local function problem(kind, ...)
      local ok, err = pcall(registry[kind], registry, ...)
      assert.is_false(ok)
      return err
    end
    assert.matches("metric 'hits' is a counter already, not a gauge",
      problem("gauge", "hits"))
    assert.matches("metric 'hits' has another option 'unit' already: bytes, not seconds",
      problem("counter", "hits", nil, { unit = "seconds" }))
    assert.matches("metric 'hits' has another option 'reset' already: false, not true",
      problem("counter", "hits", nil, { reset = true }))
    assert.matches("metric 'sizes' has other buckets already",
      problem("histogram", "sizes", nil, { buckets = { 1, 3 } }))
    assert.matches("there is no option 'bucket' of a histogram",
      problem("histogram", "sizes", nil, { bucket = {} }))
    assert.matches("option 'help': a string expected, got 1",
      problem("gauge", "g", nil, { help = 1 }))
  end)

  it("tells of a wrong call with the place of the caller", function()
    local registry <const> = metrics.registry()
    local _, err = pcall(function() registry:counter "9" end)
    assert.matches("^spec/metrics_spec.lua:%d+: the name of a metric must be of letters",
      err)
    _, err = pcall(function() metrics.gauge("g", { ["a-b"] = 1 }) end)
    assert.matches("^spec/metrics_spec.lua:%d+: tag 'a%-b' must be of letters", err)
  end)

  it("refuses names and tags that no exposition could bear", function()
    local registry <const> = metrics.registry()
    for _, name in ipairs { "", "a b", "a-b", "1a", "ä", "a\n", 5, "hits_total" } do
      assert.has_error(function() registry:counter(name) end)
    end
    for _, name in ipairs { "", "a b", "le", "quantile", "__x", 5 } do
      assert.has_error(function() registry:counter("ok", { [name] = "x" }) end)
    end
    assert.has_error(function() registry:counter("ok", { a = {} }) end)
    assert.has_error(function() registry:counter("ok", "a=b") end)
    assert.has_error(function() metrics.registry { namespace = "a b" } end)
    assert.has_error(function() metrics.registry { tags = { le = "x" } } end)
  end)

  it("refuses names that would be mistaken for others", function()
    local registry <const> = metrics.registry()
    registry:counter "hits"
    registry:histogram("time", nil, { unit = "seconds" })
    for _, name in ipairs { "hits_total", "time_seconds", "time_seconds_bucket",
      "time_seconds_sum" } do
      assert.has_error(function() registry:gauge(name) end)
    end
    registry:gauge "hits_bucket"
  end)

  it("calls collectors before an exposition, until their context ends", function()
    local registry <const> = metrics.registry()
    local gauge <const> = registry:gauge "depth"
    local calls = 0
    context.scope(function()
      registry:collect(function()
        calls = calls + 1
        gauge:set(calls)
      end)
      assert.matches("\ndepth 1\n", registry:render())
      registry:flush()
    end)
    assert.matches("\ndepth 2\n", registry:render())
    assert.equal(2, calls)
  end)

  it("logs what a collector raises and goes on", function()
    local records <close> = log.capture { passes = false }
    local registry <const> = metrics.registry()
    registry:collect(function() error "no way" end)
    registry:collect(function() registry:gauge("depth"):set(1) end)
    assert.matches("\ndepth 1\n", registry:render())
    assert.matches("a collector failed: .*no way", records.records[1].message)
  end)
end)

describe("dynamic tags", function()
  it("make series that end when nobody touches them", function()
    with_clock(function(pass)
      local registry <const> = metrics.registry { expiration = 60 }
      local hits <const> = registry:counter "hits"
      local get <const> = hits:with { method = "GET" }
      hits:with({ method = "PUT" }):add(2)
      pass(40)
      get:add()
      pass(40)
      registry:flush()
      assert.equal(get, hits:with { method = "GET" })
      assert.equal(0, hits:with({ method = "PUT" }).value)
    end)
  end)

  it("make series that can be kept beyond their end", function()
    with_clock(function(pass)
      local registry <const> = metrics.registry { expiration = 10 }
      local hits <const> = registry:counter "hits"
      local get <const> = hits:with { method = "GET" }
      get:add(5)
      pass(11)
      assert.not_matches("GET", registry:render())
      get:add()
      assert.matches('hits_total{method="GET"} 1\n', registry:render())
      pass(11)
      registry:flush()
      local other <const> = hits:with { method = "GET" }
      get:add(3)
      assert.equal(3, other.value)
    end)
  end)

  it("leave series alone that were made for ever", function()
    with_clock(function(pass)
      local registry <const> = metrics.registry { expiration = 10 }
      local hits <const> = registry:counter "hits"
      hits:with({ method = "GET" }):add()
      local get <const> = registry:counter("hits", { method = "GET" })
      pass(100)
      registry:flush()
      assert.equal(1, get.value)
      assert.matches('hits_total{method="GET"} 1\n', registry:render())
    end)
  end)

  it("hide what only lends its tags to others", function()
    local registry <const> = metrics.registry()
    local hits <const> = registry:counter "hits"
    local times <const> = registry:histogram "times"
    assert.matches("\nhits_total 0\n", registry:render())
    hits:with { method = "GET" }
    times:with { method = "GET" }
    assert.not_matches("\nhits_total 0\n", registry:render())
    assert.not_matches("\ntimes_count 0\n", registry:render())
    hits:add()
    times:observe(1)
    assert.matches("\nhits_total 1\n", registry:render())
    assert.matches("\ntimes_count 1\n", registry:render())
  end)

  it("are bounded: what is told to more series is dropped and counted", function()
    with_clock(function(pass)
      local registry <const> = metrics.registry { max_series = 100, expiration = 60 }
      local hits <const> = registry:counter "hits"
      for i = 1, 1000 do hits:with({ peer = i }):add() end
      local family <const> = registry.families.hits
      assert.equal(100, size(family))
      assert.equal(1000 - 99, family.dropped)
      local late <const> = hits:with { peer = 1000 }
      late:add()
      assert.equal(902, family.dropped)
      pass(61)
      late:add() -- there is room again
      assert.equal(1, hits:with({ peer = 1000 }).value)
      assert.equal(902, family.dropped)
    end)
  end)

  it("are found again, by one tag or several, and after they have expired", function()
    with_clock(function(pass)
      local registry <const> = metrics.registry { expiration = 10 }
      local hits <const> = registry:counter "hits"
      for _ = 1, 3 do
        local ok <const> = hits:with { code = 200 }
        ok:add()
        assert.equal(ok, hits:with { code = 200 })
        assert.equal(ok, hits:with { code = 200.0 })
        assert.equal(ok, hits:with { code = "200" })
        assert.equal(ok, hits:with({ code = 5 }):with { code = 200 })
        local get <const> = ok:with { method = "GET" }
        assert.equal(get, hits:with { code = 200, method = "GET" })
        assert.equal(get, hits:with({ method = "GET" }):with { code = 200 })
        assert.equal(hits, hits:with {})
        assert.equal(1, ok.value)
        pass(11)
        registry:flush()
        assert.equal(1, size(registry.families.hits))
      end
      assert.is_nil(next(hits.shortcuts.code))
    end)
  end)

  it("take no memory for what was dropped", function()
    local registry <const> = metrics.registry { max_series = 10 }
    local hits <const> = registry:histogram "hits"
    local function round()
      for i = 1, 2000 do hits:with({ peer = i, path = ("x"):rep(1000) }):observe(1) end
      collectgarbage()
      collectgarbage()
      return collectgarbage "count"
    end
    round()
    local before <const> = round()
    assert.is_true(round() - before < 16)
  end)

  it("are an error for series that are meant to last", function()
    local registry <const> = metrics.registry { max_series = 3 }
    for i = 1, 3 do registry:counter("hits", { n = i }) end
    assert.has_error(function() registry:counter("hits", { n = 4 }) end)
    registry:counter("hits", { n = 3 })
  end)

  it("are cut when they are long, and cleaned of what is no UTF-8", function()
    local registry <const> = metrics.registry()
    local hits <const> = registry:counter "hits"
    assert.equal(256, #hits:with({ a = ("x"):rep(10000) }).tags.a)
    assert.equal(("x"):rep(255), hits:with({ a = ("x"):rep(255) .. "äb" }).tags.a)
    assert.equal("a??b", hits:with({ a = "a\xff\xc3b" }).tags.a)
    assert.equal("", hits:with({ a = ("\x80"):rep(1000) }).tags.a or "")
    assert.equal("true", hits:with({ a = true }).tags.a)
    assert.equal("nan", hits:with({ a = 0 / 0 }).tags.a:gsub("-", ""))
    assert.equal(hits, hits:with { a = "" })
  end)
end)
