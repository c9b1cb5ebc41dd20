-- UDP sockets of generations that follow each other.

local net <const> = require "ahost.net"
local runtime <const> = require "ahost.component.runtime"
local task <const> = require "ahost.task"
local gc_stress <const> = require "spec.gc_stress"
local pair <const> = require "spec.generation_pair"

local commit <const>, inside <const> = pair.commit, pair.inside

local app, old, new, address, client
local opened -- sockets that are not to be collected

local function open(ctx, opts)
  local socket <const>, err = inside(ctx, function() return net.udp(address, opts) end)
  opened[#opened + 1] = socket
  return socket, err
end

local function send(...)
  for _, data in ipairs { ... } do assert(client:send(data, address)) end
end

-- What can be received now, in order.
local function received(socket)
  local all <const> = {}
  for data in function() return (socket:receive(0.02)) end do all[#all + 1] = data end
  return table.concat(all, " ")
end

local function code_of(result, err)
  assert.is_nil(result)
  return err.code
end

before_each(function()
  opened = {}
  app = pair.application()
  old = pair.current(app)
  new = pair.staged(app, old)
  client = assert(net.udp "127.0.0.1:0")
  local free <close> = assert(net.udp "127.0.0.1:0")
  address = free:address()
end)

after_each(function()
  client:close()
  app:close()
end)

describe("the UDP socket of a staged generation", function()
  it("is that of the one that it follows, and receives when it is activated", function()
    local first <const> = assert(open(old))
    local second <const> = assert(open(new))
    assert.equal(address, second:address())
    send "1"
    assert.equal("TIMEDOUT", code_of(second:receive(0.001)))
    assert.equal("1", (first:receive(5)))
    local waiting <const> = new:spawn(second.receive, second, 5)
    task.yield()
    commit(old, new)
    send "2"
    assert.equal("2", (waiting:join()))
    assert.equal("CLOSED", code_of(first:receive()))
    assert(first:send("a reply", client:address()))
    assert.equal("a reply", (client:receive(5)))
    old:close()
    send "3"
    assert.equal("3", (second:receive(5)))
  end)

  it("has what the kernel holds, and what the other one has read ahead", function()
    local first <const> = assert(open(old, { queue = 4 }))
    send "0"
    assert.equal("0", (first:receive(5)))
    local second <const> = assert(open(new))
    send("1", "2", "3", "4", "5", "6")
    task.sleep(0.01)
    assert.is_true(first:stats().queued > 0)
    commit(old, new)
    send "7"
    assert.equal("1 2 3 4 5 6 7", received(second))
  end)

  it("takes over in either order of activation and retirement", function()
    local first <const> = assert(open(old))
    send "0"
    assert.equal("0", (first:receive(5)))
    local second <const> = assert(open(new))
    send("1", "2")
    task.sleep(0.01)
    runtime.activate(new)
    runtime.retire(old)
    send "3"
    assert.equal("1 2 3", received(second))
    assert.equal("CLOSED", code_of(first:receive()))
  end)

  it("has what comes when the other one ends before the commit", function()
    local first <const> = assert(open(old))
    send "0"
    assert.equal("0", (first:receive(5)))
    local second <const> = assert(open(new))
    send "1"
    task.sleep(0.01)
    old:close()
    send "2"
    commit(nil, new)
    assert.equal("1 2", received(second))
  end)

  it("tells those who wait in the other one that it is closed", function()
    local first <const> = assert(open(old))
    assert(open(new))
    local waiting <const> = task.spawn(first.receive, first)
    task.yield()
    commit(old, new)
    assert.equal("CLOSED", code_of(waiting:join()))
  end)

  it("leaves the other one as it was when it is given up", function()
    local first <const> = assert(open(old))
    local second <const> = assert(open(new, { ttl = 3, broadcast = true }))
    send "1"
    new:close()
    assert.equal("CLOSED", code_of(second:receive()))
    assert.equal("1", (first:receive(5)))
    local third <const> = pair.staged(app, old)
    local follower <const> = assert(open(third))
    commit(old, third)
    send "2"
    assert.equal("2", (follower:receive(5)))
  end)

  it("does not let others bind its address", function()
    assert(open(old))
    assert(open(new))
    assert.equal("EADDRINUSE", code_of(net.udp(address, { reuseaddr = true })))
    commit(old, new)
    assert.equal("EADDRINUSE", code_of(net.udp(address, { reuseaddr = true })))
  end)

  it("is refused the address of a component that stays", function()
    runtime.replace(old, false)
    assert(open(old))
    assert.equal("EADDRINUSE", code_of(open(new)))
  end)

  it("is its own when it is for any port, and works at once", function()
    address = "127.0.0.1:0"
    local first <const> = assert(open(old))
    local second <const> = assert(open(new))
    assert.not_equal(first:address(), second:address())
    assert(client:send("1", second:address()))
    assert.equal("1", (second:receive(5)))
  end)

  it("stays connected to the same peer", function()
    local peer <const> = client:address()
    assert(open(old, { connect = peer }))
    local second <const> = assert(open(new, { connect = peer }))
    assert.equal("EADDRINUSE", code_of(open(new, { connect = "127.0.0.1:9" })))
    commit(old, new)
    assert(second:send "hello")
    assert.equal("hello", (client:receive(5)))
    assert.equal(peer, second:peer())
  end)

  it("leaves no descriptor behind, and loses nothing, after many commits", function()
    local rounds <const> = gc_stress() and 10 or 200
    new:close()
    local socket = assert(open(old))
    local count, sent = 0, 0
    local function swap()
      local following <const> = pair.staged(app, old)
      local next_one <const> = assert(open(following))
      for _ = 1, 3 do
        sent = sent + 1
        send(tostring(sent))
      end
      count = count + 1
      assert.equal(tostring(count), (socket:receive(5)))
      commit(old, following)
      for _ = 1, 2 do
        count = count + 1
        assert.equal(tostring(count), (next_one:receive(5)))
      end
      old:close()
      old, socket = following, next_one
    end
    swap()
    local descriptors <const> = pair.descriptors()
    for _ = 1, rounds do swap() end
    assert.is_true(pair.descriptors() < descriptors + 5)
  end)
end)
