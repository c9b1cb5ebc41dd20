local context <const> = require "ahost.context"
local errors <const> = require "ahost.error"
local log <const> = require "ahost.log"
local runtime <const> = require "ahost.component.runtime"
local task <const> = require "ahost.task"
local command_line <const> = require "spec.command_line"

local OFF <const> = { stall = 0, stall_kill = 0, lag = 0 }

-- Runs fn with a watchdog, in a task of its own. -> ok, err, the watchdog's records
local function run(settings, fn)
  local ok, err
  local capture <close> = log.capture { passes = false }
  context.scope({ on_error = "log" }, function()
    runtime.watchdog(settings)
    ok, err = task.spawn("hog", function()
      fn()
      return true
    end):join()
    runtime.watchdog(OFF)
  end)
  task.yield()
  local texts <const> = {}
  for _, record in ipairs(capture.records) do
    if record.logger == "ahost.watchdog" then texts[#texts + 1] = record.text end
  end
  return ok, err, texts
end

local function endless()
  while true do end
end

describe("the watchdog", function()
  after_each(function() runtime.watchdog(OFF) end)

  it("ends code that runs on for ever with an error of its task", function()
    local ok, err, texts = run({ stall_kill = 0.05 }, endless)
    assert.is_nil(ok)
    assert.is_true(errors.is(err, "FAILED"))
    assert.matches("^stalled: kept the loop for [%d.]+ s$", err.message)
    assert.same({}, texts)
  end)

  it("logs the traceback of the code while it runs, once", function()
    local _, _, texts = run({ stall = 0.05, stall_kill = 0.3 }, endless)
    assert.equal(1, #texts)
    assert.matches("^hog keeps the loop for [%d.]+ s:\nstack traceback:\n", texts[1])
    assert.matches("spec/watchdog_spec.lua:%d+: in function", texts[1])
  end)

  it("logs the traceback of a coroutine and that of its task", function()
    local _, _, texts = run({ stall = 0.05, stall_kill = 0.3 }, function()
      coroutine.wrap(endless)()
    end)
    assert.matches("\nin a coroutine of\nstack traceback:\n", texts[1])
  end)

  it("lets the code clean up", function()
    local cleaned
    local ok = run({ stall_kill = 0.05 }, function()
      local _ <close> = setmetatable({}, { __close = function()
        task.yield()
        cleaned = true
      end })
      endless()
    end)
    assert.is_nil(ok)
    assert.is_true(cleaned)
  end)

  it("is not to be got rid of with pcall", function()
    local caught = 0
    local ok, err = run({ stall_kill = 0.05 }, function()
      while true do
        pcall(endless)
        caught = caught + 1
      end
    end)
    assert.is_nil(ok)
    assert.matches("^stalled", err.message)
    assert.is_true(caught >= 1)
  end)

  it("is not to be got rid of with coroutines", function()
    local ok, err = run({ stall_kill = 0.05 }, function()
      while true do
        coroutine.resume(coroutine.create(endless))
      end
    end)
    assert.is_nil(ok)
    assert.matches("^stalled", err.message)
  end)

  it("ends what a listener does, and then what called it", function()
    local signal <const> = require("ahost.signal").new()
    local calls = 0
    local ok = run({ stall_kill = 0.05 }, function()
      signal:connect(function()
        calls = calls + 1
        endless()
      end)
      while true do signal:emit() end
    end)
    assert.is_nil(ok)
    assert.is_true(calls >= 1)
  end)

  it("spares the next task", function()
    local ran
    local capture <close> = log.capture { passes = false }
    context.scope({ on_error = "log" }, function()
      runtime.watchdog { stall_kill = 0.05 }
      local hog <const> = task.spawn(endless)
      local other <const> = task.spawn(function()
        for _ = 1, 1000 do ran = {} end
        return true
      end)
      hog:join()
      assert.is_true(other:join())
    end)
    assert.is_table(ran)
    assert.is_table(capture.records)
  end)

  it("leaves tasks alone that wait", function()
    local ok, _, texts = run({ stall = 0.02, stall_kill = 0.02 }, function()
      task.sleep(0.15)
    end)
    assert.is_true(ok)
    assert.same({}, texts)
  end)

  it("tells of code that blocks in C, when it goes on", function()
    local ok, _, texts = run({ stall = 0.05 }, function()
      os.execute("sleep 0.4")
      local _ = 1
    end)
    assert.is_true(ok)
    assert.equal(1, #texts)
    assert.matches("^hog keeps the loop for [%d.]+ s, in a C function called here:",
      texts[1])
  end)

  it("tells of a C function behind which there is no code", function()
    local ok, _, texts = run({ stall = 0.05 }, function()
      task.spawn("sleeper", os.execute, "sleep 0.4"):join()
    end)
    assert.is_true(ok)
    assert.equal(1, #texts)
    assert.matches("^sleeper kept the loop for [%d.]+ s, in a C function$", texts[1])
  end)

  it("returns the hooks of a debugger to their place", function()
    local function hook() end
    local after
    run({ stall = 0.05 }, function()
      debug.sethook(hook, "r", 0)
      os.execute("sleep 0.4")
      for _ = 1, 10 do after = { debug.gethook() } end
      debug.sethook()
    end)
    assert.same({ hook, "r", 0 }, after)
  end)

  it("leaves no hook behind", function()
    local hook
    run({ stall = 0.05 }, function()
      os.execute("sleep 0.4")
      for _ = 1, 10 do hook = debug.gethook() end
    end)
    assert.is_nil(hook)
  end)

  it("logs turns of the loop that take too long, but not each", function()
    local _, _, texts = run({ lag = 0.01 }, function()
      for _ = 1, 3 do
        os.execute("sleep 0.05")
        task.sleep(0.001)
      end
    end)
    assert.equal(1, #texts)
    assert.matches("^a turn of the loop took [%d.]+ s", texts[1])
  end)

  it("gives its settings, and changes those that are named", function()
    runtime.watchdog { stall = 2, stall_kill = 3, lag = 0.25 }
    assert.same({ stall = 2, stall_kill = 3, lag = 0.25 }, runtime.watchdog { stall = 0 })
    assert.same({ stall = 0, stall_kill = 3, lag = 0.25 }, runtime.watchdog())
    assert.error(function() runtime.watchdog { lag = -1 } end)
  end)

  it("starts and stops any number of times", function()
    for i = 1, 200 do
      runtime.watchdog { stall = i % 2 }
      task.yield()
    end
  end)
end)

describe("the command", function()
  it("watches what it runs as `watchdog` has it", function()
    local place <close> = command_line.new {
      ["app.yaml"] = "watchdog: {stall: 50ms, stall_kill: 300ms}\n"
        .. "component: {type: ./app.lua}\n",
      ["app.lua"] = "return { run = function() while true do end end }\n",
    }
    local result <const> = place:run("run app.yaml")
    assert.equal(1, result.status)
    assert.matches("ahost.watchdog: run keeps the loop for [%d.]+ s:\nstack traceback:\n",
      result.err)
    assert.matches("stalled: kept the loop", result.err)
  end)

  it("tells while it lasts of code that blocks in C", function()
    local place <close> = command_line.new {
      ["app.yaml"] = "watchdog: {stall: 50ms}\ncomponent: {type: ./app.lua}\n",
      ["app.lua"] = "return { run = function() os.execute 'sleep 0.5' end }\n",
    }
    local result <const> = place:run("run app.yaml")
    assert.equal(0, result.status)
    assert.matches("task %d+ keeps the loop for [%d.]+ s so far, inside a C function",
      result.err)
  end)

  it("refuses what is no time", function()
    local place <close> = command_line.new {
      ["app.yaml"] = "watchdog:\n  stal: 1s\n  lag: soon\ncomponent: {type: ./app.lua}\n",
      ["app.lua"] = "return { run = function() end }\n",
    }
    local result <const> = place:run("check app.yaml")
    assert.equal(2, result.status)
    assert.matches("app.yaml:2:", result.err .. result.out)
    assert.matches("app.yaml:3:", result.err .. result.out)
  end)
end)
