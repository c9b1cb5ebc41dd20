local net <const> = require "ahost.net"
local subprocess <const> = require "spec.subprocess"
local task <const> = require "ahost.task"
local tutorial <const> = require "spec.tutorial"

local FOLDER <const> = "examples/broker"
local frames <const> = dofile(FOLDER .. "/frames.lua")

-- Starts the broker on a free port.
local function start()
  local broker = subprocess.start("exec $ahost examples/broker/broker.lua 127.0.0.1:0")
  return broker, broker:read_line():match("^listening on (.*)$")
end

-- A client that subscribes to a channel.
local function connect(address, channel)
  local stream <const> = assert(net.connect(address))
  stream:write(frames.pack(channel))
  return stream, frames.incoming(stream)
end

local function publish(stream, channel, ...)
  for _, data in ipairs { ... } do
    assert(stream:write(frames.pack(channel), frames.pack(data)))
  end
end

-- Sends `data` through a channel and back, by which time the broker has taken what the
-- same client has sent before, and knows the subscription.
local function echo(stream, incoming, channel, data)
  publish(stream, channel, data)
  assert.equal(data, incoming())
end

-- Subscribes `count` clients to a channel, which the broker has taken note of.
local function subscribe(address, channel, count)
  local clients <const> = {}
  for i = 1, count do
    local stream, incoming = connect(address, channel)
    clients[i] = { stream = stream, next = incoming }
    publish(stream, channel, "hello " .. i)
    local known <const> = channel:find("^/queue") and {} or clients
    for j = 1, #known do assert.equal("hello " .. i, clients[j].next()) end
  end
  return clients
end

-- Stops the broker, which says nothing more but what the pattern tells. `stream` is
-- read to its end first, for who blocks in `finish` does not see to its connections.
local function stop(broker, pattern, stream)
  broker:signal("INT")
  if stream then assert.is_nil((stream:read())) end
  local result <const> = broker:finish()
  assert.equal(0, result.status)
  assert.truthy(result.out:find(pattern or "^$"), result.out)
end

-- Numbered messages of a size.
local function message(i, size)
  return i .. (" "):rep(size - #tostring(i))
end

describe("the broker example", function()
  it("is what its tutorial shows", function()
    tutorial.check_code(FOLDER, { "broker.lua", "frames.lua" },
      { "listener.lua", "sender.lua" })
  end)

  it("does what its tutorial says", function()
    local address <const> = tutorial.free_address()
    tutorial.play(FOLDER, function(command)
      return (command:gsub("broker%.lua", "%0 " .. address)
        :gsub("listener%.lua", "%0 --address " .. address)
        :gsub("sender%.lua", "%0 --address " .. address))
    end)
  end)

  it("gives the messages of a topic to all, in order", function()
    local broker <close>, address = start()
    local clients <const> = subscribe(address, "/topic/a", 5)
    local publisher <const> = connect(address, "/null")
    for i = 1, 2000 do publish(publisher, "/topic/a", "message " .. i) end
    for _, client in ipairs(clients) do
      for i = 1, 2000 do assert.equal("message " .. i, client.next()) end
    end
    stop(broker)
  end)

  it("gives each message of a queue to one in turn", function()
    local broker <close>, address = start()
    local first, next_of_first = connect(address, "/queue/a")
    echo(first, next_of_first, "/queue/a", "hello")
    local second, next_of_second = connect(address, "/queue/a")
    publish(second, "/queue/a", "1", "2", "3", "4")
    assert.equal("1", next_of_second())
    assert.equal("2", next_of_first())
    assert.equal("3", next_of_second())
    assert.equal("4", next_of_first())
    stop(broker)
  end)

  it("keeps what nobody takes, until somebody comes", function()
    local broker <close>, address = start()
    local publisher <const> = connect(address, "/null")
    publish(publisher, "/queue/a", "1", "2", "3")
    publisher:close()
    local _, incoming = connect(address, "/queue/a")
    for i = 1, 3 do assert.equal(tostring(i), incoming()) end
    stop(broker)
  end)

  it("lets a publisher wait whose messages nobody takes, and nobody else", function()
    local broker <close>, address = start()
    local publisher <const> = connect(address, "/null")
    local COUNT <const>, SIZE <const> = 1000, 60000
    local sending <const> = task.spawn(function()
      for i = 1, COUNT do publish(publisher, "/queue/a", message(i, SIZE)) end
    end)
    local other, next_of_other = connect(address, "/topic/b")
    for i = 1, 20 do echo(other, next_of_other, "/topic/b", "message " .. i) end
    assert.equal("running", sending:status())
    local _, incoming = connect(address, "/queue/a")
    for i = 1, COUNT do assert.equal(message(i, SIZE), incoming()) end
    assert.equal("done", sending:status())
    stop(broker)
  end)

  it("drops and counts what a slow subscriber misses, and delays nobody", function()
    local broker <close>, address = start()
    local COUNT <const>, SIZE <const> = 4000, 10000
    local slow <const>, fast <const> = table.unpack(subscribe(address, "/topic/a", 2))
    local publisher <const> = connect(address, "/null")
    for i = 1, COUNT do
      publish(publisher, "/topic/a", message(i, SIZE))
      assert.equal(message(i, SIZE), fast.next())
    end
    local received, previous = 0, 0
    slow.stream:shutdown() -- it leaves, and is sent what is queued for it
    for data in slow.next do
      received = received + 1
      assert.is_true(tonumber(data) > previous)
      previous = tonumber(data)
    end
    local line <const> = broker:read_line()
    assert.truthy(line:find("is too slow for /topic/a and has missed"), line)
    assert.equal(COUNT - received, tonumber(line:match("(%d+) messages$")))
    stop(broker)
  end)

  it("gives a queue's messages to who keeps up", function()
    local broker <close>, address = start()
    local COUNT <const>, SIZE <const> = 6000, 10000
    local clients <const> = subscribe(address, "/queue/a", 1)
    assert.equal("hello 1", clients[1].next())
    local stuck <const> = connect(address, "/queue/a") -- it never reads
    task.spawn(function()
      for i = 1, COUNT do publish(clients[1].stream, "/queue/a", message(i, SIZE)) end
    end)
    local last = 0
    while last < COUNT do last = tonumber(clients[1].next()) end
    stuck:close(0)
    stop(broker, nil, clients[1].stream)
  end)

  it("delivers what is queued before it ends", function()
    local broker <close>, address = start()
    local COUNT <const>, SIZE <const> = 900, 20000
    local slow <const>, fast <const> = table.unpack(subscribe(address, "/topic/a", 2))
    local publisher <const> = connect(address, "/null")
    for i = 1, COUNT do
      publish(publisher, "/topic/a", message(i, SIZE))
      assert.equal(message(i, SIZE), fast.next())
    end
    broker:signal("INT")
    for i = 1, COUNT do assert.equal(message(i, SIZE), slow.next()) end
    assert.is_nil(slow.next())
    assert.same({ status = 0, out = "" }, broker:finish())
  end)

  it("tells at its end what nobody has taken", function()
    local broker <close>, address = start()
    local stream, incoming = connect(address, "/topic/a")
    publish(stream, "/queue/none", "1", "2")
    echo(stream, incoming, "/topic/a", "hello")
    stop(broker, "^broker: /queue/none: 2 messages found no taker\n$")
  end)

  it("refuses long frames, and forgets channels that are not used", function()
    local broker <close>, address = start()
    local bad <const> = assert(net.connect(address))
    bad:write(string.pack(">I4", 65537))
    assert.is_nil((bad:read()))
    for i = 1, 1100 do
      local stream <close>, incoming = connect(address, "/topic/" .. i)
      echo(stream, incoming, "/topic/" .. i, "hello")
    end
    stop(broker)
  end)

  it("has clients that say what is wrong", function()
    local address <const> = tutorial.free_address()
    for _, name in ipairs { "sender", "listener" } do
      local script <const> = ("$ahost %s/%s.lua "):format(FOLDER, name)
      local refused <const> = subprocess.shell(script .. "--address " .. address)
      assert.equal(1, refused.status)
      assert.truthy(refused.err:find("^" .. name .. ": connect .*%(ECONNREFUSED%)\n$"))
      local misused <const> = subprocess.shell(script .. "--colour red")
      assert.equal(2, misused.status)
      assert.truthy(misused.err:find("^" .. name .. ": usage: "))
    end
  end)
end)
