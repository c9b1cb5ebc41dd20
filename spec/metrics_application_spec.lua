local application <const> = require "ahost.application"
local commands <const> = require "ahost.control.commands"
local log <const> = require "ahost.log"
local metrics <const> = require "ahost.metrics"
local sync <const> = require "ahost.sync"
local task <const> = require "ahost.task"
local testing <const> = require "ahost.testing"

describe("metrics.current", function()
  it("is one of the process without an application", function()
    local registry <const> = metrics.current()
    assert.equal(registry, metrics.current())
    metrics.counter("spec_hits"):add()
    assert.matches("\nspec_hits_total 1\n", registry:render())
    assert.matches("\nahost_tasks %d+\n", registry:render())
  end)

  it("is that of the application", function()
    local app <const> = testing.host {
      component = {
        start = function()
          metrics.counter("hits"):add()
          metrics.gauge("depth"):set(3)
          metrics.rate "r"
          metrics.duty "d"
          metrics.aggregation "a"
          metrics.histogram("h"):observe(1)
        end,
      },
    }
    local text <const> = app:require("metrics"):render()
    assert.matches("\nhits_total 1\n", text)
    assert.matches("\ndepth 3\n", text)
    assert.is_nil(metrics.current().families.depth)
    app:stop()
  end)
end)

describe("the metrics of an application", function()
  it("have the namespace and the tags of its configuration", function()
    local app <const> = testing.host {
      config = { metrics = { namespace = "shop", tags = { zone = "eu" } } },
    }
    local registry <const> = app:require "metrics"
    registry:counter("hits", { a = "b" }):add()
    registry:counter("hits", { zone = "us" }):add()
    local text <const> = registry:render()
    assert.matches('\nshop_hits_total{a="b",zone="eu"} 1\n', text)
    assert.matches('\nshop_hits_total{zone="us"} 1\n', text)
    assert.matches('\nahost_tasks{zone="eu"} %d+\n', text)
    app:stop()
  end)

  it("are flushed every so often, and the bus is told before", function()
    local _ <close> = testing.clock()
    local app <const> = testing.host { config = { metrics = { flush = "30s" } } }
    local registry <const> = app:require "metrics"
    local depth <const> = registry:aggregation "depth"
    app.bus:subscribe("metrics.flush", function() depth:set(7) end)
    task.sleep(29)
    assert.is_nil(depth.value)
    task.sleep(2)
    assert.equal(7, depth.value)
    app:stop()
  end)

  it("are flushed by hand when the period is 0", function()
    local _ <close> = testing.clock()
    local app <const> = testing.host { config = { metrics = { flush = 0 } } }
    local registry <const> = app:require "metrics"
    local hits <const> = registry:counter("hits", nil, { reset = true })
    task.sleep(1000)
    assert.is_nil(hits.value)
    registry:flush()
    assert.equal(0, hits.value)
    app:stop()
  end)

  it("tell how often components were restarted", function()
    local _ <close> = log.capture { passes = false }
    local starts <const>, crash <const> = sync.queue(10), sync.event()
    package.loaded["spec.flaky"] = {
      start = function(_, ctx)
        starts:put(true)
        ctx:spawn(function()
          crash:wait()
          crash:clear()
          error("crash", 0)
        end)
      end,
    }
    finally(function() package.loaded["spec.flaky"] = nil end)
    local app <const> = testing.host {
      config = {
        components = {
          flaky = { type = "spec.flaky", restart = "on-failure", backoff = 0 },
        },
      },
    }
    starts:get()
    for _ = 1, 2 do
      crash:set()
      starts:get()
    end
    assert.matches('\nahost_component_restarts_total{component="flaky"} 2\n',
      app:require("metrics"):render())
    app:stop()
  end)

  it("are told by its control socket, in any format that there is", function()
    local app <const> = testing.host {}
    local control <const> = { app = { ctx = app.ctx } }
    local function ask(format)
      return commands.metrics.run(control, { format = format })
    end
    assert.matches("\nahost_tasks %d+\n", ask())
    assert.matches("^{", ask "json")
    for _, format in ipairs { "xml", "", 5, {} } do
      local text, err = ask(format)
      assert.is_nil(text)
      assert.equal("EINVAL", err.code)
    end
    app:stop()
  end)

  it("tell how many log records each handler has dropped", function()
    local stats <const> = log.stats
    finally(function() log.stats = stats end)
    log.stats = function()
      return { { name = "syslog", queued = 1, dropped = 2 } }
    end
    local app <const> = testing.host {}
    assert.matches('\nahost_log_dropped_records_total{handler="syslog"} 2\n',
      app:require("metrics"):render())
    app:stop()
  end)

  it("tell what was dropped", function()
    local app <const> = testing.host { config = { metrics = { max_series = 1 } } }
    local registry <const> = app:require "metrics"
    registry:counter("hits"):with({ a = 1 }):add()
    assert.matches('\nahost_metrics_dropped_updates_total{metric="hits"} 1\n',
      registry:render())
    app:stop()
  end)
end)

describe("the configuration of metrics", function()
  it("is checked", function()
    local function problems(values)
      local _, err = application.new { metrics = values }
      return err and err.message
    end
    assert.is_nil(problems {})
    assert.matches("metrics.namespace: must be of letters",
      problems { namespace = "a-b" })
    assert.matches("metrics.tags: tag 'le' is a name that is reserved",
      problems { tags = { le = "x" } })
    assert.matches("metrics.tags.a: must be a string", problems { tags = { a = {} } })
    assert.matches("metrics.flush: must be a duration", problems { flush = "often" })
    assert.matches("metrics.max_series: must be an integer", problems { max_series = 0 })
    assert.matches("metrics.flsh: unknown option", problems { flsh = 1 })
  end)
end)
