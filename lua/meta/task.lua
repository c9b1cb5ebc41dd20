---@meta ahost.task

---Tasks: code that may wait. Waiting is possible in a task only, and not inside a
---C function that does not allow it (a comparison of `table.sort`, `string.gsub`,
---`require`, `__gc`, `coroutine.close`). In a task that has been cancelled every
---wait raises an error with code CANCELLED.
local task = {}

---A task. The handle is always the same one.
---@class ahost.Task
---@field name? string    as given to `spawn`
local Task = {}

---Starts a task in the current context; it runs in its turn. A failure of it goes
---to its context, whether it is joined or not. Does not wait.
---@param name string     for logs and reports; may be left out
---@param fn function
---@param ... any         arguments of `fn`
---@return ahost.Task
---@overload fun(fn: function, ...): ahost.Task
function task.spawn(name, fn, ...) end

---Waits for a time. Raises when it is negative or no number.
---@param seconds number  `math.huge` is for ever
function task.sleep(seconds) end

---Waits until the other tasks that are ready have run.
function task.yield() end

---@return ahost.Task? task    the running one; nil outside tasks
function task.current() end

---Calls a function whose waits raise CANCELLED when the time is over. Only in a task.
---A function that goes on nevertheless is not stopped: what it returns is returned.
---@param seconds number
---@param fn function
---@param ... any         arguments of `fn`
---@return any ...        what `fn` returned; `nil, err` (code TIMEDOUT) when it was
---  late. What it raised is raised
function task.timeout(seconds, fn, ...) end

---Calls a function whose waits are spared from cancellation, timeouts and failures
---of scopes around it; they are raised by the first wait afterwards. Only in a task.
---@param fn function
---@param ... any         arguments of `fn`
---@return any ...        what `fn` returned
function task.shield(fn, ...) end

---Waits for the end of a task. Raises when that is the running task.
---@param timeout? number    seconds; the task itself goes on when they are over
---@return any ...           its results; `nil, err` when it failed (its error; code
---  FAILED and field `value` for what is no error object), was cancelled (CANCELLED)
---  or is late (TIMEDOUT)
function Task:join(timeout) end

---Asks a task to end: its waits raise CANCELLED from now on. One that has not run
---yet never runs. Does not wait, and does nothing to a task that has ended.
---@param reason? string    message of the error
function Task:cancel(reason) end

---@return "running"|"done"|"failed"|"cancelled"    a task that swallowed its
---  cancellation is done
function Task:status() end

return task
