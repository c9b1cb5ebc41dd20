-- What any component may be configured with, besides its own options: how it is
-- started, kept running, and what is below it. A component's table may say the same,
-- the configuration wins.

local config <const> = require "ahost.config"
local options <const> = require "ahost.options"

local settings <const> = {}

local SCHEMA <const> = {
  isolated = {
    type = "boolean",
    default = false,
    doc = "what it publishes is for the components below it only",
  },
  start_timeout = {
    type = "duration",
    min = 0,
    doc = "how long it may take to start; 0: for ever",
  },
  restart = {
    type = "enum",
    values = { "never", "on-failure", "always" },
    default = "never",
    doc = "when it is started again; never: its failure ends the application",
  },
  backoff = { type = "any", default = 1, doc = "the pause before a restart" },
  max_restarts = { type = "integer", min = 0, default = 5, doc = "and no more of them" },
  max_restarts_window = { type = "duration", default = 60, doc = "within this time" },
}

local BACKOFF <const> = {
  first = { type = "duration", min = 0, default = 1 },
  factor = { type = "number", min = 1, default = 2 },
  max = { type = "duration", min = 0, default = 60 },
}

--- The names that are no options of a component.
settings.reserved = { type = true, components = true }
for name in next, SCHEMA do settings.reserved[name] = true end

---@return ahost.OptionDescription[]
function settings.describe() return options.describe(SCHEMA) end

--- The settings in columns, as `options.help` has them.
---@return string lines
function settings.help() return options.help(SCHEMA) end

-- `values` over what the component's table says.
local function over_own(component, values)
  local own <const> = {}
  for name in next, SCHEMA do
    own[name] = component[name]
  end
  return next(own) and config.merge(own, values) or values
end

-- The names that are not ours to check.
local function other_names(values)
  local others <const> = {}
  for name in next, values do others[name] = SCHEMA[name] == nil or nil end
  return others
end

-- `backoff` is {first=, factor=, max=}, or seconds. `checked` has its default.
-- -> the former | nil, problems
local function check_backoff(values, checked, place)
  local backoff = checked.backoff
  if type(backoff) ~= "table" then
    backoff = { first = backoff, max = backoff }
  else
    backoff = values.backoff -- which knows its origin
  end
  return options.check(BACKOFF, backoff, {
    path = place.path == "" and "backoff" or place.path .. ".backoff",
    at = place.origin(values, "backoff") or place.at,
    origin = place.origin,
  })
end

--- The settings of a component.
---@param component table   as loaded
---@param values table      its configuration, with its options
---@param place ahost.OptionPlace
---@return table? checked
---@return string[]? problems
function settings.check(component, values, place)
  local merged <const> = over_own(component, values)
  local where <const> = { path = place.path, at = place.at, origin = place.origin }
  where.reserved = other_names(merged)
  local checked, problems = options.check(SCHEMA, merged, where)
  if not checked then return nil, problems end
  local backoff, wrong = check_backoff(merged, checked, where)
  if not backoff then return nil, wrong end
  checked.backoff = backoff
  return checked
end

return settings
