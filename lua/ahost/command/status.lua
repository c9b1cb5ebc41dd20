-- ahost.command.status: the status of an application, as people read it.

local columns <const> = require "ahost.command.columns"

local status <const> = {}

-- ---- numbers -------------------------------------------------------------------------

local UNITS <const> = { { 86400, "d" }, { 3600, "h" }, { 60, "m" } }

-- "3 h 12 m", with two units at most.
local function duration(seconds)
  seconds = math.floor(seconds)
  local parts <const> = {}
  for _, unit in ipairs(UNITS) do
    if seconds >= unit[1] and #parts < 2 then
      parts[#parts + 1] = ("%d %s"):format(seconds // unit[1], unit[2])
      seconds = seconds % unit[1]
    end
  end
  if #parts < 2 then parts[#parts + 1] = seconds .. " s" end
  return table.concat(parts, " ")
end

local function size(bytes) return ("%.1f MiB"):format(bytes / 1048576) end

local function milliseconds(seconds) return ("%.3g ms"):format(seconds * 1000) end

-- "1 stream", "2 streams"
local function plural(count, what)
  if count == 1 then return "1 " .. what end
  return ("%d %s"):format(count, what:gsub("s$", "") .. "s")
end

-- ---- parts ---------------------------------------------------------------------------

local function owner_of(item)
  if item.component == nil then return "" end
  return item.component == "" and "root" or item.component
end

local function owned(node)
  local names <const>, parts <const> = {}, {}
  for what in next, node.owns do names[#names + 1] = what end
  table.sort(names)
  if node.connections > 0 then parts[1] = plural(node.connections, "connection") end
  for _, what in ipairs(names) do
    parts[#parts + 1] = plural(node.owns[what], what)
  end
  return table.concat(parts, ", ")
end

-- "3, 2 old": which one serves, and how many of those before it have not ended.
local function generation(node)
  if node.generation == 1 and #node.draining == 0 then return nil end
  if #node.draining == 0 then return node.generation end
  return ("%d, %d old"):format(node.generation, #node.draining)
end

local function add_nodes(rows, nodes, level)
  for _, node in ipairs(nodes) do
    local name <const> = level == 0 and node.path ~= "" and node.path or node.alias
    rows[#rows + 1] = {
      ("  "):rep(level) .. name,
      node.type,
      node.state,
      generation(node),
      node.restarts > 0 and node.restarts or nil,
      node.tasks,
      owned(node),
    }
    add_nodes(rows, node.children, level + 1)
  end
  return rows
end

local PARTS <const> = {}

function PARTS.components(nodes)
  return { "COMPONENT", "TYPE", "STATE", "GENERATION", "RESTARTS", "TASKS", "OWNS" },
    add_nodes({}, nodes, 0)
end

local function connections_of(thing)
  if not thing.connections then return nil end
  if not thing.limit then return thing.connections end
  return ("%d of %d"):format(thing.connections, thing.limit)
end

function PARTS.listeners(things)
  local rows <const> = {}
  for i, thing in ipairs(things) do
    rows[i] = { thing.address or "closed", thing.what, owner_of(thing),
      connections_of(thing) }
  end
  return { "LISTENER", "KIND", "COMPONENT", "CONNECTIONS" }, rows
end

function PARTS.resources(resources)
  local rows <const> = {}
  for i, resource in ipairs(resources) do
    local users <const> = {}
    for k, path in ipairs(resource.users) do users[k] = path == "" and "root" or path end
    rows[i] = { resource.key, resource.owner == "" and "root" or resource.owner,
      table.concat(users, ", "), resource.doc }
  end
  return { "RESOURCE", "OWNER", "USED BY", "WHAT" }, rows
end

local function waits_for(task)
  if task.state ~= "waiting" then return "(" .. task.state .. ")" end
  local what <const> = task.key and "resource " .. task.key or task.what
  return task.cancelled and what .. " (cancelled)" or what
end

function PARTS.tasks(tasks)
  local rows <const> = {}
  for i, task in ipairs(tasks) do
    rows[i] = { task.name, owner_of(task), waits_for(task), task.where }
  end
  return { "TASK", "COMPONENT", "WAITS FOR", "AT" }, rows
end

-- Columns with nothing in them are left out.
local function without_empty(titles, rows)
  local kept <const>, slim <const> = {}, {}
  for i = 1, #titles do
    for _, row in ipairs(rows) do
      if row[i] ~= nil and row[i] ~= "" then
        kept[#kept + 1] = i
        break
      end
    end
  end
  for r, row in ipairs(rows) do
    slim[r] = {}
    for k, i in ipairs(kept) do slim[r][k] = row[i] == nil and "" or row[i] end
  end
  local names <const> = {}
  for k, i in ipairs(kept) do names[k] = titles[i] end
  return names, slim
end

-- ---- the whole -----------------------------------------------------------------------

-- -> lines
local function head(result)
  local stats <const> = result.stats
  local rows <const> = {
    { "application", result.file and ("%s (%s)"):format(result.name, result.file)
      or result.name },
    { "state", ("%s for %s, process %d, ahost %s"):format(result.state,
      duration(result.uptime), result.pid, result.version) },
    { "memory", ("%s, of which Lua %s"):format(size(stats.memory),
      size(stats.lua_memory)) },
    { "tasks", ("%d, %s, %s"):format(stats.tasks, plural(stats.coroutines, "coroutine"),
      plural(stats.handles, "handle")) },
  }
  local lag <const> = stats.lag
  rows[#rows + 1] = { "loop lag", ("%s on average, %s at most, in %s"):format(
    milliseconds(lag.total / math.max(lag.turns, 1)), milliseconds(lag.longest),
    plural(lag.turns, "turn")) }
  return (columns.format({ "", "" }, rows):gsub("^\n", ""))
end

local ORDER <const> = { "components", "listeners", "resources", "tasks" }

--- A status, as text.
---@param result table     what the command status answers
---@param part? string     only this one
---@return string lines
function status.format(result, part)
  local texts <const> = { not part and head(result) or nil }
  for _, name in ipairs(ORDER) do
    if result[name] and #result[name] > 0 then
      texts[#texts + 1] = columns.format(without_empty(PARTS[name](result[name])))
    end
  end
  if result.omitted > 0 then
    texts[#texts + 1] = ("%d more entries are not shown (--limit)\n"):format(
      result.omitted)
  end
  return table.concat(texts, "\n")
end

return status
