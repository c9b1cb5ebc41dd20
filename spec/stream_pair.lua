-- What specs of streams need: both ends of a connection, and a peer that sends
-- as slowly as it likes.

local net <const> = require "ahost.net"
local task <const> = require "ahost.task"

local stream_pair <const> = {}

--- Calls fn(a, b) with the two ends of a connection of the current context. Waits.
---@param fn fun(a: ahost.Stream, b: ahost.Stream)
---@param address? string    where to listen (TCP on loopback)
function stream_pair.with(fn, address)
  local listener <close> = assert(net.listen(address or "127.0.0.1:0"))
  local accepting <const> = task.spawn(listener.accept, listener)
  local a <close> = assert(net.connect(listener:address()))
  local b <close> = assert(accepting:join())
  fn(a, b)
end

--- Sends the parts one by one, each in a turn of the loop of its own. Waits.
---@param stream ahost.Stream
---@param parts string[]
function stream_pair.trickle(stream, parts)
  for _, part in ipairs(parts) do
    assert(stream:write(part))
    assert(stream:flush())
    task.sleep(0)
  end
end

--- The bytes of a text, one by one.
---@param text string
---@return string[]
function stream_pair.bytes(text)
  local bytes = {}
  for i = 1, #text do bytes[i] = text:sub(i, i) end
  return bytes
end

--- Waits until the condition holds, turn after turn of the loop.
---@param condition fun(): boolean
function stream_pair.eventually(condition)
  while not condition() do task.sleep(0.001) end
end

return stream_pair
