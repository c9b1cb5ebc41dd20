-- ahost.command.source: where the configuration of `ahost run` is from, for reloads: it
-- is read again, and what it says about the process is put into effect.

local changes <const> = require "ahost.reload.changes"
local config <const> = require "ahost.config"
local configuration <const> = require "ahost.command.configuration"
local json <const> = require "ahost.json"
local log <const> = require "ahost.log"

local logger <const> = log.get "ahost.application"

local source <const> = {}

-- What is settled when the process starts.
local SETTLED <const> = { "workers", "daemon", "control", "max_threads",
  "metrics.namespace", "metrics.tags", "metrics.max_series", "metrics.expiration" }

local function look_up(values, name)
  local value <const> = config.lookup(values, name)
  if value ~= json.null then return value end
end

-- -> the values of what is settled, by name
local function settled_by(values)
  local settled <const> = {}
  for _, name in ipairs(SETTLED) do settled[name] = look_up(values, name) end
  return settled
end

--- A function that says, once each, what of other configurations takes a restart.
---@param values table     the configuration that the process is started with
---@param followed? string      one that may change all the same
---@return fun(values: table)
function source.warner(values, followed)
  local started <const> = settled_by(values)
  local known = started
  return function(now)
    local settled <const> = settled_by(now)
    for _, name in ipairs(SETTLED) do
      local value <const> = settled[name]
      if name ~= followed and not changes.same(value, known[name])
        and not changes.same(value, started[name]) then
        logger:warning("%s has changed: that takes a restart", name)
      end
    end
    known = settled
  end
end

---@class ahost.command.Loaded    a configuration, and what it was read from
---@field values table
---@field files string[]          those that were named
---@field read string[]           all of them

--- The source of an application that is started with a configuration.
---@param args table         as parsed; the command line has the last word
---@param loaded ahost.command.Loaded
---@param is_worker? boolean    its supervisor warns
---@return ahost.ApplicationSource
function source.new(args, loaded, is_worker)
  local warn <const> = not is_worker and source.warner(loaded.values)
  local logging, good = look_up(loaded.values, "logging"), loaded.read
  local tried
  local self <const> = {}

  function self.load()
    local values, err, read = config.load(loaded.files,
      { set = args.set, service = args.service })
    tried = read
    if values then good = read end
    return values, err
  end

  function self.apply(values, keys)
    local wanted <const> = look_up(values, "logging")
    if not changes.same(wanted, logging) then
      local ok, err = configuration.open_logs(values, args)
      if not ok then return nil, err end
      logging = wanted
    end
    configuration.limit(keys)
    if warn then warn(values) end
    return true
  end

  -- What is wrong may be in a file that is read for the first time, and be mended there.
  function self.files()
    local list <const> = table.move(good, 1, #good, 1, {})
    return table.move(tried or {}, 1, #(tried or {}), #list + 1, list)
  end

  return self
end

return source
