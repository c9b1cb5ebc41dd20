-- The line echo server of the rows echo_line*, memory: a user's code.
local net <const> = require "ahost.net"

local server <const> = assert(net.serve((...) or "127.0.0.1:0", function(stream)
  for line in stream:lines() do
    assert(stream:write(line, "\n"))
  end
end, { limit = 10000 }))

print(server:address())
io.stdout:flush()
