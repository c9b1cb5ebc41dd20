-- ahost.command.channel: what a supervisor and its workers say to each other, a line
-- each:
--
--     ready                        of a worker: everything has started
--     retire                       to a worker: accept no more, finish what there is, end
--     broadcast ["name",1]         both ways: a message of the bus with its arguments
--     request 7 {"command":...}    to a worker: as to a control socket
--     reply 7 {"ok":true,...}      of a worker
--
-- Lines are queued, and a task writes them.

local sync <const> = require "ahost.sync"

local Channel <const> = {}
Channel.__index = Channel
Channel.__name = "ahost.command.channel"

local channel <const> = {}

local MOST_LINES <const>, MOST_BYTES <const> = 1000, 64 * 1024 * 1024 -- queued
local LONGEST_LINE <const> = MOST_BYTES
local PATIENCE <const> = 1 -- seconds

--- The most bytes of a broadcast.
channel.LONGEST_BROADCAST = 1024 * 1024

---@param stream ahost.Stream
---@param ctx ahost.Context    of the task that writes
---@param on_drop? fun()       called for the first of the broadcasts that are lost
function channel.new(stream, ctx, on_drop)
  local self <const> = setmetatable({
    stream = stream,
    queue = sync.queue(MOST_LINES),
    bytes = 0,
    on_drop = on_drop,
  }, Channel)
  ctx:spawn("channel", self.write, self)
  return self
end

function Channel:write()
  for line in self.queue:items() do
    self.bytes = self.bytes - #line
    if not self.stream:write(line, "\n") then return end
  end
end

-- Puts a line into the queue, within so many seconds. -> whether it is there
function Channel:put(line, timeout)
  if self.bytes > 0 and self.bytes + #line > MOST_BYTES then return false end
  self.bytes = self.bytes + #line
  local sent <const> = self.queue:try_put(line)
    or timeout > 0 and self.queue:put(line, timeout) or false
  if not sent then self.bytes = self.bytes - #line end
  return sent
end

--- Sends words, as one line. Does not wait.
---@param ... string
---@return boolean sent   false: too many wait to be sent, or the channel is closed
function Channel:send(...) return self:put(table.concat({ ... }, " "), 0) end

--- Passes a broadcast on. Waits a moment while there is no room. Who does not take
--- anything for so long is not waited for again until it has caught up.
---@param text string
function Channel:pass_on(text)
  if self.drops and #self.queue < MOST_LINES // 2 then self.drops = false end
  local sent <const> = self:put("broadcast " .. text, self.drops and 0 or PATIENCE)
  if sent or self.drops or self.closed then return end
  self.drops = true
  self.on_drop()
end

--- Calls fn(word, rest) for each line that comes, until the other end is closed. Waits.
---@param fn fun(word: string, rest: string)
function Channel:each(fn)
  for line in function() return (self.stream:read_line(LONGEST_LINE)) end do
    fn(line:match "^(%S*) ?(.*)$")
  end
end

function Channel:close()
  self.closed = true
  self.queue:close()
  self.stream:close(0)
end

return channel
