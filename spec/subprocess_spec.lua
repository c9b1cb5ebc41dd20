local context <const> = require "ahost.context"
local gc_stress <const> = require "spec.gc_stress"
local net <const> = require "ahost.net"
local process <const> = require "ahost.process"
local subprocess <const> = require "spec.subprocess"
local task <const> = require "ahost.task"
local testing <const> = require "ahost.testing"

-- A shell that ignores TERM, and says when it does.
local STUBBORN <const> = "trap '' TERM; echo ready; while :; do sleep 1; done"

-- -> the state letter of a process, or nil when there is none
local function state_of(pid)
  local file <close> = io.open(("/proc/%d/stat"):format(pid))
  return file and file:read("a"):match("%) (%a)")
end

local function is_gone(pid) return state_of(pid) == nil end

-- Waits until nothing is left of a process that is nobody's child here.
local function wait_until_gone(pid)
  for _ = 1, 1000 do
    local state <const> = state_of(pid)
    if not state or state == "Z" then return true end
    task.sleep(0.01)
  end
  return false
end

local function count_descriptors()
  local n = 0
  local list <const> = process.run { "ls", ("/proc/%d/fd"):format(process.pid) }
  for _ in list.stdout:gmatch "%d+" do n = n + 1 end
  return n
end

local function raises(text, fn, ...)
  local ok <const>, err <const> = pcall(fn, ...)
  assert.is_false(ok)
  assert.truthy(tostring(err):find(text, 1, true), tostring(err))
end

describe("process.run", function()
  it("gives the status and what the program wrote", function()
    local result <const> = assert(process.run {
      "sh", "-c", "cat; echo problem >&2; exit 3", stdin = "input\n",
    })
    assert.same({ status = 3, stdout = "input\n", stderr = "problem\n" }, result)
  end)

  it("names the signal that a program died of", function()
    assert.same({ status = 143, signal = "TERM", stdout = "", stderr = "" },
      process.run { "sh", "-c", "kill -TERM $$" })
    assert.equal("KILL", process.run { "sh", "-c", "kill -KILL $$" }.signal)
  end)

  it("has the program read nothing unless told", function()
    assert.equal("", process.run({ "cat" }).stdout)
  end)

  it("takes arguments as they are, without a shell", function()
    assert.equal("a b\n$HOME\n*\n\n-1.5\n",
      process.run({ "printf", "%s\\n", "a b", "$HOME", "*", "", -1.5 }).stdout)
  end)

  it("feeds and reads at the same time", function()
    local input <const> = ("0123456789abcde\n"):rep(gc_stress() and 10000 or 100000)
    assert.equal(input, process.run({ "cat", stdin = input }).stdout)
    local both <const> = process.run { "sh", "-c", "tee /dev/stderr", stdin = input }
    assert.is_true(both.stdout == input and both.stderr == input)
  end)

  it("does not mind a program that does not read its input", function()
    assert.equal(0, process.run({ "true", stdin = ("x"):rep(1000000) }).status)
  end)

  it("ends a program that writes more than the limit", function()
    local result <const>, err <const> = process.run { "yes", limit = 5 }
    assert.is_nil(result)
    assert.equal("TOOLONG", err.code)
    assert.equal("y\ny\ny", err.stdout)
    assert.equal("run yes: stdout is longer than 5 bytes (TOOLONG)", tostring(err))
    assert.equal("xxxxx", process.run({ "printf", "xxxxx", limit = 5 }).stdout)
  end)

  it("ends a program that takes too long, with its group; its output is there", function()
    local result <const>, err <const> = process.run {
      "sh", "-c", "sleep 1000 & echo $!; wait", timeout = 0.2,
    }
    assert.is_nil(result)
    assert.equal("TIMEDOUT", err.code)
    assert.is_true(wait_until_gone(tonumber(err.stdout)))
  end)

  it("kills a program that ignores TERM", function()
    local _, err <const> = process.run {
      "sh", "-c", "echo $$; " .. STUBBORN, timeout = 0.2, stop_timeout = 0.1,
    }
    assert.equal("TIMEDOUT", err.code)
    assert.is_true(is_gone(tonumber(err.stdout:match "%d+")))
  end)

  it("kills and reaps when its task is cancelled", function()
    local path <const> = testing.directory()
    local runner <const> = task.spawn(function()
      process.run { "sh", "-c", "echo $$ >pid.new; mv pid.new pid; exec sleep 1000",
        cwd = path.path }
    end)
    local pid
    while not pid do
      task.sleep(0.01)
      pid = tonumber((path:read "pid"))
    end
    runner:cancel()
    local _, err <const> = runner:join(10)
    assert.equal("CANCELLED", err.code)
    assert.is_true(is_gone(pid))
  end)

  it("lets go of input that nobody reads, whoever holds the other end", function()
    local before <const> = count_descriptors()
    local _, err = process.run {
      "sh", "-c", "exec 3<&0; sleep 9 <&3 >/dev/null 2>&1 &", group = false,
      stdin = ("x"):rep(200000), timeout = 0.1,
    }
    assert.equal("TIMEDOUT", err.code)
    while count_descriptors() > before do task.sleep(0.001) end -- as handles close
  end)

  it("can be cancelled before the program has started", function()
    local runner <const> = task.spawn(function() process.run { "sleep", "1000" } end)
    task.yield()
    runner:cancel()
    assert.equal("CANCELLED", select(2, runner:join(10)).code)
  end)

  it("names what is missing", function()
    local _, err = process.run { "no-such-program" }
    assert.equal("spawn no-such-program: no such file or directory (ENOENT)",
      tostring(err))
    _, err = process.run { "true", cwd = "/no/such" }
    assert.equal("spawn true in directory /no/such: no such file or directory (ENOENT)",
      tostring(err))
    _, err = process.run { "/" }
    assert.equal("EACCES", err.code)
    _, err = process.run { "true", ("x"):rep(1 << 20) }
    assert.equal("E2BIG", err.code)
  end)

  it("raises what makes no sense", function()
    raises('as in {"ls", "-l"}', process.run, "ls -l")
    raises("a command is expected first", process.run, {})
    raises("a command is expected first", process.run, { "" })
    raises("argument 1 of the command: a string expected, got function", process.run,
      { "ls", print })
    raises("without zero bytes", process.run, { "ls", "a\0b" })
    raises("without zero bytes", process.run, { "ls", cwd = "a\0b" })
    raises("did you mean 'timeout'?", process.run, { "ls", timout = 1 })
    raises("seconds >= 0", process.run, { "ls", timeout = -1 })
    raises("seconds >= 0", process.run, { "ls", timeout = 0 / 0 })
    raises("a number expected", process.run, { "ls", timeout = "1" })
    raises("a number of bytes", process.run, { "ls", limit = 1.5 })
    raises("is no name", process.run, { "ls", env = { ["a=b"] = "" } })
    raises("option 'env': A: a string expected, got table", process.run,
      { "ls", env = { A = {} } })
    raises("no user 'no-such-user'", process.run, { "ls", uid = "no-such-user" })
    raises("no group 'no-such-group'", process.run, { "ls", gid = "no-such-group" })
    raises("option 'stdout': 'pipe', 'inherit', 'null'", process.run,
      { "ls", stdout = "stdout" })
    raises("option 'stdin': a stream or a file", process.run,
      { "ls", stdin = task.current() })
    raises("subprocess_spec.lua", function() process.run { "ls", timout = 1 } end)
  end)
end)

describe("a child process", function()
  it("has the environment of this process, changed", function()
    local before <const> = process.env.PATH
    local script <const> = { "sh", "-c", 'echo "$A-${HOME-none}-$PATH"' }
    script.env = { A = "1", HOME = false }
    assert.equal("1-none-" .. before .. "\n", process.run(script).stdout)
    assert.equal("A=1\n", process.run({ "/usr/bin/env", env = { A = 1 },
      clear_env = true }).stdout)
  end)

  it("is in the directory that was asked for", function()
    assert.equal("/usr\n", process.run({ "pwd", cwd = "/usr" }).stdout)
  end)

  it("inherits nothing but its standard descriptors", function()
    local function count()
      local pipe <close> = assert(io.popen "ls /proc/self/fd | wc -l")
      return pipe:read("n")
    end
    local file <close> = assert(io.open("/dev/null"))
    local others <const> = count()
    local server <close> = assert(net.listen("127.0.0.1:0"))
    assert.equal("0\n1\n2\n3\n", process.run({ "ls", "/proc/self/fd" }).stdout)
    -- What was hidden from it is as it was, for the children of others.
    assert.equal(others, count())
    assert.is_nil(file:read(0))
    assert.truthy(server:address())
  end)

  it("ignores and blocks no process signals", function()
    local status <const> = process.run({ "cat", "/proc/self/status" }).stdout
    assert.equal("0000000000000000", status:match "SigIgn:%s*(%x+)")
    assert.equal("0000000000000000", status:match "SigBlk:%s*(%x+)")
  end)

  it("can have another user and group", function()
    if process.run({ "id", "-u" }).stdout ~= "0\n" then return pending "needs root" end
    local script <const> = { "sh", "-c", "id -u; id -g; id -G" }
    script.uid, script.gid = 65534, 1
    assert.equal("65534\n1\n1\n", process.run(script).stdout)
    script.uid, script.gid = "nobody", nil
    local group <const> = process.run({ "id", "-g", "nobody" }).stdout
    assert.equal("65534\n" .. group .. group, process.run(script).stdout)
  end)

  it("tells whom it could not become", function()
    if process.run({ "id", "-u" }).stdout ~= "0\n" then return pending "needs root" end
    local script <const> = [[
      local process = require "ahost.process"
      print(select(2, process.spawn { "true", uid = 0 }))]]
    local path <const> = testing.directory()
    path:write("script.lua", script)
    local file <const> = io.open(path.path .. "/script.lua")
    local result <const> = process.run { subprocess.ahost, "/dev/stdin", uid = 65534,
      stdin = file, cwd = "/" }
    file:close()
    assert.equal("spawn true as user 0: operation not permitted (EPERM)\n", result.stdout)
  end)

  it("is a pipe away in each direction", function()
    local child <close> = assert(process.spawn { "cat" })
    assert(child.stdin:write("one\n"))
    assert.equal("one", child.stdout:read_line())
    assert(child.stdin:write("two"))
    assert(child.stdin:shutdown())
    assert.equal("two", child.stdout:read_all())
    assert.same({ status = 0 }, child:wait(10))
    assert.is_nil(child.other)
  end)

  it("can open its standard streams by name", function()
    assert.equal("a\n", process.run({ "sh", "-c", "echo a >/dev/stdout" }).stdout)
  end)

  it("writes to files, nothing, and both outputs to one place", function()
    local path <const> = testing.directory()
    local file <close> = assert(io.open(path.path .. "/out", "w"))
    file:write("first\n")
    local result <const> = process.run {
      "sh", "-c", "echo out; echo err >&2", stdout = file, stderr = "stdout",
    }
    assert.same({ status = 0 }, result)
    assert.equal("first\nout\nerr\n", path:read "out")
    assert.equal("out\nerr\n", process.run({ "sh", "-c", "echo out; echo err >&2",
      stderr = "stdout" }).stdout)
    assert.is_nil(process.spawn({ "true", stdout = "null" }).stdout)
  end)

  it("reads what another one writes", function()
    local first <const> = assert(process.spawn { "printf", "b\na\n" })
    local second <const> = assert(process.spawn { "sort", stdin = first.stdout })
    assert.equal("a\nb\n", second.stdout:read_all())
    assert.equal("CLOSED", select(2, first.stdout:read()).code)
    raises("option 'stdin': the stream is closed", process.spawn,
      { "cat", stdin = first.stdout })
  end)

  it("is given no stream of which something has been read ahead", function()
    local first <close> = assert(process.spawn { "printf", "a\nb\n" })
    first.stdout:read_line()
    raises("bytes that nobody has taken", process.spawn, { "cat", stdin = first.stdout })
  end)

  it("leaves a stream usable when it could not be started", function()
    local first <close> = assert(process.spawn { "cat" })
    local _, err <const> = process.spawn { "no-such-program", stdin = first.stdout }
    assert.equal("ENOENT", err.code)
    local late <const> = task.spawn(function() return first.stdout:read_line() end)
    task.yield()
    first.stdin:write("line\n")
    assert.equal("line", late:join(10))
  end)

  it("gets signals by name or number", function()
    for _, signal in ipairs { "INT", "SIGINT", 2 } do
      local child <const> = assert(process.spawn { "sleep", "1000" })
      assert.is_true(child:kill(signal))
      assert.same({ status = 130, signal = "INT" }, child:wait(10))
      assert.equal("ESRCH", select(2, child:kill()).code)
    end
    local child <close> = assert(process.spawn { "sleep", "1000" })
    raises("unknown process signal 'int'; there are ABRT", child.kill, child, "int")
    raises("from 1 to 64", child.kill, child, 0)
  end)

  it("is waited for by several tasks, some of whom give up", function()
    local child <close> = assert(process.spawn { "cat" })
    local waits <const> = {}
    for i = 1, 3 do waits[i] = task.spawn(function() return child:wait() end) end
    assert.equal("TIMEDOUT", select(2, child:wait(0.01)).code)
    waits[1]:cancel()
    child.stdin:shutdown()
    assert.equal("CANCELLED", select(2, waits[1]:join()).code)
    assert.same({ status = 0 }, waits[2]:join(10))
    assert.same({ status = 0 }, waits[3]:join(10))
    assert.same({ status = 0 }, child:wait())
  end)

  it("leaves no zombie when nobody waits for it or holds it", function()
    local pid <const> = assert(process.spawn { "true" }).pid
    collectgarbage()
    collectgarbage()
    while not is_gone(pid) do task.sleep(0.01) end
  end)

  it("goes on when nobody holds it", function()
    local path <const> = testing.directory()
    local pid <const> = assert(process.spawn {
      "sh", "-c", "cat <fifo >in; echo x; exec sleep 1000", cwd = path.path,
    }).pid
    collectgarbage()
    collectgarbage()
    process.run { "mkfifo", path.path .. "/fifo" }
    assert.is_false(is_gone(pid))
    assert(process.run { "kill", tostring(pid) })
    assert.is_true(wait_until_gone(pid))
  end)

  it("ends with its context, which waits for it", function()
    local pid
    context.scope(function()
      pid = assert(process.spawn { "sleep", "1000" }).pid
      assert.is_false(is_gone(pid))
    end)
    assert.is_true(is_gone(pid))
  end)

  it("is killed at the end of its context when it ignores TERM", function()
    local pids <const> = {}
    context.scope(function()
      for i = 1, 3 do
        local child <const> = assert(process.spawn { "sh", "-c", STUBBORN,
          stop_timeout = 0.1, group = true })
        assert.equal("ready", child.stdout:read_line())
        pids[i] = child.pid
      end
    end)
    for _, pid in ipairs(pids) do assert.is_true(is_gone(pid)) end
  end)

  it("can be started by a teardown callback", function()
    local result
    context.scope(function(ctx)
      ctx:on_close(function() result = process.run { "echo", "late" } end)
    end)
    assert.equal("late\n", result.stdout)
  end)

  it("goes with the cancellation of its task at any moment", function()
    local cancelled = 0
    for i = 1, 40 do
      local runner <const> = task.spawn(function()
        process.run { "sh", "-c", "echo a; exit 1", stdin = ("x"):rep(100000) }
      end)
      for _ = 1, i % 20 do task.yield() end
      if i % 3 == 0 then task.sleep(0.001 * (i % 7)) end
      runner:cancel()
      local _, err <const> = runner:join(10)
      assert.truthy(err == nil or err.code == "CANCELLED", err)
      cancelled = cancelled + (err and 1 or 0)
    end
    assert.is_true(cancelled > 0)
    -- The only child is the one that looks.
    local _, children <const> = process.run({
      "sh", "-c", 'grep "^PPid:	$PARENT$" /proc/[0-9]*/status 2>/dev/null',
      env = { PARENT = process.pid },
    }).stdout:gsub("\n", "")
    assert.equal(1, children)
  end)

  it("ends while its context is closed by another task", function()
    local ctx <const> = context.new()
    local child
    ctx:spawn(function() child = assert(process.spawn { "sleep", "1000" }) end)
    task.yield()
    task.yield()
    local waiter <const> = task.spawn(function() return child:wait() end)
    assert(ctx:close())
    assert.equal("TERM", waiter:join(10).signal)
    assert.equal("closed", ctx:state())
  end)

  it("ends when it goes out of scope", function()
    local pid
    do
      local child <close> = assert(process.spawn { "sleep", "1000" })
      pid = child.pid
    end
    assert.is_true(is_gone(pid))
  end)

  it("takes its group with it", function()
    local child <const> = assert(process.spawn {
      "sh", "-c", "sleep 1000 & echo $!; wait", group = true,
    })
    local pid <const> = tonumber(child.stdout:read_line())
    assert.equal("TERM", child:close().signal)
    assert.is_true(wait_until_gone(pid))
  end)

  it("leaves a group behind that gets signals, and ends with the context", function()
    local pid
    context.scope(function()
      local child <const> = assert(process.spawn {
        "sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!", group = true,
      })
      pid = tonumber(child.stdout:read_line())
      assert.same({ status = 0 }, child:wait(10))
      assert.is_true(child:kill("CONT"))
      assert.is_false(is_gone(pid))
    end)
    assert.is_true(wait_until_gone(pid))
  end)

  it("leaves no descriptors behind", function()
    local before <const> = count_descriptors()
    for _ = 1, 20 do
      process.run { "true", stdin = "x" }
      process.spawn { "no-such-program" }
      process.spawn({ "true" }):wait()
    end
    context.scope(function() process.spawn { "cat" } end)
    collectgarbage()
    collectgarbage()
    while count_descriptors() > before do task.sleep(0.001) end -- as handles close
  end)

  it("is one of very many", function()
    local n <const> = gc_stress() and 50 or 1000
    local children <const> = {}
    context.scope(function()
      for i = 1, n do
        children[i] = assert(process.spawn { "cat", stdout = "null", stderr = "null" })
      end
      for i = 1, n, 2 do children[i].stdin:shutdown() end
      for i = 1, n, 2 do assert.equal(0, children[i]:wait(60).status) end
    end)
    for i = 2, n, 2 do assert.truthy(children[i]:wait()) end
  end)
end)

describe("a host that stops", function()
  -- Runs a script by itself. -> its result, and the pid that it printed
  local function run(script)
    local path <const> = testing.directory()
    path:write("script.lua", 'local process = require "ahost.process"\n' .. script)
    local result <const> = assert(process.run {
      subprocess.ahost, path.path .. "/script.lua", timeout = 60,
    })
    return result, tonumber(result.stdout)
  end

  it("ends its children first", function()
    local result <const>, pid <const> = run [[
      print(process.spawn { "sleep", "1000" }.pid)]]
    assert.equal(0, result.status, result.stderr)
    assert.is_true(is_gone(pid))
  end)

  it("waits for as long as it is told", function()
    local result <const> = subprocess.shell(([[
      cat >$(dirname $0)/s.lua <<'END'
      local process = require "ahost.process"
      -- in milliseconds more than 32 bits
      require "ahost.component.runtime".stop_timeout(2 ^ 32 / 1000)
      local child = process.spawn {
        "sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done" }
      child.stdout:read_line()
      print(child:close().status)
END
      $ahost $(dirname $0)/s.lua]]))
    assert.same({ status = 0, out = "3\n", err = "" }, result)
  end)

  it("kills those that ignore TERM", function()
    local result <const>, pid <const> = run(([[
      local child = process.spawn { "sh", "-c", "SCRIPT", stop_timeout = 0.2,
        group = true }
      child.stdout:read_line()
      print(child.pid)
      require "ahost.host".stop()]]):gsub("SCRIPT", STUBBORN))
    assert.equal(0, result.status, result.stderr)
    assert.is_true(is_gone(pid))
  end)
end)
