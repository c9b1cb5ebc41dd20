-- Listeners: accepting, and the sockets that they listen on.

local context <const> = require "ahost.context"
local host <const> = require "ahost.host"
local net <const> = require "ahost.net"
local task <const> = require "ahost.task"
local subprocess <const> = require "spec.subprocess"

--- The code of the error of a call that failed.
local function code_of(result, err)
  assert.is_nil(result)
  return err and err.code
end

--- Calls fn(directory) with one that is removed with all that is in it.
local function with_directory(fn)
  local directory <const>, remove <const> = subprocess.directory()
  finally(remove)
  fn(directory)
end

local function exists(path)
  return os.execute("test -e " .. subprocess.quote(path)) == true
end

describe("listener:accept", function()
  it("waits for a connection", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local accepting <const> = task.spawn(listener.accept, listener)
    task.sleep(0)
    assert.equal("running", accepting:status())
    local a <close> = assert(net.connect(listener:address()))
    assert.equal(a:address(), accepting:join():peer())
  end)

  it("takes at once what waits in the backlog", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local connections = {}
    for i = 1, 10 do connections[i] = assert(net.connect(listener:address())) end
    for i = 1, 10 do assert.equal(connections[i]:address(), listener:accept(0):peer()) end
    assert.equal("TIMEDOUT", code_of(listener:accept(0)))
  end)

  it("gives up when its time is up, and can be tried again", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    assert.equal("TIMEDOUT", code_of(listener:accept(0)))
    assert.equal("TIMEDOUT", code_of(listener:accept(0.001)))
    local a <close> = assert(net.connect(listener:address()))
    assert.equal(a:address(), assert(listener:accept(60)):peer())
    assert.has_error(function() listener:accept(-1) end)
    assert.has_error(function() listener.accept({}) end)
  end)

  it("serves those who wait in their order, and nobody overtakes", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local order, waiting = {}, {}
    for i = 1, 5 do
      waiting[i] = task.spawn(function()
        local stream = assert(listener:accept())
        order[#order + 1] = i
        return stream
      end)
    end
    task.yield()
    waiting[2]:cancel()
    local connections = {}
    for i = 1, 6 do connections[i] = assert(net.connect(listener:address())) end
    local last <const> = assert(listener:accept())
    assert.same({ 1, 3, 4, 5 }, order)
    for i, at in ipairs({ 1, 3, 4, 5 }) do
      assert.equal(connections[i]:address(), waiting[at]:join():peer())
    end
    assert.equal(connections[5]:address(), last:peer())
  end)

  it("keeps the time of those whom a connection did not reach", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local patient <const> = task.spawn(listener.accept, listener)
    local hasty <const> = task.spawn(listener.accept, listener, 0.02)
    task.yield()
    local a <close> = assert(net.connect(listener:address()))
    assert.equal(a:address(), patient:join():peer())
    assert.equal("TIMEDOUT", select(2, hasty:join()).code)
  end)

  it("loses no connection to a cancellation that races with it", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local got, connections = 0, {}
    for i = 1, 100 do
      local accepting <const> = task.spawn(listener.accept, listener)
      task.yield()
      connections[i] = assert(net.connect(listener:address()))
      accepting:cancel()
      if accepting:join() then got = got + 1 end
    end
    while listener:accept(0) do got = got + 1 end
    assert.equal(#connections, got)
  end)

  it("gives streams to the context of the task that accepts", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local stream
    local scope <const> = task.spawn(context.scope, function()
      stream = assert(listener:accept())
    end)
    task.yield()
    local a <close> = assert(net.connect(listener:address()))
    scope:join()
    assert.equal("CLOSED", code_of(stream:read()))
    assert.same({ n = 1 }, table.pack(a:read()))
  end)

  it("lets others run while connections are plenty", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local turns, stop = 0, false
    task.spawn(function()
      while not stop do
        turns = turns + 1
        task.yield()
      end
    end)
    for _ = 1, 3 do
      local connections = {}
      for i = 1, 150 do connections[i] = assert(net.connect(listener:address())) end
      local before <const> = turns
      for i = 1, 150 do connections[i + 150] = assert(listener:accept()) end
      assert.is_true(turns > before)
      for _, stream in ipairs(connections) do stream:close() end
    end
    stop = true
  end)
end)

describe("listener:streams", function()
  it("goes over connections until the listener is closed", function()
    local listener <const> = assert(net.listen("127.0.0.1:0"))
    local address <const> = listener:address()
    local count = 0
    local accepting <const> = task.spawn(function()
      for stream in listener:streams() do
        count = count + 1
        stream:write(count)
        stream:close()
      end
    end)
    for i = 1, 10 do
      assert.equal(tostring(i), (assert(net.connect(address)):read_all()))
    end
    listener:close()
    accepting:join()
    assert.equal("done", accepting:status())
    assert.equal(10, count)
    for _ in listener:streams() do error("it is closed") end
  end)

  it("can be left and gone on with", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local a <close> = assert(net.connect(listener:address()))
    local b <close> = assert(net.connect(listener:address()))
    local order <const> = { a:address(), b:address() }
    for _, expected in ipairs(order) do
      local count = 0
      for stream in listener:streams() do
        count = count + 1
        assert.equal(expected, stream:peer())
        if count == 1 then break end
      end
    end
  end)
end)

describe("listener:close", function()
  it("wakes who accepts, may come twice and is CLOSED to every call", function()
    local listener <const> = assert(net.listen("127.0.0.1:0"))
    local address <const> = listener:address()
    local waiting = {}
    for i = 1, 3 do waiting[i] = task.spawn(listener.accept, listener) end
    task.yield()
    listener:close()
    listener:close()
    for i = 1, 3 do assert.equal("CLOSED", select(2, waiting[i]:join()).code) end
    assert.equal("CLOSED", code_of(listener:accept()))
    assert.equal("CLOSED", code_of(listener:address()))
    assert.equal("ECONNREFUSED", code_of(net.connect(address)))
    local again <close> = assert(net.listen(address))
    assert.equal(address, again:address())
  end)

  it("comes with its context", function()
    local ctx <const> = context.new()
    local listener
    ctx:spawn(function() listener = assert(net.listen("127.0.0.1:0")) end):join()
    local waiting <const> = task.spawn(listener.accept, listener)
    task.yield()
    ctx:close()
    assert.equal("CLOSED", select(2, waiting:join()).code)
  end)

  it("comes when nobody holds it", function()
    local function lost() return assert(net.listen("127.0.0.1:0")):address() end
    local address <const> = lost()
    collectgarbage()
    collectgarbage()
    assert.equal("ECONNREFUSED", code_of(net.connect(address)))
  end)

  it("leaves no handle or memory behind", function()
    local function round()
      for _ = 1, 20 do
        local listener <close> = assert(net.listen("127.0.0.1:0"))
        local a <close> = assert(net.connect(listener:address()))
        local b <close> = assert(listener:accept())
        a:write("x")
        b:read()
      end
      task.sleep(0)
      task.sleep(0)
      collectgarbage()
      collectgarbage()
      return host.stats()
    end
    round()
    local before <const> = round()
    for _ = 1, 5 do round() end
    local after <const> = round()
    assert.equal(before.handles, after.handles)
    assert.is_true(after.memory - before.memory < 32768)
  end)
end)

describe("net.listen", function()
  it("listens on port 0 and tells which it got", function()
    for _, address in ipairs({ "127.0.0.1:0", "[::1]:0", "localhost:0", ":0" }) do
      local listener <close> = assert(net.listen(address))
      local host_part, port = listener:address():match("^(.*):(%d+)$")
      assert.is_true(tonumber(port) > 0)
      assert.is_true(#host_part > 0)
      local target <const> = host_part:match("::%]$") and "127.0.0.1:" .. port
        or listener:address()
      assert(net.connect(target)):close()
    end
  end)

  it("takes tables", function()
    local listener <close> = assert(net.listen({ host = "127.0.0.1", port = 0 }))
    assert.matches("^127%.0%.0%.1:%d+$", listener:address())
  end)

  it("on all interfaces takes both families", function()
    local listener <close> = assert(net.listen(":0"))
    local port <const> = listener:address():match("%d+$")
    for _, name in ipairs({ "127.0.0.1:", "[::1]:", ":" }) do
      local a <close> = assert(net.connect(name .. port))
      local b <close> = assert(listener:accept())
      assert.equal(a:address(), b:peer())
    end
  end)

  it("says that a port is taken", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local again, err = net.listen(listener:address())
    assert.is_nil(again)
    assert.equal("EADDRINUSE", err.code)
    assert.matches("listen on " .. listener:address(), tostring(err), 1, true)
    assert.equal("EADDRINUSE", code_of(net.serve(listener:address(), print)))
  end)

  it("shares a port when both ask for it", function()
    local a <close> = assert(net.listen("127.0.0.1:0", { reuseport = true }))
    local b <close> = assert(net.listen(a:address(), { reuseport = true }))
    assert.equal(a:address(), b:address())
  end)

  it("takes a port again whose connections linger", function()
    local listener <const> = assert(net.listen("127.0.0.1:0"))
    local address <const> = listener:address()
    local a <close> = assert(net.connect(address))
    assert(listener:accept()):close() -- this end waits in TIME_WAIT
    listener:close()
    assert.same({ n = 1 }, table.pack(a:read()))
    a:close()
    local again <close> = assert(net.listen(address))
    assert.equal(address, again:address())
  end)

  it("says why it cannot listen", function()
    assert.equal("EADDRNOTAVAIL", code_of(net.listen("192.0.2.77:0")))
    local nobody <const> = ("x"):rep(64) .. ":0"
    assert.matches("^EAI_", code_of(net.listen(nobody)))
  end)

  it("may not take a privileged port without privileges", function()
    local result <const> = subprocess.shell([[
      cat >/tmp/privileged.$$.lua <<'END'
        local listener, err = require("ahost.net").listen("127.0.0.1:81")
        print(listener and "listens" or err.code)
        if listener then listener:close() end
END
      cd /tmp
      run=
      test $(id -u) = 0 && run="setpriv --reuid 65534 --clear-groups --bounding-set=-all"
      chmod a+r /tmp/privileged.$$.lua
      if $run $ahost --version >/dev/null 2>&1 &&
        test $(cat /proc/sys/net/ipv4/ip_unprivileged_port_start) -gt 81
      then $run $ahost /tmp/privileged.$$.lua; else echo EACCES; fi
      rm /tmp/privileged.$$.lua]])
    assert.equal("EACCES\n", result.out, result.err)
  end)

  it("raises on misuse", function()
    local refused <const> = {
      function() net.listen() end,
      function() net.listen("127.0.0.1") end,
      function() net.listen("127.0.0.1:65536") end,
      function() net.listen("127.0.0.1:-1") end,
      function() net.listen("127.0.0.1:http") end,
      function() net.listen("unix:") end,
      function() net.listen("unix:/" .. ("x"):rep(108)) end,
      function() net.listen("unix:@" .. ("x"):rep(108)) end,
      function() net.listen({}) end,
      function() net.listen("127.0.0.1:0", 5) end,
      function() net.listen("127.0.0.1:0", { backlog = 0 }) end,
      function() net.listen("127.0.0.1:0", { backlog = "many" }) end,
      function() net.listen("127.0.0.1:0", { mode = "rw" }) end,
    }
    for i, call in ipairs(refused) do assert.has_error(call, nil, "case " .. i) end
  end)
end)

describe("a Unix socket", function()
  it("carries bytes and knows its path", function()
    with_directory(function(directory)
      local path <const> = directory .. "/socket"
      local listener <close> = assert(net.listen("unix:" .. path))
      assert.equal("unix:" .. path, listener:address())
      local a <close> = assert(net.connect({ path = path }))
      local b <close> = assert(listener:accept())
      assert.equal("unix:" .. path, a:peer())
      assert.equal("unix:" .. path, b:address())
      a:write("over\0a socket")
      a:shutdown()
      b:write((b:read_all()):upper())
      b:close()
      assert.equal("OVER\0A SOCKET", (a:read_all()))
    end)
  end)

  it("removes its file in the end", function()
    with_directory(function(directory)
      local path <const> = directory .. "/socket"
      local listener <const> = assert(net.listen("unix:" .. path))
      assert.is_true(exists(path))
      listener:close()
      assert.is_false(exists(path))
      context.scope(function()
        assert(net.serve("unix:" .. path, print))
        assert.is_true(exists(path))
      end)
      assert.is_false(exists(path))
    end)
  end)

  it("has the mode that is asked for", function()
    with_directory(function(directory)
      for _, mode in ipairs({ "600", "660", "777" }) do
        local path <const> = directory .. "/" .. mode
        local listener <close> = assert(net.listen("unix:" .. path,
          { mode = tonumber(mode, 8) }))
        assert.equal("unix:" .. path, listener:address())
        local pipe <close> = assert(io.popen("stat -c %a " .. path))
        assert.equal(mode, pipe:read("l"))
      end
    end)
  end)

  it("takes over a file that nobody listens on any more", function()
    with_directory(function(directory)
      local path <const> = directory .. "/socket"
      assert(os.execute("python3 -c 'import socket, sys;"
        .. "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1])' " .. path))
      assert.is_true(exists(path))
      assert.equal("ECONNREFUSED", code_of(net.connect("unix:" .. path)))
      local listener <close> = assert(net.listen("unix:" .. path))
      assert(net.connect(listener:address())):close()
    end)
  end)

  it("does not take over one that is listened on, or that is no socket", function()
    with_directory(function(directory)
      local path <const> = directory .. "/socket"
      local listener <close> = assert(net.listen("unix:" .. path, { backlog = 1 }))
      assert.equal("EADDRINUSE", code_of(net.listen("unix:" .. path)))
      local waiting = {}
      repeat -- fill the backlog
        local stream, err = net.connect("unix:" .. path, { timeout = 0 })
        waiting[#waiting + 1] = stream
      until not stream and assert(err.code == "TIMEDOUT", err)
      assert.is_true(#waiting > 0)
      assert.equal("EADDRINUSE", code_of(net.listen("unix:" .. path)))
      assert.is_true(exists(path))
      assert(listener:accept())
      subprocess.write(directory .. "/file", "precious")
      assert.equal("EADDRINUSE", code_of(net.listen("unix:" .. directory .. "/file")))
      assert.is_true(exists(directory .. "/file"))
    end)
  end)

  it("takes the longest path there is", function()
    with_directory(function(directory)
      local path <const> = directory .. "/" .. ("x"):rep(107 - #directory - 1)
      local listener <close> = assert(net.listen("unix:" .. path))
      local a <close> = assert(net.connect("unix:" .. path))
      assert.equal("unix:" .. path, a:peer())
      assert.equal("unix:" .. path, listener:address())
    end)
  end)

  it("may have an abstract name, which leaves no file", function()
    local name <const> = ("unix:@ahost-%s"):format(tostring({}):match("0x%x+"))
    local listener <close> = assert(net.listen(name))
    assert.equal(name, listener:address())
    assert.equal("EADDRINUSE", code_of(net.listen(name)))
    local a <close> = assert(net.connect(name))
    local b <close> = assert(listener:accept())
    assert.equal(name, a:peer())
    a:write("hidden\n")
    assert.equal("hidden", (b:read_line()))
  end)

  it("says why it cannot be", function()
    with_directory(function(directory)
      assert.equal("ENOENT", code_of(net.listen("unix:" .. directory .. "/no/socket")))
      assert.equal("ENOENT", code_of(net.connect("unix:" .. directory .. "/socket")))
    end)
  end)
end)
