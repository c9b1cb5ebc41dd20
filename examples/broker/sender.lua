-- Sends messages to a channel of the broker.
--
--     ahost examples/broker/sender.lua [--channel CHANNEL] [--interval SECONDS]
--         [--size BYTES] [--count MESSAGES] [--address ADDRESS]
local host <const> = require "ahost.host"
local net <const> = require "ahost.net"
local task <const> = require "ahost.task"
local frames <const> = require "frames"

local options <const>, complaint <const> = require "options"(
  "usage: sender.lua [--channel CHANNEL] [--interval SECONDS] [--size BYTES] "
    .. "[--count MESSAGES] [--address ADDRESS]",
  {
    channel = "/topic/foo",
    interval = 1,
    size = 0,         -- of each message; 0: "message 1", "message 2"...
    count = math.huge,
    address = "127.0.0.1:25000",
  }, ...)

local function message(i)
  return options.size > 0 and ("x"):rep(options.size) or "message " .. i
end

local function send()
  local stream <close>, err = net.connect(options.address, { timeout = 5 })
  if not stream then return nil, err end
  stream:write(frames.pack("/null")) -- every client subscribes to something
  local i, sent = 0, true
  while sent and i < options.count do
    i = i + 1
    sent, err = stream:write(frames.pack(options.channel), frames.pack(message(i)))
    if i < options.count then task.sleep(options.interval) end
  end
  return sent, err
end

local function fail(status, reason)
  io.stderr:write("sender: ", tostring(reason), "\n")
  host.stop(status)
end

if not options then return fail(2, complaint) end
local sent, err = send()
if not sent then fail(1, err) end
