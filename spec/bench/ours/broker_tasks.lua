-- The broker with the structure of the book, for the rows broker_tasks*: each
-- client has a queue and a task that sends from it, each channel a queue of 10
-- and a task that delivers from it. A publisher waits when its channel's queue is
-- full, a channel when a client's queue is. The protocol is that of broker.lua.
local net <const> = require "ahost.net"
local context <const> = require "ahost.context"
local sync <const> = require "ahost.sync"

local main <const> = context.current()
local channels <const> = {}

local function deliver(channel, data)
  while #channel.subscribers == 0 do
    channel.joined:wait()
  end
  local frame <const>, subscribers <const> = string.pack(">s4", data), channel.subscribers
  if channel.is_queue then
    channel.turn = channel.turn % #subscribers + 1
    subscribers[channel.turn]:put(frame)
    return
  end
  for i = 1, #subscribers do
    subscribers[i]:put(frame)
  end
end

local function channel_of(name)
  local channel = channels[name]
  if not channel then
    channel = {
      is_queue = name:sub(1, 6) == "/queue",
      subscribers = {}, -- the queues of clients; replaced, never changed
      turn = 0,
      joined = sync.event(),
      messages = sync.queue(10),
    }
    channels[name] = channel
    main:spawn(name, function()
      for data in channel.messages:items() do
        deliver(channel, data)
      end
    end)
  end
  return channel
end

local function subscribe(channel, outgoing)
  channel.subscribers = table.move(channel.subscribers, 1, #channel.subscribers, 1, {})
  table.insert(channel.subscribers, outgoing)
  channel.joined:set()
end

local function unsubscribe(channel, outgoing)
  local rest <const> = {}
  for _, subscriber in ipairs(channel.subscribers) do
    if subscriber ~= outgoing then
      rest[#rest + 1] = subscriber
    end
  end
  channel.subscribers = rest
  if #rest == 0 then
    channel.joined:clear()
  end
  outgoing:close()
end

local function read_frame(stream)
  local head <const> = stream:read_exactly(4)
  return head and stream:read_exactly((string.unpack(">I4", head)))
end

local function serve_client(stream)
  local own_name <const> = read_frame(stream)
  if not own_name then
    return
  end
  local own <const>, outgoing <const> = channel_of(own_name), sync.queue(100)
  subscribe(own, outgoing)
  local _ <close> = setmetatable({}, {
    __close = function()
      unsubscribe(own, outgoing)
    end,
  })
  context.current():spawn("sender", function()
    for frame in outgoing:items() do
      assert(stream:write(frame))
    end
  end)
  while true do
    local name <const> = read_frame(stream)
    local data <const> = name and read_frame(stream)
    if not data then
      return
    end
    channel_of(name).messages:put(data)
  end
end

local server <const> =
  assert(net.serve((...) or "127.0.0.1:0", serve_client, { limit = 10000 }))

print(server:address())
io.stdout:flush()
