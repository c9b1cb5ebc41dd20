-- Another client: there must be a server that answers.
local net <const> = require "ahost.net"

local Upstream <const> = {
  options = {
    address = { type = "address", required = true, doc = "of the server" },
  },
}

function Upstream:check()
  local stream <close>, err = net.connect(self.config.address)
  return stream ~= nil, err
end

function Upstream:start(ctx)
  local health <const> = ctx:request "health"
  health:register(self.name, function() return self:check() end)
end

return Upstream
