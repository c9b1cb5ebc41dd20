-- ahost.task: tasks, and the ways to run several at once.

local context <const> = require "ahost.context"
local task <const> = require "ahost.task.core"

--- Runs functions concurrently and waits for all of them.
---@param functions function[]
---@return any[] results  the first result of each, in the order of the functions
--- Raises the first failure, after the rest have been cancelled.
function task.all(functions)
  return context.scope(function(ctx)
    local results = {}
    for i, fn in ipairs(functions) do
      ctx:spawn(function() results[i] = fn() end)
    end
    return results
  end)
end

--- Runs functions concurrently until the first has finished, then cancels the others
--- and waits for them.
---@param functions function[]  one at least
---@return ...  what the first function returned; a failure wins and is raised
function task.race(functions)
  assert(#functions > 0, "task.race needs at least one function")
  return context.scope(function(ctx)
    local winner, racers = nil, {}
    local function finish(...)
      winner = winner or table.pack(...)
      for _, racer in ipairs(racers) do racer:cancel("lost the race") end
    end
    for i, fn in ipairs(functions) do
      racers[i] = ctx:spawn(function() finish(fn()) end)
    end
    for _, racer in ipairs(racers) do racer:join() end
    if winner then return table.unpack(winner, 1, winner.n) end
  end)
end

return task
