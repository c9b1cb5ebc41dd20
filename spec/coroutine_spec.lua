local context <const> = require "ahost.context"
local task <const> = require "ahost.task"
local unwinding <const> = require "spec.unwinding"

local closing <const> = unwinding.closing

describe("a user's coroutine", function()
  it("works as ever without tasks in play", function()
    local co = coroutine.create(function(a, b)
      local c = coroutine.yield(a + b)
      local d, e = coroutine.yield(c * 2)
      return d .. e
    end)
    assert.same({ true, 3 }, { coroutine.resume(co, 1, 2) })
    assert.equal("suspended", coroutine.status(co))
    assert.same({ true, 8 }, { coroutine.resume(co, 4) })
    assert.same({ true, "xy" }, { coroutine.resume(co, "x", "y") })
    assert.equal("dead", coroutine.status(co))
    assert.same({ false, "cannot resume dead coroutine" }, { coroutine.resume(co) })
    assert.is_true(coroutine.close(co))
  end)

  it("that generates may wait between its values", function()
    local function generate(n)
      return coroutine.wrap(function()
        for i = 1, n do
          task.sleep(0)
          coroutine.yield(i, "value " .. i)
          task.yield()
        end
      end)
    end
    local got = {}
    for i, text in generate(5) do
      task.yield()
      got[i] = text
    end
    assert.same({ "value 1", "value 2", "value 3", "value 4", "value 5" }, got)
  end)

  it("may wait in a wrap inside a wrap inside a resume", function()
    local inner = coroutine.wrap(function(x)
      while true do
        task.yield()
        x = coroutine.yield(x * 2)
        task.sleep(0)
      end
    end)
    local middle = coroutine.wrap(function(x)
      while true do
        task.sleep(0)
        x = coroutine.yield(inner(x) + 1)
        task.yield()
      end
    end)
    local outer = coroutine.create(function()
      for i = 1, 4 do coroutine.yield(middle(i)) task.yield() end
      return "end"
    end)
    local got = {}
    while coroutine.status(outer) ~= "dead" do
      got[#got + 1] = select(2, coroutine.resume(outer))
    end
    assert.same({ 3, 5, 7, 9, "end" }, got)
  end)

  it("passes its errors on after it has waited", function()
    local wrapped = coroutine.wrap(function() task.yield() error({ code = "E" }) end)
    local ok, err = pcall(wrapped)
    assert.is_false(ok)
    assert.equal("E", err.code)
    wrapped = coroutine.wrap(function() task.yield() error("text", 0) end)
    ok, err = pcall(wrapped)
    assert.is_false(ok)
    assert.matches("text", err)
    local co = coroutine.create(function() task.yield() error("text", 0) end)
    assert.same({ false, "text" }, { coroutine.resume(co) })
    assert.equal("dead", coroutine.status(co))
    assert.same({ false, "text" }, { coroutine.close(co) })
  end)

  it("lets <close> variables wait while an error leaves a wrap", function()
    local log = {}
    local wrapped = coroutine.wrap(function()
      for i = 1, 2 do log[i] = i end
      local function note(err) task.sleep(0) log[#log + 1] = err end
      local _ <close> = closing(note)
      local _ <close> = closing(note)
      task.yield()
      error("boom", 0)
    end)
    local ok, err = pcall(wrapped)
    assert.is_false(ok)
    assert.matches("boom", err)
    assert.same({ 1, 2, "boom", "boom" }, log)
    task.yield()
  end)

  it("lets <close> variables wait while a cancellation leaves it", function()
    local log = {}
    local victim = task.spawn(function()
      for _ in coroutine.wrap(function()
        local _ <close> = closing(function(err) task.yield() log[#log + 1] = err.code end)
        task.sleep(1000)
      end) do log[#log + 1] = "not reached" end
    end)
    task.yield()
    victim:cancel()
    victim:join()
    assert.same({ "CANCELLED" }, log)
    assert.equal("cancelled", victim:status())
  end)

  it("raises a cancellation in all it is inside of", function()
    local codes = {}
    local victim = task.spawn(function()
      local co = coroutine.create(function()
        local _, err = pcall(task.sleep, 1000)
        codes[#codes + 1] = err.code
        task.yield()
      end)
      local _, err = coroutine.resume(co)
      codes[#codes + 1] = err.code
      task.yield()
    end)
    task.yield()
    victim:cancel()
    victim:join()
    assert.same({ "CANCELLED", "CANCELLED" }, codes)
    assert.equal("cancelled", victim:status())
  end)

  it("may be stopped by a timeout, inside and outside", function()
    local wrapped = coroutine.wrap(function()
      coroutine.yield(select(2, task.timeout(0.001, task.sleep, 1000)).code)
      task.sleep(1000)
    end)
    assert.equal("TIMEDOUT", wrapped())
    assert.equal("TIMEDOUT", select(2, task.timeout(0.001, wrapped)).code)
    task.yield()
  end)

  it("may have scopes", function()
    local wrapped = coroutine.wrap(function()
      local value = context.scope(function(ctx)
        return ctx:spawn(function() task.yield() return "scope" end):join()
      end)
      coroutine.yield(value)
      return "end"
    end)
    assert.equal("scope", wrapped())
    assert.equal("end", wrapped())
  end)

  it("cannot yield out of a scope or a timeout of its own", function()
    for _, region in ipairs { context.scope, function(fn) task.timeout(1, fn) end } do
      local co = coroutine.create(function() region(coroutine.yield) end)
      local ok, err = coroutine.resume(co)
      assert.is_false(ok)
      assert.matches("attempt to yield from inside", err)
    end
    task.yield()
  end)

  it("can be resumed by one task after the other", function()
    local wrapped = coroutine.wrap(function()
      for i = 1, math.huge do
        task.yield()
        coroutine.yield(i)
      end
    end)
    local got = {}
    for _ = 1, 5 do task.spawn(function() got[#got + 1] = wrapped() end):join() end
    assert.same({ 1, 2, 3, 4, 5 }, got)
  end)

  describe("that waits in a task", function()
    local co, owner, result

    before_each(function()
      result = nil
      co = coroutine.create(function()
        local gate = task.spawn(task.sleep, 1000)
        co = coroutine.running()
        owner.gate = gate
        gate:join()
        return "waited"
      end)
      owner = {}
      owner.task = task.spawn(function() result = { coroutine.resume(co) } end)
      task.yield()
    end)

    local function finish()
      owner.gate:cancel()
      owner.task:join()
      assert.same({ true, "waited" }, result)
    end

    it("is normal, as that task is inside it", function()
      assert.equal("normal", coroutine.status(co))
      finish()
      assert.equal("dead", coroutine.status(co))
    end)

    it("cannot be resumed by another, and does not mind", function()
      assert.same({ false, "cannot resume non-suspended coroutine" },
        { coroutine.resume(co) })
      finish()
    end)

    it("cannot be closed", function()
      assert.has_error(function() coroutine.close(co) end,
        "cannot close a normal coroutine")
      finish()
    end)

    it("may be collected with the task's result", function()
      co = nil
      collectgarbage()
      finish()
    end)
  end)

  it("wrapped cannot be called while it waits in another task", function()
    local wrapped = coroutine.wrap(function() task.sleep(0.001) return "fine" end)
    local first = task.spawn(wrapped)
    task.yield()
    local ok, err = pcall(wrapped)
    assert.is_false(ok)
    assert.matches("cannot resume non%-suspended coroutine", err)
    assert.equal("fine", first:join())
  end)

  it("of a task cannot be resumed or closed by another", function()
    local co
    local sleeper = task.spawn(function()
      co = coroutine.running()
      task.sleep(0.001)
      return "slept"
    end)
    task.yield()
    assert.is_false(coroutine.resume(co))
    assert.is_false(pcall(coroutine.close, co))
    assert.equal("slept", sleeper:join())
    assert.is_false(coroutine.resume(co))
  end)

  it("can be closed, but cannot wait then", function()
    local log = {}
    local co = coroutine.create(function()
      local _ <close> = closing(function() log[#log + 1] = "outer" end)
      local _ <close> = closing(function()
        local ok, err = pcall(task.yield)
        log[#log + 1] = not ok and err
      end)
      coroutine.yield()
    end)
    coroutine.resume(co)
    assert.is_true(coroutine.close(co))
    assert.equal(2, #log)
    assert.matches("cannot wait here", log[1])
    task.yield()
  end)

  it("raises what a <close> variable raised when it is closed", function()
    local co = coroutine.create(function()
      local _ <close> = closing(function() task.yield() end)
      coroutine.yield()
    end)
    coroutine.resume(co)
    local ok, err = coroutine.close(co)
    assert.is_false(ok)
    assert.matches("cannot wait here", err)
    task.yield()
  end)

  it("that is closed may still spawn tasks that wait", function()
    local spawned
    local co = coroutine.create(function()
      local _ <close> = closing(function()
        spawned = task.spawn(function() task.yield() return "ran" end)
      end)
      coroutine.yield()
    end)
    coroutine.resume(co)
    assert.is_true(coroutine.close(co))
    assert.equal("ran", spawned:join())
  end)

  it("that failed in a resume can be closed, but cannot wait then", function()
    local message
    local co = coroutine.create(function()
      local _ <close> = closing(function() message = select(2, pcall(task.yield)) end)
      error("boom", 0)
    end)
    assert.same({ false, "boom" }, { coroutine.resume(co) })
    assert.same({ false, "boom" }, { coroutine.close(co) })
    assert.matches("cannot wait here", message)
    task.yield()
  end)

  it("is collected when nobody waits for it", function()
    local weak = setmetatable({}, { __mode = "v" })
    for i = 1, 100 do
      weak[i] = coroutine.create(function() task.yield() coroutine.yield() end)
      coroutine.resume(weak[i])
    end
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(weak))
  end)

  it("may be a hundred levels deep", function()
    local function nest(n)
      if n == 0 then task.yield() return "bottom" end
      return coroutine.wrap(nest)(n - 1)
    end
    assert.equal("bottom", nest(50))
    local ok, err = pcall(nest, 1000)
    assert.is_false(ok)
    assert.matches("stack overflow", err)
    task.yield()
  end)
end)

describe("in a task", function()
  it("coroutine.running is not the main coroutine, and can wait", function()
    local co, main = coroutine.running()
    assert.equal("thread", type(co))
    assert.is_false(main)
    assert.is_true(coroutine.isyieldable())
    assert.equal("running", coroutine.status(co))
    assert.is_true(coroutine.wrap(coroutine.isyieldable)())
    local same = coroutine.wrap(function() return coroutine.status(co) end)
    assert.equal("normal", same())
  end)

  it("there is nobody to yield to", function()
    local ok, err = pcall(coroutine.yield, 1)
    assert.is_false(ok)
    assert.matches("attempt to yield outside a coroutine", err)
  end)

  it("coroutine functions check their arguments", function()
    assert.has_error(function() coroutine.resume(1) end)
    assert.has_error(function() coroutine.wrap(1) end)
    assert.has_error(function() coroutine.close() end)
    assert.has_error(function() coroutine.status("co") end)
    assert.has_error(function() coroutine.close(coroutine.running()) end,
      "cannot close a running coroutine")
  end)
end)
