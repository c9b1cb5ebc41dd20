-- ahost.options: what a component may be configured with. Values are checked by a
-- schema, a table of options by name:
--
--     { port = { type = "integer", min = 1, max = 65535, default = 80 } }

local convert <const> = require "ahost.options.convert"
local help <const> = require "ahost.options.help"
local schemas <const> = require "ahost.options.schema"
local types <const> = require "ahost.options.types"

local options <const> = {}

---@alias ahost.OptionType
---| "string" | "integer" | "number" | "boolean" | "duration" | "size"
---| "address" | "url" | "enum" | "list" | "map" | "any"

---@class ahost.Option
---@field type ahost.OptionType
---  duration: seconds, or `10ms 5s 2m 1h30m 3d 1w`; size: bytes, or `64K 64KiB 10MB 1G`
---  (K and KiB are 1024, KB is 1000); address: as ahost.net takes it
---@field default? any        as a value is written; may not go with `required`
---@field required? boolean
---@field doc? string
---@field min? number|string  of the value, of the characters of a string, of the items of
---  a list, of the keys of a map; of duration and size also as a value is written
---@field max? number|string
---@field values? any[]       of an enum
---@field secret? boolean     not to be shown
---@field check? fun(value: any): any, string?    of the converted value; when it returns
---  no true value it returns what is wrong second, for the message
---@field of? ahost.Option    of the items of a list, the values of a map
---@field fields? table<string, ahost.Option>    the keys of a map

---@class ahost.OptionPlace
---@field path? string        of the values: "web.sessions"
---@field at? string          where the values were written, for what is missing in them
---@field origin? fun(container: table, key: any): string?    where one was written
---@field reserved? table<string, any>    names that are no options but may be there
---@field literal? fun(container: table): table    a map with the keys as they were
---  written: dots in them are no nesting where an option is a map without `fields`

---@class ahost.OptionDescription
---@field name string         with dots, where it is in a map
---@field type string         "list of integer"
---@field default? any        as in the schema; "********" for a secret
---@field required boolean
---@field doc? string
---@field range? string       "from 1 to 65535", "of at least 8 characters", "a, b or c"
---@field secret boolean

-- The author of a component cannot take a name that means something to all of them.
local function check_reserved(schema, reserved)
  for name in next, schema do
    if reserved[name] then
      error(("option '%s': the name is reserved"):format(name), 0)
    end
  end
end

-- Without a schema anything goes.
local function accept(values, reserved)
  local result = {}
  for name, value in next, values do
    if not reserved[name] and convert.is_given(value) then
      result[name] = convert.copy(value)
    end
  end
  return result
end

--- Checks values against a schema, converts them and fills in the defaults. Strings, as
--- they come from the environment, are read as numbers, booleans (`true false yes no on
--- off 1 0`), durations and sizes. A null counts as not given, and a secret is shown in
--- no message. Raises what is wrong with the schema itself.
---@param schema table<string, ahost.Option>?  nil: anything goes
---@param values table?                        stays as it is
---@param place ahost.OptionPlace?
---@return table? checked     a new table, all tables in it too
---@return string[]? problems all of them: "app.yaml:3:9: web.port: must be an integer..."
function options.check(schema, values, place)
  local reading, at = convert.begin(place)
  local reserved <const> = place and place.reserved or {}
  if schema ~= nil then
    schemas.check(schema)
    check_reserved(schema, reserved)
  end
  if not convert.is_given(values) then values = {} end
  if type(values) ~= "table" or types.is_list(values) then
    reading:refuse(at, { type = "map" }, values)
    return nil, reading.problems
  end
  if schema == nil then return accept(values, reserved) end
  local checked = reading:fields(schema, values, at, reserved)
  if #reading.problems > 0 then return nil, reading.problems end
  return checked
end

--- Tells what options there are, sorted by name. Raises what is wrong with the schema.
---@param schema table<string, ahost.Option>?
---@return ahost.OptionDescription[]
function options.describe(schema)
  schema = schema or {}
  schemas.check(schema)
  return help.describe(schema)
end

--- The options in columns of at most 80 characters: name, type, default, what it is for.
---@param schema table<string, ahost.Option>?
---@param prefix? string  the path of the component
---@return string lines   "" if there are no options
function options.help(schema, prefix)
  schema = schema or {}
  schemas.check(schema)
  return help.help(schema, prefix)
end

--- A copy of values, checked or not, in which "********" stands for what is secret and
--- for the passwords in URLs.
---@param schema table<string, ahost.Option>?
---@param values table
---@return table
function options.mask(schema, values)
  schema = schema or {}
  schemas.check(schema)
  return help.mask(schema, values)
end

return options
