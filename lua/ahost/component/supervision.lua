-- What happens when a started component fails: it is started again, as often as its
-- settings allow, or the application ends. Others that hold what it had published get
-- the new values: by their `rebind(self, key, value)`, or by a restart of their own.

local dependencies <const> = require "ahost.component.dependencies"
local runtime <const> = require "ahost.component.runtime"
local errors <const> = require "ahost.error"
local report <const> = require "ahost.component.report"
local starting <const> = require "ahost.component.starting"
local task <const> = require "ahost.task"
local time <const> = require "ahost.time"
local tree <const> = require "ahost.component.tree"

local supervision <const> = {}

-- ---- restarts ------------------------------------------------------------------------

-- The pause before the next restart in seconds, or nil when there have been too many.
local function next_pause(node)
  local set <const> = node.settings
  local now <const>, recent <const> = time.now(), {}
  for _, at in ipairs(node.restarts or {}) do
    if now - at < set.max_restarts_window then recent[#recent + 1] = at end
  end
  node.restarts = recent
  if #recent >= set.max_restarts then return nil end
  recent[#recent + 1] = now
  local backoff <const> = set.backoff
  if backoff.first == 0 then return 0 end -- times infinity it would be no number
  return math.min(backoff.first * backoff.factor ^ (#recent - 1), backoff.max)
end

-- Takes a component and all below it over from whoever starts them again: there is one
-- at a time, the last. -> what shows who it is
local function take_over(node)
  local keeper <const> = {}
  for here in tree.each(node) do
    here.keeper, here.ended = keeper, true
    if here.starting then here.starting:replace() end
  end
  return keeper
end

-- Ends a component and all below it, newest first. -> the keys that they had published
local function close(app, node, err)
  local keys <const> = {}
  local function visit(here)
    for i = #here.children, 1, -1 do visit(here.children[i]) end
    if not here.ctx then return end
    local own <const> = runtime.published(here.ctx)
    table.move(own, 1, #own, #keys + 1, keys)
    local ok, failures = here.ctx:close(err)
    if not ok then app:log_teardown(failures) end
  end
  visit(node)
  return keys
end

-- Starts it anew, once. -> true | false, what went wrong
local function start_again(app, node)
  local timeout <const>, keeper <const> = app.start_timeout, node.keeper
  app.restarts[node.path] = (app.restarts[node.path] or 0) + 1
  app.watch:hold(1)
  local ok, message = pcall(tree.renew, node)
  app.watch:hold(-1)
  if not ok then
    if errors.is(message, "CANCELLED") then error(message, 0) end
    return false, ("%s failed in init: %s"):format(tree.describe(node), tostring(message))
  elseif node.keeper ~= keeper then
    return false
  end
  for here in tree.each(node) do here.ended = nil end
  local outcome <const> = starting.run(app, { node }, timeout)
  if outcome.what == "started" then return true end
  if outcome.what == "replaced" then return false end
  return false, report.describe(outcome, { node }, timeout)
end

-- ---- those who hold what is gone -----------------------------------------------------

--- Gives a component the new value of a resource that it holds, the one that it finds
--- itself; if that fails, the component has failed. Waits.
---@param node ahost.ComponentNode
---@param key string
function supervision.rebind(node, key)
  local instance <const>, ctx <const> = node.instance, node.ctx
  if ctx:state() ~= "open" then return end
  ctx:spawn("rebind " .. key, function()
    node.component.rebind(instance, key, ctx:get(key))
  end):join()
end

-- Gives the new values to those who hold the old ones, in the order of their starts.
-- Where components hold each other, the circle ends at those who have been started anew.
local function rebind_holders(app, origin, keys, renewed)
  for _, node in ipairs(app:started_nodes()) do
    local is_up <const> = node.state == "started" and not node.ended
    if is_up and not dependencies.is_below(node, origin) and not renewed[node] then
      local held <const> = dependencies.held(node, keys)
      if #held > 0 and node.component.rebind then
        for _, key in ipairs(held) do supervision.rebind(node, key) end
      elseif #held > 0 then
        app.log:notice("restarting %s, which holds '%s' of %s", tree.describe(node),
          held[1], tree.describe(origin))
        supervision.restart(app, node, nil, renewed)
      end
    end
  end
end

-- ---- the whole -----------------------------------------------------------------------

--- Ends a component and all below it and starts it again, until it has started or may
--- not be started any more. Waits.
---@param app ahost.Application
---@param node ahost.ComponentNode
---@param err? any    why, for its teardown
---@param renewed? table<ahost.ComponentNode, boolean>   those that are restarted already
---@return boolean restarted   false: the application has been told to end, or somebody
---  else restarts it
function supervision.restart(app, node, err, renewed)
  local keeper = take_over(node)
  local function is_over() return app.stopping:is_set() or node.keeper ~= keeper end
  local keys <const> = close(app, node, err)
  node.withdrawn = table.move(node.withdrawn or {}, 1, #(node.withdrawn or {}),
    #keys + 1, keys)
  if app.transaction then app.transaction:disturb(keys) end
  renewed = renewed or {}
  renewed[node] = true
  while not is_over() do
    local ok, message = start_again(app, node)
    if ok then
      rebind_holders(app, node, keys, renewed)
      node.withdrawn = nil
      return true
    end
    if is_over() then break end
    keeper = take_over(node)
    close(app, node)
    if is_over() then break end
    app.log:error("%s", message)
    if not supervision.pause(app, node) then return false end
  end
  return false
end

--- Waits before a restart. -> false when there have been too many: the application ends
function supervision.pause(app, node)
  local seconds <const> = next_pause(node)
  if not seconds then
    app:fail(("%s was restarted %d times within %.14g s; giving up"):format(
      tree.describe(node), node.settings.max_restarts, node.settings.max_restarts_window))
    return false
  end
  app.log:notice("restarting %s in %.14g s", tree.describe(node), seconds)
  app.watch:hold(1)
  local _ <close> = setmetatable({}, { __close = function() app.watch:hold(-1) end })
  task.sleep(seconds)
  return true
end

local function describe_failure(node, err, traceback)
  local text <const> = err == nil and "not enough memory" or tostring(err)
  return ("%s failed: %s%s"):format(tree.describe(node), text,
    traceback and "\n" .. traceback or "")
end

--- Looks after a started component until it ends: the body of a task. What is below one
--- that has closed its own context ends with it.
---@param app ahost.Application
---@param node ahost.ComponentNode
function supervision.watch(app, node)
  local keeper <const> = node.keeper
  local function is_over() return app.stopping:is_set() or node.keeper ~= keeper end
  local what, err, traceback = runtime.wait(node.ctx)
  if is_over() then return end
  local policy <const> = node.settings.restart
  if what == "failed" then
    app.log:error("%s", describe_failure(node, err, traceback))
  end
  if policy == "always" or policy == "on-failure" and what == "failed" then
    if supervision.pause(app, node) and not is_over() then
      supervision.restart(app, node, err)
    end
  elseif what == "failed" then
    app:fail()
  else
    take_over(node)
    close(app, node)
  end
end

return supervision
