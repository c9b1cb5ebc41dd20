-- ahost as a module of a stock `lua5.4`, and of the stock busted.

local installed <const> = require "spec.installed"
local subprocess <const> = require "spec.subprocess"

-- A program that is not sanitized has to load the sanitizer's part before others.
local PRELOAD <const> = installed.sanitizer == "address"
  and "export LD_PRELOAD=$(cc -print-file-name=libasan.so)" or ""

-- Finds the library of the build under test as module `ahost`.
local SETUP <const> = ([[
mkdir $work/modules && ln -s %s/libahost.so $work/modules/ahost.so
cd $work; export LUA_CPATH="$work/modules/?.so;;"
cat >script.lua <<'end_of_script'
%%s
end_of_script
%s
%%s]]):format(installed.build, PRELOAD)

local function shell(script, command)
  local directory <const>, remove <const> = subprocess.directory()
  local result <const> = subprocess.shell(
    ("work=%s\n"):format(directory) .. SETUP:format(script, command))
  remove()
  return result
end

-- Runs a script by lua5.4. -> what it printed
local function lua(script)
  local result <const> = shell(script, "lua5.4 script.lua")
  assert.equal("", result.err)
  assert.equal(0, result.status)
  return result.out
end

local possible <const> = installed.sanitizer == "" or installed.sanitizer == "address"
local in_lua <const> = possible and subprocess.shell("command -v lua5.4").status == 0
  and it or function(name) pending(name .. " (needs lua5.4)") end

describe("ahost in a stock Lua", function()
  it("is what scripts find in the host as well", function()
    local ahost <const> = require "ahost"
    assert.equal(3, ahost.run(function(a, b)
      ahost.task.yield()
      return a + b
    end, 1, 2))
    assert.is_true(require "ahost.busted")
  end)

  in_lua("runs a function as a task, and returns what it returns", function()
    assert.equal("1\tnil\t3\tnil\nHELLO\n", lua [[
      local ahost = require "ahost"
      print(ahost.run(function(...)
        ahost.task.sleep(0.001)
        return ...
      end, 1, nil, 3, nil))
      print(ahost.run(function()
        local server = assert(ahost.net.serve("127.0.0.1:0", function(stream)
          for line in stream:lines() do stream:write(line:upper(), "\n") end
        end))
        local stream = assert(ahost.net.connect(server:address()))
        stream:write("hello\n")
        return stream:read_line()
      end))]])
  end)

  in_lua("waits for the tasks that the function has spawned", function()
    assert.equal("spawned\nreturned\n", lua [[
      local run, task = require "ahost.run", require "ahost.task"
      print(run(function()
        task.spawn(function()
          task.sleep(0.001)
          print "spawned"
        end)
        return "returned"
      end))]])
  end)

  in_lua("raises what the function or one of its tasks has raised", function()
    assert.equal("true\nscript.lua:4: inner\ntrue\n", lua [[
      local run, task, object = require "ahost.run", require "ahost.task", {}
      print(select(2, pcall(run, error, object)) == object)
      print(select(2, pcall(run, function()
        task.spawn(function() error "inner" end) task.sleep(100) end)))
      print((pcall(run, function() return nil end)))]])
  end)

  in_lua("says so when nothing can end the wait, and goes on", function()
    assert.equal("ahost.run: nothing is left that could wake the waiting tasks\n"
      .. "closed\ttrue\n", lua [[
      local run, sync = require "ahost.run", require "ahost.sync"
      local closed
      print((select(2, pcall(run, function()
        local variable <close> = setmetatable({}, { __close = function()
          closed = "closed"
        end })
        sync.event():wait()
      end)):gsub("^script.lua:%d+: ", "")))
      print(closed, run(function() return true end))]])
  end)

  in_lua("tells beginners what they have forgotten", function()
    local out <const> = lua [[
      local run, task = require "ahost.run", require "ahost.task"
      print(pcall(task.sleep, 1))
      print(pcall(run, task))
      print(pcall(run))]]
    assert.matches("waiting is only possible in a task", out)
    assert.matches("ahost%.run needs a function, not a table", out)
    assert.matches("ahost%.run needs a function, not a nil", out)
  end)

  in_lua("may be used inside itself, in coroutines, and in older ones", function()
    assert.equal("inner\nin a coroutine\nolder\tfalse\n", lua [[
      local older = coroutine.create(function() print("older", (pcall(error))) end)
      local run, task = require "ahost.run", require "ahost.task"
      local function wait(text) task.sleep(0.001) return text end
      print(run(function() return run(wait, "inner") end))
      coroutine.wrap(function() print(run(wait, "in a coroutine")) end)()
      coroutine.resume(older)]])
  end)

  in_lua("logs a task that failed outside of what runs, and goes on", function()
    local result <const> = shell([[
      local run, task = require "ahost.run", require "ahost.task"
      task.spawn(function() error "forgotten" end)
      print(run(task.sleep, 0.001))
      print(run(function() return "fine" end))]], "lua5.4 script.lua")
    assert.matches("script.lua:2: forgotten", result.err)
    assert.matches("fine\n$", result.out)
    assert.equal(0, result.status)
  end)

  it("refuses to work in another version of Lua", function()
    for _, other in ipairs { "lua5.1", "lua5.3", "luajit" } do
      local result <const> = shell("require 'ahost'", ("command -v %s || exit 77\n%s %s")
        :format(other, other, "script.lua"))
      if result.status ~= 77 then
        assert.matches("ahost is a module for Lua 5.4", result.err)
        assert.equal(1, result.status)
      end
    end
  end)

  for _, ending in ipairs { "", "os.exit(0, true)", "run(os.exit, 0, true)" } do
    in_lua(("leaves the state in peace at its end (%s)"):format(ending), function()
      assert.equal("finalizer\tfalse\t7\n", lua([[
        older = setmetatable({}, { __gc = function()
          print("finalizer", (pcall(error)), coroutine.wrap(function() return 7 end)())
        end })
        local ahost = require "ahost"
        local run, net, task = ahost.run, ahost.net, ahost.task
        listener = assert(net.listen "127.0.0.1:0")
        timer = ahost.time.timer(print)
        timer:start(100)
        event = ahost.sync.event()
        ahost.signal.new("x"):connect(print)
        ahost.context.current():on_close(print)
        waiting = task.spawn(function()
          local variable <close> = setmetatable({}, { __close = print })
          ahost.context.scope(function() task.timeout(100, event.wait, event) end)
        end)
        resolving = task.spawn(net.resolve, "localhost")
        serving = task.spawn(function()
          local server = net.serve("127.0.0.1:0", function(stream) stream:read_line() end)
          stream = net.connect(server:address())
          stream:write("partial")
          task.sleep(100)
        end)
        run(task.sleep, 0.01)
        never = task.spawn(task.yield)
      ]] .. ending))
    end)
  end
end)

describe("the stock busted", function()
  in_lua("runs specs as `ahost test` does, with a helper", function()
    if subprocess.shell("command -v busted").status ~= 0 then return end
    local result <const> = shell([[
      local net, task = require "ahost.net", require "ahost.task"
      describe("a server", function()
        local server
        setup(function()
          server = assert(net.serve("127.0.0.1:0", function(stream)
            for line in stream:lines() do stream:write(line, "!\n") end
          end))
        end)
        it("answers", function()
          local stream = assert(net.connect(server:address()))
          stream:write("hi\n")
          assert.equal("hi!", stream:read_line())
        end)
        it("fails with its tasks", function()
          task.spawn(function() error "inner" end)
          task.sleep(100)
        end)
        it("has no time to lose", function() task.sleep(100) end)
      end)]], [[
      export AHOST_TEST_TIMEOUT=0.2
      lua5.4 "$(command -v busted)" --helper=ahost.busted -o TAP script.lua]])
    assert.equal("", result.err)
    assert.matches("1%.%.3\n", result.out)
    assert.matches("ok 1 %- a server answers", result.out)
    assert.matches("not ok 2 %- a server fails with its tasks", result.out)
    assert.matches("script.lua:15: inner", result.out)
    assert.matches("not ok 3 %- a server has no time to lose", result.out)
    assert.matches("timed out after 0.2 s, waiting here", result.out)
    assert.not_equal(0, result.status)
  end)
end)
