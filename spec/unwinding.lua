-- What specs of errors, cancellation and teardown need.

local unwinding <const> = {}

--- A value for <close> that calls fn(err).
---@param fn fun(err: any)
---@return table
function unwinding.closing(fn)
  return setmetatable({}, { __close = function(_, err) fn(err) end })
end

--- The code of the error object that fn(...) raises.
---@param fn function
---@return string code
function unwinding.cancelled_code(fn, ...)
  local ok, err = pcall(fn, ...)
  assert(not ok, "the function has raised nothing")
  return err.code
end

--- A function that appends to a log, and the log.
---@return fun(text: string) note
---@return string[] log
function unwinding.logger()
  local log = {}
  return function(text) log[#log + 1] = text end, log
end

return unwinding
