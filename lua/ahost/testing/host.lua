-- An application inside a test: it has a bus, a configuration, components and a life of
-- its own, and shares the loop with the test, which may wait for what it does.

local application <const> = require "ahost.application"
local config <const> = require "ahost.config"
local context <const> = require "ahost.context"
local errors <const> = require "ahost.error"

---@class ahost.testing.Host
---@field ctx ahost.Context      of the application: what its components publish
---@field bus ahost.Bus
---@field config table           the effective configuration
---@field app ahost.Application
local Host <const> = { __name = "ahost.testing.Host" }
Host.__index = Host

---What a component has published; raises when nobody has.
---@param key string
---@return any
function Host:require(key)
  return self.ctx:require(key)
end

---The instance of a component.
---@param path? string    dotted aliases; the root, if left out
---@return table? instance    nil when there is none
function Host:instance(path)
  return self.app:instance(path or "")
end

---Reloads what has changed, or a component: see `host.reload`. Waits for the commit.
---@param path? string    dotted aliases; "" for the root
---@param opts? {force: boolean?}
---@return ahost.ReloadReport
function Host:reload(path, opts)
  local report <const> = self.app:reload(path, opts)
  self.config = self.app.config
  return report
end

---Waits until the application has ended by itself, and been torn down.
---@param timeout? number
---@return integer? status
---@return ahost.Error? err    code TIMEDOUT
function Host:wait(timeout)
  local _, err = self.task:join(timeout)
  if err then return nil, err end
  return self.app.status
end

---Ends the application and waits until it has been torn down.
---@param status? integer
---@return integer status
function Host:stop(status)
  self.app:stop(status)
  self.task:join()
  return self.app.status
end

function Host:__close()
  self:stop()
end

-- The configuration that was asked for. -> values | nil, err
local function load_values(opts)
  local values = opts.config or {}
  if opts.files or opts.set then
    local loaded <const>, err = config.load(opts.files or {},
      { set = opts.set, defaults = values })
    if not loaded then return nil, err end
    values = loaded
  end
  values = config.merge(values)
  if opts.options then values.component = config.merge(values.component, opts.options) end
  if opts.component then values.component = values.component or {} end
  if type(opts.component) == "string" then values.component.type = opts.component end
  return values
end

local function files_of(opts)
  return type(opts.files) == "string" and { opts.files } or opts.files or {}
end

---Starts an application and waits until it has started. It ends with the current
---context, at the latest. Raises what is wrong with its configuration, and what goes
---wrong in its start (code FAILED).
---@param opts {component: (table|string)?, options: table?, config: table?,
---  files: (string|string[])?, set: string[]?, directory: string?}
---  `component`: the root, or its type; `options`: its options; `config`: the top level,
---  over which `files` and `set` are loaded as `ahost run` does
---@return ahost.testing.Host
return function(opts)
  local values <const> = assert(load_values(opts))
  local app, err = application.new(values, {
    component = type(opts.component) == "table" and opts.component or nil,
    directory = opts.directory,
    source = {
      load = function() return load_values(opts) end,
      apply = function() return true end,
      files = function() return files_of(opts) end,
    },
  })
  if not app then error(err, 2) end
  local self <const> = setmetatable({ app = app, config = values }, Host)
  self.task = context.current():spawn("application", function() app:run() end)
  app.running:wait()
  self.ctx, self.bus = app.ctx, app.bus
  if not app.failure then return self end
  self.task:join()
  error(errors.new("FAILED", app.failure), 2)
end
