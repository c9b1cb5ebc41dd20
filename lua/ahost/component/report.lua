-- What to tell of components that do not start: which, what each waits for, and where
-- in its code.

local runtime <const> = require "ahost.component.runtime"
local tree <const> = require "ahost.component.tree"

local report <const> = {}

local PHASES <const> = {
  prepare = "preparing",
  children = "starting its children",
  start = "starting",
}

local function seconds(number) return ("%.14g s"):format(number) end

-- Resources of the same type as a key: the name may be wrong.
local function similar(ctx, key)
  local keys <const> = {}
  for _, resource in ipairs(ctx:resources(key:match("^[^/]*"))) do
    keys[#keys + 1] = ("'%s'"):format(resource.key)
  end
  if #keys == 0 then return "" end
  return (" (there is %s)"):format(table.concat(keys, ", "))
end

local function describe_wait(node, wait)
  local what = wait.key and ("resource '%s'"):format(wait.key) or wait.what
  if not what then return nil end
  local where <const> = wait.where ~= "" and " at " .. wait.where or ""
  return "waits for " .. what .. where .. (wait.key and similar(node.ctx, wait.key) or "")
end

local function add(lines, node, depth)
  if not node.starting then return end
  local indent <const> = ("  "):rep(depth)
  lines[#lines + 1] = ("%s%s: %s"):format(indent, tree.describe(node), PHASES[node.state])
  for _, wait in ipairs(runtime.waiting(node.ctx)) do
    local text <const> = describe_wait(node, wait)
    if text then lines[#lines + 1] = indent .. "  " .. text end
  end
  for _, child in ipairs(node.children) do add(lines, child, depth + 1) end
end

local function unfinished(nodes)
  local lines <const> = {}
  for _, node in ipairs(nodes) do add(lines, node, 1) end
  return table.concat(lines, "\n")
end

local HEADS <const> = {
  stuck = function()
    return "these components wait for what nobody is left to publish"
  end,
  late = function(outcome, timeout)
    local node <const> = outcome.node
    if not node then
      return ("the components did not start within %s"):format(seconds(timeout))
    end
    return ("%s did not start within %s"):format(tree.describe(node),
      seconds(node.settings.start_timeout))
  end,
}

--- The text about a start that came to nothing, with the traceback of a failure.
---@param outcome ahost.StartOutcome
---@param nodes ahost.ComponentNode[]   that were to start
---@param timeout number                seconds they had
---@return string
function report.describe(outcome, nodes, timeout)
  local node <const> = outcome.node
  if outcome.what == "failed" then
    return ("%s failed in %s: %s%s"):format(tree.describe(node), outcome.phase,
      tostring(outcome.err), outcome.traceback and "\n" .. outcome.traceback or "")
  elseif outcome.what == "stopped" then
    return "the application was stopped while it started"
  end
  return HEADS[outcome.what](outcome, timeout) .. ":\n"
    .. unfinished(node and { node } or nodes)
end

return report
