-- components/server: calls a function for each connection to an address.

local errors <const> = require "ahost.error"
local net <const> = require "ahost.net"
local reference <const> = require "ahost.reference"

local Server <const> = {
  doc = "calls a function for each connection to an address",
  options = {
    address = {
      type = "address",
      required = true,
      doc = "where to listen; port 0 asks for any",
    },
    handler = {
      type = "any",
      required = true,
      doc = "function called with each connection: module:name, ./file.lua:name",
    },
    limit = {
      type = "integer",
      min = 1,
      doc = "connections at once; more wait in the backlog (no limit)",
    },
    tls = {
      type = "boolean",
      default = false,
      doc = "encrypted, with the certificates of the component tls",
    },
    timeout = {
      type = "duration",
      min = 0.001,
      doc = "how long a read or write may wait for the peer (for ever)",
    },
  },
}

function Server:init()
  local fn, err = reference.callable(self.config.handler,
    { directory = self:directory_of "handler" })
  self.handler = fn or error(errors.new("CONFIG", err.message, { option = "handler" }))
end

function Server:start(ctx)
  local certificates = nil
  if self.config.tls then certificates = assert(ctx:request "tls.context") end
  local timeout <const>, handler <const> = self.config.timeout, self.handler
  local server = assert(net.serve(self.config.address, function(stream)
    stream.timeout = timeout
    return handler(stream)
  end, { limit = self.config.limit, tls = certificates }))
  ctx:publish("server", server, { doc = "listens on " .. server:address() })
  self.log:info("listening on %s", server:address())
end

return Server
