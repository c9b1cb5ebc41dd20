-- ahost.command.supervisor: keeps several worker processes running, which share
-- listening sockets: starts them, starts those anew that die, and replaces them one
-- after the other when asked to.

local bus <const> = require "ahost.bus"
local channel <const> = require "ahost.command.channel"
local context <const> = require "ahost.context"
local control <const> = require "ahost.command.supervisor_control"
local core <const> = require "ahost.supervisor.core"
local errors <const> = require "ahost.error"
local log <const> = require "ahost.log"
local process <const> = require "ahost.process"
local reload <const> = require "ahost.command.supervisor_reload"
local runtime <const> = require "ahost.component.runtime"
local sync <const> = require "ahost.sync"
local task <const> = require "ahost.task"
local time <const> = require "ahost.time"

local logger <const> = log.get "ahost.supervisor"

local supervisor <const> = {}

local Supervisor <const> = {}
Supervisor.__index = Supervisor
Supervisor.__name = "ahost.command.supervisor"

-- Seconds that a worker gets beyond the time that it has to stop in.
local MARGIN <const> = 1

---@class ahost.SupervisedWorker   one process
---@field index integer             from 1
---@field process table
---@field channel table
---@field started ahost.Future      true when it is ready, false when it has ended before
---@field ended ahost.Event
---@field ready? boolean
---@field result? {status: integer, signal: integer?}
---@field requests table<string, ahost.Future>    not answered yet, by their numbers

local SIGNAL_NAMES <const> = { [6] = "ABRT", [9] = "KILL", [11] = "SEGV", [15] = "TERM" }

local function describe(worker)
  return ("worker %d (pid %d)"):format(worker.index, worker.process:pid())
end

-- "died of SIGKILL"
local function describe_end(result)
  if not result.signal then return ("ended with status %d"):format(result.status) end
  local name <const> = SIGNAL_NAMES[result.signal]
  return "died of " .. (name and "SIG" .. name or "signal " .. result.signal)
end

-- ---- one process ---------------------------------------------------------------------

-- Whether all workers have started once.
function Supervisor:check_running()
  for _, slot in ipairs(self.slots) do
    if not (slot.worker and slot.worker.ready) then return end
  end
  if self.running:is_set() then return end
  self.running:set()
  self.bus:publish "app.run"
end

-- Passes a message on to all workers, in the same order to all. Waits for those who are
-- slow, so that who sends too much is held up.
function Supervisor:broadcast(text)
  local _ <close> = self.broadcasting:acquire()
  for _, worker in ipairs(self:living()) do worker.channel:pass_on(text) end
end

-- Takes what a worker says.
function Supervisor:listen(worker)
  worker.channel:each(function(word, rest)
    if word == "ready" then
      logger:info("%s is ready", describe(worker))
      worker.ready = true
      worker.started:resolve(true)
      self:check_running()
    elseif word == "broadcast" then
      self:broadcast(rest)
    elseif word == "reply" then
      local number <const>, text <const> = rest:match "^(%d+) (.*)$"
      local future <const> = worker.requests[number]
      if future then future:resolve(text) end
    end
  end)
end

--- Asks a worker as its control socket would be asked. Waits.
---@param worker ahost.SupervisedWorker
---@param request string    JSON
---@param timeout number    seconds
---@return string? reply    JSON
---@return ahost.Error? err
function Supervisor:ask(worker, request, timeout)
  local future <const> = sync.future()
  self.asked = self.asked + 1
  local number <const> = tostring(self.asked)
  worker.requests[number] = future
  if not worker.channel:send("request", number, request) then
    future:reject(errors.new("CLOSED", describe(worker) .. " takes no requests"))
  end
  local reply, err = future:wait(timeout)
  worker.requests[number] = nil
  return reply, err
end

-- Waits for the end of a worker.
function Supervisor:attend(worker)
  worker.result = worker.process:wait()
  self.workers[worker] = nil
  worker.channel:close()
  worker.started:resolve(false)
  for _, future in next, worker.requests do
    future:reject(errors.new("CLOSED", describe(worker) .. " has ended"))
  end
  worker.ended:set()
end

-- -> worker | nil, err
function Supervisor:start(index)
  local child, stream = self.core:start(index,
    ("%d/%d %s"):format(index, self.settings.count, self.directory or ""))
  if not child then return nil, stream end
  local worker <const> = {
    index = index,
    process = child,
    started = sync.future(),
    requests = {},
    ended = sync.event(),
  }
  worker.channel = channel.new(stream, self.ctx, function()
    logger:warning("%s does not listen; broadcasts to it are lost", describe(worker))
  end)
  self.workers[worker] = true
  self.ctx:spawn(describe(worker), self.attend, self, worker)
  self.ctx:spawn("channel of " .. describe(worker), self.listen, self, worker)
  logger:info("%s started", describe(worker))
  return worker
end

--- The workers that run, in order.
---@return ahost.SupervisedWorker[]
function Supervisor:living()
  local found <const> = {}
  for worker in next, self.workers do found[#found + 1] = worker end
  table.sort(found, function(a, b)
    if a.index ~= b.index then return a.index < b.index end
    return a.process:pid() < b.process:pid()
  end)
  return found
end

-- Ends the wait for a worker that takes too long.
local function kill(worker, seconds)
  logger:error("%s did not end within %.14g s and is killed", describe(worker),
    seconds)
  worker.process:kill "KILL"
end

-- ---- restarts ------------------------------------------------------------------------

-- The pause before the next restart of a worker in seconds, or nil when there have been
-- too many.
function Supervisor:next_pause(slot)
  local set <const>, now <const>, recent <const> = self.settings, time.now(), {}
  for _, at in ipairs(slot.restarts) do
    if now - at < set.max_restarts_window then recent[#recent + 1] = at end
  end
  slot.restarts = recent
  if #recent >= set.max_restarts then return nil end
  recent[#recent + 1] = now
  return math.min(set.backoff.first * set.backoff.factor ^ (#recent - 1), set.backoff.max)
end

-- Waits before a restart. When there is to be none, the whole is stopped.
function Supervisor:pause(slot, what)
  local seconds <const> = self:next_pause(slot)
  if not seconds then
    logger:error("%s; it was restarted %d times within %.14g s: giving up", what,
      self.settings.max_restarts, self.settings.max_restarts_window)
    return self:stop(1)
  end
  logger:error("%s; starting it again in %.14g s", what, seconds)
  self.stopping:wait(seconds)
end

-- Starts the worker of a slot, or waits until it may be tried again.
function Supervisor:fill(slot)
  local worker, err = self:start(slot.index)
  if worker then
    slot.worker = worker
  else
    self:pause(slot, tostring(err))
  end
end

-- Keeps one worker running. Meanwhile another may take its place.
function Supervisor:keep(slot)
  while not self.stopping:is_set() do
    local worker <const> = slot.worker
    if not worker then
      self:fill(slot)
    else
      worker.ended:wait()
      if slot.worker == worker and not self.stopping:is_set() then
        slot.worker = nil
        self:pause(slot, describe(worker) .. " " .. describe_end(worker.result))
      end
    end
  end
end

-- ---- replacing -----------------------------------------------------------------------

-- Has a worker finish what it is at, and ends it then.
function Supervisor:retire(worker)
  local seconds <const> = 2 * self.stop_timeout + MARGIN
  worker.channel:send "retire"
  if not worker.ended:wait(seconds) then return kill(worker, seconds) end
  local result <const> = worker.result
  if result.signal or result.status ~= 0 then
    logger:warning("%s, which has been replaced, %s", describe(worker),
      describe_end(result))
  end
end

-- Starts a second process, and retires the first when that is ready. -> whether it is
function Supervisor:replace(slot)
  local new, err = self:start(slot.index)
  if not new then
    logger:error("%s", tostring(err))
    return false
  end
  if not new.started:wait() then
    if self.stopping:is_set() then return false end
    logger:error("%s, which was to replace another, %s", describe(new),
      describe_end(new.result))
    return false
  end
  local old <const> = slot.worker
  slot.worker = new
  if old and not old.ended:is_set() then
    self.ctx:spawn("retire " .. describe(old), self.retire, self, old)
  end
  return true
end

-- Settings that may change while workers run.
function Supervisor:configure(settings)
  local workers <const> = settings.workers
  if not workers or workers.count ~= self.settings.count then
    logger:warning("another number of workers takes a restart of the whole")
  end
  if workers then
    workers.count = self.settings.count
    self.settings = workers
  end
  self.keys, self.stop_timeout = settings, settings.stop_timeout
end

--- Follows the configuration as it is now.
---@param failed string    what goes wrong if it cannot be read
---@return boolean ok
function Supervisor:configure_anew(failed)
  local settings, err = self.read()
  if settings then
    self:configure(settings)
  else
    logger:error("%s: %s", failed, err.message)
  end
  return settings ~= nil
end

function Supervisor:replace_all()
  local _ <close> = self.rolling:acquire()
  if not self:configure_anew "not restarting" then return false end
  for _, slot in ipairs(self.slots) do
    if self.stopping:is_set() or not self:replace(slot) then
      logger:error("the workers from %d on are kept as they are", slot.index)
      return false
    end
  end
  return true
end

--- Replaces all workers, one after the other, without losing a connection: a new one is
--- started, and when it is ready the old one ends with its last connection. The first
--- failure is the end of it. Waits.
---@return boolean done
function Supervisor:restart()
  if self.restarting or self.stopping:is_set() then
    logger:notice "the workers are being restarted or stopped already"
    return false
  end
  logger:notice "restarting the workers"
  self.restarting = true
  local done = false
  -- What is started is the supervisor's, not that of who has asked.
  self.ctx:spawn("restart", function()
    done = self:replace_all()
    self.restarting = false
  end):join()
  if done then logger:notice "the workers have been restarted" end
  return done
end

-- ---- stopping ------------------------------------------------------------------------

--- Asks the whole to end. Does not wait.
---@param status? integer
function Supervisor:stop(status)
  self.status = math.max(self.status, status or 0)
  self.stopping:set()
end

function Supervisor:signal(name)
  for _, worker in ipairs(self:living()) do worker.process:kill(name) end
end

function Supervisor:report()
  local names <const> = {}
  for _, worker in ipairs(self:living()) do names[#names + 1] = describe(worker) end
  if #names > 0 then
    logger:warning("still waiting for %s", table.concat(names, ", "))
  end
end

-- The first request to stop ends all, those that follow say what is waited for.
function Supervisor:take_stops()
  local stops <const> = runtime.stops(self.ctx)
  while stops:wait() do
    if self.stopping:is_set() then self:report() end
    self:stop()
  end
end

-- A worker that was to replace another and was stopped before it could is no failure.
function Supervisor:take_status(worker)
  if self.running:is_set() and not worker.ready then return end
  local result <const> = worker.result
  self.status = math.max(self.status, result.signal and 1 or result.status)
end

-- Ends all workers. Waits.
function Supervisor:finish()
  local seconds <const> = self.stop_timeout + MARGIN
  local limit <const> = time.now() + seconds
  local ending <const> = self:living()
  self:signal "TERM"
  for _, worker in ipairs(ending) do
    if not worker.ended:wait(math.max(limit - time.now(), 0)) then
      kill(worker, seconds)
      worker.ended:wait()
    end
    self:take_status(worker)
  end
end

-- ---- the whole -----------------------------------------------------------------------

function Supervisor:open_control()
  if not self.control then return end
  local ok, err = control.open(self, self.control)
  if ok then return end
  logger:error("%s", tostring(err))
  self:stop(1)
end

function Supervisor:work()
  if self.opened then self.opened(self) end
  self.core = core.new()
  self.ctx:spawn("requests to stop", self.take_stops, self)
  process.signal("HUP"):connect(function() reload.hang_up(self) end)
  process.signal("USR2"):connect(function() self:restart() end)
  logger:notice("starting %d workers", self.settings.count)
  for index = 1, self.settings.count do
    local slot <const> = { index = index, restarts = {} }
    self.slots[index] = slot
    self.ctx:spawn("keeper of worker " .. index, self.keep, self, slot)
  end
  self:open_control()
  self.stopping:wait()
  self.bus:publish("app.stop", 1)
  task.shield(self.finish, self)
end

---@class ahost.SupervisorOptions
---@field settings table                        the top-level keys, checked
---@field read fun(): table?, ahost.Error?      reads them again
---@field control? ahost.ControlPlace           where its control socket is to be
---@field directory? string    where relative files are; nil: where it is now
---@field opened? fun(supervisor: table)        called before anything has happened; its
---  `bus` tells app.run and app.stop as that of an application

--- Runs workers until they are to stop. Waits.
---@param opts ahost.SupervisorOptions
---@return integer status
function supervisor.run(opts)
  local self <const> = setmetatable({
    keys = opts.settings,
    settings = opts.settings.workers,
    stop_timeout = opts.settings.stop_timeout,
    control = opts.control,
    directory = opts.directory,
    opened = opts.opened,
    read = opts.read,
    bus = bus.new(),
    asked = 0,
    running = sync.event(),
    status = 0,
    slots = {},
    workers = {},
    broadcasting = sync.lock(),
    rolling = sync.lock(),
    hang_ups = 0,
    stopping = sync.event(),
  }, Supervisor)
  context.scope(function(ctx)
    self.ctx = ctx
    self:work()
    ctx:close()
  end)
  return self.status
end

return supervisor
