-- Connecting: failures, time limits, names, and several addresses of one.

local context <const> = require "ahost.context"
local core <const> = require "ahost.net.core"
local net <const> = require "ahost.net"
local task <const> = require "ahost.task"
local testing <const> = require "ahost.testing"
local stream_pair <const> = require "spec.stream_pair"

--- The code of the error of a call that failed.
local function code_of(result, err)
  assert.is_nil(result)
  return err and err.code
end

--- How many descriptors this process has, counted when popen has closed the
--- end of the pipe that is the child's.
local function descriptors()
  local path <const> = os.tmpname()
  local command <const> = "read go; ls /proc/$PPID/fd | wc -l >" .. path
  local pipe <const> = assert(io.popen(command, "w"))
  pipe:write("go\n")
  pipe:close()
  local file <close> = assert(io.open(path))
  os.remove(path)
  return file:read("n")
end

--- An address that nobody listens on.
local function refusing()
  local listener <close> = assert(net.listen("127.0.0.1:0"))
  return listener:address()
end

--- Calls fn(address) with one whose backlog is full: connections to it hang.
local function with_blackhole(fn)
  local listener <close> = assert(net.listen("127.0.0.1:0", { backlog = 1 }))
  local waiting <const> = {}
  while true do
    local stream, err = net.connect(listener:address(), { timeout = 0.1 })
    if not stream then
      assert.equal("TIMEDOUT", err.code)
      break
    end
    waiting[#waiting + 1] = stream
  end
  fn(listener:address(), listener)
  for _, one in ipairs(waiting) do one:close() end
end

--- Runs fn while every name has these addresses.
local function with_addresses(addresses, fn)
  local resolve <const> = core.resolve
  finally(function() core.resolve = resolve end)
  core.resolve = function() return addresses end
  fn()
  core.resolve = resolve
end

describe("net.connect", function()
  it("says that nobody listens", function()
    local address <const> = refusing()
    local stream, err = net.connect(address)
    assert.is_nil(stream)
    assert.equal("ECONNREFUSED", err.code)
    assert.equal("connect " .. address .. ": connection refused (ECONNREFUSED)",
      tostring(err))
  end)

  it("takes strings and tables, and means loopback without a host", function()
    local listener <close> = assert(net.listen(":0"))
    local port <const> = tonumber(listener:address():match("%d+$"))
    for _, address in ipairs({
      "127.0.0.1:" .. port, "[::1]:" .. port, ":" .. port, "localhost:" .. port,
      { host = "127.0.0.1", port = port }, { host = "::1", port = tostring(port) },
      { port = port }, { host = "localhost", port = port },
    }) do
      local stream <close> = assert(net.connect(address))
      assert.equal(stream:address(), assert(listener:accept()):peer())
    end
  end)

  it("raises on misuse", function()
    local refused <const> = {
      function() net.connect() end,
      function() net.connect("127.0.0.1") end,
      function() net.connect("127.0.0.1:99999") end,
      function() net.connect("unix:/" .. ("x"):rep(108)) end,
      function() net.connect(5) end,
      function() net.connect("127.0.0.1:1", 5) end,
      function() net.connect("127.0.0.1:1", { timeout = -1 }) end,
      function() net.connect("127.0.0.1:1", { timeout = "soon" }) end,
      function() net.connect("localhost:1", { timeout = 0 / 0 }) end,
    }
    for i, call in ipairs(refused) do assert.has_error(call, nil, "case " .. i) end
  end)

  it("leaves from a local address", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    for _, address in ipairs({ listener:address(),
      (listener:address():gsub("127.0.0.1", "localhost")) }) do
      local a <close> = assert(net.connect(address, { local_address = "127.0.0.2:0" }))
      assert.matches("^127%.0%.0%.2:%d+$", a:address())
      assert.equal(a:address(), assert(listener:accept()):peer())
    end
    assert.equal("EADDRNOTAVAIL",
      code_of(net.connect(listener:address(), { local_address = "192.0.2.77:0" })))
    assert.equal("EADDRINUSE",
      code_of(net.connect(listener:address(), { local_address = listener:address() })))
  end)

  it("raises on a local address that is a name, or none", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    for _, address in ipairs({ listener:address(), "localhost:1", "unix:@nobody" }) do
      for _, bad in ipairs({ "localhost:0", "127.0.0.1", "unix:/x", ":0", 5, false }) do
        assert.error_matches(function()
          net.connect(address, { local_address = bad })
        end, "local_address")
      end
    end
  end)

  it("gives up when its time is up, and leaks nothing", function()
    with_blackhole(function(address)
      local clock <close> = testing.clock()
      local before <const> = descriptors()
      for _ = 1, 5 do
        local stream, err = net.connect(address, { timeout = 100 })
        assert.is_nil(stream)
        assert.equal("TIMEDOUT", err.code)
        assert.matches("connect " .. address, tostring(err), 1, true)
      end
      assert.equal(500, clock:now())
      task.sleep(0)
      assert.equal(before, descriptors())
    end)
  end)

  it("can be cancelled on the way, and leaks nothing", function()
    with_blackhole(function(address)
      local before <const> = descriptors()
      local connecting = {}
      for i = 1, 5 do connecting[i] = task.spawn(net.connect, address) end
      task.sleep(0.01)
      assert.equal(before + 5, descriptors())
      for i = 1, 5 do connecting[i]:cancel() end
      for i = 1, 5 do assert.equal("CANCELLED", select(2, connecting[i]:join()).code) end
      task.sleep(0)
      assert.equal(before, descriptors())
    end)
  end)

  it("is CLOSED with the context that the stream belongs to", function()
    with_blackhole(function(address)
      local before <const> = descriptors()
      local ctx <const> = context.new()
      local connecting <const> = ctx:spawn(net.connect, address)
      task.sleep(0.01)
      ctx:close()
      assert.is_nil((connecting:join()))
      task.sleep(0)
      assert.equal(before, descriptors())
    end)
  end)

  it("to a Unix socket waits while the backlog is full", function()
    local name <const> = ("unix:@ahost-%s"):format(tostring({}):match("0x%x+"))
    local listener <close> = assert(net.listen(name, { backlog = 1 }))
    local connecting = {}
    for i = 1, 10 do connecting[i] = task.spawn(net.connect, name) end
    task.yield()
    assert.equal("TIMEDOUT", code_of(net.connect(name, { timeout = 0.03 })))
    for _ = 1, 10 do assert(listener:accept()) end
    for i = 1, 10 do assert(connecting[i]:join()) end
  end)

  it("to a name that nobody has says so", function()
    local name <const> = ("x"):rep(64)
    local _, err = net.connect(name .. ":1", { timeout = 60 })
    assert.matches("^EAI_", err.code)
    assert.matches(name, tostring(err), 1, true)
  end)
end)

describe("a name with several addresses", function()
  it("is connected to where somebody listens", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    for _, addresses in ipairs({
      { refusing(), listener:address() },
      { listener:address(), refusing() },
      { "[::1]:1", refusing(), listener:address(), "[::1]:1" },
    }) do
      with_addresses(addresses, function()
        local a <close> = assert(net.connect("somebody:1"))
        assert.equal(listener:address(), a:peer())
        assert.equal(a:address(), assert(listener:accept()):peer())
      end)
    end
  end)

  it("is tried beside one that does not answer, which is given up then", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    with_blackhole(function(blackhole)
      local before <const> = descriptors()
      with_addresses({ blackhole, listener:address() }, function()
        do
          local a <close> = assert(net.connect("somebody:1"))
          assert.equal(listener:address(), a:peer())
          listener:accept():close()
          assert.same({ n = 1 }, table.pack(a:read()))
        end
        stream_pair.eventually(function() return descriptors() == before end)
      end)
    end)
  end)

  it("gives the first failure when all fail", function()
    with_addresses({ refusing(), "192.0.2.77:0" }, function()
      assert.equal("ECONNREFUSED", code_of(net.connect("somebody:1")))
    end)
  end)

  it("has one time limit for all", function()
    with_blackhole(function(blackhole)
      with_addresses({ blackhole, blackhole, blackhole, blackhole }, function()
        local clock <close> = testing.clock()
        local before <const> = descriptors()
        assert.equal("TIMEDOUT", code_of(net.connect("somebody:1", { timeout = 0.6 })))
        assert.near(0.6, clock:now(), 1e-6)
        task.sleep(0)
        assert.equal(before, descriptors())
      end)
    end)
  end)

  it("lets go of a connection that came second", function()
    local one <close> = assert(net.listen("127.0.0.1:0"))
    with_blackhole(function(blackhole, listener)
      with_addresses({ blackhole, one:address() }, function()
        local connecting <const> = task.spawn(net.connect, "somebody:1")
        local first <const> = assert(one:accept())
        assert.equal(first:peer(), connecting:join():address())
        assert.is_string(listener:address())
      end)
    end)
  end)

  it("can be cancelled on the way, and leaks nothing", function()
    with_blackhole(function(blackhole)
      local before <const> = descriptors()
      with_addresses({ blackhole, blackhole }, function()
        local connecting <const> = task.spawn(net.connect, "somebody:1")
        task.sleep(0.3)
        connecting:cancel()
        assert.equal("CANCELLED", select(2, connecting:join()).code)
        stream_pair.eventually(function() return descriptors() == before end)
      end)
    end)
  end)
end)
