-- ahost.command.reloading: what people read about a reload.

local columns <const> = require "ahost.command.columns"

local reloading <const> = {}

-- ---- failures ------------------------------------------------------------------------

-- The last place that a line names, which is where its cause is: "a.yaml:3:10",
-- "a.lua:3". -> where it begins, the place, what follows | nil
local function place_in(line)
  local at, place, rest
  for start, word in (" " .. line):gmatch "()%s([^%s'\"()]+%.%a+:%d+:[%d:]*)" do
    at, place, rest = start, word:match "^(.-):*$", line:sub(start + #word)
  end
  return at, place, rest
end

-- "component a (./a.lua) failed in start: a.lua:3: no luck" is
-- "a.lua:3: no luck (component a (./a.lua) failed in start)".
local function put_place_first(line)
  local at, place, what = place_in(line)
  if not at or at == 1 then return line end
  return ("%s: %s (%s)"):format(place, what:gsub("^:? ", ""), (line:sub(1, at - 1)
    :gsub(":? $", "")))
end

--- What went wrong, as compilers tell it: where, then what. What follows the first line
--- of a message, a traceback for example, is indented.
---@param message string
---@return string lines
function reloading.failure(message)
  local lines <const>, is_first = {}, true
  for line in message:gmatch "[^\n]+" do
    local has_place <const> = line:find "^[^%s]+%.%a+:%d+:" ~= nil
    if is_first or has_place then
      lines[#lines + 1] = put_place_first(line)
    else
      lines[#lines + 1] = "    " .. line:gsub("^%s+", "")
    end
    is_first = false
  end
  return table.concat(lines, "\n") .. "\n"
end

-- ---- reports -------------------------------------------------------------------------

local function name_of(path) return path == "" and "root" or path end

local function sorted(components)
  local paths <const> = {}
  for path in next, components do paths[#paths + 1] = path end
  table.sort(paths)
  return paths
end

local function milliseconds(ms) return ms and ("%.1f ms"):format(ms) end

--- Which components a reload was about, a line each.
---@param components table<string, ahost.ReloadedComponent>
---@return string lines
function reloading.table(components)
  local rows <const> = {}
  for i, path in ipairs(sorted(components)) do
    local component <const> = components[path]
    rows[i] = {
      name_of(path),
      component.what,
      component.generation or "",
      milliseconds(component.ms) or "",
      component.why or "",
    }
  end
  return columns.format({ "COMPONENT", "WHAT", "GENERATION", "START", "WHY" }, rows)
end

--- A report in one line.
---@param report ahost.ReloadReport
---@return string line
function reloading.summary(report)
  if not report.ok then return "not reloaded, all goes on as before" end
  if next(report.components) == nil then
    return report.configuration and "reloaded the configuration: it concerns no component"
      or "nothing has changed"
  end
  local names <const> = {}
  for i, path in ipairs(sorted(report.components)) do
    local what <const> = report.components[path].what
    names[i] = name_of(path) .. (what == "reloaded" and "" or (" (%s)"):format(what))
  end
  return ("reloaded in %.1f ms: %s"):format(report.ms, table.concat(names, ", "))
end

--- A report in full.
---@param report ahost.ReloadReport
---@return string lines
function reloading.format(report)
  if not report.ok then
    return reloading.summary(report) .. "\n" .. reloading.failure(report.err)
  elseif next(report.components) == nil then
    return reloading.summary(report) .. "\n"
  end
  return ("reloaded in %.1f ms\n\n%s"):format(report.ms,
    reloading.table(report.components))
end

-- ---- patience ------------------------------------------------------------------------

local MARGIN <const> = 10 -- seconds

--- How long a reload may take that has to wait for room, and then for all that it starts.
---@param keys table        the top-level keys, checked
---@return number seconds   math.huge when starts may take for ever
function reloading.patience(keys)
  if keys.start_timeout == 0 then return math.huge end
  return keys.start_timeout + keys.reload.grace + 2 * keys.stop_timeout + MARGIN
end

return reloading
