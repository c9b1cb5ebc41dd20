-- Two generations of a component by hand: contexts, and the commit between them.

local context <const> = require "ahost.context"
local runtime <const> = require "ahost.component.runtime"

local pair <const> = {}

--- An application without components, below the current context.
function pair.application() return runtime.application(context.current()) end

--- The context of a component that serves.
function pair.current(app, path)
  return runtime.context(app, path or "web", nil, false)
end

--- The context of one that is to follow `old`.
function pair.staged(app, old, path)
  if old then runtime.replace(old, true) end
  return runtime.context(app, path or "web", nil, false, true)
end

--- Calls a function in a task of the context.
function pair.inside(ctx, fn, ...) return ctx:spawn(fn, ...):join() end

--- Has `new` take the place of `old`, either of which may be nil.
function pair.commit(old, new)
  assert(runtime.prepare_sockets())
  if old then runtime.retire(old) end
  if new then runtime.activate(new) end
end

--- How many descriptors this process has open; some may be about to be closed.
function pair.descriptors()
  local count = 0
  local list <const> = assert(io.popen "ls /proc/$PPID/fd")
  for _ in list:lines() do count = count + 1 end
  list:close()
  return count
end

return pair
