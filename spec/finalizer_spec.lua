local context <const> = require "ahost.context"
local task <const> = require "ahost.task"

-- Makes garbage whose finalizer calls fn.
local function leave(fn)
  setmetatable({}, { __gc = fn })
end

describe("a finalizer", function()
  -- Garbage is collected all the time, so that whatever allocates may call finalizers.
  setup(function() collectgarbage("incremental", 1, 1000, 1) end)
  teardown(function() collectgarbage("incremental", 200, 100, 13) end)

  it("may spawn tasks, even while tasks are being spawned", function()
    local begun, ended = 0, 0
    context.scope(function(ctx)
      local function body()
        begun = begun + 1
        local mine <const> = { begun }
        task.sleep(0)
        assert(mine[1] <= begun)
        ended = ended + 1
      end
      -- A call deeper than those before takes memory, but collects no garbage: that
      -- is left to what allocates next, the spawning.
      local function spawn_below(depth)
        if depth > 0 then return (spawn_below(depth - 1)) end
        return ctx:spawn(body)
      end
      for i = 1, 2000 do
        leave(function() ctx:spawn(body) end)
        spawn_below(i % 50)
      end
      collectgarbage()
    end)
    assert.equal(begun, ended)
    assert.is_true(begun > 2000)
  end)
end)
