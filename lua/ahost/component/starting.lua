-- Starts components: `prepare`, then the children at the same time, then `start`. The
-- start is over when all have started, one has failed, none can go on, it takes too
-- long, or the application is to end.

local code <const> = require "ahost.component.code"
local runtime <const> = require "ahost.component.runtime"
local errors <const> = require "ahost.error"
local sync <const> = require "ahost.sync"
local time <const> = require "ahost.time"
local tree <const> = require "ahost.component.tree"

local starting <const> = {}

---@class ahost.StartOutcome
---@field what "started"|"failed"|"stuck"|"late"|"stopped"|"replaced"
---@field node? ahost.ComponentNode   that failed or is late
---@field phase? string               "prepare" or "start", when it failed
---@field err? any
---@field traceback? string

-- Which components a start is about. These are all below its nodes.
---@class ahost.StartScope
local Whole <const> = {}
Whole.__index = Whole

---@return ahost.ComponentNode[]
function Whole.children(_, node) return node.children end

--- "start" it; "pass" it, as it is up already, and go on with its children; or "leave" it
--- and all below it.
---@return "start"|"pass"|"leave"
function Whole.verdict() return "start" end

--- Whether a component that publishes in this context is to be held back.
---@return boolean
function Whole.stages() return false end

--- It has started.
function Whole:started(node) self.app:started(node) end

--- Whether others may start some of the nodes at the same time.
Whole.is_shared = false

local Starting <const> = {}
Starting.__index = Starting

function Starting:settle(outcome)
  if not self.over then
    self.over = true
    self.outcome:resolve(outcome)
  end
end

-- ---- phases --------------------------------------------------------------------------

function Starting:fail(node, phase, err, traceback)
  self:settle {
    what = "failed",
    node = node,
    phase = phase,
    err = err,
    traceback = traceback,
  }
end

function Starting:failed(node, phase)
  local has_failed, err, traceback = runtime.failure(node.ctx)
  if has_failed then
    self:fail(node, phase, err or errors.new("FAILED", "not enough memory"), traceback)
  end
  return has_failed
end

-- For those who want to see how far it gets.
function Starting:tell(node, what)
  if self.verbose then self.app.log:debug("%s: %s", tree.describe(node), what) end
end

-- Calls one method of the component in a task of its context. -> whether it went well
function Starting:run_phase(node, phase)
  local method <const> = node.component[phase]
  node.state = phase
  if node.ctx:state() ~= "open" then
    if not self:failed(node, phase) then
      self:fail(node, phase, "its context was closed")
    end
    return false
  elseif method ~= nil then
    self:tell(node, phase)
    local name <const> = (node.path == "" and "root" or node.path) .. "." .. phase
    local call <const> = node.ctx:spawn(name, method, node.instance, node.ctx)
    call:join()
    if call:status() ~= "done" then
      if not self:failed(node, phase) then self:fail(node, phase, "it was cancelled") end
      return false
    end
  end
  return not self:failed(node, phase) and not self.over
end

function Starting:start_children(node)
  local tasks <const> = {}
  for i, child in ipairs(self.scope:children(node)) do
    tasks[i] = self.ctx:spawn("start of " .. child.path, self.start, self, child)
  end
  local all = true
  for _, child in ipairs(tasks) do all = child:join() and all end
  return all
end

-- Those that started later may use what this one has, its children do.
function Starting:place(node)
  local below <const> = {}
  for _, child in ipairs(self.scope:children(node)) do below[#below + 1] = child.ctx end
  runtime.place(node.ctx, below)
end

--- The context in which the node's publications appear.
---@param app ahost.Application
---@param node ahost.ComponentNode
---@return ahost.Context
function starting.home_of(app, node)
  local above = node.parent
  while above and not above.settings.isolated do above = above.parent end
  return above and above.ctx or app.ctx
end

-- -> whether there can be one
function Starting:open_context(node)
  local home <const> = starting.home_of(self.app, node)
  if home:state() ~= "open" then
    self:fail(node, "prepare", "the context above its own was closed")
    return false
  end
  local name <const> = node.path == "" and "root" or node.path
  node.ctx = runtime.context(home, name, node.resource_name, node.settings.isolated,
    self.scope:stages(home))
  code.assign(node.ctx, node.code)
  runtime.replace(node.ctx, node.is_replaced or false)
  return true
end

-- -> whether all phases went well
function Starting:run_phases(node)
  if not self:run_phase(node, "prepare") then return false end
  node.state = "children"
  return self:start_children(node) and self:run_phase(node, "start")
end

function Starting:start(node)
  local verdict <const> = self.scope:verdict(node)
  if self.over or verdict == "leave" then return not self.over end
  if verdict == "pass" then return self:start_children(node) end
  if not self:open_context(node) then return false end
  node.starting = self
  self:limit(node)
  if not self:run_phases(node) then return false end
  self:place(node)
  node.state, node.starting, node.deadline = "started", nil, nil
  self:tell(node, "started")
  self.scope:started(node)
  return true
end

--- Ends the start, as somebody else starts its nodes anew.
function Starting:replace() self:settle { what = "replaced" } end

function Starting:start_all()
  local all, first <const> = true, self.nodes[1]
  local is_ours <const> = first == nil or first.keeper == self.keeper
  if not (is_ours or self.scope.is_shared) then return self:replace() end
  for _, node in ipairs(self.nodes) do all = all and self:start(node) end
  if all then self:settle { what = "started" } end
end

-- ---- limits --------------------------------------------------------------------------

local function deadline_of(seconds)
  return seconds > 0 and time.now() + seconds or math.huge
end

-- A component with a limit of its own may take the whole start beyond its limit.
function Starting:limit(node)
  local seconds <const> = node.settings.start_timeout
  if not seconds then return end
  node.deadline = deadline_of(seconds)
  self.limited[#self.limited + 1] = node
  self.deadline = math.max(self.deadline, node.deadline)
  self.changed:set()
end

function Starting:extend(node, seconds)
  local deadline <const> = time.now() + seconds
  if node.deadline then node.deadline = math.max(node.deadline, deadline) end
  self.deadline = math.max(self.deadline, deadline)
  self.changed:set()
end

-- -> the earliest deadline, and the node that it is of; nil: of the whole
function Starting:next_deadline()
  local earliest, whose = self.deadline, nil
  for _, node in ipairs(self.limited) do
    if node.starting == self and node.deadline < earliest then
      earliest, whose = node.deadline, node
    end
  end
  return earliest, whose
end

function Starting:watch_limits()
  while not self.over do
    local deadline <const>, node <const> = self:next_deadline()
    local now <const> = time.now()
    if now >= deadline then
      self:settle { what = "late", node = node }
    elseif deadline == math.huge then
      self.changed:wait()
    else
      self.changed:wait(deadline - now)
    end
    self.changed:clear()
  end
end

function Starting:watch_others()
  if self.app.watch:wait() then self:settle { what = "stuck" } end
end

function Starting:watch_stop()
  self.app.stopping:wait()
  self:settle { what = "stopped" }
end

-- Those that have not come to the end of their start may use what all others have: they
-- are to end first.
function Starting:place_unfinished(nodes)
  for _, node in ipairs(nodes) do
    self:place_unfinished(self.scope:children(node))
    if node.ctx and node.starting == self then self:place(node) end
  end
end

-- ---- the whole -----------------------------------------------------------------------

--- Starts nodes, one after the other, with all below them. Waits for the outcome; what
--- has been started by then stays.
---@param app ahost.Application
---@param nodes ahost.ComponentNode[]
---@param timeout number    seconds; 0: no limit
---@param scope? ahost.StartScope    which of them (all)
---@return ahost.StartOutcome
function starting.run(app, nodes, timeout, scope)
  local ctx <close> = app.outer:child()
  local self <const> = setmetatable({
    app = app,
    nodes = nodes,
    scope = scope or setmetatable({ app = app }, Whole),
    keeper = nodes[1] and nodes[1].keeper,
    ctx = ctx,
    timeout = timeout,
    deadline = deadline_of(timeout),
    limited = {},
    changed = sync.event(),
    outcome = sync.future(),
    verbose = app.log:enabled "debug",
  }, Starting)
  ctx:spawn("limit of the start", self.watch_limits, self)
  ctx:spawn("watch of the start", self.watch_others, self)
  ctx:spawn("stop of the start", self.watch_stop, self)
  ctx:spawn("start", self.start_all, self)
  local outcome <const> = self.outcome:wait()
  if outcome.what ~= "started" then self:place_unfinished(nodes) end
  return outcome
end

return starting
