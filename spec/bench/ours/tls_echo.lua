-- The echo server of the row tls_echo: whatever arrives goes back, over TLS.
local net <const> = require "ahost.net"

local address <const>, pem <const> = ...

local server <const> = assert(net.serve(address, function(stream)
  for chunk in stream:chunks(65536) do
    assert(stream:write(chunk))
  end
end, { limit = 10000, tls = { cert = pem, key = pem } }))

print(server:address())
io.stdout:flush()
