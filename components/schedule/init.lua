-- components/schedule: calls a function every so often, or at times of the calendar.
--
-- The task of the schedule waits until a run is due and starts it in a task of its own,
-- so a run that takes long or fails disturbs no later one.

local clock <const> = require "ahost.components.schedule.clock"
local cron <const> = require "ahost.cron"
local errors <const> = require "ahost.error"
local reference <const> = require "ahost.reference"
local time <const> = require "ahost.time"
local task <const> = require "ahost.task"

-- Runs at once (overlap allow), or waiting (overlap queue); more are skipped.
local MOST_RUNS <const> = 100

local function check_cron(text)
  local schedule, err = cron.parse(text)
  return schedule, err and err.message
end

local Schedule <const> = {
  doc = "calls a function every so often, or at times of the calendar",
  options = {
    every = {
      type = "duration",
      min = 0.001,
      doc = "the time between two runs; either this or cron is needed",
    },
    cron = {
      type = "string",
      check = check_cron,
      doc = "when to run: minute hour day month weekday, or @daily",
    },
    func = {
      type = "any",
      required = true,
      doc = "function called with an event: module:name, ./file.lua:name",
    },
    data = { type = "any", doc = "for the function: event.config.data" },
    immediately = { type = "boolean", doc = "run at the start, too (with every: true)" },
    overlap = {
      type = "enum",
      values = { "skip", "queue", "allow" },
      default = "skip",
      doc = "what to do when a run is due while another one runs",
    },
    misfire = {
      type = "enum",
      values = { "run", "skip" },
      default = "run",
      doc = "what to do when a run is late by more than grace",
    },
    grace = { type = "duration", default = 1, doc = "how late is not late" },
    jitter = {
      type = "duration",
      default = 0,
      doc = "delay of each run, a random time up to this",
    },
    on_result = {
      type = "any",
      doc = "function called with what a run returned, and the event",
    },
    on_error = {
      type = "any",
      doc = "function called with the error of a run, and the event",
    },
  },
}

-- ---- one run -------------------------------------------------------------------------

local function trace(err)
  if errors.is(err, "CANCELLED") then return err end
  return { value = err, text = debug.traceback(tostring(err), 2) }
end

-- Calls a function of the application; what it raises is logged. Being cancelled is not
-- its failure. -> whether it went well, and what it returned or raised
function Schedule:call(what, fn, ...)
  local results <const> = table.pack(xpcall(fn, trace, ...))
  if results[1] then return table.unpack(results, 1, results.n) end
  local err <const> = results[2]
  if errors.is(err, "CANCELLED") then error(err, 0) end
  local has_text <const> = type(err) == "table" and err.text
  self.log:error("%s failed: %s", what, has_text or tostring(err))
  return false, has_text and err.value or err
end

-- What a run returned, or failed with as failures of the world are returned.
function Schedule:finish(event, ok, result, err)
  local failed <const> = not ok or result == nil and errors.is(err)
  if not failed then
    if self.on_result then self:call("on_result", self.on_result, result, event) end
    return
  end
  if ok then
    self.log:error("%s failed: %s", self.label, tostring(err))
  else
    err = result
  end
  self.state.failed = self.state.failed + 1
  if self.on_error then self:call("on_error", self.on_error, err, event) end
end

function Schedule:run(event)
  local state <const> = self.state
  state.running = state.running + 1
  local _ <close> = setmetatable({}, {
    __close = function() state.running = state.running - 1 end,
  })
  state.runs = state.runs + 1
  self:finish(event, self:call(self.label, self.func, event))
end

-- Runs what has been queued meanwhile, too.
function Schedule:run_queue()
  while self.waiting[1] do self:run(table.remove(self.waiting, 1)) end
end

function Schedule:skip(event)
  self.state.skipped = self.state.skipped + 1
  self.log:debug("the run due at %s is skipped: another one still runs",
    time.iso(event.time))
end

-- Starts what is due, or does with it what `overlap` says.
function Schedule:fire(ctx, event)
  local running <const> = self.state.running
  local overlap <const> = self.config.overlap
  if overlap == "allow" and running < MOST_RUNS then
    ctx:spawn(self.label, self.run, self, event)
  elseif running == 0 and #self.waiting == 0 then
    self.waiting[1] = event
    ctx:spawn(self.label, self.run_queue, self)
  elseif overlap == "queue" and #self.waiting < MOST_RUNS then
    self.waiting[#self.waiting + 1] = event
  else
    self:skip(event)
  end
end

-- ---- the schedule --------------------------------------------------------------------

-- Waits for one run and starts it, unless it is late and that is not wanted.
function Schedule:step(ctx)
  local jitter <const> = self.config.jitter
  local delay <const> = jitter > 0 and math.random() * jitter or 0
  local due, missed, late = self.clock:wait(delay, jitter)
  self.missed = self.missed + missed
  self.state.missed = self.state.missed + missed
  if late > self.config.grace and self.config.misfire == "skip" then
    self.missed = self.missed + 1
    self.state.missed = self.state.missed + 1
    return self.log:debug("the run due at %s is skipped: it is late", time.iso(due))
  end
  local event <const> = {
    name = self.label,
    config = self.config,
    time = due,
    missed = self.missed,
  }
  self.missed = 0
  self:fire(ctx, event)
end

function Schedule:loop(ctx)
  while true do
    self:step(ctx)
    task.yield()
  end
end

function Schedule:find(option)
  local value <const> = self.config[option]
  if value == nil then return nil end
  local fn, err = reference.callable(value, { directory = self:directory_of(option) })
  return fn or error(errors.new("CONFIG", err.message, { option = option }))
end

function Schedule:init()
  local problem <const> = clock.problem(self.config)
  if problem then error(errors.new("CONFIG", problem)) end
  self.func = self:find "func"
  self.on_result = self:find "on_result"
  self.on_error = self:find "on_error"
end

function Schedule:start(ctx)
  self.label = self.name:match("[^/]*$")
  self.waiting = {}
  self.missed = 0
  self.state = { runs = 0, failed = 0, skipped = 0, missed = 0, running = 0 }
  self.clock = clock.new(self.config)
  ctx:publish("schedule", self.state, { doc = self.clock.doc })
  ctx:spawn("schedule " .. self.label, self.loop, self, ctx)
end

return Schedule
