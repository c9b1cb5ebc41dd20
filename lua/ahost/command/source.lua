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
local SETTLED <const> = { "daemon", "control", "max_threads", "metrics.namespace",
  "metrics.tags", "metrics.max_series", "metrics.expiration" }

local function look_up(values, name)
  local value <const> = config.lookup(values, name)
  if value ~= json.null then return value end
end

-- -> the values of what is settled, by name
local function settled_by(values, names)
  local settled <const> = {}
  for _, name in ipairs(names) do settled[name] = look_up(values, name) end
  return settled
end

-- Says once what is not going to follow the files.
local function warner(values, names)
  local started <const> = settled_by(values, names)
  local known = started
  return function(now)
    local settled <const> = settled_by(now, names)
    for _, name in ipairs(names) do
      local value <const> = settled[name]
      if not changes.same(value, known[name]) and not changes.same(value, started[name])
      then
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
---@param is_worker? boolean    a supervisor looks after its number, and tells
---@return ahost.ApplicationSource
function source.new(args, loaded, is_worker)
  local warn <const> = warner(loaded.values, is_worker and {}
    or table.move(SETTLED, 1, #SETTLED, 2, { "workers" }))
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
    warn(values)
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
