-- ahost.command.worker: a process that `ahost run` has started as one of several.

local channel <const> = require "ahost.command.channel"
local core <const> = require "ahost.host.worker"
local errors <const> = require "ahost.error"
local host <const> = require "ahost.host"
local json <const> = require "ahost.json"
local log <const> = require "ahost.log"
local process <const> = require "ahost.process"

local logger <const> = log.get "ahost.worker"

local worker <const> = {}

local Worker <const> = {}
Worker.__index = Worker
Worker.__name = "ahost.command.worker"

-- The descriptors that a worker inherits.
local CHANNEL <const>, SOCKETS <const> = 3, 4

--- Takes over what the supervisor has handed down, when there is one.
---@return table? self    nil: this process is no worker
---@return ahost.Error? err
function worker.attach()
  local text <const> = process.env.AHOST_WORKER
  if not text then return nil end
  process.env.AHOST_WORKER = nil
  local index <const>, count <const>, directory <const> = text:match "^(%d+)/(%d+) ?(.*)$"
  local stream, err
  if index then
    stream, err = core.attach(math.tointeger(index), math.tointeger(count), CHANNEL,
      SOCKETS)
  end
  if not stream then
    return nil, errors.new("FAILED", ("AHOST_WORKER is '%s', but this is no worker of a "
      .. "supervisor%s; unset it"):format(text, err and " (" .. err.message .. ")" or ""))
  end
  process.title = "ahost: worker " .. index
  return setmetatable({ stream = stream, directory = directory }, Worker)
end

--- Calls a function where the supervisor was started, which a daemon has left.
function Worker:settle(fn, ...)
  local here <const> = process.cwd()
  process.chdir(self.directory)
  fn(...)
  if here then process.chdir(here) end
end

-- ---- messages ------------------------------------------------------------------------

-- Sends what the application's bus broadcasts. -> whether there was room
function Worker:broadcast(message, ...)
  local values <const> = table.pack(message, ...)
  for i = 1, values.n do
    if values[i] == nil then values[i] = json.null end
  end
  values.n = nil
  local ok, text = pcall(json.encode, json.array(values))
  if not ok then error(("broadcast '%s': %s"):format(message, text), 3) end
  if #text > channel.LONGEST_BROADCAST then
    error(("broadcast '%s': %d bytes are too many"):format(message, #text), 3)
  end
  return self.channel:send("broadcast", text)
end

-- Publishes what a worker has broadcast.
local function deliver(app, text)
  local values <const> = json.decode(text)
  local count <const> = #values
  for i = 1, count do
    if values[i] == json.null then values[i] = nil end
  end
  app.bus:publish(table.unpack(values, 1, count))
end

-- Answers what the control socket of the supervisor was asked.
function Worker:answer(app, text)
  local number <const>, request <const> = text:match "^(%d+) (.*)$"
  app.outer:spawn("control", function()
    self.channel:send("reply", number, app.control:answer(request))
  end)
end

-- ---- the life of a worker ------------------------------------------------------------

-- Accepts no more connections and ends with the last one, or after stop_timeout.
local function retire(app)
  logger:info("retiring")
  app.bus:publish "app.retire"
  core.retire(app.stop_timeout)
  app:stop()
end

function Worker:listen(app)
  self.channel:each(function(word, rest)
    if word == "broadcast" then
      deliver(app, rest)
    elseif word == "request" then
      self:answer(app, rest)
    elseif word == "retire" then
      app.outer:spawn("retire", retire, app)
    end
  end)
  if app.stopping:is_set() then return end
  logger:error("the supervisor has gone; stopping")
  app:stop(1)
end

-- The application has a bus, nothing has started yet.
function Worker:open(app)
  self.channel = channel.new(self.stream, app.outer)
  app.bus:subscribe("app.run", function() self.channel:send "ready" end)
  app.outer:spawn("supervisor", self.listen, self, app)
end

--- Runs the application. Waits.
---@param app ahost.Application
---@param control? ahost.ControlPlace    of the supervisor
---@param on_ready? fun()                 called when all has started
---@return integer status
function Worker:run(app, control, on_ready)
  logger:debug("worker %d of %d", host.worker, host.workers)
  return app:run {
    stops = true,
    process_signals = true,
    supervised = true,
    broadcast = function(...) return self:broadcast(...) end,
    opened = function()
      if control then app.control.name, app.control.file = control.name, control.file end
      if on_ready then app.bus:subscribe("app.run", on_ready) end
      self:open(app)
    end,
  }
end

return worker
