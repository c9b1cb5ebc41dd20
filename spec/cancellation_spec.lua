local context <const> = require "ahost.context"
local task <const> = require "ahost.task"
local unwinding <const> = require "spec.unwinding"

local closing <const>, cancelled_code <const> =
  unwinding.closing, unwinding.cancelled_code

describe("cancelling", function()
  it("is raised where the task waits", function()
    local err
    local victim = task.spawn(function()
      local _
      _, err = pcall(task.sleep, 1000)
      error(err, 0)
    end)
    task.yield()
    victim:cancel()
    local result, joined = victim:join()
    assert.is_nil(result)
    assert.equal("CANCELLED", err.code)
    assert.equal("cancelled (CANCELLED)", tostring(err))
    assert.equal(err, joined)
    assert.equal("cancelled", victim:status())
  end)

  it("gives the reason, if there is one", function()
    local victim = task.spawn(task.sleep, 1000)
    task.yield()
    victim:cancel("no longer needed")
    local _, err = victim:join()
    assert.equal("no longer needed (CANCELLED)", tostring(err))
    assert.has_error(function() task.spawn(function() end):cancel({}) end)
  end)

  it("means that a task which has not run yet never runs", function()
    local ran = false
    local victim = task.spawn(function() ran = true end)
    victim:cancel()
    assert.equal("cancelled", victim:status())
    assert.equal("CANCELLED", select(2, victim:join()).code)
    assert.is_false(ran)
  end)

  it("is raised again at the next await when swallowed", function()
    local raised = 0
    local victim = task.spawn(function()
      pcall(task.sleep, 1000)
      for _ = 1, 10 do
        if not pcall(task.yield) then raised = raised + 1 end
      end
      return "survived"
    end)
    task.yield()
    victim:cancel()
    assert.equal("survived", victim:join())
    assert.equal("done", victim:status())
    assert.equal(10, raised)
  end)

  it("itself is raised at its own next await", function()
    local after = false
    local victim = task.spawn(function()
      task.current():cancel()
      after = true
      task.yield()
      after = "waited"
    end)
    victim:join()
    assert.is_true(after)
    assert.equal("cancelled", victim:status())
  end)

  it("an ended task does nothing", function()
    local ended = task.spawn(function() return 1 end)
    ended:join()
    ended:cancel()
    ended:cancel("late")
    assert.equal("done", ended:status())
    assert.equal(1, ended:join())
  end)

  it("does not take back a result that has come already", function()
    local gate = task.spawn(function() task.yield() return "result" end)
    local got
    local victim = task.spawn(function()
      got = gate:join()
      task.yield()
      got = "not reached"
    end)
    task.yield()
    task.spawn(function() victim:cancel() end) -- gate has ended, victim is ready
    victim:join()
    assert.equal("result", got)
    assert.equal("cancelled", victim:status())
  end)

  it("is no failure of the context", function()
    assert.equal("fine", context.scope(function(ctx)
      ctx:spawn(task.sleep, 1000):cancel()
      local other = ctx:spawn(task.sleep, 1000)
      task.yield()
      other:cancel()
      return "fine"
    end))
  end)

  it("does not hide an error raised afterwards", function()
    local ok, err = pcall(context.scope, function(ctx)
      local victim = ctx:spawn(function()
        pcall(task.sleep, 1000)
        error("the cleanup failed", 0)
      end)
      task.yield()
      victim:cancel()
    end)
    assert.is_false(ok)
    assert.equal("the cleanup failed", err)
  end)

  it("somebody else's CANCELLED is an ordinary failure", function()
    local ok, err = pcall(context.scope, function(ctx)
      ctx:spawn(function()
        local other = task.spawn(task.sleep, 1000)
        other:cancel()
        error(select(2, other:join()))
      end)
    end)
    assert.is_false(ok)
    assert.equal("CANCELLED", err.code)
  end)

  it("meets completion and timeout in one turn in any order", function()
    local orders <const> = { "ct", "tc", "cd", "dc", "ctd", "dct", "tdc", "dtc" }
    for _, order in ipairs(orders) do
      for _ = 1, 20 do
        local gate = task.spawn(task.sleep, 1000)
        local outcome
        local victim = task.spawn(function()
          outcome = table.pack(task.timeout(order:find("t") and 0 or 1000, function()
            gate:join()
            return "joined"
          end))
          task.yield()
          return "alive"
        end)
        task.yield()
        for step in order:gmatch "." do
          if step == "c" then victim:cancel()
          elseif step == "d" then gate:cancel()
          else task.sleep(0.0001) end
        end
        local result = victim:join()
        gate:cancel()
        gate:join()
        assert.is_true(result == "alive" or victim:status() == "cancelled")
        if not order:find "c" then assert.is_truthy(outcome) end
      end
    end
  end)
end)

describe("while a cancellation unwinds, <close> variables", function()
  it("may wait, nested, innermost first", function()
    local log = {}
    local victim = task.spawn(function()
      local _ <close> = closing(function(err)
        task.sleep(0.001) log[#log + 1] = "outer " .. err.code
      end)
      local _ <close> = closing(function(err)
        task.sleep(0.001) log[#log + 1] = "middle " .. err.code
      end)
      local _ <close> = closing(function(err)
        task.yield() log[#log + 1] = "inner " .. err.code
      end)
      task.sleep(1000)
    end)
    task.yield()
    victim:cancel()
    victim:join()
    assert.same({ "inner CANCELLED", "middle CANCELLED", "outer CANCELLED" }, log)
    assert.equal("cancelled", victim:status())
  end)

  it("are not disturbed by another cancellation", function()
    local log = {}
    local victim = task.spawn(function()
      local _ <close> = closing(function()
        task.sleep(0.002)
        log[#log + 1] = "closed"
      end)
      task.sleep(1000)
    end)
    task.yield()
    victim:cancel()
    task.yield()
    victim:cancel("again")
    task.sleep(0.001)
    victim:cancel("and again")
    victim:join()
    assert.same({ "closed" }, log)
    assert.equal("cancelled", victim:status())
  end)

  it("may raise, which is then what the task came to", function()
    local ok, err = pcall(context.scope, function(ctx)
      local victim = ctx:spawn(function()
        local _ <close> = closing(function(err) task.yield() assert.equal("bad", err) end)
        local _ <close> = closing(function() task.yield() error("bad", 0) end)
        task.sleep(1000)
      end)
      task.yield()
      victim:cancel()
    end)
    assert.is_false(ok)
    assert.equal("bad", err)
  end)

  it("may use pcall, timeouts and scopes", function()
    local log = {}
    local victim = task.spawn(function()
      local _ <close> = closing(function()
        log[#log + 1] = select(2, pcall(function() task.yield() error("caught", 0) end))
        log[#log + 1] = select(2, task.timeout(0.001, task.sleep, 1000)).code
        log[#log + 1] = context.scope(function(ctx)
          return ctx:spawn(function() task.yield() return "scope" end):join()
        end)
        task.yield()
        log[#log + 1] = "end"
      end)
      task.sleep(1000)
    end)
    task.yield()
    victim:cancel()
    victim:join()
    assert.same({ "caught", "TIMEDOUT", "scope", "end" }, log)
  end)

  it("wait also when an error unwinds and the cancellation comes then", function()
    local closed, code
    local victim = task.spawn(function()
      local ok, err = pcall(function()
        local _ <close> = closing(function() task.sleep(0.002) closed = true end)
        error("boom", 0)
      end)
      assert(not ok and err == "boom")
      code = cancelled_code(task.yield)
      task.yield()
    end)
    task.yield()
    victim:cancel()
    victim:join()
    assert.is_true(closed)
    assert.equal("CANCELLED", code)
    assert.equal("cancelled", victim:status())
  end)

  it("wait also at the normal end of a block, unless the task is cancelled", function()
    local log = {}
    local victim = task.spawn(function()
      do
        local _ <close> = closing(function() task.yield() log[#log + 1] = "waited" end)
      end
      task.current():cancel()
      do
        local _ <close> = closing(function()
          log[#log + 1] = cancelled_code(task.yield)
        end)
      end
    end)
    victim:join()
    assert.same({ "waited", "CANCELLED" }, log)
  end)
end)
