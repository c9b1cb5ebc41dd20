-- components/tls: certificates for the other components, loaded again when the
-- application is told to (SIGHUP).

local loadable <const> = require "ahost.loadable"
local tls <const> = require "ahost.tls"

assert(loadable.open("tls", tls.needs))

return {}
