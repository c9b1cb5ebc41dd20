-- ahost.command.masking: a configuration without its secrets.
--
-- What is secret is told by the options of the components, and elsewhere by the names of
-- keys and by URLs that hold a password.

local config <const> = require "ahost.config"
local json <const> = require "ahost.json"
local options <const> = require "ahost.options"
local settings <const> = require "ahost.component.settings"
local tree <const> = require "ahost.component.tree"
local url <const> = require "ahost.options.url"
local value <const> = require "ahost.config.value"

local masking <const> = {}

local MASK <const> = "********"

local NAMES <const> = { "passw", "passphrase", "secret", "token", "api_?key",
  "private_?key", "credential" }

local function is_secret_name(key)
  if type(key) ~= "string" then return false end
  key = key:lower():gsub("-", "_")
  for _, name in ipairs(NAMES) do
    if key:find(name) then return true end
  end
  return false
end

local function mask_text(text)
  return text:find("^%a[%w+.-]*://[^/%s]*@") and url.mask(text) or text
end

-- Copies a value without what looks like a secret.
local function by_name(v, key)
  local is_empty <const> = v == json.null or v == "" or type(v) == "boolean"
  if is_secret_name(key) and not is_empty then return MASK end
  if type(v) == "string" then return mask_text(v) end
  if not value.is_container(v) then return v end
  local result <const> = setmetatable({}, getmetatable(v))
  for name, inner in next, v do result[name] = by_name(inner, name) end
  return result
end

-- A bad schema is told when the tree is built.
local function by_schema(schema, values)
  local ok, result = pcall(options.mask, schema, values)
  if not ok then return by_name(values) end
  for name, v in next, values do
    if not schema[name] and not settings.reserved[name] then
      result[name] = by_name(v, name)
    end
  end
  return result
end

local function child_of(node, alias)
  for _, child in ipairs(node and node.children or {}) do
    if child.alias == alias then return child end
  end
end

-- The configuration of a component; `node` is nil where nothing could be built.
local function mask_component(node, values)
  if not value.is_map(values) then return by_name(values) end
  local schema <const> = node and node.component and node.component.options
  local result <const> = schema and by_schema(schema, values) or by_name(values)
  if value.is_map(values.components) then
    result.components = {}
    for alias, inner in next, values.components do
      result.components[alias] = mask_component(child_of(node, alias), inner)
    end
  end
  return result
end

-- The nodes of an application, the root and what is wired.
local function roots_of(app)
  local roots <const> = { app and app.root }
  for _, node in ipairs(app and app.wired or {}) do roots[#roots + 1] = node end
  return roots
end

-- -> node of that type | nil
local function find_type(app, name)
  for _, root in ipairs(roots_of(app)) do
    for node in tree.each(root) do
      if node.type == name and node.component then return node end
    end
  end
end

local function find_wired(app, path)
  for _, node in ipairs(app and app.wired or {}) do
    if node.path == path then return node end
  end
end

local function each_of(values, mask)
  if not value.is_map(values) then return by_name(values) end
  local result <const> = {}
  for name, v in next, values do result[name] = mask(name, v) end
  return result
end

local SECTIONS <const> = {}

function SECTIONS.component(app, values)
  return mask_component(app and app.root, values)
end

function SECTIONS.components(app, values)
  return mask_component(app and app.root, { components = values }).components
end

function SECTIONS.defaults(app, values)
  return each_of(values, function(name, v)
    return mask_component(find_type(app, name), v)
  end)
end

for _, section in ipairs { "schedules", "servers" } do
  SECTIONS[section] = function(app, values)
    return each_of(values, function(name, v)
      return mask_component(find_wired(app, section .. "." .. name), v)
    end)
  end
end

--- A copy in which asterisks stand for secrets.
---@param values table              an effective configuration
---@param app? ahost.Application    what was built from it, as far as it could be
---@return table
function masking.mask(values, app)
  local result <const> = {}
  for key, v in next, values do
    local section <const> = SECTIONS[key]
    result[key] = section and section(app, v) or by_name(v, key)
  end
  return result
end

--- The value at a place of a masked configuration: the asterisks, if they stand for what
--- is around it.
---@param masked table
---@param keys string[]
---@return any
function masking.lookup(masked, keys)
  local found
  for i = 1, #keys do
    found = config.lookup(masked, table.move(keys, 1, i, 1, {}))
    if found == nil or found == MASK then break end
  end
  return found
end

return masking
