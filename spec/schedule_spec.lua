local application <const> = require "ahost.application"
local clock <const> = require "ahost.components.schedule.clock"
local config <const> = require "ahost.config"
local context <const> = require "ahost.context"
local errors <const> = require "ahost.error"
local new_instance <const> = require "spec.component_instance"
local Schedule <const> = require "ahost.components.schedule"
local sync <const> = require "ahost.sync"
local task <const> = require "ahost.task"
local testing <const> = require "ahost.testing"
local time <const> = require "ahost.time"

local function build(values) return new_instance(Schedule, "schedule/job", values) end

-- Runs a schedule while fn(state, records) runs, in virtual time.
local function with_schedule(values, fn)
  local _ <close> = testing.clock()
  local schedule <const> = assert(build(values))
  return context.scope(function(ctx)
    schedule:start(ctx)
    fn(ctx:require "schedule", schedule.log.records)
    ctx:close()
  end)
end

-- Clocks that a spec can set, and a sleep that can take longer, as if the loop had been
-- busy.
local function with_clock(fn)
  local now, wall, sleep = time.now, time.wall, task.sleep
  local fake <const> = { at = 0, offset = 1767268800 } -- 2026-01-01 12:00 UTC
  local _ <close> = setmetatable({}, {
    __close = function() time.now, time.wall, task.sleep = now, wall, sleep end,
  })
  time.now = function() return fake.at end
  time.wall = function() return fake.at + fake.offset end
  task.sleep = function(seconds)
    fake.at = fake.at + math.max(seconds, 0) + (fake.stall or 0)
    fake.stall = nil
  end
  return fn(fake)
end

-- Holds how the message about a bad configuration begins.
local function assert_refused(values, problem)
  local ok, instance, problems = pcall(build, values)
  local message <const> = ok and problems[1] or instance.message
  assert.equal(problem, message:sub(1, #problem))
end

describe("the component schedule", function()
  it("calls its function at once, and then every so often", function()
    local events <const> = sync.queue(10)
    with_schedule({
      every = "1h",
      func = function(event) events:put(event) end,
      data = { 1 },
    }, function(state)
      local start <const> = time.wall()
      local first, second = events:get(), events:get()
      assert.equal("job", first.name)
      assert.same({ 1 }, first.config.data)
      assert.equal(0, first.missed)
      assert.is_true(math.abs(first.time - start) < 1)
      assert.is_true(math.abs(second.time - start - 3600) < 1)
      assert.equal(2, state.runs)
    end)
  end)

  it("runs at times of the calendar", function()
    local events <const> = sync.queue(10)
    with_schedule({
      cron = "15 6 * * *",
      func = function(event) events:put(event) end,
      jitter = 60,
    }, function()
      for _ = 1, 3 do
        local event = events:get()
        assert.equal("06:15:00", os.date("%T", event.time))
        assert.equal(0, event.missed)
        assert.is_true(time.wall() >= event.time and time.wall() < event.time + 61)
      end
    end)
  end)

  it("logs a run that fails, with its traceback, and goes on", function()
    local failures <const> = sync.queue(10)
    local function bad() error "boom" end
    with_schedule({
      every = 10,
      func = function() bad() end,
      on_error = function(err, event) failures:put({ err, event }) end,
    }, function(state, records)
      local failure = failures:get()
      failures:get()
      assert.match("schedule_spec.lua:%d+: boom$", failure[1])
      assert.equal("job", failure[2].name)
      assert.match("^error: job failed: .*: boom\nstack traceback:.*'bad'", records[1])
      assert.is_true(state.failed >= 2)
    end)
  end)

  it("takes nil and an error for a failure, too", function()
    local failures <const> = sync.queue(10)
    local err <const> = errors.new("ECONNREFUSED", "connection refused")
    with_schedule({
      every = 1000,
      func = function() return nil, err end,
      on_error = function(failure) failures:put(failure) end,
    }, function(state, records)
      assert.equal(err, failures:get())
      assert.same({ "error: job failed: connection refused (ECONNREFUSED)" }, records)
      assert.equal(1, state.failed)
    end)
  end)

  it("hands on results, and logs what fails in doing so", function()
    local results <const> = sync.queue(10)
    with_schedule({
      every = 10,
      func = function() return 5 end,
      on_result = function(result, event)
        results:put({ result, event.name })
        error "no"
      end,
    }, function(state, records)
      assert.same({ 5, "job" }, results:get())
      results:get()
      assert.match("^error: on_result failed: .*no\nstack traceback", records[1])
      assert.equal(0, state.failed)
    end)
  end)

  -- Lets the first run go when `skipped` or `waiting` says that others came.
  local function overlap(how, is_enough)
    local most, at_work, order = 0, 0, {}
    local go <const>, started <const> = sync.event(), sync.queue(1000)
    with_schedule({
      every = 10,
      overlap = how,
      func = function(event)
        at_work = at_work + 1
        most = math.max(most, at_work)
        order[#order + 1] = event.time
        started:put(true)
        go:wait()
        at_work = at_work - 1
      end,
    }, function(state)
      started:get()
      while not is_enough(state) do task.sleep(10) end
      go:set()
      started:get()
      started:get()
    end)
    for i = 2, #order do assert.is_true(order[i] > order[i - 1]) end
    return most
  end

  it("skips runs while another one runs", function()
    assert.equal(1, overlap("skip", function(state) return state.skipped >= 3 end))
  end)

  it("queues runs while another one runs, within a limit", function()
    assert.equal(1, overlap("queue", function(state) return state.skipped >= 1 end))
  end)

  it("lets runs overlap, within a limit", function()
    assert.equal(100, overlap("allow", function(state) return state.skipped >= 1 end))
  end)

  it("cancels its run when it ends", function()
    local started <const>, outcome = sync.event(), nil
    with_schedule({
      every = 1000,
      func = function()
        started:set()
        local ok, err = pcall(task.sleep, 1000)
        outcome = { ok, err.code }
        error(err, 0)
      end,
    }, function(_, records)
      started:wait()
      assert.same({}, records)
    end)
    assert.same({ false, "CANCELLED" }, outcome)
  end)

  it("tells what is wrong with its options", function()
    assert_refused({ cron = "61 * * * *", func = print },
      "schedule/job.cron: minute: 61 is not from 0 to 59")
    assert_refused({ func = print }, "either 'every' or 'cron' is needed")
    assert_refused({ func = print, every = 1, cron = "@daily" },
      "either 'every' or 'cron' is needed, not both")
    assert_refused({ every = 1 }, "schedule/job.func: is required, but missing")
    assert_refused({ every = 0, func = print },
      "schedule/job.every: must be a duration at least 0.001 (seconds, or as 10ms 5s 2m "
        .. "1h30m 3d 1w), not 0")
  end)

  it("is refused when there is no such function", function()
    assert_refused({ every = 1, func = "no.such.module:x" },
      "module 'no.such.module' not found")
    assert_refused({ every = 1, func = "string:formt" }, ""
      .. "module 'string' has no 'formt' (did you mean \"format\"?)")
    assert_refused({ every = 1, func = "math:pi" },
      "'math:pi' is a number, not a function")
    assert_refused({ every = 1, func = 5 },
      "it is a number, not a function")
  end)

  it("leaves out late runs if it is to", function()
    with_clock(function(fake)
      local schedule <const>, fired = assert(build {
        every = 10,
        func = print,
        misfire = "skip",
        immediately = false,
      }), {}
      schedule.fire = function(_, _, event) fired[#fired + 1] = event end
      context.scope(function(ctx)
        schedule:start(ctx)
        ctx:close()
      end)
      schedule:step()
      fake.stall = 25 -- 20 and 30 are missed, 40 is late by 5
      schedule:step()
      schedule:step()
      assert.equal(2, #fired)
      assert.equal(10, fired[1].time - fake.offset)
      assert.equal(50, fired[2].time - fake.offset)
      assert.equal(3, fired[2].missed)
      assert.same({ runs = 0, failed = 0, skipped = 0, missed = 3, running = 0 },
        schedule.state)
      assert.match("^debug: the run due at 2026%-01%-01T12:00:40",
        schedule.log.records[1])
    end)
  end)
end)

describe("a schedule in a configuration", function()
  it("finds functions beside the file that names them", function()
    local virtual <close> = testing.clock()
    local directory <const> = testing.directory()
    local runs <const> = sync.queue(10)
    _G.spec_runs = runs
    finally(function() _G.spec_runs = nil end)
    directory:write("one/jobs.lua", "return { f = function() spec_runs:put 'one' end }")
    directory:write("two/jobs.lua", "return { f = function() spec_runs:put 'two' end }")
    local values <const> = assert(config.load({
      directory:write("one/app.yaml", "schedules.job: {every: 1h, func: './jobs.lua:f'}"),
      directory:write("two/site.yaml", "schedules.job.func: ./jobs.lua:f"),
    }))
    local app <const> = testing.host { config = values }
    assert.equal("two", runs:get())
    app:stop()
    virtual:close()
  end)

  it("is refused with its place", function()
    local directory <const> = testing.directory()
    local path <const> = directory:write("app.yaml", "schedules:\n"
      .. "  one: {func: x}\n"
      .. "  two: {func: x, cron: '0 0 30 2 *'}\n")
    local app, err = application.new(assert(config.load({ path })))
    assert.is_nil(app)
    assert.same({
      path .. ":2:3: schedules.one: either 'every' or 'cron' is needed",
      path .. ":3:18: schedules.two.cron: there is no such day",
    }, err.errors)
  end)
end)

describe("the clock of a schedule", function()
  -- due, missed and lateness of the next run, seconds from the start
  local function wait(times, fake, delay, jitter)
    local due, missed, late = times:wait(delay or 0, jitter or 0)
    return { due - fake.offset, missed, late }
  end

  it("does not drift, and makes up for what was missed once", function()
    with_clock(function(fake)
      local times <const> = clock.new { every = 10 }
      assert.same({ 0, 0, 0 }, wait(times, fake))
      fake.at = 3 -- as a run took so long
      assert.same({ 10, 0, 0 }, wait(times, fake))
      fake.at = 47
      assert.same({ 40, 2, 7 }, wait(times, fake))
      assert.same({ 50, 0, 0 }, wait(times, fake))
    end)
  end)

  it("begins with a whole period if it is to", function()
    with_clock(function(fake)
      local times <const> = clock.new { every = 10, immediately = false }
      assert.same({ 10, 0, 0 }, wait(times, fake))
    end)
  end)

  it("delays runs without moving the next ones", function()
    with_clock(function(fake)
      local times <const> = clock.new { every = 10 }
      assert.same({ 0, 0, 0 }, wait(times, fake, 4, 5))
      assert.equal(4, fake.at)
      assert.same({ 10, 0, 0 }, wait(times, fake, 0, 5))
      assert.equal(10, fake.at)
    end)
  end)

  it("follows a calendar", function()
    with_clock(function(fake)
      local times = clock.new { cron = "*/5 * * * *" }
      assert.same({ 300, 0, 0 }, wait(times, fake))
      assert.same({ 600, 0, 0 }, wait(times, fake))
      fake.at = 1510
      assert.same({ 1500, 2, 10 }, wait(times, fake))
      assert.same({ 1800, 0, 0 }, wait(times, fake))
      times = clock.new { cron = "*/5 * * * *", immediately = true }
      fake.at = 1850
      assert.same({ 1800, 0, 50 }, wait(times, fake))
      assert.same({ 2100, 0, 0 }, wait(times, fake))
    end)
  end)

  it("counts what it missed up to a limit", function()
    with_clock(function(fake)
      local times <const> = clock.new { cron = "* * * * * *" }
      fake.at = 1e6
      assert.equal(1000, wait(times, fake)[2])
      assert.same({ 1e6 + 1, 0, 0 }, wait(times, fake))
    end)
  end)

  it("notices that the clock on the wall was set", function()
    with_clock(function(fake)
      local times <const> = clock.new { cron = "0 * * * *" }
      local start <const> = fake.offset
      local sleep <const> = task.sleep
      local slept = 0
      task.sleep = function(seconds)
        slept = slept + 1
        if slept == 5 then fake.offset = fake.offset + 3600 end
        return sleep(seconds)
      end
      local due = times:wait(0, 0)
      assert.equal(start + 3600, due)
      assert.is_true(fake.at < 3600)
      fake.offset = fake.offset - 1800 -- a little: nothing is repeated
      due = times:wait(0, 0)
      assert.equal(start + 7200, due)
      fake.offset = fake.offset - 86400 -- a day: it was wrong before
      due = times:wait(0, 0)
      assert.equal(start + 7200 - 86400 + 3600, due)
    end)
  end)
end)
