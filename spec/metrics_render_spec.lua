local json <const> = require "ahost.json"
local metrics <const> = require "ahost.metrics"
local number <const> = require "ahost.metrics.number"
local subprocess <const> = require "spec.subprocess"
local testing <const> = require "ahost.testing"

-- Debian's python3-prometheus-client, whose parser of OpenMetrics is strict.
local STRICT <const> = [[
import json, sys
from prometheus_client.openmetrics import parser
families = []
for family in parser.text_string_to_metric_families(sys.stdin.buffer.read().decode()):
    families.append({
        "name": family.name, "type": family.type, "unit": family.unit,
        "help": family.documentation,
        "samples": [{"name": s.name, "labels": s.labels, "value": repr(float(s.value))}
                    for s in family.samples],
    })
json.dump(families, sys.stdout)
]]

local LAX <const> = STRICT:gsub("%.openmetrics import", " import")

-- What a parser of Python makes of a text; it must not complain.
local function parse(text, program)
  local directory <const>, remove <const> = subprocess.directory()
  finally(remove)
  subprocess.write(directory .. "/parse.py", program or STRICT)
  subprocess.write(directory .. "/text", text)
  local result <const> = subprocess.shell(("exec /usr/bin/python3 %s/parse.py <%s/text")
    :format(directory, directory))
  assert.equal("", result.err)
  local families <const> = {}
  for _, family in ipairs(assert(json.decode(result.out))) do
    families[family.name] = family
  end
  return families
end

-- A registry with something of each kind in it, and nasty texts.
local function filled()
  local registry <const> = metrics.registry {
    namespace = "shop",
    tags = { zone = 'a"b\\c\nd, =' },
  }
  local hits <const> = registry:counter("hits", nil, { help = 'Say "hi"\\\nthere.' })
  hits:with({ path = 'x"y\\z\n', method = "GET" }):add(3)
  hits:with({ path = "\\" }):add(0.5)
  hits:with({ path = "\xff} 1" }):add()
  registry:gauge("temperature", nil, { unit = "celsius" }):set(-3.25)
  registry:gauge("far"):set(-math.huge)
  registry:gauge "unset"
  registry:rate("speed"):add()
  registry:duty("busy"):set(true)
  registry:aggregation("most", { of = "it" }):set(12)
  registry:counter("period", nil, { reset = true }):add(9)
  local times <const> = registry:histogram("times", nil,
    { unit = "seconds", buckets = { 0.00001, 0.0025, 1, 100000, 1e6, 1.5e9 } })
  times:with({ step = "one" }):observe(0.002)
  times:with({ step = "two" }):observe(7)
  times:with({ step = "two" }):observe(1e10)
  registry:histogram("offsets", nil, { buckets = { -1, 0, 1 } }):observe(-0.5)
  registry:histogram("empty", nil, {})
  return registry
end

local ZONE <const> = 'a"b\\c\nd, ='

describe("OpenMetrics", function()
  it("is accepted by a strict parser", function()
    local _ <close> = testing.clock()
    local families <const> = parse(filled():render())
    local hits <const> = families.shop_hits
    assert.equal("counter", hits.type)
    assert.equal('Say "hi"\\\nthere.', hits.help)
    assert.same({ name = "shop_hits_total", value = "3.0",
      labels = { zone = ZONE, path = 'x"y\\z\n', method = "GET" } }, hits.samples[1])
    assert.equal(3, #hits.samples)
    local temperature <const> = families.shop_temperature_celsius
    assert.equal("celsius", temperature.unit)
    assert.equal("-3.25", temperature.samples[1].value)
    assert.equal("-inf", families.shop_far.samples[1].value)
    assert.is_nil(families.shop_unset)
  end)

  it("has buckets that each count what the ones before them do", function()
    local family <const> = parse(filled():render()).shop_times_seconds
    assert.equal("histogram", family.type)
    local lines <const> = {}
    for _, sample in ipairs(family.samples) do
      if sample.labels.step == "two" then
        lines[#lines + 1] = sample.name:match "_(%l+)$" .. " "
          .. (sample.labels.le or "") .. " " .. tonumber(sample.value)
      end
    end
    assert.same({ "bucket 1e-05 0.0", "bucket 0.0025 0.0", "bucket 1.0 0.0",
      "bucket 100000.0 1.0", "bucket 1e+06 1.0", "bucket 1.5e+09 1.0",
      "bucket +Inf 2.0", "count  2.0", "sum  10000000007.0" }, lines)
  end)

  it("shows what a flush has made of rates and the like as gauges", function()
    local clock <close> = testing.clock { manual = true }
    local registry <const> = filled()
    clock:advance(4)
    registry:flush()
    local families <const> = parse(registry:render())
    local expected <const> = { shop_speed = 0.25, shop_busy = 1, shop_most = 12,
      shop_period = 9 }
    for name, value in next, expected do
      assert.equal("gauge", families[name].type)
      local difference <const> = tonumber(families[name].samples[1].value) - value
      assert.is_true(math.abs(difference) < 1e-6)
    end
  end)

  it("of the host itself is accepted, too", function()
    local app <const> = testing.host { config = { metrics = { max_series = 1 } } }
    app:require("metrics"):counter("hits"):with({ a = 1 }):add()
    local families <const> = parse(app:require("metrics"):render())
    local lag <const> = families.ahost_loop_lag_seconds
    assert.equal("histogram", lag.type)
    assert.equal(22, #lag.samples)
    assert.is_true(tonumber(lag.samples[22].value) > 0)
    for _, name in ipairs { "tasks", "handles", "memory_bytes", "lua_memory_bytes",
      "connections", "coroutines" } do
      assert.equal("gauge", families["ahost_" .. name].type)
    end
    assert.equal(6, #families.ahost_log_records.samples)
    assert.equal("1.0", families.ahost_metrics_dropped_updates.samples[1].value)
    app:stop()
  end)

  it("is no more than its end when there are no metrics", function()
    assert.equal("# EOF\n", metrics.registry():render())
    assert.equal("", metrics.registry():render "prometheus")
    assert.equal("", metrics.registry():render "influx")
    assert.same({}, json.decode(metrics.registry():render "json").metrics)
  end)
end)

describe("the format of Prometheus", function()
  it("is accepted by its parser", function()
    local text <const> = filled():render "prometheus"
    assert.matches("\n# TYPE shop_hits_total counter\n", text)
    assert.not_matches("# UNIT", text)
    assert.not_matches("# EOF", text)
    local families <const> = parse(text, LAX)
    assert.equal(3, #families.shop_hits.samples)
    assert.equal('Say "hi"\\\nthere.', families.shop_hits.help)
    assert.equal(ZONE, families.shop_temperature_celsius.samples[1].labels.zone)
  end)
end)

describe("JSON", function()
  it("has all metrics in order", function()
    local decoded <const> = json.decode(filled():render "json")
    assert.equal("number", type(decoded.time))
    local by_name <const>, names <const> = {}, {}
    for i, metric in ipairs(decoded.metrics) do
      by_name[metric.name], names[i] = metric, metric.name
    end
    assert.same({ "shop_empty", "shop_far", "shop_hits", "shop_offsets",
      "shop_temperature_celsius", "shop_times_seconds" }, names)
    assert.same({ name = "shop_temperature_celsius", type = "gauge", unit = "celsius",
      series = { { tags = { zone = ZONE }, value = -3.25 } } },
      by_name.shop_temperature_celsius)
    assert.equal(json.null, by_name.shop_far.series[1].value)
    local offsets <const> = by_name.shop_offsets.series[1]
    assert.equal(1, offsets.count)
    assert.equal(-0.5, offsets.sum)
    assert.same({ { le = -1.0, count = 0 }, { le = 0.0, count = 1 },
      { le = 1.0, count = 1 }, { le = "+Inf", count = 1 } }, offsets.buckets)
  end)
end)

describe("InfluxDB lines", function()
  local function lines(registry)
    local found <const> = {}
    for line in registry:render("influx"):gmatch "([^\n]*)\n" do
      found[#found + 1] = line:match "^(.*) %d+$"
      assert.matches(" %d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d$", line)
    end
    return found
  end

  it("have integers for what counts and floats for the rest", function()
    local registry <const> = metrics.registry()
    registry:counter("a"):add(2)
    registry:counter("b", nil, { init = 0.0 }):add(2)
    registry:gauge("c"):set(2)
    registry:gauge("d"):set(0.1)
    registry:gauge("e"):set(math.huge)
    registry:histogram("f", nil, { buckets = { 0.5, 2 } }):observe(1)
    assert.same({ "a value=2i", "b value=2", "c value=2", "d value=0.1",
      "f 0.5=0i,2=1i,+Inf=1i,count=1i,sum=1" }, lines(registry))
  end)

  it("escape what separates, and leave out what cannot be written", function()
    local registry <const> = metrics.registry { tags = { zone = "eu west" } }
    local gauge <const> = registry:gauge "g"
    gauge:with({ path = 'a b,c=d"e' }):set(1)
    gauge:with({ path = "a\nb\\" }):set(2)
    gauge:with({ path = "c:\\d" }):set(3)
    gauge:with({ path = "\\\\" }):set(4)
    local found <const> = lines(registry)
    table.sort(found)
    assert.same({
      [[g,path=a\ b,zone=eu\ west value=2]],
      [[g,path=a\ b\,c\=d"e,zone=eu\ west value=1]],
      [[g,path=c:\d,zone=eu\ west value=3]],
      [[g,zone=eu\ west value=4]],
    }, found)
  end)
end)

describe("a format that there is not", function()
  it("is an error", function()
    assert.has_error(function() metrics.registry():render "xml" end)
  end)
end)

describe("a number in an exposition", function()
  it("reads as the same number", function()
    for _, value in ipairs { 0.1, 1 / 3, 1e300, 5e-324, 123456789.123, 2 ^ 53, -0.5 } do
      assert.equal(value, tonumber(number.text(value)))
    end
    assert.equal("0.1", number.text(0.1))
    assert.equal("9007199254740993", number.text(9007199254740993))
    assert.equal("NaN", number.sample(0 / 0))
    assert.equal("+Inf", number.bound(math.huge))
    assert.equal("-1.0", number.bound(-1.0))
    assert.equal("1.25e+09", number.bound(1.25e9))
  end)
end)
