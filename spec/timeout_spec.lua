local task <const> = require "ahost.task"
local testing <const> = require "ahost.testing"
local unwinding <const> = require "spec.unwinding"

local closing <const>, cancelled_code <const> =
  unwinding.closing, unwinding.cancelled_code

describe("task.shield", function()
  before_each(function() testing.clock() end)

  it("returns what the function returns and raises what it raises", function()
    assert.same({ n = 3, [2] = 2 },
      table.pack(task.shield(function(...) task.yield() return ... end, nil, 2, nil)))
    assert.has_error(function()
      task.shield(function() task.yield() error("boom", 0) end)
    end, "boom")
    assert.has_error(function() task.shield() end)
  end)

  it("finishes although the task is cancelled, which is raised afterwards", function()
    local log = {}
    local victim = task.spawn(function()
      task.shield(function()
        task.sleep(1000)
        log[#log + 1] = "finished"
      end)
      log[#log + 1] = "left"
      task.yield()
      log[#log + 1] = "not reached"
    end)
    task.yield()
    victim:cancel()
    victim:join()
    assert.same({ "finished", "left" }, log)
  end)

  it("inside a timeout outlasts it", function()
    local log = {}
    local result, err = task.timeout(0.001, function()
      task.shield(function() task.sleep(0.002) log[#log + 1] = "shielded" end)
      task.yield()
      log[#log + 1] = "not reached"
    end)
    assert.is_nil(result)
    assert.equal("TIMEDOUT", err.code)
    assert.same({ "shielded" }, log)
  end)

  it("can hold a timeout, which works inside", function()
    local result, err = task.timeout(0.001, function()
      return task.shield(function()
        task.sleep(5)
        local inner = table.pack(task.timeout(0.001, task.sleep, 1000))
        return inner[2].code
      end)
    end)
    assert.equal("TIMEDOUT", result)
    assert.is_nil(err)
  end)

  it("inside a timeout inside a shield works for each", function()
    local log = {}
    local victim = task.spawn(function()
      task.shield(function()
        local _, err = task.timeout(0.001, function()
          task.shield(function() task.sleep(100) log[#log + 1] = "inner" end)
          task.sleep(1000)
        end)
        log[#log + 1] = err.code
        task.yield()
        log[#log + 1] = "outer"
      end)
      task.yield()
      log[#log + 1] = "not reached"
    end)
    task.yield()
    victim:cancel()
    victim:join()
    assert.same({ "inner", "TIMEDOUT", "outer" }, log)
  end)
end)

describe("task.timeout", function()
  it("returns what the function returns in time", function()
    assert.same({ n = 0 }, table.pack(task.timeout(1000, function() end)))
    assert.same({ n = 3, [2] = 2 },
      table.pack(task.timeout(1000, function(...)
        task.yield()
        return ...
      end, nil, 2, nil)))
  end)

  it("is nil and TIMEDOUT when it is over, and the function is cancelled", function()
    local closed
    local result, err = task.timeout(0.001, function()
      local _ <close> = closing(function(err) task.yield() closed = err.code end)
      task.sleep(1000)
    end)
    assert.is_nil(result)
    assert.equal("TIMEDOUT", err.code)
    assert.matches("timeout of 0.001 s: timed out", tostring(err))
    assert.equal("CANCELLED", closed)
    task.yield()
  end)

  it("raises what the function raised", function()
    assert.has_error(function()
      task.timeout(1000, function() task.yield() error("boom", 0) end)
    end, "boom")
    assert.has_error(function()
      task.timeout(0, function() pcall(task.sleep, 1) error("late boom", 0) end)
    end, "late boom")
  end)

  it("of 0 stops the first await that really waits", function()
    assert.equal("no await", task.timeout(0, function() return "no await" end))
    assert.equal("TIMEDOUT", select(2, task.timeout(0, task.sleep, 1000)).code)
  end)

  it("returns what a function that swallows it returns", function()
    local codes = {}
    assert.equal("swallowed", task.timeout(0.001, function()
      codes[1] = cancelled_code(task.sleep, 1000)
      codes[2] = cancelled_code(task.yield)
      return "swallowed"
    end))
    assert.same({ "CANCELLED", "CANCELLED" }, codes)
    task.yield()
  end)

  it("can be nested, and whichever is over first wins", function()
    local inner, outer
    outer = table.pack(task.timeout(1000, function()
      inner = table.pack(task.timeout(0.001, task.sleep, 1000))
      task.yield()
      return "outer"
    end))
    assert.equal("TIMEDOUT", inner[2].code)
    assert.equal("outer", outer[1])
    inner = nil
    outer = table.pack(task.timeout(0.001, function()
      inner = table.pack(task.timeout(1000, task.sleep, 1000))
    end))
    assert.is_nil(inner)
    assert.equal("TIMEDOUT", outer[2].code)
  end)

  it("is the outer one's when both are over at once", function()
    for _ = 1, 20 do
      local reached = false
      local result, err = task.timeout(0, function()
        task.timeout(0, task.sleep, 1000)
        task.sleep(0.001)
        reached = true
      end)
      assert.is_nil(result)
      assert.equal("TIMEDOUT", err.code)
      assert.is_false(reached)
    end
  end)

  it("leaves a cancellation from outside what it is", function()
    local after = false
    local victim = task.spawn(function()
      task.timeout(1000, task.sleep, 1000)
      after = true
    end)
    task.yield()
    victim:cancel()
    victim:join()
    assert.is_false(after)
    assert.equal("cancelled", victim:status())
  end)

  it("stops what waits for other tasks, not those tasks", function()
    local _ <close> = testing.clock()
    local other = task.spawn(task.sleep, 1000)
    assert.equal("TIMEDOUT", select(2, task.timeout(999, other.join, other)).code)
    assert.equal("running", other:status())
    other:join()
  end)

  it("can be left by an error a thousand levels deep", function()
    local function nest(n)
      if n == 0 then task.yield() error("bottom", 0) end
      return pcall(task.timeout, 1000, nest, n - 1) and nil
    end
    for _ = 1, 20 do nest(20) end
    task.yield()
  end)

  it("refuses what is no time and no function", function()
    assert.has_error(function() task.timeout(-1, function() end) end)
    assert.has_error(function() task.timeout(0 / 0, function() end) end)
    assert.has_error(function() task.timeout(1) end)
    assert.has_error(function() task.timeout("1s", function() end) end)
  end)
end)
