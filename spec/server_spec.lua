-- Servers: a task and a context for each connection, limits, and how they end.

local context <const> = require "ahost.context"
local net <const> = require "ahost.net"
local task <const> = require "ahost.task"
local subprocess <const> = require "spec.subprocess"
local gc_stress <const> = require "spec.gc_stress"
local stream_pair <const> = require "spec.stream_pair"

local eventually <const> = stream_pair.eventually

--- The code of the error of a call that failed.
local function code_of(result, err)
  assert.is_nil(result)
  return err and err.code
end

local function echo(stream)
  for line in stream:lines() do assert(stream:write(line, "\n")) end
end

--- Sends a line and expects it back.
local function check_echo(stream, line)
  assert(stream:write(line, "\n"))
  assert.equal(line, (stream:read_line()))
end

local function serve(handler, opts)
  return assert(net.serve("127.0.0.1:0", handler, opts))
end

local function connect(server) return assert(net.connect(server:address())) end

--- Runs a script by `ahost -v` behind shell commands; fails unless it ends well.
local function run(source, before)
  local script <const> = (before or "") .. "\n" .. subprocess.script(source)
  local result <const> = subprocess.shell(script)
  assert.equal(0, result.status, result.err)
  return result
end

describe("net.serve", function()
  it("runs the handler for each connection and closes the stream behind it", function()
    local server <close> = serve(function(stream)
      stream:write("hello ", stream:peer())
    end)
    for _ = 1, 5 do
      local stream <close> = connect(server)
      assert.equal("hello " .. stream:address(), (stream:read_all()))
    end
    eventually(function() return server:count() == 0 end)
  end)

  it("serves many at once", function()
    local server <close> = serve(echo)
    local streams = {}
    for i = 1, 200 do streams[i] = connect(server) end
    for round = 1, 3 do
      for i = 1, 200 do streams[i]:write(round, " ", i, "\n") end
      for i = 1, 200 do assert.equal(round .. " " .. i, (streams[i]:read_line())) end
    end
    assert.equal(200, server:count())
    for i = 1, 200 do streams[i]:close() end
    eventually(function() return server:count() == 0 end)
  end)

  it("serves Unix sockets and names", function()
    for _, address in ipairs({ "unix:@ahost-" .. tostring({}), "localhost:0" }) do
      local server <close> = assert(net.serve(address, echo))
      local stream <close> = assert(net.connect(server:address()))
      check_echo(stream, "hello")
    end
  end)

  it("raises on misuse", function()
    local refused <const> = {
      function() net.serve("127.0.0.1:0") end,
      function() net.serve("127.0.0.1:0", {}) end,
      function() net.serve(nil, print) end,
      function() net.serve("127.0.0.1:0", print, { limit = 0 }) end,
      function() net.serve("127.0.0.1:0", print, { limit = "few" }) end,
      function() net.serve("127.0.0.1:0", print, { backlog = 0 }) end,
      function() net.serve("127.0.0.1:0", print, 5) end,
    }
    for i, call in ipairs(refused) do assert.has_error(call, nil, "case " .. i) end
  end)

  it("takes no more connections at once than its limit; others wait", function()
    local most, now = 0, 0
    local server <close> = serve(function(stream)
      now = now + 1
      most = math.max(most, now)
      echo(stream)
      now = now - 1
    end, { limit = 3 })
    local streams = {}
    for i = 1, 9 do
      streams[i] = connect(server)
      streams[i]:write(i, "\n")
    end
    for i = 1, 9 do
      assert.equal(tostring(i), (streams[i]:read_line()))
      assert.is_true(server:count() <= 3)
      if i + 3 <= 9 then
        assert.equal("TIMEDOUT", code_of(streams[i + 3]:read_line(10, 0)))
      end
      streams[i]:close()
    end
    assert.equal(3, most)
  end)

  it("gives each connection a context that ends what the handler started", function()
    local ended, child, ctx = 0, nil, nil
    local server <close> = serve(function(stream)
      ctx = context.current()
      ctx:on_close(function() ended = ended + 1 end)
      child = task.spawn(function() stream:read() end)
      local other <const> = context.current()
      other:spawn(task.sleep, 3600)
      stream:write("ready\n")
    end)
    local stream <close> = connect(server)
    assert.equal("ready", (stream:read_line()))
    assert.same({ n = 1 }, table.pack(stream:read()))
    eventually(function() return server:count() == 0 end)
    assert.equal(1, ended)
    assert.equal("closed", ctx:state())
    assert.not_equal("running", child:status())
  end)

  it("lets a slow reader delay nobody", function()
    local data <const> = ("x"):rep(1 << 20)
    local server <close> = serve(function(stream)
      for line in stream:lines() do
        if line == "flood" then
          repeat until not stream:write(data)
          return
        end
        assert(stream:write(line, "\n"))
      end
    end)
    local slow <close> = connect(server)
    slow:write("flood\n")
    local fast = {}
    for i = 1, 5 do fast[i] = connect(server) end
    for round = 1, 50 do
      for i = 1, 5 do check_echo(fast[i], round .. "/" .. i) end
    end
    assert.equal(100, #slow:read_exactly(100))
    slow:close(0.1)
    eventually(function() return server:count() == 5 end)
    for i = 1, 5 do fast[i]:close() end
  end)

  it("lets a greedy handler not starve the others", function()
    local server <close> = serve(function(stream)
      while true do
        assert(stream:write("x"))
        stream:read_exactly(0)
      end
    end)
    local greedy <close> = connect(server)
    task.spawn(function()
      while greedy:read() do end
    end)
    for _ = 1, 20 do task.sleep(0.001) end
    assert.equal(1, server:count())
  end)
end)

describe("server:close", function()
  it("cancels the handlers at once without a grace", function()
    local server <const> = serve(function(stream)
      stream:write("in\n")
      stream:read()
    end)
    local address <const> = server:address()
    local stream <close> = connect(server)
    assert.equal("in", (stream:read_line()))
    assert.is_true(server:close())
    assert.equal(0, server:count())
    assert.same({ n = 1 }, table.pack(stream:read()))
    assert.equal("CLOSED", code_of(server:address()))
    assert.equal("ECONNREFUSED", code_of(net.connect(address)))
    assert.is_true(server:close())
    assert.is_true(server:close(1))
  end)

  it("lets handlers end within the grace, but takes no new connections", function()
    local server <const> = serve(echo)
    local address <const> = server:address()
    local stream <const> = connect(server)
    check_echo(stream, "before")
    local closing <const> = task.spawn(server.close, server, 60)
    task.yield()
    assert.equal("ECONNREFUSED", code_of(net.connect(address)))
    check_echo(stream, "meanwhile")
    assert.equal("running", closing:status())
    stream:close()
    assert.is_true(closing:join())
  end)

  it("cancels those that are left after the grace", function()
    local outcome
    local server <const> = serve(function(stream)
      local ok, err = pcall(echo, stream)
      outcome = ok or err.code
      error(err)
    end)
    local stream <close> = connect(server)
    check_echo(stream, "before")
    assert.is_true(server:close(0.01))
    assert.equal("CANCELLED", outcome)
    assert.same({ n = 1 }, table.pack(stream:read()))
  end)

  it("may be called by several at once", function()
    local server <const> = serve(echo)
    local stream <close> = connect(server)
    check_echo(stream, "x")
    local closing = {}
    for i = 1, 4 do closing[i] = task.spawn(server.close, server, i == 1 and 60 or 0) end
    for i = 1, 4 do assert.is_true(closing[i]:join()) end
  end)

  it("may be called by a handler", function()
    local server, after
    server = serve(function(stream)
      stream:write("bye\n")
      server:close()
      after = true
    end)
    local one <close> = connect(server)
    assert.equal("bye", (one:read_line()))
    eventually(function() return server:count() == 0 end)
    assert.is_true(after)
    assert.is_true(server:close())
  end)

  it("raises on what is no grace", function()
    local server <close> = serve(echo)
    for _, grace in ipairs({ -1, "long", {} }) do
      assert.has_error(function() server:close(grace) end)
    end
    local stream <close> = connect(server)
    check_echo(stream, "still there")
  end)

  it("comes with the context of the server", function()
    local stream, address
    context.scope(function()
      local server <const> = serve(echo)
      address = server:address()
      stream = connect(server)
      check_echo(stream, "x")
    end)
    assert.equal("ECONNREFUSED", code_of(net.connect(address)))
  end)

  it("does not come when nobody holds the server", function()
    local address <const> = (function() return serve(echo):address() end)()
    collectgarbage()
    collectgarbage()
    local stream <close> = assert(net.connect(address))
    check_echo(stream, "still there")
  end)
end)

describe("a failing handler", function()
  it("ends its own connection only", function()
    local server <close> = serve(function(stream)
      for line in stream:lines(10) do
        if line == "die" then error(setmetatable({}, { __tostring = "x" })) end
        assert(stream:write(line, "\n"))
      end
    end)
    local one <close> = connect(server)
    check_echo(one, "one")
    local two <close> = connect(server)
    two:write(("x"):rep(100))
    assert.same({ n = 1 }, table.pack(two:read()))
    check_echo(one, "still")
  end)

  it("is logged: the world's errors at debug, others at error", function()
    local result <const> = run([[
      local net <const> = require "ahost.net"
      local task <const> = require "ahost.task"
      local server <close> = assert(net.serve("127.0.0.1:0", function(stream)
        local line = assert(stream:read_line(5))
        if line == "bug" then error("a bug of ours") end
      end))
      local function send(text)
        local stream <close> = assert(net.connect(server:address()))
        stream:write(text)
        stream:read()
      end
      send("bug\n")
      send("far too long\n")
      while server:count() > 0 do task.sleep(0.001) end
    ]])
    assert.matches("ERROR [%w.]+: [^\n]*a bug of ours\nstack traceback", result.err)
    assert.matches("DEBUG [%w.]+: [^\n]*TOOLONG", result.err)
    assert.not_matches("ERROR [^\n]*TOOLONG", result.err)
  end)
end)

describe("a server in want of descriptors", function()
  it("says so once, does not spin, and serves those that wait in time", function()
    local result <const> = run([[
      local net <const> = require "ahost.net"
      local task <const> = require "ahost.task"
      local server <close> = assert(net.serve("127.0.0.1:0", function(stream)
        for line in stream:lines() do stream:write(line, "\n") end
      end))
      local streams = {}
      while true do
        local stream, err = net.connect(server:address())
        if not stream then
          assert(err.code == "EMFILE", err)
          break
        end
        streams[#streams + 1] = stream
      end
      for _, stream in ipairs(streams) do stream:write("hello\n") end
      local cpu = os.clock()
      task.sleep(0.5)
      cpu = os.clock() - cpu
      -- each that is closed makes room for another
      local echoed, rounds = 0, 0
      for _, stream in ipairs(streams) do
        if stream:read_line(10, 5) == "hello" then echoed = echoed + 1 end
        stream:close()
      end
      print(#streams > 10 and "many", echoed == #streams, cpu < 0.25)
    ]], "ulimit -n 50")
    assert.equal("many\ttrue\ttrue\n", result.out, result.err)
    local _, messages = result.err:gsub("cannot accept connections", "")
    assert.equal(1, messages, result.err)
  end)
end)

describe("a process", function()
  it("serves 5,000 connections", function()
    local count <const> = gc_stress() and 200 or 5000
    local server <const> = subprocess.script([[
      local net <const> = require "ahost.net"
      local host <const> = require "ahost.host"
      local server = assert(net.serve("127.0.0.1:0", function(stream)
        for line in stream:lines() do
          if line == "stop" then return host.stop() end
          assert(stream:write(line, "\n"))
        end
      end))
      io.stdout:write(server:address(), "\n")
      io.stdout:flush()
    ]])
    local client <const> = subprocess.script([[
      local net <const> = require "ahost.net"
      local command, count = ...
      local server = io.popen(command)
      local address = server:read("l")
      local streams = {}
      for i = 1, count do streams[i] = assert(net.connect(address)) end
      for round = 1, 3 do
        for i, stream in ipairs(streams) do stream:write(round, " ", i, "\n") end
        for i, stream in ipairs(streams) do
          assert(stream:read_line() == round .. " " .. i)
        end
      end
      streams[1]:write("stop\n")
      for i = 2, count do assert(streams[i]:read() == nil) end
      print(server:close())
    ]], server, tostring(count))
    local result <const> = subprocess.shell("ulimit -n 12000\n" .. client)
    assert.equal("true\texit\t0\n", result.out, result.err)
  end)
end)
