-- The echo server of the row echo_chunk: whatever arrives goes back.
local net <const> = require "ahost.net"

local server <const> = assert(net.serve((...) or "127.0.0.1:0", function(stream)
  for chunk in stream:chunks(65536) do
    assert(stream:write(chunk))
  end
end, { limit = 10000 }))

print(server:address())
io.stdout:flush()
