local context <const> = require "ahost.context"
local errors <const> = require "ahost.error"
local gc_stress <const> = require "spec.gc_stress"
local host <const> = require "ahost.host"
local task <const> = require "ahost.task"
local time <const> = require "ahost.time"

local many <const> = gc_stress() and 500 or 100000

describe("a task", function()
  it("runs in its turn, after the code that spawned it has waited", function()
    local log = {}
    task.spawn(function() log[#log + 1] = "first" end)
    task.spawn(function() log[#log + 1] = "second" end)
    log[#log + 1] = "spawned"
    task.yield()
    assert.same({ "spawned", "first", "second" }, log)
  end)

  it("gets the arguments of spawn, nil and all", function()
    local got
    task.spawn(function(...) got = table.pack(...) end, nil, 1, nil):join()
    assert.same({ n = 3, [2] = 1 }, got)
  end)

  it("has a name for reports, and none if it was given none", function()
    local named = task.spawn("reader", function() end)
    assert.equal("reader", named.name)
    assert.is_nil(task.spawn(function() end).name)
    assert.equal("task: reader (running)", tostring(named))
    named:join()
    assert.equal("reader", named.name)
    assert.is_nil(named.no_such_method)
  end)

  it("knows itself", function()
    local inner
    local child = task.spawn(function() inner = task.current() end)
    child:join()
    assert.equal(child, inner)
    assert.not_equal(child, task.current())
    assert.equal(task.current(), task.current())
  end)

  it("tells its status", function()
    local done = task.spawn(function() task.yield() end)
    assert.equal("running", done:status())
    done:join()
    assert.equal("done", done:status())
    local cancelled = task.spawn(task.sleep, 1000)
    task.yield()
    cancelled:cancel()
    assert.equal("running", cancelled:status())
    cancelled:join()
    assert.equal("cancelled", cancelled:status())
    local failed
    context.scope({ on_error = "log" }, function()
      pcall(context.scope, function(ctx) failed = ctx:spawn(error, "boom") end)
    end)
    assert.equal("failed", failed:status())
  end)

  it("cannot be spawned from anything but a function", function()
    assert.has_error(function() task.spawn("name") end)
    assert.has_error(function() task.spawn("name", 1) end)
    assert.has_error(function() task.spawn() end)
    assert.has_error(function() task.spawn({}) end)
  end)

  it("that nobody holds runs to its end", function()
    local ended = 0
    for _ = 1, 100 do
      task.spawn(function() task.sleep(0) collectgarbage() ended = ended + 1 end)
    end
    collectgarbage()
    task.sleep(0.01)
    while ended < 100 do task.yield() end
    assert.equal(100, ended)
  end)
end)

describe("task:join", function()
  it("returns none, nil and many results", function()
    assert.equal(0, select("#", task.spawn(function() end):join()))
    assert.equal(1, select("#", task.spawn(function() return nil end):join()))
    assert.equal(false, task.spawn(function() return false end):join())
    local results = table.pack(task.spawn(function() return nil, 2, nil end):join())
    assert.same({ n = 3, [2] = 2 }, results)
    local list = {}
    for i = 1, 5000 do list[i] = i end
    assert.same(list, { task.spawn(table.unpack, list):join() })
  end)

  it("returns them again and again, to as many as ask", function()
    local joined = task.spawn(function() task.sleep(0) return "a", "b" end)
    local seen = {}
    for i = 1, 50 do
      task.spawn(function() seen[i] = table.concat({ joined:join() }) end)
    end
    joined:join()
    task.yield()
    for i = 1, 50 do assert.equal("ab", seen[i]) end
    assert.same({ "a", "b" }, { joined:join() })
    assert.same({ "a", "b" }, { joined:join(0) })
  end)

  it("of itself is misuse", function()
    assert.has_error(function() task.current():join() end, "a task cannot join itself")
  end)

  it("takes a timeout, and leaves the task alone", function()
    local slow = task.spawn(task.sleep, 1000)
    local result, err = slow:join(0)
    assert.is_nil(result)
    assert.equal("TIMEDOUT", err.code)
    assert.equal("running", slow:status())
    slow:cancel()
    assert.equal("CANCELLED", select(2, slow:join(1000)).code)
    assert.has_error(function() slow:join(-1) end)
    assert.has_error(function() slow:join(0 / 0) end)
  end)

  it("gives one answer when the end and the timeout are due in one turn", function()
    for _ = 1, 200 do
      local other = task.spawn(function() task.sleep(0.001) return "end" end)
      local result, err = other:join(0.001)
      assert.is_true(result == "end" or err.code == "TIMEDOUT")
      other:join()
      assert.equal("done", other:status())
    end
  end)

  it("gives the error of a failed task as an object", function()
    local function outcome(value)
      local failed
      pcall(context.scope, function(ctx) failed = ctx:spawn(error, value) end)
      local result, err = failed:join()
      assert.is_nil(result)
      assert.is_true(errors.is(err))
      return err
    end
    local object = errors.new("ECODE", "text")
    assert.equal(object, outcome(object))
    assert.equal("FAILED", outcome("text").code)
    assert.equal("text", tostring(outcome("text")))
    local value = {}
    assert.equal(value, outcome(value).value)
    assert.equal("nil", outcome(nil).message)
    assert.equal(false, outcome(false).value)
    assert.equal(42, outcome(42).value)
  end)

  it("keeps the results of a task whose joiner was cancelled", function()
    local slow = task.spawn(function() task.yield() task.yield() return 1 end)
    local joiner = task.spawn(function() return slow:join() end)
    task.yield()
    joiner:cancel()
    joiner:join()
    assert.equal("cancelled", joiner:status())
    assert.equal(1, slow:join())
  end)
end)

describe("task.sleep", function()
  it("wakes in the order of the deadlines", function()
    local log, start = {}, time.now() + 0.1 -- by when all of them sleep
    for _, n in ipairs { 5, 1, 4, 2, 3 } do
      task.spawn(function()
        task.sleep(start + n / 1000 - time.now())
        log[#log + 1] = n
      end)
    end
    while #log < 5 do task.sleep(0.001) end
    assert.same({ 1, 2, 3, 4, 5 }, log)
  end)

  it("refuses what is no time", function()
    assert.has_error(function() task.sleep(-1) end)
    assert.has_error(function() task.sleep(0 / 0) end)
    assert.has_error(function() task.sleep() end)
    assert.has_error(function() task.sleep("soon") end)
  end)

  it("can be for ever, until it is cancelled", function()
    local forever = task.spawn(task.sleep, math.huge)
    task.yield()
    forever:cancel()
    forever:join()
    assert.equal("cancelled", forever:status())
  end)

  it("is possible 100,000 times at once", function()
    local woken = 0
    for _ = 1, many do
      task.spawn(function() task.sleep(0.001) woken = woken + 1 end)
    end
    while woken < many do task.sleep(0.01) end
    assert.equal(many, woken)
  end)
end)

describe("a chain of 100,000 tasks", function()
  it("each of which joins the next needs no stack", function()
    local function link(n)
      if n == 0 then return "end" end
      local next = task.spawn(link, n - 1)
      return (next:join())
    end
    assert.equal("end", link(many))
  end)

  it("ends when the last is cancelled", function()
    local last
    local function link(n)
      if n == 0 then
        last = task.current()
        task.sleep(1000)
      end
      return task.spawn(link, n - 1):join()
    end
    local first = task.spawn(link, many)
    while not last do task.yield() end
    last:cancel()
    assert.equal("CANCELLED", select(2, first:join()).code)
  end)
end)

describe("waiting", function()
  it("is refused where a C function is in the way", function()
    local ok, err = pcall(table.sort, { 2, 1, 3 }, function(a, b)
      task.yield()
      return a < b
    end)
    assert.is_false(ok)
    assert.matches("yield: cannot wait here", err)
    ok, err = pcall(string.gsub, "a", "a", function() task.sleep(0) end)
    assert.is_false(ok)
    assert.matches("sleep: cannot wait here", err)
  end)

  it("is refused in __gc", function()
    local message
    setmetatable({}, { __gc = function()
      local _, err = pcall(task.yield)
      message = err
    end })
    collectgarbage()
    assert.matches("wait", message)
    task.yield()
  end)

  it("is possible in metamethods and iterators", function()
    local object = setmetatable({}, {
      __index = function(_, key) task.yield() return key end,
      __add = function() task.yield() return "sum" end,
      __call = function() task.yield() return "call" end,
      __eq = function() task.yield() return true end,
    })
    assert.equal("field", object.field)
    assert.equal("sum", object + 1)
    assert.equal("call", object())
    assert.is_true(object == setmetatable({}, getmetatable(object)))
    for value in function(_, last) task.yield() return not last and "only" or nil end do
      assert.equal("only", value)
    end
  end)
end)

describe("the host", function()
  it("has no task left that ended", function()
    local before = host.stats().tasks
    for _ = 1, 100 do task.spawn(function() task.yield() end) end
    assert.equal(before + 100, host.stats().tasks)
    task.yield()
    task.yield()
    task.yield()
    assert.equal(before, host.stats().tasks)
  end)

  it("uses the coroutines of ended tasks again", function()
    for _ = 1, 10 do
      for _ = 1, 10 do task.spawn(function() end) end
      task.yield()
    end
    local before = host.stats().coroutines
    for _ = 1, math.min(many, 1000) do task.spawn(function() task.yield() end):join() end
    assert.is_true(host.stats().coroutines <= before + 2)
  end)

  it("gives up the coroutines of many tasks that have ended", function()
    local function settled()
      for _ = 1, 12 do collectgarbage() end
      return collectgarbage("count") * 1024
    end
    local count <const> = math.min(many, 20000)
    for _ = 1, count do task.spawn(task.yield) end
    task.yield()
    local alive = settled()
    task.yield()
    assert.is_true(alive - settled() > count * 700)
  end)

  it("does not grow with tasks that come and go", function()
    local function round()
      for _ = 1, math.min(many, 1000) do
        local child = task.spawn("name", function()
          task.timeout(1, task.yield)
          return {}
        end)
        if math.random() < 0.5 then child:cancel("reason") end
        child:join()
      end
      collectgarbage()
      collectgarbage()
      return host.stats().memory
    end
    round()
    local before = round()
    for _ = 1, 5 do round() end
    assert.is_true(round() < before + 20000)
  end)
end)
