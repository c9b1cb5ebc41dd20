---@meta ahost.thread

--- ahost.thread: Lua functions in worker threads, each with a Lua state of its own, for
--- what would keep the loop from turning.
---
--- Nothing is shared: what goes to a thread and comes from it is copied. That can be
--- nil, booleans, numbers, strings, `json.null`, channels, errors and plain tables, with
--- what they share and circles in them, 200 deep. Anything else raises, and the message
--- says where it is: "argument 2, field a.b: a function cannot be copied...".
---
--- Code in a worker has the standard libraries, `require`, and of ahost the modules
--- `ahost.error`, `ahost.json`, `ahost.yaml`, `ahost.log` (`get` and the methods of
--- loggers; the host writes the records) and `ahost.thread` (`channel` and `cancelled`).
--- What needs the loop, `os.exit` and `os.setlocale` raise. Reading and writing files,
--- `io.popen` and the like block the thread, and nobody else.
---
--- `pool` is annotated in lua/ahost/thread.lua.
local thread = {}

---Calls a function in a thread of the default pool, which has `max_threads` threads (one
---for each processor), and waits for what it returns. Raises when `fn` uses locals
---around it, when an argument or a result cannot be copied, outside a task.
---
---The function finds globals of its own, which fall back to those of its state: what one
---call sets, the next does not see. Modules stay loaded in a state, and states are used
---again.
---
---When the waiting task is cancelled it goes on at once. The code in the thread is asked
---to end: `thread.cancelled()` is true, operations of channels raise, and so does Lua
---code wherever it is, soon, or after a second when it has called `thread.cancelled()`;
---what it returns is dropped.
---@param fn function|string    a Lua function, or "module:function"
---@param ... any
---@return any ...              what the function returned
---@return ahost.Error? err     after nil: what it raised, with the `traceback` of the
---                             thread; code ENOMEM, CLOSED
function thread.call(fn, ...) end

---@return boolean    in a worker: whether the code is to end; false in the host
function thread.cancelled() end

---A bounded queue of values between tasks and threads, any number of them at each end. It
---is one object for both sides: a task of the host waits, a thread is blocked. Values
---are copied when they are put. It is gone when no side has it any more.
---@class ahost.Channel
---@operator len: integer    the number of values in it
local Channel = {}

---@param max? integer    how many values it holds, 1 at least (1000)
---@return ahost.Channel
function thread.channel(max) end

---Appends a value; waits while the channel is full. A put that fails has not put. Raises
---on nil and on what cannot be copied; in a worker whose call is cancelled.
---@param value any
---@param timeout? number    seconds
---@return true? ok
---@return ahost.Error? err    code CLOSED, TIMEDOUT
function Channel:put(value, timeout) end

---Appends a value if there is room. Does not wait.
---@param value any
---@return boolean? ok         false when the channel is full, nil when it is closed
---@return ahost.Error? err    code CLOSED
function Channel:try_put(value) end

---Takes the oldest value; waits while the channel is empty. Raises in a worker whose
---call is cancelled.
---@param timeout? number    seconds
---@return any value           a plain nil when the channel is closed and empty
---@return ahost.Error? err    code TIMEDOUT
function Channel:get(timeout) end

---Takes the oldest value if there is one. Does not wait.
---@return any value    nil when there is none
function Channel:try_get() end

---Iterates over the values, taking them, until the channel is closed and empty; each
---step may wait.
---@return fun(): any iterator
---@return ahost.Channel channel
function Channel:items() end

---Ends the channel for both sides: waiting and later puts fail with CLOSED, what it
---holds can still be taken. Also when a `<close>` variable goes out of scope.
function Channel:close() end

---Threads that run one call each at a time, with Lua states that are used again.
---@class ahost.ThreadPool
local Pool = {}

---Calls a function in a thread of the pool, as `thread.call` does. Calls begin in their
---order; when `max_queue` of them wait for a thread, the caller waits for a place first.
---@param fn function|string
---@param ... any
---@return any ...
---@return ahost.Error? err
function Pool:call(fn, ...) end

return thread
