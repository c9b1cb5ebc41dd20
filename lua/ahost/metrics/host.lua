-- What the host tells of itself: the lag of its loop, tasks, handles, memory,
-- connections, log records, restarts of components, and what metrics have dropped.

local host <const> = require "ahost.host"
local log <const> = require "ahost.log"

local own <const> = {}

local GAUGES <const> = {
  tasks = { "ahost_tasks", help = "Tasks that have not ended." },
  handles = { "ahost_handles", help = "Handles that keep the loop alive." },
  coroutines = { "ahost_coroutines", help = "Coroutines of tasks, in use or pooled." },
  connections = { "ahost_connections", help = "Open connections of servers." },
  memory = {
    "ahost_memory",
    unit = "bytes",
    help = "Memory that Lua and the buffers take.",
  },
  lua_memory = { "ahost_lua_memory", unit = "bytes", help = "Memory that Lua takes." },
}

local function options(help, others)
  local opts <const> = others or {}
  opts.help, opts.namespace = help, false
  return opts
end

local function gauges(registry)
  local metrics <const> = {}
  for field, what in next, GAUGES do
    local opts <const> = options(what.help, { unit = what.unit })
    metrics[field] = registry:gauge(what[1], nil, opts)
  end
  return function(stats)
    for field, gauge in next, metrics do gauge:set(stats[field]) end
  end
end

local function lag(registry)
  local histogram <const> = registry:histogram("ahost_loop_lag", nil, options(
    "How long the turns of the loop lasted, in which nobody else is heard.",
    { unit = "seconds", buckets = host.stats().lag.bounds }))
  return function(stats)
    histogram.counts, histogram.sum = stats.lag.counts, stats.lag.total
  end
end

-- Counters by a tag whose values are the keys of what `read` returns.
local function counters(registry, name, tag, help, read)
  local made <const>, opts <const> = {}, options(help, { max_series = math.huge })
  return function(stats)
    for key, count in next, read(stats) do
      made[key] = made[key] or registry:counter(name, { [tag] = key }, opts)
      made[key].value = count
    end
  end
end

-- Of each handler that records go to.
local function dropped_records()
  local result <const> = {}
  for _, handler in ipairs(log.stats and log.stats() or {}) do
    result[handler.name] = (result[handler.name] or 0) + handler.dropped
  end
  return result
end

local function dropped_of(registry)
  return function()
    local result <const> = {}
    for _, family in next, registry.families do
      if family.dropped > 0 then result[family.full_name] = family.dropped end
    end
    return result
  end
end

--- Has a registry expose the host's own metrics.
---@param registry ahost.metrics.Registry
---@param restarts? fun(): table<string, integer>    of components so far, by their path
function own.install(registry, restarts)
  local parts <const> = {
    gauges(registry),
    lag(registry),
    counters(registry, "ahost_log_records", "level", "Log records written.",
      function(stats) return stats.log end),
    counters(registry, "ahost_log_dropped_records", "handler",
      "Log records that a handler could not take.", dropped_records),
    counters(registry, "ahost_metrics_dropped_updates", "metric",
      "Updates of series that there was no room for.", dropped_of(registry)),
    counters(registry, "ahost_component_restarts", "component",
      "Restarts of components.", restarts or function() return {} end),
  }
  registry:add_collector(function()
    local stats <const> = host.stats()
    for _, set in ipairs(parts) do set(stats) end
  end)
end

return own
