-- The top-level key `workers`: how many processes run the application, and how they are
-- kept running.
--
--     workers: 4
--     workers: auto
--     workers: {count: auto, backoff: {first: 100ms, max: 10s}, max_restarts: 10}

local config <const> = require "ahost.config"
local core <const> = require "ahost.host.worker"
local errors <const> = require "ahost.error"
local json <const> = require "ahost.json"
local options <const> = require "ahost.options"

local workers <const> = {}

local MOST <const> = 256

workers.option = {
  type = "any",
  doc = "processes that share the listening sockets: a number, auto, or a map",
}

---@class ahost.WorkerSettings
---@field count integer
---@field backoff {first: number, factor: number, max: number}   seconds
---@field max_restarts integer
---@field max_restarts_window number    seconds

local BACKOFF <const> = {
  first = { type = "duration", min = 0, default = 1, doc = "of the first" },
  factor = { type = "number", min = 1, default = 2, doc = "for each that follows" },
  max = { type = "duration", min = 0, default = 60, doc = "and no longer" },
}

local function check_count(value)
  local count <const> = math.tointeger(tonumber(value))
  if value == "auto" or count and count >= 1 and count <= MOST then return true end
  return nil, ("write a number from 1 to %d, or auto (one for each processor)"):format(
    MOST)
end

local SCHEMA <const> = {
  count = { type = "any", required = true, check = check_count, doc = "or auto" },
  backoff = { type = "any", default = 1, doc = "the pause before a restart" },
  max_restarts = {
    type = "integer",
    min = 0,
    default = 5,
    doc = "of each; one more ends the application",
  },
  max_restarts_window = { type = "duration", default = 60, doc = "within this time" },
}

-- `backoff` is {first=, factor=, max=}, or seconds. -> the former | nil, problems
local function check_backoff(backoff, at)
  if type(backoff) ~= "table" then backoff = { first = backoff, max = backoff } end
  return options.check(BACKOFF, backoff,
    { path = "workers.backoff", at = at, origin = config.origin })
end

--- The settings of workers.
---@param values table    an effective configuration
---@return ahost.WorkerSettings? settings   nil: a single process
---@return string[]? problems
function workers.check(values)
  local given = values.workers
  local at <const> = config.origin(values, "workers")
  if given == nil or given == json.null then return nil end
  if type(given) ~= "table" then given = { count = given } end
  local checked, problems = options.check(SCHEMA, given,
    { path = "workers", at = at, origin = config.origin })
  if not checked then return nil, problems end
  local backoff_at <const> = config.origin(given, "backoff") or at
  checked.backoff, problems = check_backoff(given.backoff or checked.backoff, backoff_at)
  if problems then return nil, problems end
  checked.count = checked.count == "auto" and math.min(core.parallelism(), MOST)
    or math.tointeger(tonumber(checked.count))
  return checked
end

--- Workers are for what serves until it is stopped.
---@param values table    an effective configuration
---@param root? ahost.ComponentNode
---@return true? ok
---@return ahost.Error? err   code CONFIG
function workers.check_root(values, root)
  if values.workers == nil or not (root and root.component and root.component.run) then
    return true
  end
  local at <const> = config.origin(values, "workers")
  local problem <const> = (at and at .. ": " or "") .. "workers: the root component has "
    .. "a `run`, whose end ends the application; run it without workers"
  return nil, errors.new("CONFIG", problem, { errors = { problem } })
end

return workers
