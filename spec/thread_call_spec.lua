-- Calls in threads: what code finds there, how it fails, how it is cancelled.

local context <const> = require "ahost.context"
local errors <const> = require "ahost.error"
local log <const> = require "ahost.log"
local subprocess <const> = require "spec.subprocess"
local task <const> = require "ahost.task"
local thread <const> = require "ahost.thread"

local call <const> = thread.call

-- A task that waits for a call of fn, which puts something into the channel that it gets
-- when it has begun.
local function spawn_call(pool, fn, ...)
  local begun <const> = thread.channel(1)
  local spawned <const> = task.spawn(function(...)
    return pool:call(fn, begun, ...)
  end, ...)
  assert.is_true(begun:get(10))
  return spawned
end

describe("a call in a thread", function()
  it("returns what the function returns", function()
    assert.equal(3, call(function(a, b) return a + b end, 1, 2))
    assert.equal(0, select("#", call(function() end)))
  end)

  it("leaves the loop free", function()
    local turns = 0
    local running = true
    local release <const> = thread.channel(1)
    local counter <const> = task.spawn(function()
      while running do
        turns = turns + 1
        if turns == 10 then release:put(true) end
        task.yield()
      end
    end)
    assert.is_true(call(function(channel) return channel:get() end, release))
    running = false
    counter:join()
    assert.is_true(turns >= 10)
  end)

  it("sees no locals of its surroundings, and says which one it uses", function()
    local x <const>, y = {}, 2
    assert.error_matches(function() call(function() return x, y end) end,
      "fn uses the local 'x' of its surroundings, which a thread cannot see; "
      .. "pass it as an argument")
    assert.has_no.errors(function() call(function() return print ~= nil end) end)
  end)

  it("takes Lua functions and references only", function()
    assert.error_matches(function() call(print) end, "a C function cannot be copied")
    assert.error_matches(function() call() end,
      "bad argument #1 to 'call' %(a function or \"module:function\" expected, "
      .. "got no value")
    assert.error_matches(function() call {} end, "expected, got table")
    assert.error_matches(function() call "string" end, '"module:function"')
    assert.error_matches(function() call ":f" end, '"module:function"')
  end)

  it("takes references to functions in modules", function()
    assert.equal("ababab", call("string:rep", "ab", 3))
    local _, err = call "string:nothing"
    assert.matches("'string:nothing' is a nil, not a function", err.message)
    _, err = call "string:rep.x.y"
    assert.matches("there is no table to find", err.message)
    _, err = call "no.such.module:f"
    assert.matches("module 'no.such.module' not found", err.message)
  end)

  it("finds modules where the host does", function()
    local directory <const>, remove <const> = subprocess.directory()
    subprocess.write(directory .. "/shop.lua",
      "return { price = { of = function(n) return 2 * n end } }")
    local before <const> = package.path
    package.path = directory .. "/?.lua;" .. before
    assert.equal(8, call("shop:price.of", 4))
    assert.equal(6, call(function() return require "shop".price.of(3) end))
    package.path = before
    remove()
  end)

  it("sets no globals for the next one", function()
    local pool <close> = thread.pool(1)
    assert.equal(1, pool:call(function()
      counter = (counter or 0) + 1 -- luacheck: ignore
      _G.other = 1
      return counter -- luacheck: ignore
    end))
    assert.same({}, { pool:call(function() return counter, other end) }) -- luacheck: ignore
  end)

  it("keeps its modules for the next one", function()
    local pool <close> = thread.pool(1)
    local function count()
      local errs <const> = require "ahost.error"
      errs.count = (errs.count or 0) + 1
      return errs.count
    end
    assert.equal(1, pool:call(count))
    assert.equal(2, pool:call(count))
  end)

  it("has what needs no loop, and says what does", function()
    assert.equal("a: 1\n", call(function()
      local yaml <const>, json <const> = require "ahost.yaml", require "ahost.json"
      return yaml.encode { a = json.decode "[1]"[1] }
    end))
    for _, name in ipairs { "ahost.task", "ahost.net", "ahost.context" } do
      local _, err = call(function(module) return require(module) end, name)
      assert.matches("module '" .. name .. "' needs the loop of the host", err.message)
    end
    local _, err = call(function() os.exit(3) end)
    assert.matches("os.exit cannot be used in a worker thread", err.message)
    _, err = call(function() os.setlocale "C" end)
    assert.matches("os.setlocale cannot be used", err.message)
    _, err = call(function() require "ahost.thread".call(print) end)
    assert.matches("thread.call is for the host", err.message)
    _, err = call(function() require "there.is.none" end)
    assert.matches("module 'there.is.none' not found", err.message)
  end)

  it("may read and write files", function()
    assert.equal("text", call(function()
      local file <close> = assert(io.tmpfile())
      file:write("text")
      file:seek("set")
      return file:read("a")
    end))
  end)

  it("hands its log records to the host", function()
    log.set_level("spec.worker", "info")
    local capture <close> = log.capture { passes = false }
    call(function()
      local logger <const> = require "ahost.log".get "spec.worker"
      logger:warning("%d of %s", 3, "four", { id = 7 })
      logger:info("second")
      logger:debug("third")
    end)
    task.yield()
    log.set_level("spec.worker", nil)
    local first <const>, second <const> = capture.records[1], capture.records[2]
    assert.equal("warning", first.level)
    assert.equal('[sd id="7"] 3 of four', first.text)
    assert.equal("second", second.text)
    assert.equal(2, #capture.records)
  end)

  it("needs a task that waits", function()
    assert.error_matches(function()
      table.sort({ 1, 2 }, function() return call(function() end) end)
    end, "cannot wait here")
  end)
end)

describe("what code in a thread raises", function()
  it("comes back with the thread's traceback", function()
    local result, err = call(function()
      local function inner() error "boom" end
      inner()
    end)
    assert.is_nil(result)
    assert.matches("thread_call_spec.lua:%d+: boom$", err.message)
    assert.equal("FAILED", err.code)
    assert.matches("in local 'inner'", err.traceback)
    assert.matches("in function <spec/thread_call_spec.lua:%d+>$", err.traceback)
  end)

  it("keeps its fields when it is an error object", function()
    local _, err = call(function()
      error(require "ahost.error".new("ENOENT", "no such thing", { path = "/x" }))
    end)
    assert.is_true(errors.is(err, "ENOENT"))
    assert.equal("/x", err.path)
    assert.is_string(err.traceback)
  end)

  it("can be any value", function()
    local _, err = call(function() error { 1, 2 } end)
    assert.same({ 1, 2 }, err.value)
    _, err = call(function() error(setmetatable({}, {
      __tostring = function() return "in words" end,
    })) end)
    assert.equal("in words", err.message)
    _, err = call(function() error(nil) end)
    assert.equal("FAILED", err.code)
    _, err = call(function() error(print) end)
    assert.matches("function: ", err.message)
  end)

  it("does no harm to the next call", function()
    local pool <close> = thread.pool(1)
    for _ = 1, 100 do
      assert.is_nil((pool:call(function() error "x" end)))
    end
    assert.equal(1, pool:call(function() return 1 end))
  end)

  it("can be want of memory, which the next call does not have", function()
    local pool <close> = thread.pool { size = 1, memory_limit = 4000000 }
    local result, err = pool:call(function() return #("x"):rep(10000000) end)
    assert.is_nil(result)
    assert.equal("ENOMEM", err.code)
    assert.matches("4000000 bytes: option memory_limit", err.message)
    result, err = pool:call(function()
      local t = {}
      while true do t[#t + 1] = ("x"):rep(1000) .. #t end
    end)
    assert.is_nil(result)
    assert.equal("ENOMEM", err.code)
    assert.equal(100000, pool:call(function() return #("x"):rep(100000) end))
  end)

  it("can be too deep a recursion", function()
    local _, err = call(function()
      local function f() return 1 + f() end
      return f()
    end)
    assert.matches("stack overflow", err.message)
  end)

  it("can be a yield without a coroutine", function()
    local _, err = call(function() coroutine.yield() end)
    assert.matches("attempt to yield from outside a coroutine", err.message)
    assert.equal(3, call(function()
      return coroutine.wrap(function() coroutine.yield(3) end)()
    end))
  end)
end)

describe("a cancelled call", function()
  local pool
  before_each(function() pool = thread.pool(1) end)
  after_each(function() pool:close() end)

  -- The thread is free again: the call has come to its end.
  local function assert_free()
    assert.equal("free", pool:call(function() return "free" end))
  end

  it("goes on at once, and its code learns of it", function()
    local heard <const> = thread.channel(1)
    local spawned <const> = spawn_call(pool, function(begun, channel)
      local own <const> = require "ahost.thread"
      own.cancelled()
      begun:put(true)
      while not own.cancelled() do end
      channel:try_put(true)
    end, heard)
    assert.is_false(thread.cancelled())
    spawned:cancel()
    local _, err = spawned:join()
    assert.equal("CANCELLED", err.code)
    assert.is_true(heard:get(10))
    assert_free()
  end)

  it("ends where it is blocked in a channel", function()
    for _, operation in ipairs { "get", "put" } do
      local channel <const> = thread.channel(1)
      if operation == "put" then channel:put(0) end
      local spawned <const> = spawn_call(pool, function(begun, c, what)
        begun:put(true)
        return c[what](c, what == "put" and 1 or nil)
      end, channel, operation)
      spawned:cancel()
      assert.equal("CANCELLED", select(2, spawned:join()).code)
      assert_free()
    end
  end)

  it("ends where it computes without end, also in a coroutine or a pcall", function()
    local loops <const> = {
      function(begun)
        begun:put(true)
        while true do end
      end,
      function(begun)
        begun:put(true)
        while true do pcall(function() while true do end end) end
      end,
      function(begun)
        begun:put(true)
        local function forever() while true do end end
        while true do coroutine.resume(coroutine.create(forever)) end
      end,
      function(begun)
        begun:put(true)
        local yield <const> = coroutine.yield
        local co <const> = coroutine.wrap(function() while true do yield() end end)
        while true do co() end
      end,
    }
    for _, loop in ipairs(loops) do
      local spawned <const> = spawn_call(pool, loop)
      spawned:cancel()
      spawned:join()
      assert_free()
    end
  end)

  it("ends a second later when it asks and does not listen", function()
    local spawned <const> = spawn_call(pool, function(begun)
      local own <const> = require "ahost.thread"
      begun:put(true)
      while true do own.cancelled() end
    end)
    spawned:cancel()
    spawned:join()
    assert_free()
  end)

  it("may clean up", function()
    local channel <const> = thread.channel(10)
    local spawned <const> = spawn_call(pool, function(begun, c)
      local guard <close> = setmetatable({}, { -- luacheck: ignore
        __close = function(_, err) c:try_put(err.code) end,
      })
      begun:put(true)
      c:get()
    end, channel)
    spawned:cancel()
    spawned:join()
    assert_free()
    assert.equal("CANCELLED", channel:try_get())
  end)

  it("never begins when it is still in the queue", function()
    local release <const>, ran <const> = thread.channel(1), thread.channel(1)
    local first <const> = spawn_call(pool, function(begun, c)
      begun:put(true)
      c:get()
    end, release)
    local second <const> = task.spawn(function()
      return pool:call(function(c) c:put(true) end, ran)
    end)
    task.yield()
    second:cancel()
    assert.equal("CANCELLED", select(2, second:join()).code)
    release:put(true)
    first:join()
    assert_free()
    assert.is_nil(ran:try_get())
  end)

  it("is one whose time is up", function()
    local function forever() while true do end end
    local result, err = task.timeout(0.01, pool.call, pool, forever)
    assert.is_nil(result)
    assert.equal("TIMEDOUT", err.code)
    assert_free()
  end)

  it("may end by itself in the same moment", function()
    for _ = 1, 200 do
      local spawned <const> = task.spawn(function() return pool:call(function() end) end)
      for _ = 1, math.random(0, 20) do task.yield() end
      spawned:cancel()
      spawned:join()
    end
    assert_free()
  end)

  it("is one whose context is closed", function()
    local ctx <const> = context.new()
    local begun <const> = thread.channel(1)
    ctx:spawn(function()
      pool:call(function(c)
        c:put(true)
        while true do end
      end, begun)
    end)
    assert.is_true(begun:get(10))
    ctx:close()
    assert_free()
  end)
end)
