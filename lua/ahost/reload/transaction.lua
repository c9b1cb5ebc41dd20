-- Carries a plan out: starts what is new beside what serves, puts it in its place in one
-- turn of the loop, or ends it as if nothing had been.

local Exclusive <const> = require "ahost.reload.exclusive"
local dependencies <const> = require "ahost.component.dependencies"
local drain <const> = require "ahost.reload.drain"
local errors <const> = require "ahost.error"
local loading <const> = require "ahost.reload.loading"
local plain <const> = require "ahost.pdict.file"
local report <const> = require "ahost.component.report"
local runtime <const> = require "ahost.component.runtime"
local starting <const> = require "ahost.component.starting"
local supervision <const> = require "ahost.component.supervision"
local time <const> = require "ahost.time"
local tree <const> = require "ahost.component.tree"

local transaction <const> = {}

---@class ahost.ReloadTransaction: ahost.StartScope
---@field app ahost.Application
---@field plan ahost.ReloadPlan
---@field outgoing ahost.ComponentNode[]   the present ones that end, who depends on
---  others first
---@field fresh ahost.ComponentNode[]      what has been started, in this order
---@field exclusive ahost.ReloadExclusive  what is started when its predecessor has ended
---@field seconds table<string, number>    that each took to start, by path
---@field culprit? ahost.ComponentNode     whose failure ends it
local Transaction <const> = {}
Transaction.__index = Transaction

local function is_open(ctx) return ctx ~= nil and ctx:state() ~= "closed" end

-- -> nil, err
local function failure(format, ...)
  return nil, errors.new("FAILED", format:format(...))
end

-- ---- the scope of its starts ---------------------------------------------------------

Transaction.is_shared = true

function Transaction:children(node) return self.plan:children(node) end

function Transaction:verdict(node)
  if self.plan:keeps(node) or node.state == "started" then return "pass" end
  if self.exclusive:defers(node) then return "leave" end
  self.began[node] = time.now()
  return "start"
end

-- Publications in a context that serves are held back. Below a new isolated component
-- they are that one's own affair.
function Transaction:stages(home)
  if not runtime.staged(home) and not self.stage_of[home] then
    local stage <const> = runtime.stage(home)
    self.stage_of[home] = stage
    self.stages_made[#self.stages_made + 1] = stage
  end
  return true
end

function Transaction:started(node)
  self.fresh[#self.fresh + 1] = node
  self.seconds[node.path] = time.now() - self.began[node]
end

-- Starts what is to be started now. -> true | nil, err
function Transaction:start()
  local app <const> = self.app
  local outcome <const> = starting.run(app, self.plan.roots, app.start_timeout, self)
  if outcome.what == "started" then return true end
  self.culprit = outcome.node
  return failure("%s",
    report.describe(outcome, self.plan:new_nodes(), app.start_timeout))
end

-- ---- what the present ones save ------------------------------------------------------

-- Calls a method that may not wait. -> true, result | nil, err
local function call(node, method, ...)
  local ok, result = runtime.call(node.component[method], node.instance, ...)
  if ok then return true, result end
  return failure("%s failed in %s: %s", tree.describe(node), method, tostring(result))
end

-- What a present component saves, if it does. -> true, copy | nil, err
function Transaction.saved_by(node)
  if node.state ~= "started" or not (is_open(node.ctx) and node.component.save) then
    return true
  end
  local ok, data = call(node, "save")
  if not ok or data == nil then return ok, data end
  local is_plain, bytes = pcall(plain.encode, data)
  if is_plain then return true, plain.decode(bytes) end
  return failure("%s: what save returns must be plain data: %s", tree.describe(node),
    bytes)
end

--- Gives a new component what its predecessor saves. Does not wait.
---@return true? ok
---@return ahost.Error? err
function Transaction:pass_on(node)
  local old <const> = self.plan:predecessor(node)
  if not (old and old.state == "started" and is_open(old.ctx) and old.component.save) then
    return true
  end
  local ok, data = self.saved_by(old)
  if not ok then
    self.culprit = node
    return nil, data
  end
  node.instance.saved = data
  return true
end

-- The same once more, as it is now, for those who want to take it over.
function Transaction:restore(node)
  if self.exclusive:defers(node) then return true end
  local ok, err = self:pass_on(node)
  if ok and node.instance.saved ~= nil and node.component.restore then
    ok, err = call(node, "restore", node.instance.saved)
  end
  if not ok then self.culprit = node end
  return ok, err
end

-- ---- staging -------------------------------------------------------------------------

-- The new configuration is seen by what is started for it only.
function Transaction:stage_config()
  if self.plan.config_changed then
    runtime.override(self.stage_of[self.app.ctx], "config", self.plan.values)
  end
end

-- Where something goes and nothing comes, the commit has to take it out, too.
function Transaction:stage_homes()
  for node in next, self.plan.outgoing do
    local home <const> = starting.home_of(self.app, node)
    if home:state() == "open" and not runtime.replaced(home) then self:stages(home) end
  end
end

-- Starts all that the plan says by now. -> true | nil, err
function Transaction:stage_all()
  for _, node in ipairs(self.plan:new_nodes()) do
    if node.state ~= "started" and not self.exclusive:defers(node) then
      local ok, err = self:pass_on(node)
      if not ok then return nil, err end
    end
  end
  return self:start()
end

-- Marks those that end, so that what is started does not see what they have published.
function Transaction:mark(is_replaced)
  for node in next, self.plan.outgoing do
    node.is_replaced = is_replaced
    if is_open(node.ctx) then runtime.replace(node.ctx, is_replaced) end
  end
end

-- Takes in those who have looked up meanwhile what is replaced. -> true | nil, err
function Transaction:complete()
  local stage <const> = self.stage_of[self.app.ctx]
  return loading.run(self.app, stage, self.plan.complete, self.plan)
end

-- Stages until nobody is left to be taken in. -> true | nil, err
function Transaction:stage()
  local count
  repeat
    count = #self.plan:new_nodes()
    self:mark(true)
    self:stage_homes()
    self:order()
    local ok, err = self:stage_all()
    if ok then ok, err = self.exclusive:start(self) end
    if ok then ok, err = self:complete() end
    if not ok then return nil, err end
  until #self.plan:new_nodes() == count
  return true
end

-- Who of those that end depends on whom.
function Transaction:order()
  local nodes <const> = {}
  for _, node in ipairs(self.app.order) do
    if self.plan.outgoing[node] then nodes[#nodes + 1] = node end
  end
  self.dependants = dependencies.dependants(nodes)
  self.outgoing = dependencies.order(nodes, self.dependants)
  self.exclusive:find(self)
end

--- A component that stays has ended, to be started again: those who have looked up what
--- it had published hold something that is gone.
---@param keys string[]
function Transaction:disturb(keys)
  table.move(keys, 1, #keys, #self.withdrawn + 1, self.withdrawn)
end

-- ---- commit --------------------------------------------------------------------------

-- Whether all that has been started is still well. -> true | nil, err
function Transaction:check()
  if self.app.stopping:is_set() then return failure "the application ends" end
  for _, node in ipairs(self.fresh) do
    local has_failed, err, traceback = runtime.failure(node.ctx)
    if has_failed or node.ctx:state() ~= "open" then
      self.culprit = node
      return failure("%s failed before it was to serve: %s%s", tree.describe(node),
        has_failed and tostring(err) or "its context was closed",
        traceback and "\n" .. traceback or "")
    end
    local gone <const> = dependencies.held(node, self.withdrawn)[1]
    if gone then
      return nil, errors.new("EAGAIN", ("'%s', which %s holds, has been published anew")
        :format(gone, tree.describe(node)))
    end
  end
  for _, stage in ipairs(self.stages_made) do
    local has_failed, err, traceback = runtime.failure(stage)
    if has_failed then return failure("%s\n%s", tostring(err), traceback or "") end
  end
  local problem <const> = self.plan:missing(self:published())
  if problem then return failure("%s", problem) end
  return true
end

-- -> a set of the keys that have been published by new ones
function Transaction:published()
  local set <const> = {}
  for _, node in ipairs(self.fresh) do
    for _, key in ipairs(runtime.published(node.ctx)) do set[key] = true end
  end
  return set
end

local function contexts_of(nodes)
  local list <const> = {}
  for _, node in ipairs(nodes) do
    if is_open(node.ctx) then list[#list + 1] = node.ctx end
  end
  return list
end

-- All that end, also those that had not come to the end of their start.
function Transaction:ending()
  local list <const>, seen <const> = {}, {}
  for _, node in ipairs(self.outgoing) do
    list[#list + 1] = node
    seen[node] = true
  end
  for node in next, self.plan.outgoing do
    if not seen[node] then list[#list + 1] = node end
  end
  return list
end

-- The tree is the new one from here on.
function Transaction:swap()
  local app <const>, plan <const> = self.app, self.plan
  for node in next, plan.outgoing do
    node.keeper, node.ended = {}, true
    -- What drains is to hold nothing that was above or below it.
    node.children = {}
    if node.starting then node.starting:replace() else node.parent = nil end
  end
  for node, entry in next, plan.entries do
    node.raw, node.parent, node.children = entry.raw, entry.parent, entry.children
  end
  for _, node in ipairs(self.fresh) do
    local old <const> = plan:predecessor(node)
    node.generation = old and old.generation + 1 or 1
  end
  app:adopt(plan.draft)
  for _, node in ipairs(self.fresh) do app:started(node) end
  app:started_nodes() -- forgets those that ended
end

-- What follows the commit, and may call code of the application.
function Transaction:follow()
  local app <const> = self.app
  for _, stage in ipairs(self.stages_made) do runtime.announce(stage) end
  drain.stages(app, self.stages_made, self.fresh, self.plan.draft.listens_anew)
  drain.begin(app, self:ending(), self.dependants)
  for node, keys in next, self.plan.rebinds do
    app.outer:spawn("rebind of " .. node.path, function()
      for _, key in ipairs(keys) do supervision.rebind(node, key) end
    end)
  end
end

-- In one turn of the loop. -> true | nil, err, and nothing has changed
function Transaction:commit()
  local ok, err = self:check()
  for _, node in ipairs(self.fresh) do
    if ok then ok, err = self:restore(node) end
  end
  if ok and self.plan.config_changed then ok, err = self.app:apply(self.plan.draft) end
  if not ok then return nil, err end
  local called
  called, ok, err = pcall(runtime.commit, self.stages_made, contexts_of(self.fresh),
    contexts_of(self:ending()))
  if not (called and ok) then
    if self.plan.config_changed then self.app:apply(self.app) end
    return nil, called and err or ok
  end
  self.committed = true
  self:swap()
  self:follow()
  return true
end

-- ---- rollback ------------------------------------------------------------------------

-- Ends what has been started; what serves goes on as before. Waits.
function Transaction:roll_back()
  local app <const>, nodes <const> = self.app, self.plan:new_nodes()
  local contexts <const> = {}
  for _, node in ipairs(dependencies.order(nodes, dependencies.dependants(nodes))) do
    contexts[#contexts + 1] = node.ctx
  end
  table.move(self.stages_made, 1, #self.stages_made, #contexts + 1, contexts)
  for _, ctx in ipairs(contexts) do
    local ok, failures = ctx:close()
    if not ok then app:log_teardown(failures) end
  end
  self:mark(false)
  self.exclusive:revive(self)
end

-- ---- the whole -----------------------------------------------------------------------

local function protected(self)
  self:stage_config()
  local ok, err = self:stage()
  if not ok then return nil, err end
  return self:commit()
end

-- For an error that is no answer but a mistake, of ours or in what was called.
local function trace(err)
  if errors.is(err) then return err end
  return errors.new("FAILED", debug.traceback(tostring(err), 2))
end

--- Carries the plan out. Waits for the commit, not for what is old.
---@param app ahost.Application
---@param plan ahost.ReloadPlan
---@param stage ahost.Context    of the application's resources; ended if it fails
---@return true? ok
---@return ahost.Error? err
---@return ahost.ReloadTransaction self
function transaction.run(app, plan, stage)
  local self <const> = setmetatable({
    app = app,
    plan = plan,
    fresh = {},
    began = {},
    seconds = {},
    stage_of = { [app.ctx] = stage },
    stages_made = { stage },
    withdrawn = {},
    exclusive = Exclusive.new(app, plan),
  }, Transaction)
  app.transaction = self
  local called, ok, err = xpcall(protected, trace, self)
  app.transaction = nil
  if not called then ok, err = nil, ok end
  if self.committed and not ok then
    app:fail("a reload went wrong after its commit: " .. err.message)
  elseif not ok then
    self:roll_back()
  end
  runtime.release_sockets()
  if errors.is(err, "CANCELLED") then error(err, 0) end
  return ok, err, self
end

return transaction
