-- ahost.host: the host that runs this code, and the application in it.

local context <const> = require "ahost.context"
local core <const> = require "ahost.host.core"

---@class ahost.host
local host <const> = core

---The instance of a component of the application around the current context: what its
---methods get as `self`.
---@param path string    dotted aliases: "web.sessions"; "" for the root
---@return table? instance    nil when there is no such component
function host.component(path)
  local app <const> = context.current():get "application"
  return app and app:instance(path)
end

return host
