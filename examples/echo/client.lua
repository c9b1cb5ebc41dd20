-- Sends its arguments to the echo server as one line and prints the answer.
--
--     ahost examples/echo/client.lua WORD...
local host <const> = require "ahost.host"
local net <const> = require "ahost.net"

local address <const> = os.getenv("ECHO_ADDRESS") or "127.0.0.1:64100"

local function ask(question)
  local stream <close>, err = net.connect(address, { timeout = 5 })
  if not stream then return nil, err end
  stream.timeout = 5
  stream:write(question, "\n") -- a write that fails is told by the read
  return stream:read_line()
end

local answer, err = ask(table.concat({ ... }, " "))
if answer then
  print(answer)
else
  io.stderr:write("client: ", tostring(err or "the server hung up"), "\n")
  host.stop(1)
end
