-- What becomes of old generations: they serve the connections that they have until these
-- end, or their grace is over, and are torn down then, who depends on others first.

local reachability <const> = require "ahost.reload.reachability"
local runtime <const> = require "ahost.component.runtime"
local sync <const> = require "ahost.sync"
local time <const> = require "ahost.time"

local drain <const> = {}

---@class ahost.OldGeneration
---@field path string
---@field number integer        which generation it is
---@field ctx ahost.Context
---@field since number          when it was replaced
---@field cut ahost.Event       set when it is to end at once
---@field over ahost.Event      set when it has ended

-- Those of a component, oldest first.
local function list_of(app, path)
  local list = app.draining[path]
  if not list then
    list = {}
    app.draining[path] = list
  end
  return list
end

local function forget(app, old)
  local list <const> = list_of(app, old.path)
  for i, one in ipairs(list) do
    if one == old then table.remove(list, i) end
  end
  if #list == 0 then app.draining[old.path] = nil end
end

-- ---- one generation ------------------------------------------------------------------

local function remaining(deadline) return math.max(deadline - time.now(), 0) end

-- Waits for the end of its connections, and of those who use what it has published.
local function wait_for(app, old, deadline)
  for _, dependant in ipairs(old.dependants) do
    dependant.over:wait(remaining(deadline))
  end
  local waiting <const> = app.outer:spawn("connections of " .. old.path, function()
    if not runtime.drained(old.ctx, remaining(deadline)) then
      app.log:notice("the connections of generation %d of %s are cut: its grace is over",
        old.number, old.name)
    end
    old.cut:set()
  end)
  old.cut:wait()
  waiting:cancel()
end

-- Nobody supervises it any more: what fails in it is told, and ends nothing else.
local function tell_failure(app, old)
  local has_failed, err, traceback = runtime.failure(old.ctx)
  if not has_failed then return end
  app.log:error("generation %d of %s failed while its connections ended: %s%s",
    old.number, old.name, tostring(err), traceback and "\n" .. traceback or "")
end

local function finish(app, old, deadline)
  wait_for(app, old, deadline)
  tell_failure(app, old)
  local ok, failures = old.ctx:close()
  if not ok then app:log_teardown(failures) end
  forget(app, old)
  old.over:set()
  if old.batch then old.batch:release() end
  app.log:info("generation %d of %s has ended", old.number, old.name)
  reachability.expect_end(app, old)
end

-- ---- all that one reload replaces ----------------------------------------------------

local function new_old(node, now)
  return {
    path = node.path,
    name = node.path == "" and "the root component" or "component " .. node.path,
    number = node.generation,
    ctx = node.ctx,
    instance = node.instance,
    batch = node.batch,
    since = now,
    cut = sync.event(),
    over = sync.event(),
    dependants = {},
  }
end

--- Lets replaced components end by and by. Does not wait.
---@param app ahost.Application
---@param nodes ahost.ComponentNode[]    who depends on others first
---@param dependants table<ahost.ComponentNode, ahost.ComponentNode[]>
function drain.begin(app, nodes, dependants)
  local now <const>, by_node <const> = time.now(), {}
  local deadline <const> = now + app.keys.reload.grace
  for _, node in ipairs(nodes) do
    if node.ctx and node.ctx:state() ~= "closed" then
      local old <const> = new_old(node, now)
      by_node[node] = old
      -- Those that come later in the order depend on nobody before them, but for circles.
      for _, dependant in ipairs(dependants[node] or {}) do
        old.dependants[#old.dependants + 1] = by_node[dependant]
      end
      table.insert(list_of(app, old.path), old)
      app.outer:spawn("end of " .. old.name, finish, app, old, deadline)
    elseif node.batch then -- it has ended already
      app.outer:spawn("end of the stages", node.batch.release, node.batch)
    end
  end
end

--- How many old generations there are of a component.
---@return integer
function drain.count(app, path) return #(app.draining[path] or {}) end

-- It ends at once; so do those who use what it has published, which it waits for.
local function cut(old)
  for _, dependant in ipairs(old.dependants) do cut(dependant) end
  old.cut:set()
end

--- Waits until there is room for one more old generation of each of the components; the
--- oldest one may go on for its grace.
---@param app ahost.Application
---@param nodes table<ahost.ComponentNode, any>    a set
---@param force boolean    end it at once instead
function drain.make_room(app, nodes, force)
  for node in next, nodes do
    while drain.count(app, node.path) >= app.keys.reload.generations do
      local oldest <const> = app.draining[node.path][1]
      if force then cut(oldest) end
      oldest.over:wait()
    end
  end
end

-- ---- what is opened at the top level of modules --------------------------------------

-- The stages of one reload: they end with the last of the components that it started.
local Batch <const> = {}
Batch.__index = Batch

function Batch:release()
  self.count = self.count - 1
  if self.count > 0 then return end
  for _, stage in ipairs(self.stages) do stage:close() end
end

--- Keeps the contexts in which modules were loaded as long as what has loaded them.
---@param app ahost.Application
---@param stages ahost.Context[]
---@param fresh ahost.ComponentNode[]
---@param listens_anew boolean    the functions of `listen:` are new, too
function drain.stages(app, stages, fresh, listens_anew)
  local batch <const> = setmetatable({ count = #fresh + 1, stages = stages }, Batch)
  for _, node in ipairs(fresh) do node.batch = batch end
  if listens_anew then
    local before <const> = app.listening_batch
    app.listening_batch, batch.count = batch, batch.count + 1
    if before then app.outer:spawn("end of the stages", Batch.release, before) end
  end
  for _, stage in ipairs(stages) do
    app.outer:spawn("supervisor of modules", function()
      local what, err, traceback = runtime.wait(stage)
      if what == "failed" and not app.stopping:is_set() then
        app:fail(("a task of a module failed: %s\n%s"):format(tostring(err),
          traceback or ""))
      end
    end)
  end
  app.outer:spawn("end of the stages", Batch.release, batch)
end

return drain
