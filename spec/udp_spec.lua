local context <const> = require "ahost.context"
local net <const> = require "ahost.net"
local task <const> = require "ahost.task"

--- A name that nobody can have, its label being too long: no server is asked.
local NOBODY <const> = ("x"):rep(64)

local function port_of(socket) return tonumber(socket:address():match("%d+$")) end

--- Two sockets on loopback that are closed with the function.
local function with_pair(fn)
  local a <close> = assert(net.udp("127.0.0.1:0"))
  local b <close> = assert(net.udp("127.0.0.1:0"))
  fn(a, b)
end

describe("a UDP socket", function()
  it("carries datagrams and says where they come from", function()
    with_pair(function(a, b)
      assert.is_true(a:send("one", b:address()))
      assert.is_true(a:send("two", b:address()))
      assert.same({"one", a:address()}, {b:receive()})
      assert.same({"two", a:address()}, {b:receive()})
      a:send("ping", b:address())
      local _, from = b:receive()
      b:send("pong", from)
      assert.equal("pong", (a:receive()))
    end)
  end)

  it("keeps the bytes of a datagram, and its ends", function()
    with_pair(function(a, b)
      local bytes = {}
      for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
      local all = table.concat(bytes)
      for _, data in ipairs({all, "", "\0", all:rep(32)}) do
        a:send(data, b:address())
        assert.equal(data, (b:receive()))
      end
    end)
  end)

  it("carries the greatest datagram there is", function()
    with_pair(function(a, b)
      local data = ("x"):rep(65507)
      assert.is_true(a:send(data, b:address()))
      assert.equal(data, (b:receive()))
    end)
  end)

  it("says when a datagram is too long", function()
    with_pair(function(a, b)
      for _, size in ipairs({65508, 65536, 65537, 1000000}) do
        local ok, err = a:send(("x"):rep(size), b:address())
        assert.is_nil(ok)
        assert.equal("EMSGSIZE", err.code)
      end
    end)
  end)

  it("sends to names", function()
    with_pair(function(a, b)
      assert.is_true(a:send("hello", "localhost:" .. port_of(b)))
      assert.equal("hello", (b:receive()))
      local ok, err = a:send("hello", NOBODY .. ":1")
      assert.is_nil(ok)
      assert.matches("^EAI_", err.code)
    end)
  end)

  it("sends to tables, and to loopback without a host", function()
    with_pair(function(a, b)
      a:send("one", {host = "127.0.0.1", port = port_of(b)})
      a:send("two", ":" .. port_of(b))
      assert.equal("one", (b:receive()))
      assert.equal("two", (b:receive()))
    end)
  end)

  it("speaks IPv6", function()
    local a <close> = assert(net.udp("[::1]:0"))
    local b <close> = assert(net.udp("[::1]:0"))
    a:send("six", b:address())
    assert.same({"six", a:address()}, {b:receive()})
  end)

  it("without an address speaks both families, each in its own spelling", function()
    local both <close> = assert(net.udp())
    for _, host in ipairs({"127.0.0.1", "[::1]"}) do
      local one <close> = assert(net.udp(host .. ":0"))
      assert.is_true(both:send("there", one:address()))
      local data, from = one:receive()
      assert.equal("there", data)
      assert.equal(host .. ":" .. port_of(both), from)
      one:send("back", from)
      assert.same({"back", one:address()}, {both:receive()})
    end
  end)

  it("of one family cannot send to the other", function()
    local four <close> = assert(net.udp("127.0.0.1:0"))
    local six <close> = assert(net.udp("[::1]:0"))
    local ok, err = four:send("x", six:address())
    assert.is_nil(ok)
    assert.is_string(err.code)
  end)

  it("connects to one peer", function()
    with_pair(function(a, stranger)
      local c <close> = assert(net.udp(nil, {connect = a:address()}))
      assert.equal(a:address(), c:peer())
      assert.is_true(c:send("hello"))
      assert.same({"hello", c:address()}, {a:receive()})
      stranger:send("not for you", c:address())
      a:send("for you", c:address())
      assert.same({"for you", a:address()}, {c:receive()})
      assert.error_matches(function() c:send("x", a:address()) end, "its peer only")
    end)
  end)

  it("connects to a name, from an address of its own", function()
    local a <close> = assert(net.udp("127.0.0.1:0"))
    local name = "localhost:" .. port_of(a)
    local c <close> = assert(net.udp("localhost:0", {connect = name}))
    local d <close> = assert(net.udp("127.0.0.1:0", {connect = name}))
    local e <close> = assert(net.udp(":0", {connect = a:address()}))
    assert.is_string(c:peer())
    d:send("from d")
    assert.same({"from d", d:address()}, {a:receive()})
    e:send("from e")
    assert.same({"from e", "127.0.0.1:" .. port_of(e)}, {a:receive()})
    assert.equal(a:address(), e:peer())
  end)

  it("says that nobody is at the peer's port", function()
    local gone = assert(net.udp("127.0.0.1:0"))
    local c <close> = assert(net.udp(nil, {connect = gone:address()}))
    gone:close()
    assert.is_true(c:send("x"))
    local data, err = c:receive()
    assert.is_nil(data)
    assert.equal("ECONNREFUSED", err.code)
  end)

  it("says which name or address cannot be used", function()
    local _, err = net.udp(NOBODY .. ":0")
    assert.matches("udp " .. NOBODY .. ":0: ", tostring(err), 1, true)
    _, err = net.udp(nil, {connect = NOBODY .. ":1"})
    assert.matches("udp " .. NOBODY .. ":1: ", tostring(err), 1, true)
    _, err = net.udp("192.0.2.77:0")
    assert.equal("EADDRNOTAVAIL", err.code)
    local a <close> = assert(net.udp("127.0.0.1:0"))
    _, err = net.udp(a:address())
    assert.equal("EADDRINUSE", err.code)
  end)

  it("shares a port when both ask for it", function()
    local a <close> = assert(net.udp("127.0.0.1:0", {reuseport = true}))
    local b <close> = assert(net.udp(a:address(), {reuseport = true}))
    assert.equal(a:address(), b:address())
    local c <close> = assert(net.udp("127.0.0.1:0", {reuseaddr = true}))
    local d <close> = assert(net.udp(c:address(), {reuseaddr = true}))
    assert.equal(c:address(), d:address())
  end)

  it("takes options of the network", function()
    local a <close> = assert(net.udp("127.0.0.1:0", {
      broadcast = true, ttl = 3, multicast_ttl = 2, multicast_loop = false,
      multicast_interface = "lo", queue = 1,
    }))
    local b <close> = assert(net.udp(nil, {
      ttl = 255, multicast_ttl = 1, multicast_loop = true, multicast_interface = "lo",
    }))
    assert.is_true(a:send("x", "127.0.0.1:" .. port_of(b)))
    assert.equal("x", (b:receive()))
    local _, err = net.udp(nil, {multicast_interface = "nosuch"})
    assert.equal("ENODEV", err.code)
  end)

  it("may broadcast only when it said so", function()
    local a <close> = assert(net.udp("127.0.0.1:0"))
    local ok, err = a:send("x", "255.255.255.255:9")
    assert.is_nil(ok)
    assert.equal("EACCES", err.code)
  end)

  it("joins and leaves a group", function()
    local options = {reuseaddr = true, multicast_interface = "lo"}
    for _, any in ipairs({"0.0.0.0:0", ":0"}) do
      local member <close> = assert(net.udp(any, options))
      local sender <close> = assert(net.udp("127.0.0.1:0", options))
      local group = {host = "239.255.1.2", port = port_of(member)}
      assert.is_true(member:join("239.255.1.2", "lo"))
      assert.is_true(sender:send("to all", group))
      assert.same({"to all", sender:address()}, {member:receive()})
      assert.is_true(member:leave("239.255.1.2", "lo"))
      sender:send("to others", group)
      sender:send("to you", "127.0.0.1:" .. port_of(member))
      assert.equal("to you", (member:receive()))
    end
  end)

  it("joins and leaves a group of IPv6", function()
    local member <close> = assert(net.udp("[::]:0"))
    assert.is_true(member:join("ff01::1:2", "lo"))
    assert.equal("EADDRINUSE", select(2, member:join("ff01::1:2", "lo")).code)
    assert.is_true(member:leave("ff01::1:2", "lo"))
    assert.equal("EADDRNOTAVAIL", select(2, member:leave("ff01::1:2", "lo")).code)
  end)

  it("says why it cannot join", function()
    local member <close> = assert(net.udp("0.0.0.0:0"))
    local ok, err = member:join("239.255.1.2", "nosuch")
    assert.is_nil(ok)
    assert.equal("join 239.255.1.2: no such device (ENODEV)", tostring(err))
    assert.equal("EINVAL", select(2, member:join("127.0.0.1")).code)
    assert.error_matches(function() member:join("all-hosts") end, "an IP address")
    assert.error_matches(function() member:join("") end, "an IP address")
    assert.error_matches(function() member:join("239.255.1.2\0") end, "an IP address")
  end)

  it("raises on misuse", function()
    local a <close> = assert(net.udp("127.0.0.1:0"))
    local refused <const> = {
      function() a:send("x") end,
      function() a:send(nil, "127.0.0.1:1") end,
      function() a:send(5, "127.0.0.1:1") end,
      function() a:send({}, "127.0.0.1:1") end,
      function() a:send("x", "127.0.0.1:0") end,
      function() a:send("x", "unix:/tmp/x") end,
      function() a:send("x", "127.0.0.1") end,
      function() a:receive(-1) end,
      function() a:receive("soon") end,
      function() a.send({}, "x", "127.0.0.1:1") end,
      function() net.udp("unix:/tmp/x") end,
      function() net.udp(nil, {connect = "unix:/tmp/x"}) end,
      function() net.udp(nil, {connect = "127.0.0.1:0"}) end,
      function() net.udp(nil, {connect = 5}) end,
      function() net.udp(nil, {ttl = 0}) end,
      function() net.udp(nil, {ttl = 256}) end,
      function() net.udp(nil, {queue = 0}) end,
      function() net.udp(nil, {queue = 1.5}) end,
      function() net.udp(nil, {broadcast = 1}) end,
      function() net.udp(nil, {multicast_interface = ""}) end,
      function() net.udp(nil, {multicast_interface = ("x"):rep(16)}) end,
      function() net.udp(nil, 5) end,
    }
    for i, call in ipairs(refused) do assert.has_error(call, nil, "case " .. i) end
  end)
end)

describe("receiving datagrams", function()
  it("gives up when its time is up, and can be tried again", function()
    with_pair(function(a, b)
      local data, err = b:receive(0)
      assert.is_nil(data)
      assert.equal("TIMEDOUT", err.code)
      a:send("late", b:address())
      assert.equal("late", (b:receive(60)))
    end)
  end)

  it("serves those who wait in their order", function()
    with_pair(function(a, b)
      local got = {}
      for i = 1, 3 do
        task.spawn(function() got[i] = b:receive() end)
      end
      task.yield()
      for i = 1, 4 do a:send("datagram " .. i, b:address()) end
      assert.equal("datagram 4", (b:receive()))
      assert.same({"datagram 1", "datagram 2", "datagram 3"}, got)
    end)
  end)

  it("gives nothing to who has been cancelled", function()
    with_pair(function(a, b)
      local first, second = task.spawn(b.receive, b), task.spawn(b.receive, b)
      task.yield()
      first:cancel()
      a:send("for the second", b:address())
      assert.equal("for the second", (second:join()))
      assert.equal("CANCELLED", select(2, first:join()).code)
    end)
  end)

  it("loses nothing to a timeout that races with the datagram", function()
    with_pair(function(a, b)
      local got = 0
      for i = 1, 200 do
        a:send(tostring(i), b:address())
        local data = b:receive(0)
        if data then
          got = got + 1
          assert.equal(tostring(got), data)
        end
      end
      for i = got + 1, 200 do assert.equal(tostring(i), (b:receive())) end
    end)
  end)

  it("reads ahead to its bound, the rest stays with the kernel", function()
    local a <close> = assert(net.udp("127.0.0.1:0"))
    local b <close> = assert(net.udp("127.0.0.1:0", {queue = 4}))
    for i = 1, 40 do a:send("datagram " .. i, b:address()) end
    assert.equal(0, b:stats().queued) -- before anybody asks nothing is read
    for i = 1, 40, 5 do
      assert.equal("datagram " .. i, (b:receive()))
      if i < 36 then
        while b:stats().queued < 4 do task.sleep(0) end
      end
      for j = i + 1, i + 4 do
        assert.is_true(b:stats().queued <= 4)
        assert.equal("datagram " .. j, (b:receive()))
      end
    end
    assert.equal(0, b:stats().dropped)
    assert.equal(0, b:stats().queued_bytes)
  end)

  it("is bounded in bytes as well", function()
    local a <close> = assert(net.udp("127.0.0.1:0"))
    local b <close> = assert(net.udp("127.0.0.1:0", {queue = 1000}))
    local data = ("x"):rep(60000)
    a:send(data, b:address())
    assert.equal(data, (b:receive()))
    for _ = 1, 30 do
      a:send(data, b:address())
      for _ = 1, 3 do task.sleep(0) end
    end
    local queued = b:stats().queued_bytes
    assert.is_true(queued >= 256 * 1024 and queued < 256 * 1024 + 65536)
    while b:receive(0) do assert.is_true(b:stats().queued_bytes < 256 * 1024 + 65536) end
  end)

  it("lets other tasks run while datagrams are plenty", function()
    with_pair(function(a, b)
      local turns, stop = 0, false
      task.spawn(function()
        while not stop do
          turns = turns + 1
          task.yield()
        end
      end)
      for _ = 1, 50 do
        for i = 1, 10 do a:send(tostring(i), b:address()) end
        for i = 1, 10 do assert.equal(tostring(i), (b:receive())) end
      end
      stop = true
      assert.is_true(turns > 1)
    end)
  end)

  it("counts what goes and comes", function()
    with_pair(function(a, b)
      for _ = 1, 5 do a:send("x", b:address()) end
      for _ = 1, 5 do b:receive() end
      assert.equal(5, a:stats().sent)
      assert.equal(5, b:stats().received)
      local stats = {received = 0, sent = 5, dropped = 0, queued = 0, queued_bytes = 0}
      assert.same(stats, a:stats())
    end)
  end)
end)

describe("the end of a UDP socket", function()
  it("wakes who waits", function()
    local a = assert(net.udp("127.0.0.1:0"))
    local waiters = {}
    for i = 1, 3 do waiters[i] = task.spawn(a.receive, a) end
    task.yield()
    a:close()
    for i = 1, 3 do assert.equal("CLOSED", select(2, waiters[i]:join()).code) end
  end)

  it("is CLOSED to every call, and may come twice", function()
    local a = assert(net.udp("127.0.0.1:0"))
    local address = a:address()
    a:close()
    a:close()
    assert.equal("CLOSED", select(2, a:receive()).code)
    assert.equal("CLOSED", select(2, a:send("x", address)).code)
    assert.equal("CLOSED", select(2, a:send("x", "localhost:1")).code)
    assert.equal("CLOSED", select(2, a:address()).code)
    assert.equal("CLOSED", select(2, a:peer()).code)
    assert.equal("CLOSED", select(2, a:join("239.1.1.1")).code)
    assert.equal("UDP socket: closed", tostring(a))
    local again <close> = assert(net.udp(address))
    assert.equal("UDP socket: " .. address, tostring(again))
  end)

  it("comes during the lookup of where to send", function()
    local a = assert(net.udp("127.0.0.1:0"))
    local sender = task.spawn(a.send, a, "x", "localhost:9")
    task.yield()
    a:close()
    assert.equal("CLOSED", select(2, sender:join()).code)
  end)

  it("comes with datagrams left", function()
    with_pair(function(a, b)
      for _ = 1, 10 do a:send("x", b:address()) end
      b:receive()
      b:close()
      assert.equal("CLOSED", select(2, b:receive()).code)
      assert.equal(0, b:stats().queued)
    end)
  end)

  it("comes in the task that a datagram woke", function()
    with_pair(function(a, b)
      local address = b:address()
      local receiver = task.spawn(function()
        local data = b:receive()
        b:close()
        return data
      end)
      task.yield()
      for i = 1, 5 do a:send(tostring(i), address) end
      assert.equal("1", (receiver:join()))
    end)
  end)

  it("comes with its context", function()
    local kept, address
    context.scope(function()
      kept = assert(net.udp("127.0.0.1:0"))
      address = kept:address()
    end)
    assert.equal("CLOSED", select(2, kept:receive()).code)
    local again <close> = assert(net.udp(address))
    assert.equal(address, again:address())
  end)

  it("comes with its context while a task of another waits", function()
    local ctx = context.new()
    local kept
    ctx:spawn(function() kept = assert(net.udp("127.0.0.1:0")) end):join()
    local waiter = task.spawn(kept.receive, kept)
    task.yield()
    ctx:close()
    assert.equal("CLOSED", select(2, waiter:join()).code)
  end)

  it("comes when nobody holds it", function()
    local function address_of_lost() return assert(net.udp("127.0.0.1:0")):address() end
    local address = address_of_lost()
    collectgarbage()
    collectgarbage()
    local again <close> = assert(net.udp(address))
    assert.equal(address, again:address())
  end)

  it("leaves no memory behind", function()
    local a <close> = assert(net.udp("127.0.0.1:0"))
    local function round()
      for _ = 1, 20 do
        local b <close> = assert(net.udp("127.0.0.1:0", {connect = a:address()}))
        b:send("x")
        a:receive()
        a:send("y", b:address())
        b:receive(0)
      end
      task.sleep(0) -- the loop closes the handles
      collectgarbage()
      collectgarbage()
      return collectgarbage("count")
    end
    round()
    local before = round()
    for _ = 1, 5 do round() end
    assert.is_true(round() - before < 16)
  end)
end)
