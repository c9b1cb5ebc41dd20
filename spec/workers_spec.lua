local command_line <const> = require "spec.command_line"
local gc_stress <const> = require "spec.gc_stress"
local net <const> = require "ahost.net"
local service_manager <const> = require "spec.service_manager"
local subprocess <const> = require "spec.subprocess"
local task <const> = require "ahost.task"

local stressed <const> = gc_stress()
local CLIENTS <const> = stressed and 4 or 40

-- Answers each line with who answers, and says where.
local ECHO <const> = [[
local host <const> = require "ahost.host"
local net <const> = require "ahost.net"
local process <const> = require "ahost.process"
local Echo <const> = {
  options = { address = { type = "address", default = "127.0.0.1:0" } },
}
function Echo:start()
  local server <const> = assert(net.serve(self.config.address, function(stream)
    for line in stream:lines() do
      stream:write(("%s %d %d\n"):format(line, host.worker, process.pid))
      if line == "bye" then break end
    end
  end))
  print("up", host.worker, host.workers, process.pid, process.ppid, server:address())
  io.stdout:flush()
end
return Echo
]]

local function alive(pid)
  local file <const> = io.open(("/proc/%d/stat"):format(pid))
  if not file then return false end
  local _ <close> = file
  local text <const> = file:read("a") -- nil when it has gone meanwhile
  return text ~= nil and text:match "^%d+ %b() (%a)" ~= "Z"
end

local function kill(pid, name) os.execute(("kill -%s %d"):format(name, pid)) end

-- Waits for something that is about to be so.
local function until_true(fn)
  while not fn() do task.sleep(0.005) end
end

-- The next line of output that the pattern matches. -> captures
local function find_line(running, pattern)
  for line in function() return running:read_line() end do
    if line:find(pattern) then return line:match(pattern) end
  end
  error(("no line matches '%s'"):format(pattern), 2)
end

local UP <const> = "^up\t(%d+)\t(%d+)\t(%d+)\t(%d+)\t(.*)$"

-- Reads who the workers of an application are that has just been started.
local function meet(running, count)
  running.pids = {}
  for _ = 1, count do
    local index, workers, pid, ppid, address = find_line(running, UP)
    assert.equal(count, tonumber(workers))
    running.pids[tonumber(index)] = tonumber(pid)
    running.supervisor, running.address = tonumber(ppid), address
  end
  assert.equal(count, #running.pids)
  return running
end

local function start(at, count, words)
  return meet(at:start("run app.yaml " .. (words or "")), count)
end

local function new(config, files)
  local all <const> = { ["app.yaml"] = config, ["echo.lua"] = ECHO }
  for name, text in pairs(files or {}) do all[name] = text end
  return command_line.new(all)
end

local TWO <const> = "workers: {count: 2, backoff: 0}\ncomponent.type: ./echo.lua\n"

-- One question on a connection. -> index, pid | nil, err
local function ask(stream, word)
  stream:write(word, "\n")
  local line, err = stream:read_line()
  if not line then return nil, err end
  local index, pid = line:match(word .. " (%d+) (%d+)")
  return tonumber(index), tonumber(pid)
end

-- One connection with a question. -> index, pid
local function call(address)
  local stream <close> = assert(net.connect(address))
  local index, pid = ask(stream, "x")
  return assert(index, pid), pid
end

local function call_refused(address)
  local stream, err = net.connect(address)
  assert.is_nil(stream)
  assert.equal("ECONNREFUSED", err.code)
end

-- Connections that come and go, until `stop` is called, which returns what went wrong, a
-- text each. `on_failure(what, err, pid)` may say that it is all right.
local function load(address, on_failure)
  local state <const> = { answers = 0, failures = {}, pids = {} }
  local function failed(what, err, pid)
    if on_failure and on_failure(what, err, pid) then return end
    table.insert(state.failures, ("%s: %s"):format(what, tostring(err)))
  end
  local function visit()
    local stream, err = net.connect(address)
    if not stream then return failed("connect", err) end
    local _ <close> = stream
    local index, pid, last
    for _ = 1, 3 do
      index, pid = ask(stream, "load")
      if not index then return failed("read", pid, last) end
      state.answers, state.pids[pid], last = state.answers + 1, true, pid
    end
  end
  local tasks <const> = {}
  for i = 1, CLIENTS do
    tasks[i] = task.spawn("client", function()
      while not state.stopped do visit() end
    end)
  end
  function state.stop()
    state.stopped = true
    for _, client in ipairs(tasks) do
      client:join()
      assert.equal("done", client:status())
    end
    return state.failures
  end
  return state
end

local function count_descriptors(pid)
  local pipe <close> = assert(io.popen(("ls /proc/%d/fd | wc -l"):format(pid)))
  return pipe:read "n"
end

describe("workers", function()
  it("run the application several times on one port", function()
    local at <close> = new(TWO)
    local running <close> = start(at, 2)
    local seen <const> = {}
    until_true(function()
      local index, pid = call(running.address)
      assert.equal(running.pids[index], pid)
      seen[index] = true
      return #seen == 2
    end)
    kill(running.supervisor, "TERM")
    assert.equal(0, running:finish().status)
    assert.is_false(alive(running.pids[1]) or alive(running.pids[2]))
    call_refused(running.address)
  end)

  it("are replaced one by one without losing a connection", function()
    local at <close> = new(TWO)
    local running <close> = start(at, 2)
    local open_before <const> = count_descriptors(running.supervisor)
    local clients <const> = load(running.address)
    until_true(function() return clients.answers > CLIENTS end)
    for _ = 1, stressed and 1 or 3 do
      kill(running.supervisor, "USR2")
      find_line(running, "restarting the workers")
      local old <const> = running.pids
      running.pids = {}
      for _ = 1, 2 do
        local index, _, pid = find_line(running, UP)
        running.pids[tonumber(index)] = tonumber(pid)
      end
      until_true(function() return not alive(old[1]) and not alive(old[2]) end)
      clients.pids = {}
      until_true(function()
        return clients.pids[running.pids[1]] and clients.pids[running.pids[2]]
      end)
      assert.is_nil(clients.pids[old[1]] or clients.pids[old[2]])
    end
    assert.same({}, clients.stop())
    assert.equal(open_before, count_descriptors(running.supervisor))
    kill(running.supervisor, "TERM")
    assert.equal(0, running:finish().status)
  end)

  it("that are killed lose nothing but their own connections", function()
    local at <close> = new(TWO)
    local running <close> = start(at, 2)
    local victim <const> = running.pids[1]
    local clients <const> = load(running.address, function(what, _, pid)
      return what == "read" and (pid == victim or pid == nil)
    end)
    until_true(function() return clients.pids[victim] end)
    kill(victim, "KILL")
    local index, _, pid = find_line(running, UP)
    assert.equal("1", index)
    until_true(function() return clients.pids[tonumber(pid)] end)
    assert.same({}, clients.stop())
  end)

  it("leave connections waiting while they are started again", function()
    local at <close> = new("workers: {count: 1, backoff: 200ms}\n"
      .. "component.type: ./echo.lua")
    local running <close> = start(at, 1)
    kill(running.pids[1], "KILL")
    until_true(function() return not alive(running.pids[1]) end)
    local index, pid = call(running.address)
    assert.equal(1, index)
    assert.not_equal(running.pids[1], pid)
    find_line(running, "worker 1 %(pid %d+%) died of SIGKILL; starting it again in 0.2 s")
  end)

  it("finish a connection before they go", function()
    local at <close> = new "workers: 1\nstop_timeout: 20\ncomponent.type: ./echo.lua"
    local running <close> = start(at, 1)
    local stream <close> = assert(net.connect(running.address))
    local _, first = ask(stream, "one")
    kill(running.supervisor, "USR2")
    find_line(running, "the workers have been restarted")
    until_true(function() return select(2, call(running.address)) ~= first end)
    assert.equal(first, select(2, ask(stream, "two")))
    assert.equal(first, select(2, ask(stream, "bye")))
    until_true(function() return not alive(first) end)
  end)

  it("finish only what ends within stop_timeout", function()
    local at <close> = new "workers: 1\nstop_timeout: 100ms\ncomponent.type: ./echo.lua"
    local running <close> = start(at, 1)
    local stream <close> = assert(net.connect(running.address))
    local _, first = ask(stream, "one")
    kill(running.supervisor, "USR2")
    assert.is_nil(stream:read_line())
    until_true(function() return not alive(first) end)
    assert.not_equal(first, select(2, call(running.address)))
  end)

  it("are kept when a new one does not start", function()
    local at <close> = new(TWO)
    local running <close> = start(at, 2)
    at:write("echo.lua", "return { start = function() error 'broken' end }")
    kill(running.supervisor, "USR2")
    find_line(running, "worker 1 %(pid %d+%), which was to replace another, ended with "
      .. "status 1")
    find_line(running, "the workers from 1 on are kept as they are")
    local index, pid = call(running.address)
    assert.equal(running.pids[index], pid)
    at:write("app.yaml", "workers: [")
    kill(running.supervisor, "USR2")
    find_line(running, "not restarting: app.yaml:%d")
    at:write("app.yaml", TWO)
    at:write("echo.lua", ECHO)
    kill(running.supervisor, "USR2")
    find_line(running, "the workers have been restarted")
    until_true(function() return not alive(pid) end)
    call(running.address)
  end)

  it("end with their supervisor", function()
    local at <close> = new(TWO)
    local running <close> = start(at, 2)
    kill(running.supervisor, "KILL")
    until_true(function()
      return not alive(running.pids[1]) and not alive(running.pids[2])
    end)
    assert.matches("the supervisor has gone; stopping", running:finish().out)
  end)

  it("get HUP from their supervisor", function()
    local at <close> = new(TWO .. "listen: {app.hup: './hup.lua:hear'}", {
      ["hup.lua"] = "return { hear = function() print 'hup'; io.stdout:flush() end }",
    })
    local running <close> = start(at, 2)
    kill(running.supervisor, "HUP")
    find_line(running, "^hup")
    find_line(running, "^hup")
  end)

  it("share a Unix socket, which goes in the end", function()
    local at <close> = new "workers: {count: 2, backoff: 0}\ncomponent.type: ./echo.lua"
    local path <const> = at.directory .. "/socket"
    local running <close> = start(at, 2, "--set component.address=unix:" .. path)
    kill(running.pids[1], "KILL")
    kill(running.pids[2], "KILL")
    local stream <close> = assert(net.connect("unix:" .. path))
    local _, pid = ask(stream, "x")
    assert.not_equal(running.pids[1], pid)
    assert.not_equal(running.pids[2], pid)
    kill(running.supervisor, "TERM")
    assert.equal(0, running:finish().status)
    assert.is_nil(io.open(path))
    assert.equal("ENOENT", select(2, net.connect("unix:" .. path)).code)
  end)

  it("have a socket of an address once, and of any port as often as they ask", function()
    local at <close> = command_line.new {
      ["app.yaml"] = "workers: 2\ncomponent.type: ./two.lua",
      ["two.lua"] = [[
        local net <const> = require "ahost.net"
        return { start = function()
          local one <const>, two = assert(net.listen "127.0.0.1:0"), nil
          two = assert(net.listen "127.0.0.1:0")
          local _, err = net.listen(one:address())
          print("ports", one:address(), two:address(), err and err.code)
          one:close()
          two = assert(net.listen "127.0.0.1:0")
          print("again", two:address())
          io.stdout:flush()
        end }]],
    }
    local running <close> = at:start "run app.yaml"
    local one, two, code = find_line(running, "^ports\t(.-)\t(.-)\t(.*)$")
    assert.not_equal(one, two)
    assert.equal("EADDRINUSE", code)
    assert.equal(one, find_line(running, "^again\t(.*)$"))
    assert.same({ one, two, code }, { find_line(running, "^ports\t(.-)\t(.-)\t(.*)$") })
  end)

  it("do not share a port with another program", function()
    local at <close> = new(TWO)
    local running <close> = start(at, 2)
    local result <const> = at:run("run app.yaml --set workers.max_restarts=0 "
      .. "--set component.address=" .. running.address)
    assert.equal(1, result.status)
    assert.matches("EADDRINUSE", result.err)
    local listener <const>, err = net.listen(running.address)
    assert.is_nil(listener)
    assert.equal("EADDRINUSE", err.code)
  end)

  it("share a socket that their supervisor was started with", function()
    local at <close> = new(TWO)
    service_manager.install(at)
    local running <close> = meet(subprocess.start(at:script(
      "exec perl pass.pl port=web -- $ahost run app.yaml "
      .. "--set component.address=fd:web")), 2)
    kill(running.pids[1], "KILL")
    kill(running.pids[2], "KILL")
    local _, pid = call(running.address)
    assert.not_equal(running.pids[1], pid)
    assert.not_equal(running.pids[2], pid)
  end)

  it("tell each other by broadcasts, in the same order", function()
    local at <close> = command_line.new {
      ["app.yaml"] = "workers: 3\ncomponent.type: ./talk.lua",
      ["talk.lua"] = [[
        local host <const> = require "ahost.host"
        return { start = function(_, ctx)
          local bus <const>, heard <const>, there = ctx:require "bus", {}, 0
          bus:subscribe("say", function(_, from, number, more, none)
            assert(more.list[2] == "b" and none == nil)
            heard[#heard + 1] = from .. ":" .. number
            if #heard == 30 then
              print("heard", table.concat(heard, " "))
              io.stdout:flush()
            end
          end)
          bus:subscribe("here", function(_, from)
            if from > there then there = from end
          end)
          ctx:spawn(function()
            require "ahost.task".sleep(0.1)
            repeat
              bus:broadcast("here", host.worker)
              require "ahost.task".sleep(0.05)
            until there == 3
            for i = 1, 10 do
              bus:broadcast("say", host.worker, i, { list = { "a", "b" } }, nil)
            end
          end)
          local ok, err = pcall(bus.broadcast, bus, "say", print)
          assert(not ok and err:find "broadcast 'say'", err)
        end }]],
    }
    local running <close> = at:start "run app.yaml"
    local first <const> = find_line(running, "^heard\t(.*)$")
    assert.equal(first, find_line(running, "^heard\t(.*)$"))
    assert.equal(first, find_line(running, "^heard\t(.*)$"))
    local last <const> = {}
    for from, number in first:gmatch "(%d+):(%d+)" do
      assert.equal((last[from] or 0) + 1, tonumber(number))
      last[from] = tonumber(number)
    end
  end)
end)

describe("broadcasts", function()
  it("are lost for a worker that takes none, and for nobody else", function()
    local at <close> = command_line.new {
      ["app.yaml"] = "workers: 2\nstop_timeout: 1\ncomponent.type: ./flood.lua",
      ["flood.lua"] = [[
        local bus <const>, host <const> = require "ahost.bus", require "ahost.host"
        local net <const>, task <const> = require "ahost.net", require "ahost.task"
        return { start = function(_, ctx)
          local bus <const>, count, last = ctx:require "bus", 0, nil
          bus:subscribe("flood", function(_, number) count, last = count + 1, number end)
          local server <const> = assert(net.serve("127.0.0.1:0", function(stream)
            for line in stream:lines() do
              last = nil
              for i = 1, line == "flood" and 2000 or 0 do
                while not bus:broadcast("flood", i, ("x"):rep(1000)) do task.yield() end
              end
              if line == "flood" then
                while last ~= 2000 do task.yield() end
              end
              stream:write(("%s %d %d\n"):format(line, host.worker, count))
            end
          end))
          print("up", host.worker, host.workers, require "ahost.process".pid,
            require "ahost.process".ppid, server:address())
          io.stdout:flush()
        end }]],
    }
    local running <close> = start(at, 2)
    local streams <const> = {}
    until_true(function()
      local stream <const> = assert(net.connect(running.address))
      streams[ask(stream, "hello")] = stream
      return #streams == 2
    end)
    kill(running.pids[1], "STOP")
    assert.same({ 2, 2000 }, { ask(streams[2], "flood") })
    find_line(running, "worker 1 %(pid " .. running.pids[1] .. "%) does not listen; "
      .. "broadcasts to it are lost")
    kill(running.pids[1], "CONT")
    local _, count = ask(streams[1], "count")
    assert.is_true(count < 1900, count)
    assert.same({ 2, 4000 }, { ask(streams[2], "flood") })
    until_true(function() return select(2, ask(streams[1], "count")) > count + 1000 end)
  end)

  it("are published later where there are no workers", function()
    local bus <const> = require "ahost.bus"
    local one <const>, heard = bus.new(), nil
    one:subscribe("x", function(_, value) heard = value end)
    assert.is_true(one:broadcast("x", print))
    assert.is_nil(heard)
    until_true(function() return heard == print end)
    local sent
    local two <const> = bus.new(function(...)
      sent = table.pack(...)
      return false
    end)
    two:subscribe("x", function() heard = "two" end)
    assert.is_false(two:broadcast("x", nil, 1, nil))
    assert.same(table.pack("x", nil, 1, nil), sent)
    task.sleep(0.001)
    assert.equal(print, heard)
    assert.error_matches(function() bus.new(1) end, "function expected")
    assert.error_matches(function() one:broadcast(print) end, "string expected")
  end)
end)

describe("the supervisor of workers", function()
  it("answers ahost ctl, by itself or by its workers", function()
    local at <close> = new(TWO .. "control: {path: ./socket, name: shop}\n")
    local running <close> = start(at, 2)
    local function ctl(words) return at:run("ctl app.yaml " .. words) end
    until_true(function() return ctl "ping".out:find "^shop: running" end)
    assert.matches("^shop: running, process " .. running.supervisor, ctl "ping".out)
    local result = ctl "status components"
    assert.equal(0, result.status)
    for index, pid in ipairs(running.pids) do
      assert.matches(("worker %d, process %d:\nCOMPONENT"):format(index, pid), result.out)
    end
    command_line.is(ctl "--worker 2 log debug", 0, "all loggers: debug\n")
    command_line.is(ctl "log", 0, ("worker 1, process %d:\nall loggers: notice\n"
      .. "worker 2, process %d:\nall loggers: debug\n"):format(running.pids[1],
      running.pids[2]))
    command_line.is(ctl "--worker 3 log", 1, "", "ahost ctl: no worker 3 runs\n")
    result = ctl "nonsense"
    assert.equal(1, result.status)
    assert.matches("worker 1, process %d+:\nno command 'nonsense'", result.out)
    command_line.is(ctl "restart", 0)
    until_true(function()
      return not alive(running.pids[1]) and not alive(running.pids[2])
    end)
    assert.not_matches("the supervisor has gone", ctl "status".out)
    call(running.address)
    command_line.is(ctl "stop 3 --wait", 0)
    result = running:finish()
    assert.equal(3, result.status)
    assert.not_matches("supervisor has gone", result.out)
  end)

  local STUBBORN <const> = [[
    local task <const> = require "ahost.task"
    return { start = function(_, ctx)
      ctx:on_close(function() task.sleep(1000) end)
      print("up", 1, 2, require "ahost.process".pid, require "ahost.process".ppid, "-")
      io.stdout:flush()
      require "ahost.process".signal("TERM"):connect(function() end)
    end }]]

  it("kills a worker that does not stop", function()
    local at <close> = command_line.new {
      ["app.yaml"] = "workers: 1\nstop_timeout: 100ms\ncomponent.type: ./stubborn.lua",
      ["stubborn.lua"] = STUBBORN,
    }
    local running <close> = at:start "run app.yaml"
    local _, _, pid, supervisor = find_line(running, UP)
    kill(supervisor, "TERM")
    local result <const> = running:finish()
    assert.matches("worker 1 %(pid " .. pid .. "%) did not end within 1.1 s and is "
      .. "killed", result.out)
    assert.equal(1, result.status)
    assert.is_false(alive(pid))
  end)

  it("says whom it waits for, and ends all at once when told for the third time",
    function()
      local at <close> = command_line.new {
        ["app.yaml"] = "workers: 1\nstop_timeout: 60\ncomponent.type: ./stubborn.lua",
        ["stubborn.lua"] = STUBBORN,
      }
      local running <close> = at:start "run app.yaml"
      local _, _, pid, supervisor = find_line(running, UP)
      kill(supervisor, "TERM")
      task.sleep(0.1) -- or the kernel takes two for one
      kill(supervisor, "INT")
      find_line(running, "still waiting for worker 1 %(pid " .. pid .. "%)")
      assert.is_true(alive(pid))
      kill(supervisor, "TERM")
      assert.equal(70, running:finish().status)
      until_true(function() return not alive(pid) end)
    end)

  it("is a daemon, and its workers leave the terminal too", function()
    local at <close> = new("workers: 2\ncomponent.type: ./echo.lua\n"
      .. "daemon: {pidfile: ./app.pid, working_dir: /}\n")
    local result <const> = at:run "-d run app.yaml"
    assert.equal(0, result.status, result.err)
    local pids <const> = {}
    for pid in result.out:gmatch "up\t%d+\t2\t(%d+)" do
      pids[#pids + 1] = tonumber(pid)
    end
    assert.equal(2, #pids)
    for _, pid in ipairs(pids) do
      assert.equal("/dev/null\n/\n",
        at:shell(("readlink /proc/%d/fd/1 /proc/%d/cwd"):format(pid, pid)).out)
    end
    kill(tonumber(at:read "app.pid"), "USR2")
    until_true(function() return not alive(pids[1]) and not alive(pids[2]) end)
    assert.equal(0, at:run "-k run app.yaml".status)
    call_refused(result.out:match "\t(%S+)\n")
  end)

  it("tells systemd when all have started", function()
    local at <close> = new(TWO)
    service_manager.install(at)
    local path <const> = at.directory .. "/notify"
    local hearing <close> = service_manager.hear(at, path)
    local running <close> = meet(subprocess.start(at:script(
      ("NOTIFY_SOCKET=%s exec $ahost run app.yaml"):format(subprocess.quote(path)))), 2)
    assert.equal("STATUS=starting", hearing:read_line())
    assert.equal(("MAINPID=%d|READY=1|STATUS=running"):format(running.supervisor),
      hearing:read_line())
    kill(running.supervisor, "TERM")
    assert.equal("STATUS=stopping|STOPPING=1", hearing:read_line())
  end)

  it("gives up when a worker ends too often", function()
    local at <close> = command_line.new {
      ["app.yaml"] = "workers: {count: 1, backoff: 0, max_restarts: 2}\n"
        .. "component.type: ./bad.lua",
      ["bad.lua"] = "return { start = function() error 'bad' end }",
    }
    local result <const> = at:run "run app.yaml"
    assert.equal(1, result.status)
    assert.equal(2, select(2, result.err:gsub("; starting it again in 0 s", "")))
    assert.matches("ended with status 1; it was restarted 2 times within 60 s: giving up",
      result.err)
  end)

  it("finds mistakes before it starts anything", function()
    local at <close> = command_line.new {
      ["a.yaml"] = "workers: 0\ncomponent.type: ./serve.lua",
      ["b.yaml"] = "workers:\n  cuont: 2\n  backoff: {first: soon}\n"
        .. "component.type: ./serve.lua",
      ["c.yaml"] = "workers: auto\ncomponent.type: ./run.lua",
      ["d.yaml"] = "workers: {count: auto, backoff: {first: 1s, maximum: 2}}\n"
        .. "component.type: ./serve.lua",
      ["serve.lua"] = "return {}",
      ["run.lua"] = "return { run = function() end }",
    }
    local function refused(file, message)
      command_line.is(at:run("run " .. file), 2, "", message)
      command_line.is(at:run("check " .. file), 2, "", message)
    end
    refused("a.yaml",
      "a.yaml:1:1: workers.count: write a number from 1 to 256, or auto (one for each "
      .. "processor)\n")
    refused("b.yaml", 'b.yaml:1:1: workers.count: is required, but missing\n'
      .. 'b.yaml:2:3: workers.cuont: unknown option (did you mean "count"?)\n')
    refused("c.yaml", "c.yaml:1:1: workers: the root component has a `run`, whose end "
      .. "ends the application; run it without workers\n")
    refused("d.yaml", "d.yaml:1:45: workers.backoff.maximum: unknown option (known are: "
      .. "factor, first, max)\n")
  end)

  it("is missed by who only looks like a worker", function()
    local at <close> = new(TWO)
    local result = at:shell "AHOST_WORKER=1/2 $ahost run app.yaml 3<&- 4<&-"
    assert.equal(2, result.status)
    assert.matches("AHOST_WORKER is '1/2', but this is no worker of a supervisor",
      result.err)
    result = at:shell "AHOST_WORKER=x $ahost run app.yaml"
    assert.equal(2, result.status)
  end)
end)
