-- Sends each line back in upper case, and reports every connection that drops.
--
--     ahost examples/upper/upper.lua [ADDRESS]
local context <const> = require "ahost.context"
local net <const> = require "ahost.net"
local task <const> = require "ahost.task"

local address <const> = ... or "127.0.0.1:64101"

local MOST <const> = 100 -- notifications on their way at once

local app <const> = context.current()
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

local function report(peer, err)
  say("%s drops: %s", peer, err)
  if sending == MOST then
    lost = lost + 1
    return
  end
  sending = sending + 1
  app:spawn("notification", task.shield, notify, peer)
end

local function upper(stream)
  local peer <const> = stream:peer() or "somebody"
  local _ <close> = setmetatable({}, {
    __close = function(_, err)
      if err then report(peer, err) end
    end,
  })
  for line in stream:lines() do
    assert(stream:write(line:upper(), "\n"))
  end
  say("%s leaves", peer)
end

app:on_close(function()
  say("the end: %d notifications under way, %d lost", sending, lost)
end)

local server <const> = assert(net.serve(address, upper, { limit = 1000 }))
say("listening on %s", server:address())
