---@meta ahost.sync

--- ahost.sync: queues, events, locks, semaphores and futures between tasks.
---
--- Who waits is served in the order of arrival, and nobody overtakes. What is
--- handed to a waiting task is the task's, even when it is cancelled or its time
--- is up before it runs; a task that was cancelled or timed out first gets
--- nothing. Timeouts are in seconds; without one a task waits for ever.
local sync = {}

---A bounded queue of values other than nil.
---@class ahost.Queue
---@operator len: integer    the number of items, without those of waiting putters
local Queue = {}

---@param max? integer    how many items it holds, 1 at least (1000)
---@return ahost.Queue
function sync.queue(max) end

---Appends a value; waits while the queue is full. A put that fails has not put.
---Raises on nil.
---@param value any
---@param timeout? number
---@return true? ok
---@return ahost.Error? err    code CLOSED, TIMEDOUT
function Queue:put(value, timeout) end

---Appends a value if there is room. Does not wait and may be called anywhere.
---Raises on nil.
---@param value any
---@return boolean? ok         false when the queue is full, nil when it is closed
---@return ahost.Error? err    code CLOSED
function Queue:try_put(value) end

---Takes the oldest value; waits while the queue is empty.
---@param timeout? number
---@return any value           a plain nil when the queue is closed and empty
---@return ahost.Error? err    code TIMEDOUT
function Queue:get(timeout) end

---Takes the oldest value if there is one. Does not wait and may be called
---anywhere.
---@return any value    nil when there is none
function Queue:try_get() end

---Iterates over the values, taking them, until the queue is closed and empty; each
---step may wait. What a loop that breaks has not taken stays in the queue.
---@return fun(): any iterator
---@return ahost.Queue queue
function Queue:items() end

---Ends the queue: waiting and later puts fail with CLOSED, what the queue holds
---can still be taken. Also when a `<close>` variable goes out of scope.
function Queue:close() end

---A flag that tasks wait for.
---@class ahost.Event
local Event = {}

---@return ahost.Event    one that is not set
function sync.event() end

---Sets the flag and wakes all who wait now, even if it is cleared before they run.
function Event:set() end

---Clears the flag.
function Event:clear() end

---@return boolean
function Event:is_set() end

---Waits until the flag is set.
---@param timeout? number
---@return true? ok
---@return ahost.Error? err    code TIMEDOUT
function Event:wait(timeout) end

---The right to one slot of a lock or semaphore.
---@class ahost.Permit
local Permit = {}

---Gives the slot to who waits longest, or back; idempotent. This happens also when
---a `<close>` variable goes out of scope, when the context in which the permit was
---acquired ends, and when the permit is garbage.
function Permit:close() end

---A lock of tasks: one holds it. It is not reentrant, a task that acquires it twice
---waits for itself.
---@class ahost.Lock
local Lock = {}

---@return ahost.Lock
function sync.lock() end

---Waits until the lock is free and takes it:
---`local permit <close> = lock:acquire()`.
---@param timeout? number
---@return ahost.Permit? permit
---@return ahost.Error? err    code TIMEDOUT
function Lock:acquire(timeout) end

---A number of slots, each held through a permit.
---@class ahost.Semaphore
local Semaphore = {}

---@param slots integer    1 at least
---@return ahost.Semaphore
function sync.semaphore(slots) end

---Waits until a slot is free and takes it.
---@param timeout? number
---@return ahost.Permit? permit
---@return ahost.Error? err    code TIMEDOUT
function Semaphore:acquire(timeout) end

---A result that is waited for before it is there. The first outcome counts.
---@class ahost.Future
local Future = {}

---@return ahost.Future
function sync.future() end

---Decides what `wait` returns, any number of values.
---@param ... any
---@return boolean decided    false when the future had an outcome already
function Future:resolve(...) end

---Decides that `wait` fails. A rejection that nobody has ever waited for is logged
---when the future is garbage. Raises on nil.
---@param err any             what is no error object becomes one of code FAILED
---@return boolean decided    false when the future had an outcome already
function Future:reject(err) end

---Waits for the outcome; may be called again and by several tasks.
---@param timeout? number
---@return any ...             what it was resolved with, or nil and err
---@return ahost.Error? err    what it was rejected with, or code TIMEDOUT
function Future:wait(timeout) end

return sync
