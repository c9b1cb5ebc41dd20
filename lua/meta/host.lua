---@meta ahost.host

---The host that runs this code.
---@class ahost.host
---@field exit_status integer    what the program is going to end with, as far as is
---  known: 0, 1 after a failure, or what was given to `stop`
---@field args string[]          the arguments of the script
---@field version string         of ahost: "major.minor.patch"
---@field worker? integer        which one of several worker processes this is, from 1;
---  nil when it is the only one
---@field workers? integer       how many of them there are
local host = {}

---Ends the program: its tasks are cancelled, everything is torn down in order. Does
---not wait; code that runs goes on to its next wait. Raises unless the status is an
---integer from 0 to 127.
---@param status? integer    the largest of several is kept (0)
---@param force? boolean     true: this one counts, whatever came before
function host.stop(status, force) end

---@class ahost.HostStats
---@field tasks integer         that have not ended
---@field handles integer       of libuv that keep the loop alive
---@field memory integer        bytes that Lua and the buffers take
---@field lua_memory integer    and Lua alone
---@field coroutines integer    that tasks have run on, in use or pooled
---@field connections integer   of servers, open
---@field log table<string, integer>    records written so far, by the name of the level
---@field lag ahost.HostLag     the turns of the loop

---How long the turns of the loop last: the time from the end of a poll to the
---beginning of the next, in which nobody else is heard.
---@class ahost.HostLag
---@field turns integer         so far
---@field total number          seconds of them all
---@field longest number        seconds, since the start or the last `stats(true)`
---@field bounds number[]       seconds, ascending
---@field counts integer[]      turns up to each bound and above the one before; then one
---  more: those above them all

---@param restart? boolean      true: `lag.longest` counts from now on
---@return ahost.HostStats
function host.stats(restart) end

return host
