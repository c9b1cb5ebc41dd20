-- Expositions as lines of InfluxDB: `name,tag=text value=1.5 NANOSECONDS`.
--
-- What counts is an integer, everything else a float: the type of a field must not
-- change. A histogram has the fields `count` and `sum` and one for each bound, which
-- counts what the ones before it do.

local number <const> = require "ahost.metrics.number"
local tags <const> = require "ahost.metrics.tags"
local time <const> = require "ahost.time"

local influx <const> = {}

-- There is no escape for a line break, nor for a backslash before a delimiter.
local function escape(text)
  text = text:gsub("[\r\n]", " "):gsub("\\+$", "")
  return (text:gsub("[ ,=]", "\\%0"))
end

local function is_finite(value)
  return value == value and math.abs(value) < math.huge
end

local function head(name, set)
  local parts <const> = { name }
  for _, tag in ipairs(tags.sorted(set)) do
    local value <const> = escape(set[tag])
    if value ~= "" then parts[#parts + 1] = tag .. "=" .. value end
  end
  return table.concat(parts, ",")
end

local function histogram_fields(series)
  local fields <const> = {}
  local total = 0
  for i, bound in ipairs(series.bounds) do
    total = total + series.counts[i]
    fields[i] = ("%s=%di"):format(number.sample(bound), total)
  end
  fields[#fields + 1] = ("count=%di"):format(total)
  if is_finite(series.sum) then
    fields[#fields + 1] = "sum=" .. number.text(series.sum)
  end
  return table.concat(fields, ",")
end

-- -> the fields, or nil when there are none
local function fields(family, series)
  if series.counts then return histogram_fields(series) end
  local value <const> = series.value
  if not is_finite(value) then return nil end
  local counts <const> = family.kind_name == "counter"
  local is_integer <const> = counts and math.type(value) == "integer"
  return "value=" .. number.text(value) .. (is_integer and "i" or "")
end

---@param shown ahost.metrics.Shown[]
---@param registry ahost.metrics.Registry
---@return string
function influx.influx(shown, registry)
  local out <const> = {}
  local stamp <const> = ("%d000"):format(time.wall() * 1000000 // 1)
  for _, item in ipairs(shown) do
    local family <const> = item.family
    for _, series in ipairs(item.series) do
      local values <const> = fields(family, series)
      if values then
        local set <const> = tags.join(registry.tags, series.tags)
        out[#out + 1] = ("%s %s %s\n"):format(head(family.full_name, set), values, stamp)
      end
    end
  end
  return table.concat(out)
end

return influx
