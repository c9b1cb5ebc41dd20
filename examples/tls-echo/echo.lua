-- An echo server with TLS: each line that a client sends comes back to it.
--
--     ahost examples/tls-echo/echo.lua DIRECTORY [ADDRESS]
local net <const> = require "ahost.net"
local process <const> = require "ahost.process"
local task <const> = require "ahost.task"
local tls <const> = require "ahost.tls"

local directory <const>, address <const> = ...

local certificates <const> = assert(tls.server {
  cert = directory .. "/server.crt",
  key = directory .. "/server.key",
})

local function echo(stream)
  stream.timeout = 60
  for line in stream:lines() do
    assert(stream:write(line, "\n"))
  end
end

local server <const> = assert(net.serve(address or "127.0.0.1:64443", echo,
  { limit = 1000, tls = certificates }))
print("listening on " .. server:address())
io.stdout:flush()

task.spawn("reload", function()
  for _ in process.signal("HUP"):events() do
    print(certificates:reload() and "certificates loaded again" or "old ones kept")
    io.stdout:flush()
  end
end)
