-- An echo server as a component.
--
--     ahost examples/components/server.lua
local net <const> = require "ahost.net"

local Server <const> = {
  options = {
    address = { type = "address", default = "127.0.0.1:64100", doc = "where to listen" },
    idle = { type = "duration", default = "1m", doc = "how long clients may be silent" },
    quiet = { type = "boolean", default = false, doc = "do not print the address" },
  },
}

function Server:start(ctx)
  local server <const> = assert(net.serve(self.config.address, function(stream)
    stream.timeout = self.config.idle
    for line in stream:lines() do
      assert(stream:write(line, "\n"))
    end
  end, { limit = 1000 }))
  ctx:publish("echo.address", server:address())
  if not self.config.quiet then
    print("listening on " .. server:address())
    io.stdout:flush()
  end
end

return Server
