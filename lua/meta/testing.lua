---@meta ahost.testing

--- ahost.testing: what specs need besides busted. The functions that are not here are
--- written in Lua.
local testing = {}

---@class ahost.testing.ClockOptions
---@field manual? boolean     starts paused (false)
---@field patience? number    seconds of real time without input before each jump, 0 to
---                           60 (0.001); see below

---Takes the time of the host over, until the clock is closed or the current context
---ends. There is one at a time: a second raises.
---
---All of the host is on virtual time then: `time.now`, `time.wall` and `time.iso`,
---sleeps, timers, timeouts of any kind, the `linger` of closing streams, `stop_timeout`.
---Only the limit of `ahost test` for each test stays real. Time stands still while
---anybody has something to do, and jumps to the next deadline when everybody waits: no
---task is ready, no thread is at work for the host (lookups of names, files), no child
---process runs, and no input has come for the time of `patience`. What is due at the
---same time comes in the order in which it was started.
---
---Input from peers in the same host is there at once. One in another process needs real
---time to answer: `patience` says how much of it the clock leaves to it before it jumps,
---perhaps to a timeout. Nobody waits where there is no socket or pipe to get input from.
---A loop that asks `time.now` without waiting never ends, and a connection on which data
---flow without end holds the clock.
---
---A deadline a hundred years ahead or more (`math.huge`) is never: the clock does not go
---there.
---
---When it is closed, time goes on at its real pace from where the clock stands (clocks
---can take a host 146 years ahead, all together; then the next one raises), and
---what is due later is as far ahead as it was; `time.wall` is that of the system again.
---A host that stops closes it, so that its own end takes real `stop_timeout` at most.
---@param opts? ahost.testing.ClockOptions
---@return ahost.testing.Clock clock
function testing.clock(opts) end

---@class ahost.testing.Clock
local Clock = {}

---The seconds that have passed on the clock. Raises, as the others do, when it is closed.
---@return number seconds    0 at the start
function Clock:now() end

---Waits until the clock has gone on by so much and everything due until then has run up
---to its next wait, in order. Meanwhile it goes no further, paused or not, and does not
---wait for child processes. One task at a time; a second raises.
---@param seconds number
---@return true? ok
---@return ahost.Error? err    code CLOSED when the clock is closed meanwhile
function Clock:advance(seconds) end

---The clock does not jump by itself any more, until `resume` or until the context that it
---belongs to ends. What is due already still comes.
function Clock:pause() end

---The clock jumps by itself again.
function Clock:resume() end

---Back to real time; idempotent. Also when a `<close>` variable goes out of scope.
function Clock:close() end

return testing
