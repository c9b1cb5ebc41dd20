-- Loads what is new for a reload. What the code opens and starts meanwhile belongs to the
-- stage, and goes with it when nothing comes of the reload; what waits for ever is given
-- up when a component would be.

local errors <const> = require "ahost.error"
local runtime <const> = require "ahost.component.runtime"

local loading <const> = {}

local function failure(format, ...)
  return nil, errors.new("FAILED", format:format(...))
end

-- What the code waits for, for messages.
local function describe_waits(stage)
  local lines <const> = {}
  for _, wait in ipairs(runtime.waiting(stage)) do
    local what <const> = wait.key and ("resource '%s'"):format(wait.key) or wait.what
    local where <const> = wait.where ~= "" and " at " .. wait.where or ""
    if what then lines[#lines + 1] = ("\n  it waits for %s%s"):format(what, where) end
  end
  return table.concat(lines)
end

--- Calls a function that loads, in a task of the stage. Waits up to the application's
--- `start_timeout`.
---@param app ahost.Application
---@param stage ahost.Context
---@param fn function
---@return any ...    what it returns | nil, err
function loading.run(app, stage, fn, ...)
  local args <const>, result = table.pack(...), nil
  local task <const> = stage:spawn("loading", function()
    result = table.pack(fn(table.unpack(args, 1, args.n)))
  end)
  task:join(app.start_timeout > 0 and app.start_timeout or nil)
  if result then return table.unpack(result, 1, result.n) end
  local has_failed, err, traceback = runtime.failure(stage)
  if has_failed then
    return failure("%s%s", tostring(err), traceback and "\n" .. traceback or "")
  elseif task:status() ~= "running" then
    return failure "the application ends"
  end
  return failure("the code was not loaded within %.14g s:%s", app.start_timeout,
    describe_waits(stage))
end

return loading
