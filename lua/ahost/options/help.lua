-- ahost.options.help: options in words, for people.

local convert <const> = require "ahost.options.convert"
local json <const> = require "ahost.json"
local types <const> = require "ahost.options.types"
local url <const> = require "ahost.options.url"

local help <const> = {}

local WIDTH <const> = 80
local INDENT <const> = "  "
local MASK <const> = "********"
local LONGEST_DEFAULT <const> = 24
local NARROWEST_DOC <const> = 26

-- "list of integer", "map of list of string"
local function type_name(spec)
  return spec.of and spec.type .. " of " .. type_name(spec.of) or spec.type
end

-- What `min`, `max` and `values` say.
local function range_of(spec)
  if spec.type == "enum" then return types.expected(spec) end
  return types.range(spec)
end

local function mask_text(text, spec)
  if spec.secret then return MASK end
  return spec.type == "url" and url.mask(text) or text
end

local function add_options(out, schema, prefix, secret)
  for _, name in ipairs(convert.sorted_keys(schema)) do
    local spec = schema[name]
    local hidden = secret or spec.secret or false
    local default = convert.copy(spec.default)
    if default ~= nil and hidden then default = MASK end
    if spec.type == "url" and default then default = mask_text(default, spec) end
    out[#out + 1] = {
      name = prefix .. name,
      type = type_name(spec),
      default = default,
      required = spec.required or false,
      doc = spec.doc,
      range = range_of(spec),
      secret = hidden,
    }
    if spec.fields then add_options(out, spec.fields, prefix .. name .. ".", hidden) end
  end
  return out
end

--- The options of a schema and of the maps in it, in order.
---@param schema table<string, ahost.Option>
---@return ahost.OptionDescription[]
function help.describe(schema) return add_options({}, schema, "", false) end

local OTHERS <const> = { ["true"] = true, ["false"] = true, null = true }

-- Strings that YAML would read as something else, or not at all, are quoted.
local function write_default(value)
  if type(value) ~= "string" then
    local ok, text = pcall(json.encode, value, { sort_keys = true })
    return ok and text or tostring(value)
  end
  local plain = value:find("^[%a_/*][%w_./@*-]*$") or value:find("^[%w.]+:%d+$")
    or value:find("^%a[%w+.-]*://[%w_./:@*-]*$") or value:find("^%d+%a[%w]*$")
  local is_other = OTHERS[value:lower()] or tonumber(value)
  return plain and not is_other and value or json.encode(value)
end

local function default_cell(option)
  if option.required then return "required" end
  if option.default == nil then return "" end
  local text = write_default(option.default)
  if #text <= LONGEST_DEFAULT then return text end
  return types.cut(text, LONGEST_DEFAULT)
end

local function doc_of(option)
  local doc = option.doc or ""
  if not option.range then return doc end
  return doc == "" and option.range or ("%s (%s)"):format(doc, option.range)
end

local function length(text) return utf8.len(text) or #text end

local function pad(text, width) return text .. (" "):rep(width - length(text)) end

-- Breaks a text into lines.
local function wrap(text, width)
  local lines, line = {}, ""
  for word in text:gmatch("%S+") do
    if line ~= "" and length(line) + 1 + length(word) > width then
      lines[#lines + 1], line = line, ""
    end
    line = line == "" and word or line .. " " .. word
  end
  if line ~= "" then lines[#lines + 1] = line end
  return lines
end

-- Three cells and the documentation of each option.
local function rows_of(schema, prefix)
  local rows, widths = {}, { 0, 0, 0 }
  for _, option in ipairs(add_options({}, schema, prefix, false)) do
    local row = { option.name, option.type, default_cell(option), doc = doc_of(option) }
    for i = 1, 3 do widths[i] = math.max(widths[i], length(row[i])) end
    rows[#rows + 1] = row
  end
  return rows, widths
end

--- The options of a schema in columns: name, type, default, what it is for.
---@param schema table<string, ahost.Option>
---@param prefix? string  path of the component, put before the names with a dot
---@return string         lines, or "" if there are no options
function help.help(schema, prefix)
  local rows, widths = rows_of(schema, prefix and prefix ~= "" and prefix .. "." or "")
  local column = #INDENT
  for _, width in ipairs(widths) do column = column + width + #INDENT end
  local beside = WIDTH - column >= NARROWEST_DOC
  if not beside then column = 3 * #INDENT end
  local lines = {}
  for _, row in ipairs(rows) do
    local head = INDENT
    for i = 1, 3 do head = head .. pad(row[i], widths[i]) .. INDENT end
    local doc = wrap(row.doc, WIDTH - column)
    lines[#lines + 1] = head .. (beside and table.remove(doc, 1) or "")
    for _, line in ipairs(doc) do lines[#lines + 1] = (" "):rep(column) .. line end
  end
  for i, line in ipairs(lines) do lines[i] = line:gsub("%s+$", "") .. "\n" end
  return table.concat(lines)
end

-- A copy of a value without its secrets.
local function mask(spec, value, secret)
  if not convert.is_given(value) or not spec then return convert.copy(value) end
  if secret or spec.secret then return MASK end
  if type(value) == "string" then return mask_text(value, spec) end
  if type(value) ~= "table" or not (spec.of or spec.fields) then
    return convert.copy(value)
  end
  local result = setmetatable({}, getmetatable(value))
  for key, item in next, value do
    result[key] = mask(spec.of or spec.fields[key], item)
  end
  return result
end

--- A copy of a configuration in which asterisks stand for secrets, and for the passwords
--- in URLs.
---@param schema table<string, ahost.Option>
---@param values table
---@return table
function help.mask(schema, values)
  return mask({ type = "map", fields = schema }, values)
end

return help
