-- What any component may be configured with, besides its own options: how it is
-- started, kept running, and what is below it. A component's table may say the same,
-- the configuration wins.

local config <const> = require "ahost.config"
local options <const> = require "ahost.options"

local settings <const> = {}

local SCHEMA <const> = {
  type = { type = "string", doc = "the module, file or bundled component" },
  components = { type = "any", doc = "the components below it" },
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
settings.reserved = SCHEMA

---@return ahost.OptionDescription[]
function settings.describe() return options.describe(SCHEMA) end

-- What is in `values` of the schema, over what the component's table says.
local function own_values(component, values)
  local defaults = {}
  for name in next, SCHEMA do
    if name ~= "components" and name ~= "type" then defaults[name] = component[name] end
  end
  local given = {}
  for name in next, SCHEMA do given[name] = values[name] end
  return defaults, given
end

-- `backoff` is seconds, or {first=, factor=, max=}.
local function check_backoff(values, place)
  local backoff <const> = values.backoff
  if type(backoff) ~= "table" then
    return options.check({ backoff = BACKOFF.first }, { backoff = backoff }, place)
  end
  local path <const> = place.path == "" and "backoff" or place.path .. ".backoff"
  local checked, problems = options.check(BACKOFF, backoff,
    { path = path, origin = place.origin })
  return checked and { backoff = checked }, problems
end

local function check(values, place)
  local checked, problems = options.check(SCHEMA, values, place)
  if not checked then return nil, problems end
  local backoff, wrong = check_backoff(checked, place)
  if not backoff then return nil, wrong end
  backoff = backoff.backoff
  checked.backoff = type(backoff) == "table" and backoff
    or { first = backoff, factor = 1, max = backoff }
  return checked
end

--- The settings of a component.
---@param component table   as loaded
---@param values table      its configuration, with its options
---@param place ahost.OptionPlace
---@return table? checked
---@return string[]? problems
function settings.check(component, values, place)
  local defaults, given = own_values(component, values)
  local merged, problems = check(defaults, { path = place.path })
  if not merged then return nil, problems end
  return check(config.merge(defaults, given), place)
end

return settings
