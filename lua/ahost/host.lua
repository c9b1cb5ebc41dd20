-- ahost.host: the host that runs this code, and the application in it.

local context <const> = require "ahost.context"
local core <const> = require "ahost.host.core"
local errors <const> = require "ahost.error"

---@class ahost.host
local host <const> = core

---Reloads what has changed in the application around the current context: components
---whose files or configuration are others by now, and who depends on them. Waits until
---the new ones serve, or it has failed: then all is as before.
---@param path? string    of one component: it, with all below it, whatever has changed
---@param opts? {force: boolean?}    `force`: old generations make room at once
---@return ahost.ReloadReport? report
---@return ahost.Error? err    code NOTFOUND: there is no application
function host.reload(path, opts)
  local app <const> = context.current():get "application"
  if app then return app:reload(path, opts) end
  return nil, errors.new("NOTFOUND", "there is no application to reload here")
end

---The instance of a component of the application around the current context: what its
---methods get as `self`.
---@param path string    dotted aliases: "web.sessions"; "" for the root
---@return table? instance    nil when there is no such component
function host.component(path)
  local app <const> = context.current():get "application"
  return app and app:instance(path)
end

return host
