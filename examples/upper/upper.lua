-- Sends each line back in upper case, and reports every connection that drops.
--
--     ahost examples/upper/upper.lua [ADDRESS]
local context <const> = require "ahost.context"
local net <const> = require "ahost.net"
local process <const> = require "ahost.process"
local signal <const> = require "ahost.signal"
local task <const> = require "ahost.task"

local address <const> = ... or "127.0.0.1:64101"

local MOST <const> = 100 -- notifications on their way at once

local sending, lost = 0, 0

local function say(...)
  print(string.format(...))
  io.stdout:flush()
end

-- Stands for a request to some service that wants to know.
local function notify(peer)
  task.sleep(0.5)
  sending = sending - 1
  say("notified: %s has dropped", peer)
end

local function report(notifications, peer, err)
  say("%s drops: %s", peer, err)
  if sending == MOST then
    lost = lost + 1
    return
  end
  sending = sending + 1
  notifications:spawn("notification", task.shield, notify, peer)
end

local function upper(stream, notifications)
  local peer <const> = stream:peer() or "somebody"
  local _ <close> = setmetatable({}, {
    __close = function(_, err)
      if err then report(notifications, peer, err) end
    end,
  })
  for line in stream:lines() do
    assert(stream:write(line:upper(), "\n"))
  end
  say("%s leaves", peer)
end

local function serve(notifications)
  local server <close> = assert(net.serve(address, function(stream)
    upper(stream, notifications)
  end, { limit = 1000 }))
  say("listening on %s", server:address())
  local event <const> = signal.wait { process.signal("INT"), process.signal("TERM") }
  say("stopping: SIG%s", event.signal)
end

context.current():on_close(function()
  say("the end: %d notifications under way, %d lost", sending, lost)
end)
context.scope({ on_error = "log" }, serve)
