-- The message broker of the asyncio book, for the rows broker*.
--
-- A frame is a 4-byte big-endian length and as many bytes. The first frame of a
-- client names the channel that it subscribes to; then come pairs of frames,
-- channel and data. Data for `/queue...` go to one subscriber in turn, others to
-- all. A message for a channel without subscribers waits, and with it its sender;
-- so it does for a subscriber that does not keep up, because a write waits then.
local net <const> = require "ahost.net"
local sync <const> = require "ahost.sync"

local channels <const> = {}

local function channel_of(name)
  local channel = channels[name]
  if not channel then
    channel = {
      is_queue = name:sub(1, 6) == "/queue",
      subscribers = {}, -- replaced, never changed: a publisher may be using it
      turn = 0,
      joined = sync.event(),
    }
    channels[name] = channel
  end
  return channel
end

local function subscribe(channel, stream)
  channel.subscribers = table.move(channel.subscribers, 1, #channel.subscribers, 1, {})
  table.insert(channel.subscribers, stream)
  channel.joined:set()
end

local function unsubscribe(channel, stream)
  local rest <const> = {}
  for _, subscriber in ipairs(channel.subscribers) do
    if subscriber ~= stream then
      rest[#rest + 1] = subscriber
    end
  end
  channel.subscribers = rest
  if #rest == 0 then
    channel.joined:clear()
  end
end

local function read_frame(stream)
  local head <const> = stream:read_exactly(4)
  return head and stream:read_exactly((string.unpack(">I4", head)))
end

-- A subscriber that is gone ends in its own handler, so that writes to it are
-- not looked at here.
local function publish(channel, data)
  while #channel.subscribers == 0 do
    channel.joined:wait()
  end
  local frame <const>, subscribers <const> = string.pack(">s4", data), channel.subscribers
  if channel.is_queue then
    channel.turn = channel.turn % #subscribers + 1
    subscribers[channel.turn]:write(frame)
    return
  end
  for i = 1, #subscribers do
    subscribers[i]:write(frame)
  end
end

local function serve_client(stream)
  local own_name <const> = read_frame(stream)
  if not own_name then
    return
  end
  local own <const> = channel_of(own_name)
  subscribe(own, stream)
  local _ <close> = setmetatable({}, {
    __close = function()
      unsubscribe(own, stream)
    end,
  })
  while true do
    local name <const> = read_frame(stream)
    local data <const> = name and read_frame(stream)
    if not data then
      return
    end
    publish(channel_of(name), data)
  end
end

local server <const> =
  assert(net.serve((...) or "127.0.0.1:0", serve_client, { limit = 10000 }))

print(server:address())
io.stdout:flush()
