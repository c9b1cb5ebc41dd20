-- ahost.command.supervisor_reload: has workers reload, one after the other. The first one
-- that cannot is the end of it: those behind it keep what they have.

local errors <const> = require "ahost.error"
local json <const> = require "ahost.json"
local log <const> = require "ahost.log"
local reloading <const> = require "ahost.command.reloading"

local logger <const> = log.get "ahost.supervisor"

local supervisor_reload <const> = {}

-- ---- one worker ----------------------------------------------------------------------

-- -> seconds, or nil: for ever
local function patience(supervisor)
  local seconds <const> = reloading.patience(supervisor.keys)
  return seconds < math.huge and seconds or nil
end

-- One that has just been started is asked when it is ready: what it has read may have
-- changed meanwhile. -> reply | nil: it has ended, another begins with what is new
local function ask(supervisor, worker, text)
  if not worker.started:wait() then return nil end
  local reply, err = supervisor:ask(worker, text, patience(supervisor))
  if reply then return json.decode(reply) end
  return { ok = false, error = { code = err.code, message = err.message } }
end

local function is_done(reply) return reply.ok and reply.result.ok end

-- -> what went wrong
local function problem_of(reply)
  return reply.error and reply.error.message or reply.result.err
end

local function not_asked()
  return {
    ok = false,
    error = { code = "CANCELLED", message = "not asked: it keeps what it has" },
  }
end

-- ---- all of them ---------------------------------------------------------------------

-- -> answers, the index of the one that failed
local function ask_all(supervisor, text, quiet)
  local answers <const> = json.array()
  local failed
  for _, slot in ipairs(supervisor.slots) do
    local worker <const> = slot.worker
    local reply <const> = worker and (failed and not_asked()
      or ask(supervisor, worker, text))
    if reply then
      reply.worker, reply.pid = worker.index, worker.process:pid()
      answers[#answers + 1] = reply
      if not failed and not is_done(reply) then
        failed = worker.index
        if not quiet then
          logger:error("worker %d could not reload: %s", failed, problem_of(reply))
        end
      end
    end
  end
  return answers, failed
end

local function tell_of(supervisor)
  supervisor.bus:publish("app.reloading", true)
  return setmetatable({}, { __close = function()
    supervisor.bus:publish("app.reloading", false)
  end })
end

-- -> answers
local function roll(supervisor, text, quiet)
  local _ <close> = supervisor.rolling:acquire()
  local _ <close> = tell_of(supervisor)
  local answers <const>, failed = ask_all(supervisor, text, quiet)
  if failed and not quiet and failed < #supervisor.slots then
    logger:error("the workers from %d on keep what they have", failed)
  elseif not failed then
    if not quiet then logger:notice "the workers have reloaded" end
    supervisor:configure_anew "the supervisor goes on as before"
  end
  return answers
end

--- Has all workers reload what has changed. Waits for all of it.
---@param supervisor table
---@param request table        as control sockets get it: `component`, `force` and `quiet`
---@return {workers: table[]}? result    what each answers
---@return ahost.Error? err
function supervisor_reload.run(supervisor, request)
  if supervisor.stopping:is_set() then
    return nil, errors.new("FAILED", "the workers are being stopped")
  end
  local text <const> = json.encode {
    command = "reload",
    component = request.component,
    force = request.force,
    quiet = request.quiet,
  }
  -- It is the supervisor's, not that of who has asked.
  local answers
  supervisor.ctx:spawn("reload", function()
    answers = roll(supervisor, text, request.quiet)
  end):join()
  if answers and #answers > 0 then return { workers = answers } end
  return nil, errors.new("FAILED", "no worker runs now")
end

--- Passes HUP on: workers open their logs again, and reload if that is what it is for.
---@param supervisor table
function supervisor_reload.hang_up(supervisor)
  supervisor:signal "HUP"
  if not supervisor.keys.reload.on_hup then
    supervisor.bus:publish("app.reloading", true)
    supervisor.bus:publish("app.reloading", false)
  elseif supervisor.hang_ups < 2 then -- one that goes on, and one that sees what is new
    supervisor.hang_ups = supervisor.hang_ups + 1
    supervisor_reload.run(supervisor, {})
    supervisor.hang_ups = supervisor.hang_ups - 1
  end
end

return supervisor_reload
