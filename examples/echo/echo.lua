-- An echo server: each line that a client sends comes back to it.
--
--     ahost examples/echo/echo.lua [ADDRESS]
local net <const> = require "ahost.net"

local address <const> = ... or "127.0.0.1:64100"

local function echo(stream)
  stream.timeout = 60
  for line in stream:lines() do
    assert(stream:write(line, "\n"))
  end
end

local server <const> = assert(net.serve(address, echo, { limit = 1000 }))
print("listening on " .. server:address())
io.stdout:flush()
