-- Sends its arguments to the echo server as one line and prints the answer.
--
--     ahost examples/tls-echo/client.lua CA-FILE WORD...
local host <const> = require "ahost.host"
local net <const> = require "ahost.net"

local address <const> = os.getenv("ECHO_ADDRESS") or "127.0.0.1:64443"

local function ask(ca, question)
  local stream <close>, err = net.connect(address, {
    timeout = 5,
    tls = { ca = ca ~= "system" and ca or nil },
  })
  if not stream then return nil, err end
  stream.timeout = 5
  stream:write(question, "\n")
  local about <const> = stream:tls()
  print(about.version .. " with " .. about.peer.subject)
  return stream:read_line()
end

local answer, err = ask((...), table.concat({ select(2, ...) }, " "))
if answer then
  print(answer)
else
  io.stderr:write("client: ", tostring(err or "the server hung up"), "\n")
  host.stop(1)
end
