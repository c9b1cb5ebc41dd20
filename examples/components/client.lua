-- Sends a message to an echo server and prints the answer. The status is 1 when there is
-- none.
--
--     ahost examples/components/client.lua WORD...
local host <const> = require "ahost.host"
local net <const> = require "ahost.net"

local Client <const> = {
  options = {
    address = { type = "address", default = "127.0.0.1:64100", doc = "of the server" },
    message = { type = "string", doc = "what to send; else the arguments" },
    timeout = { type = "duration", default = "5s", doc = "for each step" },
  },
}

function Client:ask(address, message)
  local stream <close>, err = net.connect(address, { timeout = self.config.timeout })
  if not stream then return nil, err end
  stream.timeout = self.config.timeout
  stream:write(message, "\n")
  return stream:read_line()
end

function Client:run(ctx)
  local address <const> = ctx:get "echo.address" or self.config.address
  local message <const> = self.config.message or table.concat(host.args, " ")
  local answer, err = self:ask(address, message)
  if not answer then
    io.stderr:write("client: ", tostring(err or "the server hung up"), "\n")
    return 1
  end
  print(answer)
end

return Client
