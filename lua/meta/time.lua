---@meta ahost.time

--- ahost.time: clocks, and timers that call functions.
local time = {}

---@return number seconds    on the monotonic clock, whose zero means nothing
function time.now() end

---@return number seconds    since 1970-01-01T00:00:00Z; jumps when the clock is set
function time.wall() end

---Writes a time in UTC as RFC 3339 has it, rounded to microseconds:
---`2024-02-29T12:34:56.123456Z`. Raises outside the years 0 to 9999.
---@param t? number    seconds since 1970-01-01T00:00:00Z (now)
---@return string
function time.iso(t) end

---Calls a function once, or once per period. Each call is a task of the context in
---which the timer was made, a failure is that task's.
---
---A started timer keeps a script running, is stopped when its context ends, and
---needs nobody to hold it. A period that ends while the call before still runs, or
---while the loop is busy, is skipped: calls neither overlap nor pile up.
---@class ahost.Timer
---@field skipped integer    the periods skipped so far
local Timer = {}

---@class ahost.time.TimerOptions
---@field autorestart? boolean    calls at every multiple of the seconds after the
---                               start, however long the calls take (false)

---@param fn fun()
---@param opts? ahost.time.TimerOptions
---@return ahost.Timer timer    one that is stopped
function time.timer(fn, opts) end

---Starts the timer. Raises when it is started or closed, or its context is closed.
---@param seconds number    until the call, or the period, which must not be 0
function Timer:start(seconds) end

---Stops the timer if it is started, then starts it.
---@param seconds number    as for start
function Timer:restart(seconds) end

---Stops the timer. A call that has begun goes on; one that is due but has not begun
---will not.
function Timer:stop() end

---@return boolean    false also once a timer that does not repeat is due
function Timer:started() end

---Stops the timer for good; idempotent. Also when a `<close>` variable goes out of
---scope.
function Timer:close() end

return time
