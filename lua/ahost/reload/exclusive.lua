-- Components that cannot be there twice, as they have something to themselves: a file, a
-- device. Their successors are started when they have ended, and if that goes wrong they
-- are started again. Who holds what they publish ends and comes with them. The sockets of
-- all these stay open meanwhile: who connects waits.

local report <const> = require "ahost.component.report"
local runtime <const> = require "ahost.component.runtime"
local starting <const> = require "ahost.component.starting"
local supervision <const> = require "ahost.component.supervision"
local tree <const> = require "ahost.component.tree"

---@class ahost.ReloadExclusive
---@field late table<ahost.ComponentNode, boolean>    new ones that are started late
---@field ready table<ahost.ComponentNode, boolean>   those of them that may start
---@field going table<ahost.ComponentNode, boolean>   present ones without a successor
---  that hold what these have
---@field stopped ahost.ComponentNode[]               present ones that have ended
local Exclusive <const> = {}
Exclusive.__index = Exclusive

---@param app ahost.Application
---@param plan ahost.ReloadPlan
---@return ahost.ReloadExclusive
function Exclusive.new(app, plan)
  return setmetatable({
    app = app,
    plan = plan,
    late = {},
    ready = {},
    going = {},
    stopped = {},
    saved = {},
    successors = {},
  }, Exclusive)
end

--- Whether a new component is not to be started yet.
---@return boolean
function Exclusive:defers(node)
  return self.late[node] and not self.ready[node] or false
end

--- Finds those that are to be started late: exclusive ones, who holds what these have,
--- and what is above or below one of them in the tree, as far as it is replaced at all.
---@param transaction ahost.ReloadTransaction
function Exclusive:find(transaction)
  local plan <const>, by_path <const> = self.plan, {}
  for _, node in ipairs(plan:new_nodes()) do by_path[node.path] = node end
  local add_holders
  local function add(node)
    if not node or self.late[node] or plan:keeps(node) then return end
    if node.state == "started" then return end -- it was no part of this before
    self.late[node] = true
    add(node.parent)
    for _, child in ipairs(plan:children(node)) do add(child) end
    local old <const> = plan:predecessor(node)
    if old then add_holders(old) end
  end
  function add_holders(old)
    for _, holder in ipairs(transaction.dependants[old] or {}) do
      if by_path[holder.path] then
        add(by_path[holder.path])
      elseif not self.going[holder] then
        self.going[holder] = true
        add_holders(holder)
      end
    end
  end
  for _, node in next, by_path do
    local old <const> = plan:predecessor(node)
    if old and (old.component.exclusive or node.component.exclusive) then add(node) end
  end
end

-- Ends the present ones, who depends on others first.
function Exclusive:stop(outgoing)
  for _, old in ipairs(outgoing) do
    local node <const> = self.successors[old]
    local is_to_end <const> = node ~= nil or self.going[old]
    if is_to_end and old.ctx and old.ctx:state() ~= "closed" then
      self.stopped[#self.stopped + 1] = old
      if node then self.saved[old] = node.instance.saved end
      old.keeper, old.ended = {}, true
      runtime.keep_sockets(old.ctx)
      local ok, failures = old.ctx:close()
      if not ok then self.app:log_teardown(failures) end
    end
  end
end

--- Ends what is present and starts what is new; each time those that have been found
--- since the last time. Waits.
---@param transaction ahost.ReloadTransaction
---@return true? ok
---@return ahost.Error? err
function Exclusive:start(transaction)
  local waiting <const> = {}
  for node in next, self.late do
    if not self.ready[node] then waiting[#waiting + 1] = node end
  end
  if #waiting == 0 then return true end
  for _, node in ipairs(waiting) do
    local ok, err = transaction:pass_on(node)
    if not ok then return nil, err end
    local old <const> = self.plan:predecessor(node)
    if old then self.successors[old] = node end
  end
  for old in next, self.going do
    local ok, data = transaction.saved_by(old)
    if not ok then return nil, data end
    self.saved[old] = data
  end
  for _, node in ipairs(waiting) do self.ready[node] = true end
  self:stop(transaction.outgoing)
  return transaction:start()
end

-- ---- again ---------------------------------------------------------------------------

-- The scope of a start of those that had ended.
local Revival <const> = {}
Revival.__index = Revival

Revival.is_shared = true

function Revival.children(_, node) return node.children end

function Revival:verdict(node) return self.nodes[node] and "start" or "pass" end

function Revival.stages() return false end

function Revival:started(node)
  node.ended = nil
  self.app:started(node)
end

-- -> the nodes, with new instances | nil, what is wrong
function Exclusive:renew()
  local nodes <const> = {}
  for _, old in ipairs(self.stopped) do
    local ok, message = pcall(tree.renew, old, true)
    if not ok then return nil, message end
    old.instance.saved, old.state = self.saved[old], nil
    nodes[old] = true
  end
  return nodes
end

-- Those that have stayed get what has been published anew.
function Exclusive:rebind()
  local gone <const> = {}
  for _, old in ipairs(self.stopped) do
    for _, key in ipairs(self.plan.outgoing[old]) do gone[key] = true end
  end
  for node, keys in next, self.plan.rebinds do
    for _, key in ipairs(keys) do
      if gone[key] then supervision.rebind(node, key) end
    end
  end
end

--- Starts those again that had ended; the application ends when that fails. Waits.
function Exclusive:revive()
  local app <const> = self.app
  if #self.stopped == 0 or app.stopping:is_set() then return end
  local nodes, message = self:renew()
  if nodes then
    local outcome <const> = starting.run(app, app:roots(), app.start_timeout,
      setmetatable({ app = app, nodes = nodes }, Revival))
    if outcome.what == "started" then return self:rebind() end
    message = report.describe(outcome, self.stopped, app.start_timeout)
  end
  app:fail("what had been stopped for a reload does not start again: " .. message)
end

return Exclusive
