-- Serves a file to whoever connects, for the detector to have something to look at.
--
--     ahost examples/webnotifier/site.lua FILE [ADDRESS]
local net <const> = require "ahost.net"

local path <const>, address <const> = ...

local function serve(stream)
  local request <const> = stream:read_until("\r\n\r\n")
  local file <close> = io.open(path)
  if not request or not file then
    stream:write("HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n")
  else
    stream:write("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n", file:read("a"))
  end
end

local server <const> = assert(net.serve(address or "127.0.0.1:64103", serve))
print("listening on " .. server:address())
io.stdout:flush()
