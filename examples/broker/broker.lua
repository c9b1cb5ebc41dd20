-- A message broker. A client sends frames: first the name of the channel that it
-- subscribes to, then pairs of a channel's name and data for it.
--
--     ahost examples/broker/broker.lua [ADDRESS]
local context <const> = require "ahost.context"
local errors <const> = require "ahost.error"
local net <const> = require "ahost.net"
local sync <const> = require "ahost.sync"
local task <const> = require "ahost.task"
local frames <const> = require "frames"

local address <const> = ... or "127.0.0.1:25000"

local CLIENTS <const> = 10000  -- connected at once
local CHANNELS <const> = 1000  -- that have subscribers or messages
local WAITING <const> = 10     -- messages of a channel that nobody can take
local OUTBOX <const> = 1000    -- messages for a subscriber that does not keep up
local DIRECT <const> = 49152   -- bytes that a write takes without waiting, and to spare
local PATIENCE <const> = 30    -- seconds for a subscriber that takes nothing
local DRAIN <const> = 5        -- seconds for what is queued when a client goes

local app <const> = context.current()
local channels <const> = {}
local channel_count = 0

local function report(...)
  io.stderr:write("broker: ", string.format(...), "\n")
end

-- Ends the connection of the client that this is about.
local function refuse(reason)
  report("a client is dropped: %s", reason)
  error(errors.new("REFUSED", reason), 0)
end

-- Subscribers ---------------------------------------------------------------------------

local function new_subscriber(stream, channel)
  return {
    stream = stream,
    channel = channel,
    name = stream:peer() or "a client",
    room = DIRECT,               -- bytes that can still be written at once
    outbox = sync.queue(OUTBOX), -- what comes when there is no room
    dropped = 0,
  }
end

-- Gives a subscriber a frame. Never waits: false when it has fallen too far behind.
local function give(subscriber, frame)
  if #frame <= subscriber.room then
    subscriber.room = subscriber.room - #frame
    return subscriber.stream:write(frame)
  end
  subscriber.room = 0 -- until it has caught up: nothing overtakes
  return subscriber.outbox:try_put(frame)
end

local function report_dropped(subscriber)
  if subscriber.dropped == 0 then return end
  report("%s is too slow for %s and has missed %d messages", subscriber.name,
    subscriber.channel.name, subscriber.dropped)
  subscriber.dropped = 0
end

-- The outbox is empty: once the stream is, too, there is room again.
local function caught_up(subscriber)
  local sent <const> = subscriber.stream:flush(PATIENCE)
  if sent and #subscriber.outbox == 0 then
    subscriber.room = DIRECT
    report_dropped(subscriber)
  end
  return sent
end

-- Sends what is in the outbox, at the speed of the subscriber.
local function catch_up(subscriber)
  local outbox <const>, stream <const> = subscriber.outbox, subscriber.stream
  for frame in outbox:items() do
    local sent = task.timeout(PATIENCE, stream.write, stream, frame)
    if sent and #outbox == 0 then sent = caught_up(subscriber) end
    if not sent then return stream:close(0) end
    subscriber.channel.changed:set()
  end
end

-- Channels ------------------------------------------------------------------------------

-- Gives a frame to all. -> whether it is done with
local function offer_all(channel, frame)
  local subscribers <const> = channel.subscribers
  for i = 1, #subscribers do
    if not give(subscribers[i], frame) then
      subscribers[i].dropped = subscribers[i].dropped + 1
    end
  end
  return #subscribers > 0
end

-- Gives a frame to the one whose turn it is, or to the next that has room.
local function offer_one(channel, frame)
  local subscribers <const> = channel.subscribers
  for _ = 1, #subscribers do
    channel.turn = channel.turn % #subscribers + 1
    if give(subscribers[channel.turn], frame) then return true end
  end
  return false
end

-- Delivers what could not be delivered at once, in order.
local function deliver_waiting(channel)
  for frame in channel.waiting:items() do
    while not channel:offer(frame) do
      channel.changed:clear()
      channel.changed:wait()
    end
    channel.behind = #channel.waiting > 0
  end
end

local function open_channel(name)
  if channel_count == CHANNELS then refuse("there are too many channels") end
  local channel <const> = {
    name = name,
    offer = name:find("^/queue") and offer_one or offer_all,
    subscribers = {},
    turn = 0,
    waiting = sync.queue(WAITING), -- messages that nobody can take yet
    behind = false,                -- there are such messages
    changed = sync.event(),
  }
  channels[name], channel_count = channel, channel_count + 1
  app:spawn(name, deliver_waiting, channel)
  return channel
end

local function close_unused(channel)
  if #channel.subscribers > 0 or channel.behind then return end
  channel.waiting:close()
  channels[channel.name], channel_count = nil, channel_count - 1
end

-- Waits only when the channel has too many messages that nobody can take.
local function publish(name, data)
  local channel <const> = channels[name] or open_channel(name)
  local frame <const> = frames.pack(data)
  if channel.behind or not channel:offer(frame) then
    channel.behind = true -- until these are delivered: nothing overtakes
    channel.waiting:put(frame)
  end
end

-- Clients -------------------------------------------------------------------------------

local function subscribe(stream, name)
  local channel <const> = channels[name] or open_channel(name)
  local subscriber <const> = new_subscriber(stream, channel)
  table.insert(channel.subscribers, subscriber)
  channel.changed:set()
  return subscriber
end

local function unsubscribe(subscriber)
  local subscribers <const> = subscriber.channel.subscribers
  for i = #subscribers, 1, -1 do
    if subscribers[i] == subscriber then table.remove(subscribers, i) end
  end
  close_unused(subscriber.channel)
end

-- The end of a client, whatever brought it: what it was sent is still delivered.
local function dismiss(subscriber, sender)
  unsubscribe(subscriber)
  subscriber.outbox:close()
  local _, late <const> = sender:join(DRAIN)
  if late then subscriber.stream:close(0) end
  report_dropped(subscriber)
end

local function serve_client(stream)
  local incoming <const> = frames.incoming(stream)
  local own_channel <const> = incoming()
  if not own_channel then return end
  local subscriber <const> = subscribe(stream, own_channel)
  local sender <const> = task.spawn(task.shield, catch_up, subscriber)
  local _ <close> = setmetatable({}, {
    __close = function() task.shield(dismiss, subscriber, sender) end,
  })
  for name in incoming do
    publish(name, incoming() or refuse("the end, before the data"))
  end
end

app:on_close(function()
  for name, channel in pairs(channels) do
    if channel.behind then
      report("%s: %d messages found no taker", name, #channel.waiting + 1)
    end
  end
end)

local server <const> = assert(net.serve(address, serve_client, { limit = CLIENTS }))
print("listening on " .. server:address())
io.stdout:flush()
