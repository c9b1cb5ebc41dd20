-- Pools of threads: their limits, and how they end.

local context <const> = require "ahost.context"
local is_gc_stressed <const> = require "spec.gc_stress"
local process <const> = require "ahost.process"
local subprocess <const> = require "spec.subprocess"
local task <const> = require "ahost.task"
local thread <const> = require "ahost.thread"

-- A sanitizer keeps what is freed, to notice when it is used.
local maps <const> = assert(io.open "/proc/self/maps")
local is_plain <const> = not maps:read("a"):find("lib[at]san")
maps:close()

-- How many threads this process has by that name.
local function count_threads(name)
  local pipe <close> = assert(io.popen("cat /proc/" .. process.pid .. "/task/*/comm"))
  local count = 0
  for line in pipe:lines() do
    if line == name then count = count + 1 end
  end
  return count
end

local function count_descriptors()
  local pipe <close> = assert(io.popen("ls /proc/" .. process.pid .. "/fd"))
  return select(2, pipe:read("a"):gsub("\n", ""))
end

-- What the function returns, which may take some turns of the loop to be as expected.
local function settled(count, expected)
  for _ = 1, 200 do
    if count() == expected then break end
    task.sleep(0.01)
  end
  return count()
end

describe("a pool of threads", function()
  it("runs as many calls at once as it has threads", function()
    local pool <close> = thread.pool { size = 3, name = "three" }
    local release <const>, begun <const> = thread.channel(10), thread.channel(10)
    local tasks <const> = {}
    for i = 1, 5 do
      tasks[i] = task.spawn(function()
        return pool:call(function(b, r)
          b:put(true)
          return r:get()
        end, begun, release)
      end)
    end
    for _ = 1, 3 do assert.is_true(begun:get(10)) end
    assert.is_nil(begun:try_get())
    assert.equal(3, count_threads "ahost:three")
    for i = 1, 5 do release:put(i) end
    for i = 1, 5 do assert.is_number(tasks[i]:join()) end
  end)

  it("takes a number or options, and says what is wrong with them", function()
    assert.error_matches(function() thread.pool(0) end, "size must be an integer from 1")
    assert.error_matches(function() thread.pool "x" end, "a number of threads or a table")
    assert.error_matches(function() thread.pool { sizes = 1 } end, "no option 'sizes'")
    assert.error_matches(function() thread.pool { max_queue = 1.5 } end, "max_queue must")
    assert.error_matches(function() thread.pool { name = 1 } end, "name must be a string")
  end)

  it("makes callers wait for a place in a full queue", function()
    local pool <close> = thread.pool { size = 1, max_queue = 1 }
    local release <const> = thread.channel(10)
    local order <const> = {}
    local tasks <const> = {}
    for i = 1, 6 do
      tasks[i] = task.spawn(function()
        local result <const> = pool:call(function(r, n)
          r:get()
          return n
        end, release, i)
        order[#order + 1] = result
      end)
    end
    task.yield()
    for _ = 1, 6 do release:put(true) end
    for i = 1, 6 do tasks[i]:join() end
    assert.same({ 1, 2, 3, 4, 5, 6 }, order)
  end)

  it("leaves the place of a caller that goes away to the next", function()
    local pool <close> = thread.pool { size = 1, max_queue = 1 }
    local release <const>, tasks <const> = thread.channel(10), {}
    for i = 1, 8 do
      tasks[i] = task.spawn(function()
        return pool:call(function(r, n) return r:get() and n end, release, i)
      end)
    end
    task.yield()
    local bad <const> = task.spawn(function()
      return pcall(pool.call, pool, function() end, print)
    end)
    local last <const> = task.spawn(function()
      return pool:call(function() return "last" end)
    end)
    task.yield()
    for i = 3, 8 do tasks[i]:cancel() end
    release:put(true)
    for i = 3, 8 do tasks[i]:cancel() end
    release:put(true)
    assert.equal(1, tasks[1]:join())
    assert.equal(2, tasks[2]:join())
    local ok, problem = bad:join()
    assert.is_false(ok)
    assert.matches("argument 1: a function", problem)
    assert.equal("last", last:join())
  end)

  it("collects what a call has left, whatever that call did", function()
    local pool <close> = thread.pool { size = 1, memory_limit = 40000000 }
    for _ = 1, 10 do
      assert(pool:call(function()
        collectgarbage "stop"
        return #("x"):rep(18000000)
      end))
    end
  end)

  it("runs 10,000 calls that wait together", function()
    local count <const> = is_plain and not is_gc_stressed() and 10000 or 1000
    local pool <close> = thread.pool { size = 2, max_queue = 20000 }
    local tasks <const> = {}
    for i = 1, count do
      tasks[i] = task.spawn(function() return pool:call(function(n) return n end, i) end)
    end
    for i = 1, count do assert.equal(i, tasks[i]:join()) end
  end)

  it("can be a resource", function()
    context.scope(function(ctx)
      ctx:publish("thread.pool/mine", thread.pool(1))
      assert.equal(1, ctx:require "thread.pool/mine":call(function() return 1 end))
    end)
  end)

  it("fails calls with CLOSED once it is closed", function()
    local pool <const> = thread.pool(1)
    pool:close()
    pool:close()
    local _, err = pool:call(function() end)
    assert.equal("CLOSED", err.code)
  end)

  it("waits at its close for what runs, and fails what does not yet", function()
    local pool <const> = thread.pool(1)
    local release <const>, begun <const> = thread.channel(1), thread.channel(1)
    local running <const> = task.spawn(function()
      return pool:call(function(b, r)
        b:put(true)
        return r:get()
      end, begun, release)
    end)
    local queued <const> = task.spawn(function() return pool:call(function() end) end)
    begun:get()
    local closing <const> = task.spawn(function() pool:close() end)
    assert.equal("CLOSED", select(2, queued:join()).code)
    assert.equal("running", closing:status())
    release:put "result"
    assert.equal("result", running:join())
    closing:join()
  end)

  it("ends with its context, threads and descriptors too", function()
    thread.call(function() end)
    local before
    for i = 1, 100 do
      context.scope(function()
        local pool <const> = thread.pool { size = 2, name = "brief" }
        pool:call(function() end)
      end)
      if i == 10 then before = count_descriptors() end
    end
    assert.equal(0, settled(function() return count_threads "ahost:brief" end, 0))
    assert.equal(before, settled(count_descriptors, before))
  end)

  it("ends when nobody has it any more", function()
    for _ = 1, 20 do
      thread.pool { size = 1, name = "lost" }:call(function() end)
    end
    collectgarbage()
    collectgarbage()
    assert.equal(0, settled(function() return count_threads "ahost:lost" end, 0))
  end)

  it("keeps memory flat", function()
    local pool <close> = thread.pool(2)
    local function resident()
      local file <close> = assert(io.open "/proc/self/statm")
      return tonumber(file:read("a"):match "^%d+ (%d+)")
    end
    local value <const> = { ("x"):rep(1000), { 1, 2, 3 } }
    local before
    local count <const> = is_plain and not is_gc_stressed() and 4000 or 400
    for i = 1, count do
      assert(pool:call(function(v) return v, { v } end, value))
      if i == count // 2 then before = resident() end
    end
    assert.is_true(resident() < before + 1500 or not is_plain)
  end)
end)

describe("a program", function()
  local function run(script)
    local directory <const>, remove <const> = subprocess.directory()
    subprocess.write(directory .. "/main.lua", script)
    local command <const> = ("timeout 60 %s %s/main.lua 2>&1; echo status $?"):format(
      subprocess.quote(subprocess.ahost), directory)
    local pipe <close> = assert(io.popen(command))
    local output <const> = pipe:read("a")
    remove()
    return output
  end

  it("ends with calls in the middle of computing", function()
    assert.equal("status 0\n", run [[
      local task, thread = require "ahost.task", require "ahost.thread"
      local begun = thread.channel(2)
      for _ = 1, 2 do
        task.spawn(thread.call, function(b) b:put(1) while true do end end, begun)
      end
      begun:get()
      require "ahost.host".stop()
    ]])
  end)

  it("shares its limit of memory with the threads", function()
    local output <const> = run [[
      local thread = require "ahost.thread"
      require "ahost.component.runtime".limits { memory = 30000000 }
      local _, err = thread.pool(2):call(function() return #("x"):rep(20000000) end)
      print(err)
    ]]
    assert.matches("a worker has 10000000 bytes", output)
  end)

  it("has as many threads for thread.call as max_threads says", function()
    assert.equal("2\nstatus 0\n", run [[
      local task, thread = require "ahost.task", require "ahost.thread"
      require "ahost.component.runtime".limits { threads = 2 }
      local begun, tasks = thread.channel(9), {}
      for i = 1, 9 do
        tasks[i] = task.spawn(thread.call, function(b)
          b:put(1)
          require "ahost.thread".channel(1):get()
        end, begun)
      end
      for _ = 1, 2 do begun:get() end
      local pid = require "ahost.process".pid
      local pipe = io.popen("cat /proc/" .. pid .. "/task/*/comm")
      print(select(2, pipe:read("a"):gsub("ahost:default", "")))
      for _, one in ipairs(tasks) do one:cancel() end
    ]])
  end)

  it("ends though a thread does not, and says which", function()
    local output <const> = run [[
      local task, thread = require "ahost.task", require "ahost.thread"
      require "ahost.component.runtime".stop_timeout(0.3)
      local begun = thread.channel(1)
      task.spawn(function()
        thread.call(function(b)
          b:put(1)
          os.execute "exec sleep 5 >/dev/null 2>&1"
        end, begun)
      end)
      begun:get()
      require "ahost.host".stop()
    ]]
    assert.matches("a call in pool 'default' did not end in time and is abandoned: "
      .. ".*main.lua:5", output)
    assert.matches("status 1\n$", output)
  end)

  it("asks code that is not interruptible to end, and names what does not", function()
    local output <const> = run [[
      local task, thread = require "ahost.task", require "ahost.thread"
      local pool = thread.pool { size = 3, interruptible = false, name = "stubborn" }
      local begun, ended = thread.channel(3), thread.channel(3)
      local asked = task.spawn(function()
        return pool:call(function(b)
          b:put(1)
          require "ahost.thread".channel(1):get()
        end, begun)
      end)
      local polite = task.spawn(function()
        return pool:call(function(b, e)
          b:put(1)
          while not require "ahost.thread".cancelled() do end
          e:try_put "polite"
        end, begun, ended)
      end)
      task.spawn(function()
        pool:call(function(b, e)
          b:put(1)
          local from = os.clock()
          while os.clock() < from + 1 do end
          e:try_put "late"
        end, begun, ended)
      end)
      for _ = 1, 3 do begun:get() end
      pool:close(0.2)
      print(select(2, asked:join()).code, select(2, polite:join()).code)
      print(ended:get(10), ended:get(10))
    ]]
    assert.matches("a call in pool 'stubborn' did not end in time and is abandoned: "
      .. ".*main.lua:18", output)
    assert.matches("CANCELLED\tCANCELLED\npolite\tlate\n", output)
    assert.matches("status 1\n$", output)
  end)

  it("has values in channels at its end, and in a circle", function()
    assert.equal("status 0\n", run [[
      local thread = require "ahost.thread"
      local a, b = thread.channel(3), thread.channel(3)
      a:put(b) b:put(a) a:put(("x"):rep(1000))
      thread.call(function(c) c:put { c and 1 } end, a)
    ]])
  end)

  it("is not kept running by a pool", function()
    assert.equal("status 0\n", run [[ require "ahost.thread".pool(3) ]])
  end)

  it("waits for nothing in a channel that nobody can put into", function()
    assert.matches("nothing is left that could wake the waiting tasks",
      run [[ require "ahost.thread".channel(1):get() ]])
  end)
end)
