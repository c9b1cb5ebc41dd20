-- ahost.control.status: what goes on in an application, as plain data.

local host <const> = require "ahost.host"
local introspection <const> = require "ahost.control.introspection"
local json <const> = require "ahost.json"
local process <const> = require "ahost.process"
local runtime <const> = require "ahost.component.runtime"
local time <const> = require "ahost.time"
local tree <const> = require "ahost.component.tree"

local status <const> = {}

-- ---- the host ------------------------------------------------------------------------

---@class ahost.control.Found
---@field tasks table[]                 as inspected, each with its `component`
---@field things table[]
---@field totals table<string, table>   by component: tasks, connections, owns

local function total_of(found, component)
  local total = found.totals[component]
  if not total then
    total = { tasks = 0, connections = 0, owns = {} }
    found.totals[component] = total
  end
  return total
end

-- Adds to a list, each item with the component that it belongs to.
local function take(list, items, component)
  for _, item in ipairs(items) do
    item.component = component
    list[#list + 1] = item
  end
end

local function visit(found, context, component)
  component = context.path or component
  local total <const> = total_of(found, component or "")
  total.tasks = total.tasks + context.task_count
  total.connections = total.connections + (context.connections or 0)
  for what, count in next, context.counts do
    total.owns[what] = (total.owns[what] or 0) + count
  end
  take(found.tasks, context.tasks, component)
  take(found.things, context.things, component)
  for _, child in ipairs(context.children or {}) do visit(found, child, component) end
end

-- Takes the tree of contexts apart.
---@return ahost.control.Found
local function inspect(limit, connections)
  local seen <const> = introspection.inspect(limit, connections)
  local found <const> = {
    tasks = json.array(),
    things = json.array(),
    totals = {},
    omitted = seen.omitted,
  }
  visit(found, seen.root)
  return found
end

-- ---- components ----------------------------------------------------------------------

local PHASES <const> = {
  prepare = "preparing",
  children = "starting its children",
  start = "starting",
  started = "started",
}

local function state_of(node)
  if not node.ctx then return "not started" end
  if runtime.failure(node.ctx) then return "failed" end
  if node.ended or node.ctx:state() == "closed" then return "ended" end
  return PHASES[node.state] or "not started"
end

-- The old generations of a component that have not ended.
local function describe_draining(app, path)
  local list <const> = json.array()
  for i, old in ipairs(app.draining[path] or {}) do
    list[i] = { generation = old.number, seconds = time.now() - old.since }
  end
  return list
end

local function describe_node(app, node, totals)
  local total <const> = totals[node.path == "" and "root" or node.path] or {}
  local children <const> = json.array()
  for i, child in ipairs(node.children) do
    children[i] = describe_node(app, child, totals)
  end
  return {
    path = node.path,
    alias = node.alias,
    type = node.type,
    state = state_of(node),
    restarts = app.restarts[node.path] or 0,
    generation = node.generation,
    draining = describe_draining(app, node.path),
    tasks = total.tasks or 0,
    connections = total.connections or 0,
    owns = total.owns or {},
    children = children,
  }
end

-- ---- resources -----------------------------------------------------------------------

local function is_open(ctx) return ctx ~= nil and ctx:state() ~= "closed" end

-- What is seen of a resource from outside; `within` is the isolated component that
-- keeps it to itself.
local function describe_resource(resource, within)
  return {
    key = resource.key,
    types = json.array(resource.types),
    doc = resource.doc,
    lazy = resource.lazy,
    owner = resource.component or within,
    within = within,
    users = json.array(),
  }
end

local Resources <const> = {}
Resources.__index = Resources

-- Adds what is to be found in a context and was not above it.
function Resources:add(ctx, within)
  local own <const> = {}
  for _, resource in ipairs(is_open(ctx) and ctx:resources() or {}) do
    local seen <const> = self.seen[resource.owner] or {}
    self.seen[resource.owner] = seen
    if not seen[resource.key] then
      local described <const> = describe_resource(resource, within)
      seen[resource.key] = true
      own[resource.key] = described
      self.list[#self.list + 1] = described
    end
  end
  self.by_place[within or ""] = own
end

-- The resource that a component gets under a key.
function Resources:find(node, key)
  local above = node
  while above do
    local own <const> = above.settings.isolated and self.by_place[above.path]
    if own and own[key] then return own[key] end
    above = above.parent
  end
  return self.by_place[""][key]
end

function Resources:add_users(node)
  for _, key in ipairs(node.ctx and runtime.held(node.ctx) or {}) do
    local resource <const> = self:find(node, key)
    if resource and resource.owner ~= node.path then
      resource.users[#resource.users + 1] = node.path
    end
  end
end

local function resources_of(app)
  local self <const> = setmetatable(
    { list = json.array(), seen = {}, by_place = { [""] = {} } }, Resources)
  local nodes <const> = {}
  for _, root in ipairs(app:roots()) do
    for node in tree.each(root) do nodes[#nodes + 1] = node end
  end
  self:add(app.ctx)
  for _, node in ipairs(nodes) do
    if node.settings.isolated and node.path ~= "" then self:add(node.ctx, node.path) end
  end
  for _, node in ipairs(nodes) do self:add_users(node) end
  return self.list
end

-- ---- the whole -----------------------------------------------------------------------

local PARTS <const> = {}

function PARTS.components(app, found)
  local roots <const> = json.array()
  for i, root in ipairs(app:roots()) do
    roots[i] = describe_node(app, root, found.totals)
  end
  return roots
end

function PARTS.listeners(_, found) return found.things end

function PARTS.resources(app) return resources_of(app) end

function PARTS.tasks(_, found) return found.tasks end

--- The parts of a status, in order.
status.parts = { "components", "listeners", "resources", "tasks" }

---@param app ahost.Application
---@return "starting"|"running"|"stopping"
function status.state(app)
  if app.stopping:is_set() then return "stopping" end
  return app.running:is_set() and "running" or "starting"
end

-- Names of tasks, files and sockets may hold any bytes; those that are no UTF-8 are
-- replaced.
local function make_readable(value)
  if type(value) == "string" then
    return utf8.len(value) and value or (value:gsub("[\x80-\xff]", "?"))
  elseif type(value) == "table" then
    for key, item in next, value do value[key] = make_readable(item) end
  end
  return value
end

--- What goes on in an application. Does not wait.
---@param control ahost.Control
---@param opts {part: string?, limit: integer?, connections: boolean?}  `part`: only
---  that; `limit`: of entries; `connections`: the tasks of connections to servers, too
---@return table status
function status.of(control, opts)
  local app <const> = control.app
  local found <const> = inspect(opts.limit, opts.connections)
  local result <const> = {
    name = control.name,
    file = control.file,
    pid = process.pid,
    version = host.version,
    state = status.state(app),
    uptime = time.now() - control.since,
    stats = host.stats(),
    omitted = found.omitted,
  }
  for _, part in ipairs(status.parts) do
    if opts.part == nil or opts.part == part then
      result[part] = make_readable(PARTS[part](app, found))
    end
  end
  return result
end

return status
