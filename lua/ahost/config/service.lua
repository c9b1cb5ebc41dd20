-- `services:`: several programs in one configuration, of which one is chosen and
-- merged over the top level.

local merge <const> = require "ahost.config.merge"
local origin <const> = require "ahost.config.origin"
local path <const> = require "ahost.config.path"
local value <const> = require "ahost.config.value"

local service = {}

local DEFAULT <const> = "default"

local function list(services)
  return table.concat(value.sorted_keys(services), ", ")
end

local function quoted(chosen, by)
  return ('"%s"%s'):format(chosen, by and (" (%s)"):format(by) or "")
end

-- -> name | nil, problem
local function choose(services, chosen, by)
  if chosen then
    if services[chosen] ~= nil then
      return chosen
    end
    return nil, ("There is no service %s; the configuration has: %s"):format(
      quoted(chosen, by), list(services))
  end
  local only = next(services)
  if next(services, only) == nil then
    return only
  elseif services[DEFAULT] ~= nil then
    return DEFAULT
  end
  return nil, ('The configuration has several services, and none is called "default"; '
    .. "choose one by -s or AHOST_SERVICE: %s"):format(list(services))
end

-- Without `services`, all there is is the service `default`.
local function choose_none(chosen, by, problems)
  if chosen and chosen ~= DEFAULT then
    problems:add(nil, nil, ("There is no service %s; the configuration has no services")
      :format(quoted(chosen, by)))
  end
end

---Takes `services` out of a configuration and merges the chosen one over the rest.
---@param config table      changed
---@param chosen? string
---@param by? string        what chose it
---@param problems table
function service.select(config, chosen, by, problems)
  local services, place = config.services, origin.of(config, "services")
  config.services = nil
  local empty = services == nil or services == value.null
  if empty or value.is_map(services) and not next(services) then
    return choose_none(chosen, by, problems)
  elseif not value.is_map(services) then
    problems:add(place, "services",
      ("must be a map of services, not %s"):format(value.kind(services)))
    return
  end
  local name, problem = choose(services, chosen, by)
  local layer = name and services[name]
  if not name then
    problems:add(nil, nil, problem)
  elseif value.is_map(layer) then
    merge.into(config, layer)
  elseif layer ~= value.null then
    problems:add(origin.of(services, name), path.join { "services", name },
      ("must be a map, not %s"):format(value.kind(layer)))
  end
end

return service
