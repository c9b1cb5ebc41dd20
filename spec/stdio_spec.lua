local subprocess <const> = require "spec.subprocess"

--- Runs a shell script beside which the file script.lua is; `$ahost $script` runs it.
local function run(script, shell)
  local directory <const>, remove <const> = subprocess.directory()
  subprocess.write(directory .. "/script.lua",
    'local process <const> = require "ahost.process"\n' .. script)
  local result <const> = subprocess.shell("cd " .. directory
    .. "\nscript=script.lua\n" .. shell)
  remove()
  return result
end

local function prints(expected, script, shell)
  assert.same({ status = 0, out = expected, err = "" }, run(script, shell))
end

--- Whether the descriptors are left blocking: a Lua script for python3 to check.
local BLOCKING <const> = [[
import fcntl, os
print([bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK) for fd in (0, 1)])
]]

local python <const> = os.execute("python3 -c 'import pty' 2>/dev/null")
local script_tool <const> = os.execute("command -v script >/dev/null")

local COPY <const> = [[
  for data in process.stdin:chunks() do assert(process.stdout:write(data)) end]]

describe("process.stdout", function()
  it("is one stream, and named after what it is", function()
    prints("true\tpipe\tfile\n", [[
      print(process.stdout == process.stdout, tostring(process.stdout):match("%((%a+)"),
        tostring(process.stdin):match("%((%a+)"))]], "$ahost $script </dev/null | cat")
    prints("file\n", [[print(tostring(process.stdout):match("%((%a+)"))]],
      "$ahost $script")
    assert.has_error(function() require("ahost.process").stdout = 1 end)
  end)

  it("sends everything that was written before the end", function()
    for _, how in ipairs({ "| cat", "| (sleep 0.3; cat)", ">file; cat file",
        "| (dd bs=100 count=1 2>/dev/null; sleep 0.2; cat)" }) do
      local result <const> = run([[
        local line <const> = ("x"):rep(99) .. "\n"
        for _ = 1, 600 do process.stdout:write(line) end
        process.stdout:write("end\n")]], "$ahost $script " .. how)
      assert.equal(60004, #result.out)
      assert.equal("end\n", result.out:sub(-4))
      assert.equal("", result.err)
    end
  end)

  it("waits for a slow reader as long as it takes", function()
    prints("true\n1000005\n", [[
      local ok = true
      for _ = 1, 10 do ok = ok and process.stdout:write(("x"):rep(100000)) end
      process.stdout:write("true\n")
      io.stderr:write(tostring(ok), "\n")]],
      "{ $ahost $script | (sleep 6; wc -c); } 2>&1")
  end)

  it("sends what a stopped script had written", function()
    prints("one\ntwo\n", [[
      process.stdout:write("one\n")
      require("ahost.context").current():on_close(function()
        process.stdout:write("two\n")
      end)
      require("ahost.host").stop()]], "$ahost $script | cat")
  end)

  it("comes behind what print had printed when it was first used", function()
    prints("printed\nstreamed\nflushed\nend\n", [[
      print("printed")
      process.stdout:write("streamed\n")
      process.stdout:flush()
      print("flushed")
      io.stdout:flush()
      process.stdout:write("end\n")]], "$ahost $script | cat")
  end)

  it("tells the script alone when nobody reads", function()
    local result <const> = run([[
      repeat local ok, err = process.stdout:write("line\n") or process.stdout:flush()
      until not ok
      local ok, err = process.stdout:write("line\n")
      io.stderr:write(err.code, "\n")]], "$ahost $script | head -n 1")
    assert.same({ status = 0, out = "line\n", err = "EPIPE\n" }, result)
    local quiet <const> = run([[
      for _ = 1, 10000 do process.stdout:write("line\n") end]],
      "$ahost $script | head -n 1")
    assert.same({ status = 0, out = "line\n", err = "" }, quiet)
  end)

  it("ends its output when it is closed", function()
    for _, method in ipairs({ "close", "shutdown" }) do
      prints("first\nsecond\n", ([[
        process.stdout:write("first\n")
        process.stdout:METHOD()
        local fifo <const> = assert(io.open("fifo"))
        io.stderr:write(fifo:read("a"))
        print("is lost")
        assert(process.stdout:write("x") == nil)]]):gsub("METHOD", method),
        "mkfifo fifo; exec 2>&1; $ahost $script | { cat; echo second >fifo; }")
    end
  end)

  it("writes to files, where they stand", function()
    prints("before\nfirst\nsecond\nafter\n",
      [[process.stdout:write("first\n", "second\n")]],
      "{ echo before; $ahost $script; echo after; } >file; cat file")
    prints("before\nappended\n", [[process.stdout:write("appended\n")]],
      "echo before >file; $ahost $script >>file; cat file")
  end)

  it("writes more to a file than fits one call", function()
    prints("20000000\n", [[
      local parts <const> = {}
      for i = 1, 1000 do parts[i] = ("x"):rep(1000) end
      for _ = 1, 20 do assert(process.stdout:write(parts)) end]],
      "$ahost $script >file; wc -c <file")
  end)

  it("reports what a file refuses", function()
    prints("ENOSPC\n", [[
      process.stdout:write("x")
      local ok, err = process.stdout:flush()
      io.stderr:write(err.code, "\n")]], "{ $ahost $script >/dev/full; } 2>&1")
  end)

  it("writes into nothing", function()
    prints("done\n", [[
      for _ = 1, 10 do assert(process.stdout:write(("x"):rep(100000))) end
      io.stderr:write("done\n")]], "{ $ahost $script >/dev/null; } 2>&1")
  end)

  it("is nothing where it was closed", function()
    prints("true\n", [[
      io.stderr:write(tostring(process.stdout:write("x")), "\n")]],
      "{ $ahost $script >&-; } 2>&1")
  end)

  it("has process.stderr beside it", function()
    local result <const> = run([[process.stderr:write("complaint\n")]], "$ahost $script")
    assert.same({ status = 0, out = "", err = "complaint\n" }, result)
  end)
end)

describe("process.stdin", function()
  local LINES <const> = [[
    for line in process.stdin:lines() do print("<" .. line .. ">") end
    print(process.stdin:read())]]

  it("reads lines and their end from pipes, files and devices", function()
    local expected <const> = "<a>\n<b>\n<c>\nnil\n"
    prints(expected, LINES, "printf 'a\\nb\\nc' | $ahost $script")
    prints(expected, LINES, "printf 'a\\nb\\nc' >file; $ahost $script <file")
    prints("nil\n", LINES, "$ahost $script </dev/null")
    prints("nil\n", LINES, "$ahost $script <&-")
  end)

  it("reads a named pipe, also when its writer is gone", function()
    prints("<a>\nnil\n", "os.execute('sleep 0.2')" .. LINES,
      "mkfifo fifo; { echo a >fifo; } & $ahost $script <fifo")
  end)

  it("reads a file from where it stands", function()
    prints("<b>\nnil\n", LINES, "printf 'a\\nb\\n' >file; "
      .. "{ dd bs=2 count=1 >/dev/null 2>&1; $ahost $script; } <file")
  end)

  it("copies what is larger than any buffer", function()
    for _, shell in ipairs({ "$ahost $script <in >out",
        "cat in | $ahost $script | cat >out", "cat in | $ahost $script >out",
        "$ahost $script <in | (sleep 0.2; cat) >out" }) do
      prints("same\n", COPY,
        "seq 1 500000 >in; " .. shell .. "; cmp in out && echo same")
    end
  end)

  it("keeps little of a large file in memory", function()
    prints("true\n", [[
      local host <const> = require "ahost.host"
      local most, size = 0, 0
      for data in process.stdin:chunks(1000) do
        size = size + #data
        if size % 100000 < 1000 then
          collectgarbage()
          most = math.max(most, host.stats().memory)
        end
      end
      assert(size == 50000000)
      print(most < 3000000 or most)]],
      "head -c 50000000 /dev/zero >file; $ahost $script <file")
  end)

  it("reads a device without end", function()
    prints("100000\n", [[print(#process.stdin:read_exactly(100000))]],
      "$ahost $script </dev/zero")
  end)

  it("lets other tasks run while it waits", function()
    prints("tick\n<a>\nnil\n", [[
      local task <const> = require "ahost.task"
      task.spawn(function() print("tick") end)
      ]] .. LINES, "(sleep 0.2; echo a) | $ahost $script")
  end)

  it("can be given up, and read on later", function()
    prints("TIMEDOUT\nCANCELLED\n<a>\nnil\n", [[
      local task <const> = require "ahost.task"
      print(select(2, process.stdin:read(nil, 0)).code)
      local reader <const> = task.spawn(function() process.stdin:read() end)
      task.yield()
      reader:cancel()
      print(select(2, reader:join()).code)
      io.stdout:flush()
      os.execute("touch go")
      ]] .. LINES,
      "{ until test -e go; do sleep 0.01; done; echo a; } | $ahost $script")
  end)

  it("does not keep a script whose tasks have ended", function()
    prints("late\n", [[
      local task <const> = require "ahost.task"
      local reader <const> = task.spawn(function() process.stdin:read() end)
      task.yield()
      reader:cancel()]], "sleep 0.2 | $ahost $script; echo late")
  end)

  it("tells the writer when it is closed", function()
    prints("closed\n", [[
      process.stdin:close()
      process.stdin:close()
      io.stdout:write(process.stdin:read() == nil and "" or "data")
      local fifo <close> = assert(io.open("fifo"))
      fifo:read("a")]],
      "mkfifo fifo; exec 3>&1; { trap '' PIPE; while echo x; do :; done 2>/dev/null; "
      .. "echo closed >&3; exec >fifo; } | $ahost $script")
  end)

  it("is read with what was read ahead when the script ends", function()
    prints("<a>\n", [[print("<" .. process.stdin:read_line() .. ">")]],
      "printf 'a\\nb\\nc' >file; $ahost $script <file")
  end)
end)

describe("descriptors that are shared", function()
  local USE <const> = [[
    process.stdout:write("out\n")
    process.stdout:flush()
    process.stdin:read(nil, 0)
    ]]

  it("stay blocking for the others of a pipeline", function()
    if not python then return pending("python3 is not there") end
    prints("out\n[False, False]\n", USE .. [[
      require("ahost.component.runtime").watchdog { stall = 0 } -- python may be slow
      os.execute("python3 check.py")]],
      "cat >check.py <<'X'\n" .. BLOCKING .. "X\n"
      .. "sleep 1 | $ahost $script | cat")
  end)

  it("are blocking again after the program, sockets and named pipes too", function()
    if not python then return pending("python3 is not there") end
    local CHECK <const> = [[
import fcntl, os, socket, subprocess, sys
a, b = socket.socketpair()
os.mkfifo("fifo")
fifo = os.open("fifo", os.O_RDWR)
for fd in (b.fileno(), fifo):
    subprocess.run([sys.argv[1], "script.lua"], stdin=fd, stdout=fd, timeout=60)
    print(bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK), flush=True)
print(a.recv(100), os.read(fifo, 100))
]]
    prints("False\nFalse\nb'out\\n' b'out\\n'\n", [[
      process.stdout:write("out\n")
      process.stdout:flush()
      if tostring(process.stdin):match("socket") then process.stdin:read(nil, 0) end]],
      "cat >check.py <<'X'\n" .. CHECK .. "X\n"
      .. "python3 check.py $ahost")
  end)

  it("stay open for others when they are sockets with unread input", function()
    if not python then return pending("python3 is not there") end
    prints("b'unread'\nb'out\\nmore'\n", [[process.stdout:write("out\n")]],
      "cat >check.py <<'X'\n" .. [[
import socket, subprocess, sys
a, b = socket.socketpair()
a.sendall(b"unread")
subprocess.run([sys.argv[1], "script.lua"], stdin=b, stdout=b, timeout=60)
print(b.recv(100))
b.sendall(b"more")
print(a.recv(100))
]] .. "X\npython3 check.py $ahost")
  end)

  it("may be sockets, read and written both ways", function()
    if not python then return pending("python3 is not there") end
    prints("b'<a>\\n<b>\\n'\n", [[
      for line in process.stdin:lines() do process.stdout:write("<", line, ">\n") end
      process.stdout:shutdown()]], "cat >check.py <<'X'\n" .. [[
import socket, subprocess, sys
a, b = socket.socketpair()
child = subprocess.Popen([sys.argv[1], "script.lua"], stdin=b, stdout=b)
b.close()
a.sendall(b"a\nb\n")
a.shutdown(socket.SHUT_WR)
data = b""
while True:
    more = a.recv(100)
    if not more: break
    data += more
print(data)
child.wait()
]] .. "X\npython3 check.py $ahost")
  end)
end)

describe("a terminal", function()
  local TERMINAL <const> = [[
import fcntl, os, pty, sys, termios
pid, master = pty.fork()
if pid == 0:
    mode = termios.tcgetattr(0)
    mode[3] &= ~termios.ECHO
    termios.tcsetattr(0, termios.TCSANOW, mode)
    before = termios.tcgetattr(0)
    if os.fork() == 0:
        os.execv(sys.argv[1], [sys.argv[1], "script.lua"])
    os.wait()
    blocks = [not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK for fd in (0, 1, 2)]
    same = termios.tcgetattr(0) == before
    os.write(1, b"unchanged\n" if same and all(blocks) else b"changed\n")
    os._exit(0)
seen = b""
def expect(text):
    global seen
    while text not in seen:
        try: more = os.read(master, 1000)
        except OSError: more = b""
        if not more:
            print("wanted", text, "saw", seen)
            sys.exit(1)
        seen += more
    seen = seen[seen.index(text) + len(text):]
]]

  local function on_terminal(script, dialogue)
    if not python then return pending("python3 is not there") end
    prints("well\n", script, "cat >check.py <<'X'\n" .. TERMINAL .. dialogue
      .. '\nprint("well")\nX\npython3 check.py $ahost')
  end

  it("is read a line at a time, and left as it was", function()
    on_terminal([[
      assert(tostring(process.stdin):match("terminal"))
      process.stdout:write("name? ")
      local name <const> = process.stdin:read_line()
      print("hello " .. name)
      process.stdout:write("more? ")
      assert(process.stdin:read_line() == "yes")
      for line in process.stdin:lines() do process.stdout:write("<", line, ">\n") end
      process.stderr:write("end\n")]], [[
expect(b"name? ")
os.write(master, b"world\n")
expect(b"hello world")
expect(b"more? ")
os.write(master, b"yes\n")
os.write(master, b"one\n")
expect(b"<one>")
os.write(master, b"\x04")
expect(b"end")
expect(b"unchanged")]])
  end)

  it("takes a lot of output, printed and streamed", function()
    on_terminal([[
      process.stdout:write("start\n")
      process.stdout:flush()
      for i = 1, 20000 do print("printed " .. i) end
      for i = 1, 20000 do
        assert(process.stdout:write("streamed ", tostring(i), "\n"))
      end]],
      [[
expect(b"start")
import time
time.sleep(0.2)
for i in range(1, 20001): expect(b"printed %d\r\n" % i)
for i in range(1, 20001): expect(b"streamed %d\r\n" % i)
expect(b"unchanged")]])
  end)

  it("sends INT to who listens", function()
    on_terminal([[
      local int <const> = process.signal("INT")
      local events <close> = int:events()
      process.stdout:write("ready\n")
      events()
      process.stdout:write("interrupted\n")]], [[
expect(b"ready")
os.write(master, b"\x03")
expect(b"interrupted")]])
  end)

  it("may be that of script(1)", function()
    if not script_tool then return pending("script(1) is not there") end
    prints("terminal\r\n<a>\r\n", [[
      process.stdout:write(tostring(process.stdout):match("%((%a+)"), "\n")
      process.stdout:write("<", process.stdin:read_line(), ">\n")]],
      "(sleep 0.5; echo a; sleep 0.5) "
        .. "| script -qec \"$ahost $script\" -E never /dev/null")
  end)
end)
