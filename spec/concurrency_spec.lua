local task <const> = require "ahost.task"
local unwinding <const> = require "spec.unwinding"

local closing <const> = unwinding.closing

describe("task.all", function()
  it("runs functions concurrently and gives the first result of each", function()
    local running, most = 0, 0
    local function job(result)
      return function()
        running = running + 1
        most = math.max(most, running)
        task.yield()
        running = running - 1
        return result, "ignored"
      end
    end
    assert.same({ "a", "b", nil, "d" }, task.all { job "a", job "b", job(nil), job "d" })
    assert.equal(4, most)
  end)

  it("of nothing is nothing", function()
    assert.same({}, task.all {})
  end)

  it("raises the first failure and cancels the rest", function()
    local ended
    local ok, err = pcall(task.all, {
      function()
        local _ <close> = closing(function(err) task.yield() ended = err.code end)
        task.sleep(1000)
      end,
      function() task.yield() error("first", 0) end,
      function() task.sleep(1000) error("second", 0) end,
    })
    assert.is_false(ok)
    assert.equal("first", err)
    assert.equal("CANCELLED", ended)
    task.yield()
  end)

  it("ends when it is cancelled from outside", function()
    local ended = 0
    local victim = task.spawn(function()
      local function job()
        local _ <close> = closing(function() task.yield() ended = ended + 1 end)
        task.sleep(1000)
      end
      task.all { job, job, job }
    end)
    task.yield()
    task.yield()
    victim:cancel()
    victim:join()
    assert.equal(3, ended)
    assert.equal("cancelled", victim:status())
  end)

  it("can be limited by a timeout", function()
    local function slow() task.sleep(1000) end
    local result, err = task.timeout(0.001, task.all, { slow, slow })
    assert.is_nil(result)
    assert.equal("TIMEDOUT", err.code)
  end)
end)

describe("task.race", function()
  it("gives all results of the first to finish and cancels the rest", function()
    local ended
    local results = table.pack(task.race {
      function()
        local _ <close> = closing(function(err) task.yield() ended = err.code end)
        task.sleep(1000)
      end,
      function() task.yield() return nil, 2, nil end,
    })
    assert.same({ n = 3, [2] = 2 }, results)
    assert.equal("CANCELLED", ended)
  end)

  it("is won by the first when several finish in one turn", function()
    assert.equal("a", task.race { function() return "a" end, function() return "b" end })
  end)

  it("is lost to a failure", function()
    assert.has_error(function()
      task.race { function() task.sleep(1000) end, function() error("boom", 0) end }
    end, "boom")
    assert.has_error(function()
      task.race {
        function() task.yield() return "won" end,
        function()
          local _ <close> = closing(function() error("sore loser", 0) end)
          task.sleep(1000)
        end,
      }
    end, "sore loser")
  end)

  it("of nobody is misuse", function()
    assert.has_error(function() task.race {} end)
  end)

  it("ends when it is cancelled from outside", function()
    local victim = task.spawn(function()
      task.race { function() task.sleep(1000) end, function() task.sleep(1000) end }
    end)
    task.yield()
    task.yield()
    victim:cancel()
    victim:join()
    assert.equal("cancelled", victim:status())
  end)
end)
