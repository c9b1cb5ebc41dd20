-- ahost.command.channel: what a supervisor and its workers say to each other, a line
-- each:
--
--     ready                        of a worker: everything has started
--     retire                       to a worker: accept no more, finish what there is, end
--     broadcast ["name",1]         both ways: a message of the bus with its arguments
--     request 7 {"command":...}    to a worker: as to a control socket
--     reply 7 {"ok":true,...}      of a worker
--
-- Who sends does not wait: lines are queued, and a task writes them.

local sync <const> = require "ahost.sync"

local Channel <const> = {}
Channel.__index = Channel
Channel.__name = "ahost.command.channel"

local channel <const> = {}

local MOST_LINES <const>, MOST_BYTES <const> = 1000, 64 * 1024 * 1024 -- queued
local LONGEST_LINE <const> = MOST_BYTES

--- The most bytes of a broadcast.
channel.LONGEST_BROADCAST = 1024 * 1024

---@param stream ahost.Stream
---@param ctx ahost.Context    of the task that writes
---@param on_drop fun()        called for the first of the lines that are lost in a row
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

--- Sends words, as one line. Does not wait.
---@param ... string
---@return boolean? sent   false: too many wait to be sent; nil: the channel is closed
function Channel:send(...)
  local line <const> = table.concat({ ... }, " ")
  local fits <const> = self.bytes == 0 or self.bytes + #line <= MOST_BYTES
  local sent <const> = fits and self.queue:try_put(line)
  if sent then self.bytes = self.bytes + #line end
  if sent == false and not self.drops then self.on_drop() end
  self.drops = sent == false
  return sent
end

--- Calls fn(word, rest) for each line that comes, until the other end is closed. Waits.
---@param fn fun(word: string, rest: string)
function Channel:each(fn)
  for line in function() return (self.stream:read_line(LONGEST_LINE)) end do
    fn(line:match "^(%S*) ?(.*)$")
  end
end

function Channel:close()
  self.queue:close()
  self.stream:close(0)
end

return channel
