-- ahost.testing.busted: has busted run tests as tasks, in contexts and with time limits.
--
-- Everything that busted calls passes through busted.safe, so that is where a
-- test gets what the host has to offer: a time limit, and contexts. A block
-- (file, describe, or a test with its before_each and after_each) has one for
-- what is opened around its tests, the body of a test one of its own.

local context <const> = require "ahost.context"
local errors <const> = require "ahost.error"
local task <const> = require "ahost.task"
local testing <const> = require "ahost.testing.core"

local BLOCKS <const> = { file = true, describe = true, it = true }
local LAZY <const> = { lazy_setup = true, lazy_teardown = true }
local CLEANUPS <const> = {
  after_each = true,
  finally = true,
  lazy_teardown = true,
  strict_teardown = true,
}

-- Runs fn(ctx) in a scope that cancels what is left of it at the end. The turn
-- before that lets a task spawned last fail, if it has to.
local function in_scope(fn)
  return context.scope(function(ctx)
    local status = fn(ctx)
    task.yield()
    assert(ctx:close())
    return status
  end)
end

--- Replaces busted.safe, the call through which busted runs everything.
---@param busted table  what `require "busted.core"` makes
---@param limit number  seconds that a body or a setup may take; 0: as long as it wants
return function(busted, limit)
  local safe <const>, publish <const> = busted.safe, busted.publish
  local contexts <const> = {} -- of the blocks at work
  local held                  -- what the body at work has come to

  busted.publish = function(channel, element, ...)
    local kind = channel[1]
    if held and held.element == element and (kind == "error" or kind == "failure") then
      held.report = table.pack(channel, element, ...)
      return
    end
    return publish(channel, element, ...)
  end

  local function report(descriptor, element, err)
    return (safe(descriptor, function() error(err, 0) end, element))
  end

  -- The trace tells where a body was when it was interrupted.
  local function late(err, trace)
    local what = err.code == "TIMEDOUT" and "timed out after " .. limit .. " s"
      or err.message
    if not trace then return what end
    return ("%s:%d: %s, waiting here%s"):format(trace.short_src, trace.currentline, what,
      trace.traceback or "")
  end

  -- Runs a body; its failure is held back, for it may have a deeper reason.
  local function attempt(descriptor, run, element)
    local outer, mine = held, { element = element }
    held = mine
    local status = safe(descriptor, run, element)
    held = outer
    local trace = mine.report and mine.report[5]
    if trace and errors.is(trace.message, "CANCELLED") then
      mine.report = nil
      mine.trace = trace
      return mine, function() error(trace.message, 0) end
    end
    return mine, function() return status end
  end

  local function run_body(descriptor, run, element)
    local mine
    local function body()
      local outcome
      mine, outcome = attempt(descriptor, run, element)
      return outcome()
    end
    local function limited()
      local function scoped()
        return descriptor == "it" and in_scope(body) or body()
      end
      return testing.limit(limit == 0 and math.huge or limit, scoped)
    end
    local ok, status, err
    if CLEANUPS[descriptor] then
      ok, status, err = pcall(task.shield, limited)
    else
      ok, status, err = pcall(limited)
    end
    if mine and mine.report then
      publish(table.unpack(mine.report, 1, mine.report.n))
      return ok and status or busted.status(mine.report[1][1])
    elseif not ok then
      return report(descriptor, element, status)
    elseif err then
      return report(descriptor, element, late(err, mine and mine.trace))
    end
    return status
  end

  -- Setups that wait for the first test belong to their block, not to the test.
  local function run_lazy(descriptor, run, element)
    local ctx, status = contexts[busted.context.parent(element)], nil
    if not ctx then return run_body(descriptor, run, element) end
    ctx:spawn(descriptor, function()
      status = run_body(descriptor, run, element)
    end):join()
    return status or busted.status("error")
  end

  -- Whether this run, or a block around this one, is over.
  local function is_over()
    return not pcall(task.yield)
  end

  local function run_block(descriptor, run, element)
    if is_over() then return busted.status("success") end
    local ok, result = pcall(in_scope, function(ctx)
      contexts[element] = ctx
      return (safe(descriptor, run, element))
    end)
    contexts[element] = nil
    if ok then return result end
    if errors.is(result, "CANCELLED") then return busted.status("error") end
    local owner = descriptor == "it" and busted.context.parent(element) or element
    return report("after_each", owner, result)
  end

  busted.safe = function(descriptor, run, element)
    if run == element.run or descriptor == "finally" then
      local how = LAZY[descriptor] and run_lazy or run_body
      return how(descriptor, run, element)
    elseif BLOCKS[descriptor] and not contexts[element] then
      return run_block(descriptor, run, element)
    end
    return safe(descriptor, run, element)
  end
end
