---@meta ahost.yaml

--- ahost.yaml: YAML for configurations: plain data only, with places and with
--- messages that name them. `ahost.yaml.edit` changes a text in place.
local yaml = {}

---@class ahost.yaml.DecodeOptions
---@field name? string          of the text, for messages ("yaml")
---@field tags? string[]|true   local tags that are let through, as "!env"; true: all
---@field positions? boolean    also return where everything was written

---What stands behind a local tag; the value of a scalar is the string as it is
---written. Its metatable is `yaml.Tagged`.
---@class ahost.yaml.Tagged
---@field tag string     "!env"
---@field value any
yaml.Tagged = {}

---Reads a YAML text (UTF-8) of one document. Plain scalars mean what the core
---schema of YAML 1.2 says: `yes`, `12:30:45`, dates and versions are strings, `010`
---is 10. Lists carry the metatable of `json.array`, null and an empty text are
---`json.null`. Keys are strings as they are written, or integers behind `!!int`.
---Aliases give copies, `<<` merges a map or a list of maps into the one that it
---stands in, whose own keys win.
---
---Refused, beside bad grammar: a key twice, integers beyond 64 bits, unknown tags,
---nesting beyond 200 levels, aliases that stand for more than 100,000 values or for
---what they are part of.
---
---With `positions` come a table, which maps each table of the value to the places of
---its keys (of a map) or items (of a list), and the place of the value itself.
---@param text string
---@param opts? ahost.yaml.DecodeOptions
---@return any value              nil if the text is bad
---@return table? positions_or_err    table -> key -> place; or an error with code
---  SYNTAX, `line`, `column` and a message `NAME:LINE:COLUMN: what`
---@return integer? place
function yaml.decode(text, opts) end

---@class ahost.yaml.EncodeOptions
---@field flow? boolean      on one line, as `{a: [1, 2]}`, without a line end
---@field indent? integer    of what is in a map, 2 (the default) to 9 spaces

---Writes a value as YAML that `decode` reads as an equal one: in blocks, keys sorted
---(integers, behind `!!int`, before strings), strings in quotes only where YAML 1.2 or
---1.1 would take them for something else, those of several lines as literal blocks. A
---table whose keys are 1 to n is a list, any other one a map, an empty one a map
---unless it is a `json.array`; what has the metatable `yaml.Tagged` gets its tag.
---Metamethods are not called. Raises, with the path to the culprit, on functions,
---threads, userdata, strings that are not UTF-8, keys that are neither strings nor
---integers, arrays with holes, tables inside themselves or nested beyond 200 levels.
---@param value any
---@param opts? ahost.yaml.EncodeOptions
---@return string text    ends with a line end, except with `flow`
function yaml.encode(value, opts) end

---@param place integer    as `decode` gives it
---@return integer line      from 1
---@return integer column    from 1, in characters
function yaml.unpack_position(place) end

return yaml
