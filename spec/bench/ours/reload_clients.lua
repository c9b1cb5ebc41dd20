-- Connects to an address so often, says so, and stays until its input ends.
local net <const> = require "ahost.net"
local process <const> = require "ahost.process"

local address <const>, count <const> = ..., tonumber((select(2, ...)))

local streams <const> = {}
for i = 1, count do
  streams[i] = assert(net.connect(address))
  assert(streams[i]:write "x\n")
  assert(streams[i]:read_line())
end
print "ready"
io.stdout:flush()
process.stdin:read_line()
