-- ahost.run: runs a function as a task, from code that is none: in a Lua that has
-- loaded ahost as a module.

local context <const> = require "ahost.context"
local loop <const> = require "ahost.run.loop"
local task <const> = require "ahost.task"

-- A scope that does not hand itself to the function.
local function in_scope(fn, ...)
  local arguments <const> = table.pack(...)
  return context.scope(function()
    return fn(table.unpack(arguments, 1, arguments.n))
  end)
end

local function finish(ok, ...)
  if not ok then error((...), 0) end
  return ...
end

--- Calls a function in a task and a scope of their own, and waits until it and what it
--- has spawned have ended: outside tasks by running the host meanwhile. Raises what the
--- function, or the first of its tasks to fail, has raised.
---@param fn function
---@param ... any  its arguments
---@return ...  what it returned
return function(fn, ...)
  if type(fn) ~= "function" then
    error(("ahost.run needs a function, not a %s"):format(type(fn)), 2)
  elseif loop.in_task() then
    return in_scope(fn, ...)
  end
  local results
  local main <const> = task.spawn("main", function(...)
    results = table.pack(pcall(in_scope, ...))
  end, fn, ...)
  if not loop.turn(main) then
    main:cancel("nothing is left that could wake it")
    loop.turn(main)
    error("ahost.run: nothing is left that could wake the waiting tasks", 2)
  end
  return finish(table.unpack(results, 1, results.n))
end
