-- Prints what comes in a channel of the broker.
--
--     ahost examples/broker/listener.lua [--listen CHANNEL] [--address ADDRESS]
local host <const> = require "ahost.host"
local net <const> = require "ahost.net"
local frames <const> = require "frames"

local options <const>, complaint <const> = require "options"(
  "usage: listener.lua [--listen CHANNEL] [--address ADDRESS]",
  { listen = "/topic/foo", address = "127.0.0.1:25000" }, ...)

local function listen()
  local stream <close>, err = net.connect(options.address, { timeout = 5 })
  if not stream then return nil, err end
  stream:write(frames.pack(options.listen))
  print("listening to " .. options.listen)
  io.stdout:flush()
  for data in frames.incoming(stream) do
    print(#data <= 60 and data or data:sub(1, 57) .. "...")
    io.stdout:flush()
  end
  return nil, "the broker hung up"
end

local function fail(status, reason)
  io.stderr:write("listener: ", tostring(reason), "\n")
  host.stop(status)
end

if not options then return fail(2, complaint) end
local _, err = listen()
fail(1, err)
