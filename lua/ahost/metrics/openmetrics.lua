-- Expositions as text: OpenMetrics 1.0, and the older format of Prometheus, which has no
-- units and no end mark and calls a counter by the name of its sample.

local number <const> = require "ahost.metrics.number"
local tags <const> = require "ahost.metrics.tags"

local openmetrics <const> = {}

local ESCAPES <const> = { ["\\"] = "\\\\", ["\n"] = "\\n", ['"'] = '\\"' }

local function escape(text) return (text:gsub('[\\\n"]', ESCAPES)) end

-- -> 'a="b",c="d"', or ""
local function labels(set)
  local parts <const> = {}
  for i, name in ipairs(tags.sorted(set)) do
    parts[i] = ('%s="%s"'):format(name, escape(set[name]))
  end
  return table.concat(parts, ",")
end

local function braces(text) return text ~= "" and "{" .. text .. "}" or "" end

local function write_histogram(out, name, series, inner)
  local comma <const> = inner ~= "" and "," or ""
  local total = 0
  for i, bound in ipairs(series.bounds) do
    total = total + series.counts[i]
    out[#out + 1] = ('%s_bucket{%s%sle="%s"} %d'):format(name, inner, comma,
      number.bound(bound), total)
  end
  if series.bounds[1] < 0 then return end -- such a sum could go down
  out[#out + 1] = ("%s_count%s %d"):format(name, braces(inner), total)
  out[#out + 1] = ("%s_sum%s %s"):format(name, braces(inner), number.sample(series.sum))
end

local function write_series(out, family, series, own)
  local name <const> = family.full_name
  local inner <const> = labels(tags.join(own, series.tags))
  if series.counts then return write_histogram(out, name, series, inner) end
  local suffix <const> = family.kind.exposed == "counter" and "_total" or ""
  out[#out + 1] = ("%s%s%s %s"):format(name, suffix, braces(inner),
    number.sample(series.value))
end

local function write_all(shown, registry, describe)
  local out <const> = {}
  for _, item in ipairs(shown) do
    describe(out, item.family)
    for _, series in ipairs(item.series) do
      write_series(out, item.family, series, registry.tags)
    end
  end
  return out
end

local function describe(out, family)
  local name <const>, opts <const> = family.full_name, family.opts
  out[#out + 1] = ("# TYPE %s %s"):format(name, family.kind.exposed)
  if opts.unit then out[#out + 1] = ("# UNIT %s %s"):format(name, opts.unit) end
  if opts.help then out[#out + 1] = ("# HELP %s %s"):format(name, escape(opts.help)) end
end

---@param shown ahost.metrics.Shown[]
---@param registry ahost.metrics.Registry
---@return string
function openmetrics.openmetrics(shown, registry)
  local out <const> = write_all(shown, registry, describe)
  out[#out + 1] = "# EOF\n"
  return table.concat(out, "\n")
end

local function describe_plainly(out, family)
  local exposed <const>, help <const> = family.kind.exposed, family.opts.help
  local name <const> = family.full_name .. (exposed == "counter" and "_total" or "")
  if help then
    out[#out + 1] = ("# HELP %s %s"):format(name, (help:gsub("[\\\n]", ESCAPES)))
  end
  out[#out + 1] = ("# TYPE %s %s"):format(name, exposed)
end

---@param shown ahost.metrics.Shown[]
---@param registry ahost.metrics.Registry
---@return string
function openmetrics.prometheus(shown, registry)
  local out <const> = write_all(shown, registry, describe_plainly)
  out[#out + 1] = ""
  return table.concat(out, "\n")
end

return openmetrics
