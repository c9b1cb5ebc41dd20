-- ahost.options.schema: whether a schema makes sense. What is wrong with one is a
-- mistake in the program and is raised.

local convert <const> = require "ahost.options.convert"
local spelling <const> = require "ahost.spelling"
local types <const> = require "ahost.options.types"

local schema <const> = {}

-- The attributes of options, and the types that have those that not all have.
local ATTRIBUTES <const> = {
  type = true,
  default = true,
  required = true,
  doc = true,
  secret = true,
  check = true,
  min = "string integer number duration size list map",
  max = "string integer number duration size list map",
  values = "enum",
  of = "list map",
  fields = "map",
}

local KINDS <const> = { required = "boolean", doc = "string", secret = "boolean",
  check = "function", values = "table", of = "table", fields = "table" }

local TYPES <const> = { "string", "integer", "number", "boolean", "duration", "size",
  "address", "url", "enum", "list", "map", "any" }

local TYPE_EXISTS <const> = {}
for _, name in ipairs(TYPES) do TYPE_EXISTS[name] = true end

local function fail(path, text, ...)
  error(("option '%s': %s"):format(path, text:format(...)), 0)
end

local function check_type(path, spec)
  if type(spec) ~= "table" then
    fail(path, "a table { type = ... } expected, got %s", type(spec))
  end
  if spec.type == nil then fail(path, "it has no type") end
  if type(spec.type) ~= "string" or not TYPE_EXISTS[spec.type] then
    local name = tostring(spec.type)
    fail(path, "unknown type '%s' %s", name, spelling.hint(name, TYPES))
  end
end

local function check_attribute(path, spec, name, value)
  local use = ATTRIBUTES[name]
  if not use then
    local known = convert.sorted_keys(ATTRIBUTES)
    fail(path, "unknown attribute '%s' %s", tostring(name),
      spelling.hint(tostring(name), known))
  end
  if use ~= true and not (" " .. use .. " "):find(" " .. spec.type .. " ", 1, true) then
    fail(path, "type %s has no '%s'", spec.type, name)
  end
  if KINDS[name] and type(value) ~= KINDS[name] then
    fail(path, "'%s' must be a %s, not a %s", name, KINDS[name], type(value))
  end
end

local function check_bounds(path, spec)
  local written <const> = spec.type == "duration" or spec.type == "size"
  for _, name in ipairs { "min", "max" } do
    local kind = type(spec[name])
    local bound = (kind == "number" or written and kind == "string")
      and types.bound(spec, name)
    if spec[name] ~= nil and not bound then
      fail(path, "'%s' must be a number%s", name, written and " or as values are" or "")
    end
  end
  local low, high = types.bound(spec, "min"), types.bound(spec, "max")
  if low and high and low > high then fail(path, "'min' is greater than 'max'") end
end

local function check_values(path, spec)
  if spec.type ~= "enum" then return end
  if not spec.values or #spec.values == 0 then
    fail(path, "type enum needs 'values', a list of what is allowed")
  end
  for _, value in ipairs(spec.values) do
    if type(value) == "table" or type(value) == "function" then
      fail(path, "'values' are strings, numbers or booleans")
    end
  end
end

local function check_default(path, spec)
  if spec.default == nil then return end
  if spec.required then fail(path, "what is required needs no default") end
  local reading, at = convert.begin()
  reading:value(spec, spec.default, at)
  if #reading.problems > 0 then
    fail(path, "bad default: %s", table.concat(reading.problems, "; "))
  end
end

local check_options

-- `around` holds the schemas that contain the option.
local function check_option(path, spec, around)
  check_type(path, spec)
  for name, value in next, spec do check_attribute(path, spec, name, value) end
  check_bounds(path, spec)
  check_values(path, spec)
  if spec.of and spec.fields then fail(path, "'of' and 'fields' exclude each other") end
  if spec.of then
    if around[spec.of] then fail(path, "it contains itself") end
    around[spec.of] = true
    check_option(path .. ".*", spec.of, around)
    around[spec.of] = nil
  end
  if spec.fields then check_options(path .. ".", spec.fields, around) end
  check_default(path, spec)
end

function check_options(prefix, options, around)
  if around[options] then fail(prefix:sub(1, -2), "it contains itself") end
  around[options] = true
  for _, name in ipairs(convert.sorted_keys(options)) do
    if type(name) ~= "string" then
      error(("the name of an option must be a string, not %s"):format(tostring(name)), 0)
    end
    check_option(prefix .. name, options[name], around)
  end
  around[options] = nil
end

local checked <const> = setmetatable({}, { __mode = "k" })

--- Raises what is wrong with a schema; looks at each schema once.
---@param options table<string, ahost.Option>
function schema.check(options)
  if type(options) ~= "table" then
    error("options must be a table of options by name, not a " .. type(options), 0)
  end
  if checked[options] then return end
  check_options("", options, {})
  checked[options] = true
end

return schema
