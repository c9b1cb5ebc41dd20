-- ahost.command.supervisor_control: the control socket of a supervisor. It answers some
-- commands itself; the others go to its workers, or to the one that `worker` names, whose
-- answer is passed on then.

local built_in <const> = require "ahost.control.commands"
local control <const> = require "ahost.control"
local errors <const> = require "ahost.error"
local json <const> = require "ahost.json"
local reload <const> = require "ahost.command.supervisor_reload"

local supervisor_control <const> = {}

local TIMEOUT <const> = 25 -- seconds that a worker has for its answer

-- One worker's answer. -> reply
local function ask(supervisor, worker, text)
  local reply, err = supervisor:ask(worker, text, TIMEOUT)
  if reply then return json.decode(reply) end
  return { ok = false, error = { code = err.code, message = err.message } }
end

-- -> result | nil, err
local function ask_one(supervisor, request, text)
  for _, worker in ipairs(supervisor:living()) do
    if worker.index == request.worker then
      local reply <const> = ask(supervisor, worker, text)
      if reply.ok then return reply.result end
      return nil, errors.new(reply.error.code, reply.error.message)
    end
  end
  return nil, errors.new("NOTFOUND", ("no worker %s runs"):format(request.worker))
end

-- One after the other.
local function ask_all(supervisor, text)
  local answers <const> = json.array()
  for _, worker in ipairs(supervisor:living()) do
    local reply <const> = ask(supervisor, worker, text)
    reply.worker, reply.pid = worker.index, worker.process:pid()
    answers[#answers + 1] = reply
  end
  if #answers == 0 then return nil, errors.new("FAILED", "no worker runs now") end
  return { workers = answers }
end

local passed_on <const> = {}

function passed_on.run(self, request)
  local text <const> = json.encode(request)
  if request.worker ~= nil then return ask_one(self.app, request, text) end
  return ask_all(self.app, text)
end

local commands <const> = {
  ping = built_in.ping,
  commands = built_in.commands,
  stop = built_in.stop,
  log = { doc = built_in.log.doc },
  restart = { doc = "replace the workers one after the other" },
  status = { doc = built_in.status.doc, run = passed_on.run },
  metrics = { doc = built_in.metrics.doc, run = passed_on.run },
  reload = { doc = "have the workers reload one after the other" },
}

function commands.log.run(self, request)
  local _, err = built_in.log.run(self, request)
  if err then return nil, err end
  return passed_on.run(self, request)
end

function commands.reload.run(self, request)
  local component <const> = request.component
  if component ~= nil and type(component) ~= "string" then
    return nil, errors.new("EINVAL", "component: must be the path of a component")
  end
  return reload.run(self.app, request)
end

function commands.restart.run(self)
  if self.app:restart() then return nil end
  return nil, errors.new("FAILED", "the workers could not be restarted; the log says why")
end

-- The command, but for requests that are meant for a worker.
local function own(command)
  return {
    doc = command.doc,
    run = function(self, request)
      local chosen <const> = request.worker == nil and command or passed_on
      return chosen.run(self, request)
    end,
  }
end

--- Opens the socket in the current context.
---@param supervisor table
---@param where ahost.ControlPlace
---@return true? ok
---@return ahost.Error? err    when it was asked for
function supervisor_control.open(supervisor, where)
  local self <const> = control.new(supervisor)
  self.commands = setmetatable({}, { __index = function() return passed_on end })
  for name, command in next, commands do self.commands[name] = own(command) end
  return self:open(where)
end

return supervisor_control
