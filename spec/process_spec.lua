local context <const> = require "ahost.context"
local errors <const> = require "ahost.error"
local process <const> = require "ahost.process"
local subprocess <const> = require "spec.subprocess"
local sync <const> = require "ahost.sync"
local task <const> = require "ahost.task"

local function raise_signal(name)
  assert(os.execute("kill -" .. name .. " " .. process.pid))
end

--- What the kernel has of a process signal: "default", "ignored" or "caught".
local function disposition(number)
  local file <close> = assert(io.open("/proc/self/status"))
  local status <const> = file:read("a")
  local function has(mask)
    local bits <const> = tonumber(status:match(mask .. ":%s*(%x+)"), 16)
    return bits >> (number - 1) & 1 == 1
  end
  return has("SigIgn") and "ignored" or has("SigCgt") and "caught" or "default"
end

local USR1 <const>, USR2 <const>, HUP <const>, PIPE <const> = 10, 12, 1, 13

--- Runs a script as a program of its own; `shell` is what starts it.
local function run(script, shell)
  local directory <const>, remove <const> = subprocess.directory()
  local path <const> = directory .. "/script.lua"
  subprocess.write(path, script)
  local result <const> = subprocess.shell("script=" .. path .. "\n"
    .. (shell or "exec $ahost $script"))
  remove()
  return result
end

describe("process.signal", function()
  it("tells listeners of a process signal", function()
    local event
    local usr1 <const> = process.signal("USR1")
    local done <const> = sync.event()
    local _ <close> = usr1:connect(function(e)
      event = e
      done:set()
    end)
    raise_signal("USR1")
    assert.is_true(done:wait(10))
    assert.equal("USR1", event.signal)
    assert.equal(USR1, event.number)
    assert.equal("USR1", event.topic)
    assert.is_number(event.time)
  end)

  it("is one signal for each name, with SIG or without", function()
    assert.equal(process.signal("USR1"), process.signal("SIGUSR1"))
    assert.not_equal(process.signal("USR1"), process.signal("USR2"))
  end)

  it("raises for unknown names and says which there are", function()
    for _, name in ipairs({ "FOO", "term", "", "SIG", "SIGSIGTERM" }) do
      assert.error_matches(function() process.signal(name) end,
        "unknown process signal '" .. name .. "'.* HUP .*USR1")
    end
    assert.has_error(function() process.signal(10) end)
    assert.has_error(function() process.signal() end)
  end)

  it("refuses what cannot be listened to", function()
    for _, name in ipairs({ "KILL", "SIGSTOP", "SEGV" }) do
      assert.error_matches(function() process.signal(name) end, "nobody can listen")
    end
  end)

  it("handles a process signal only while somebody listens", function()
    local usr2 <const> = process.signal("USR2")
    assert.equal("default", disposition(USR2))
    local first, second = usr2:connect(function() end), usr2:connect(print)
    assert.equal("caught", disposition(USR2))
    first:close()
    first:close()
    assert.equal("caught", disposition(USR2))
    second:close()
    assert.equal("default", disposition(USR2))
  end)

  it("leaves what was ignored ignored", function()
    assert.equal("ignored", disposition(PIPE)) -- the command wants it so
    local connection <const> = process.signal("PIPE"):connect(function() end)
    assert.equal("caught", disposition(PIPE))
    connection:close()
    assert.equal("ignored", disposition(PIPE))
  end)

  it("is let go by an iterator that nobody holds any more", function()
    local usr2 <const> = process.signal("USR2")
    local function forget() usr2:events() end
    forget()
    assert.equal("caught", disposition(USR2))
    for _ = 1, 5 do collectgarbage() end
    assert.equal("default", disposition(USR2))
  end)

  it("handles it while a task waits, and no longer", function()
    local usr2 <const> = process.signal("USR2")
    assert.equal("TIMEDOUT", select(2, usr2:wait(0)).code)
    assert.equal("default", disposition(USR2))
    local waiting <const> = task.spawn(function() usr2:wait() end)
    task.yield()
    assert.equal("caught", disposition(USR2))
    waiting:cancel()
    waiting:join()
    assert.equal("default", disposition(USR2))
  end)

  it("handles it while an iterator of events is open", function()
    local usr1 <const> = process.signal("USR1")
    do
      local events <close> = usr1:events()
      raise_signal("USR1")
      assert.equal("USR1", events().signal)
      raise_signal("USR1")
      assert.equal("USR1", events().signal)
      assert.equal("caught", disposition(USR1))
    end
    assert.equal("default", disposition(USR1))
  end)

  it("ends with the context of the listener", function()
    local usr2 <const> = process.signal("USR2")
    context.scope(function()
      usr2:connect(function() end)
      usr2:events()
      assert.equal("caught", disposition(USR2))
    end)
    assert.equal("default", disposition(USR2))
  end)

  it("wakes everybody who waits", function()
    local usr1 <const>, woken = process.signal("USR1"), 0
    context.scope(function(ctx)
      for _ = 1, 3 do
        ctx:spawn(function()
          usr1:wait()
          woken = woken + 1
        end)
      end
      task.yield()
      raise_signal("USR1")
    end)
    assert.equal(3, woken)
  end)

  it("waits for several process signals at once", function()
    local signal <const> = require "ahost.signal"
    local waiting <const> = task.spawn(function()
      return signal.wait({ process.signal("HUP"), process.signal("USR2") })
    end)
    task.yield()
    raise_signal("USR2")
    local event <const> = waiting:join()
    assert.equal("USR2", event.signal)
    assert.equal("default", disposition(HUP))
  end)

  it("survives garbage collection", function()
    local heard <const> = sync.event()
    process.signal("USR1"):connect(function() heard:set() end)
    collectgarbage()
    collectgarbage()
    raise_signal("USR1")
    assert.is_true(heard:wait(10))
  end)

  it("keeps no script running by itself", function()
    local result <const> = run([[
      require("ahost.process").signal("USR1"):connect(print)
      print("end")]])
    assert.same({ status = 0, out = "end\n", err = "" }, result)
  end)

  it("is something that a task may wait for with nothing else to do", function()
    for _, name in ipairs({ "USR1", "TERM", "INT", "HUP" }) do
      local result <const> = run(([[
        local process <const> = require "ahost.process"
        local file <const> = assert(io.popen("sleep 0.1; kill -NAME " .. process.pid))
        print(process.signal("NAME"):wait().signal)
        file:close()]]):gsub("NAME", name), nil)
      assert.same({ status = 0, out = name .. "\n", err = "" }, result)
    end
  end)

  it("gives the default back: the program dies of the next one", function()
    local result <const> = run([[
      local process <const> = require "ahost.process"
      local usr1 <const> = process.signal("USR1")
      usr1:connect(print):close()
      os.execute("kill -USR1 " .. process.pid)
      require("ahost.task").sleep(10)]], "$ahost $script\nexit $?")
    assert.equal(128 + USR1, result.status)
  end)

  it("keeps ignoring what nohup has ignored", function()
    local result <const> = run([[
      local process <const> = require "ahost.process"
      process.signal("HUP"):connect(print):close()
      os.execute("kill -HUP " .. process.pid)
      print("lives")]], "trap '' HUP\nexec $ahost $script")
    assert.same({ status = 0, out = "lives\n", err = "" }, result)
  end)
end)

describe("INT and TERM", function()
  it("stop a script that does not listen", function()
    local result <const> = run([[
      local process <const>, task <const> = require "ahost.process", require "ahost.task"
      process.signal("TERM"):connect(print):close()
      require("ahost.context").current():on_close(function() print("closed") end)
      os.execute("kill -TERM " .. process.pid)
      task.sleep(60)]])
    assert.equal("closed\n", result.out)
    assert.equal(0, result.status)
  end)

  it("are for the script to decide when it listens", function()
    local result <const> = run([[
      local process <const>, task <const> = require "ahost.process", require "ahost.task"
      local host <const>, sync <const> = require "ahost.host", require "ahost.sync"
      local heard <const> = sync.event()
      process.signal("TERM"):connect(function() print("heard") heard:set() end)
      os.execute("kill -TERM " .. process.pid)
      heard:wait()
      task.yield()
      print("goes on")
      process.signal("INT"):connect(function() host.stop(7) end)
      io.popen("kill -INT " .. process.pid):close() -- os.execute ignores INT
      task.sleep(60)]])
    assert.same({ status = 7, out = "heard\ngoes on\n", err = "" }, result)
  end)

  it("stop a script that listens to the other one", function()
    local result <const> = run([[
      local process <const>, task <const> = require "ahost.process", require "ahost.task"
      process.signal("INT"):connect(print)
      os.execute("kill -TERM " .. process.pid)
      task.sleep(60)]])
    assert.same({ status = 0, out = "", err = "" }, result)
  end)

  it("end the program at once when they come a third time", function()
    for _, listen in ipairs({ "", 'process.signal("TERM"):connect(function() end)' }) do
      local result <const> = run(([[
        local process <const> = require "ahost.process"
        LISTEN
        for _ = 1, 3 do os.execute("kill -TERM " .. process.pid) end
        while true do end]]):gsub("LISTEN", listen), nil)
      assert.same({ status = 70, out = "", err = "ahost: emergency exit\n" }, result)
    end
  end)

  it("are heard while the script ends, and name what it waits for", function()
    local result <const> = run([[
      local process <const>, task <const> = require "ahost.process", require "ahost.task"
      local term <const> = process.signal("TERM")
      term:connect(function() print("heard") end)
      require("ahost.context").current():on_close(function()
        os.execute("kill -TERM " .. process.pid)
        assert(term:wait(10))
        task.yield()
      end)]])
    assert.equal("heard\n", result.out)
    assert.matches("still stopping", result.err)
    assert.equal(0, result.status)
  end)
end)

describe("process.env", function()
  after_each(function() process.env.AHOST_SPEC = nil end)

  it("reads the environment", function()
    assert.equal(os.getenv("PATH"), process.env.PATH)
    assert.is_nil(process.env.AHOST_SPEC)
    assert.is_nil(process.env[{}])
    assert.is_nil(process.env["a\0b"])
  end)

  it("changes what os.getenv and child processes see", function()
    process.env.AHOST_SPEC = "one"
    assert.equal("one", os.getenv("AHOST_SPEC"))
    assert.is_true(os.execute('test "$AHOST_SPEC" = one'))
    process.env.AHOST_SPEC = 2
    assert.equal("2", process.env.AHOST_SPEC)
    process.env.AHOST_SPEC = ""
    assert.equal("", os.getenv("AHOST_SPEC"))
    process.env.AHOST_SPEC = nil
    assert.is_nil(os.getenv("AHOST_SPEC"))
    assert.is_true(os.execute('test -z "${AHOST_SPEC+set}"'))
  end)

  it("can be iterated, and changed meanwhile", function()
    process.env.AHOST_SPEC = "a=b"
    local found = {}
    for name, value in pairs(process.env) do
      found[name] = value
      process.env.AHOST_SPEC = nil
    end
    assert.equal("a=b", found.AHOST_SPEC)
    assert.equal(os.getenv("PATH"), found.PATH)
  end)

  it("raises for what can be no variable", function()
    for _, name in ipairs({ "", "a=b", "a\0b", true }) do
      assert.has_error(function() process.env[name] = "x" end)
    end
    assert.has_error(function() process.env.AHOST_SPEC = "a\0b" end)
    assert.has_error(function() process.env.AHOST_SPEC = {} end)
    assert.has_error(function() process.env.AHOST_SPEC = false end)
  end)
end)

describe("the process", function()
  it("knows its number and its parent's", function()
    local file <close> = assert(io.open("/proc/self/stat"))
    local pid <const>, ppid <const> = file:read("a"):match("^(%d+) %(.*%) %a (%d+)")
    assert.equal(tonumber(pid), process.pid)
    assert.equal(tonumber(ppid), process.ppid)
    assert.has_error(function() process.pid = 1 end, "process.pid cannot be set")
  end)

  it("has a title that others see", function()
    local result <const> = run([[
      local process <const> = require "ahost.process"
      print(process.title)
      process.title = "renamed"
      print(process.title, ...)
      io.stdout:flush()
      os.execute("cat /proc/" .. process.pid .. "/cmdline | tr -d '\\0'")
      print(pcall(function() process.title = nil end))]],
      "exec $ahost $script first second")
    assert.matches("^%S*ahost\nrenamed\tfirst\tsecond\nrenamed *false.*a string",
      result.out)
  end)

  it("measures the processor time it took", function()
    local before <const> = process.cpu()
    local cpu
    repeat cpu = process.cpu() until cpu.user + cpu.system > before.user + before.system
    assert.is_true(cpu.user >= before.user and cpu.system >= before.system)
  end)

  it("measures its memory", function()
    local memory <const> = process.memory()
    assert.is_true(math.type(memory.rss) == "integer" and memory.rss > 100000)
    assert.is_true(memory.peak > 100000)
  end)

  it("knows the name of its machine", function()
    assert.is_true(#assert(process.hostname()) > 0)
  end)

  it("changes its working directory", function()
    local before <const> = assert(process.cwd())
    assert.is_true(process.chdir("/"))
    assert.equal("/", process.cwd())
    local ok, err = process.chdir("/nowhere/at/all")
    assert.is_nil(ok)
    assert.is_true(errors.is(err, "ENOENT"))
    assert.equal("chdir /nowhere/at/all", err.op)
    assert.is_true(process.chdir(before))
  end)

  it("takes further fields like any module", function()
    process.more = 1
    assert.equal(1, process.more)
    process.more = nil
    assert.is_nil(process.more)
  end)
end)
