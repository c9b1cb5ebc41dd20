local context <const> = require "ahost.context"
local net <const> = require "ahost.net"
local task <const> = require "ahost.task"

--- A name that nobody can have, its label being too long: no server is asked.
local NOBODY <const> = ("x"):rep(64)

describe("net.resolve", function()
  it("gives the addresses of a name, without ports", function()
    local found = assert(net.resolve("localhost"))
    assert.is_true(#found > 0)
    for _, address in ipairs(found) do
      assert.is_true(address == "127.0.0.1" or address == "::1", address)
    end
  end)

  it("gives each address once", function()
    local seen = {}
    for _, address in ipairs(assert(net.resolve("localhost"))) do
      assert.is_nil(seen[address])
      seen[address] = true
    end
  end)

  it("adds a port when one is given", function()
    assert.same({"127.0.0.1:80"}, net.resolve("localhost", {family = "ipv4", port = 80}))
    assert.same({"127.0.0.1:0"}, net.resolve("127.0.0.1", {port = 0}))
    assert.same({"[::1]:65535"}, net.resolve("::1", {port = 65535}))
  end)

  it("gives literals as they are, in their usual spelling", function()
    assert.same({"192.0.2.1"}, net.resolve("192.0.2.1"))
    assert.same({"2001:db8::1"}, net.resolve("2001:DB8:0:0:0:0:0:1"))
    assert.same({"192.0.2.1"}, net.resolve("::ffff:192.0.2.1"))
  end)

  it("keeps to the family that is asked for", function()
    for _, address in ipairs(assert(net.resolve("localhost", {family = "ipv4"}))) do
      assert.equal("127.0.0.1", address)
    end
    local _, err = net.resolve("127.0.0.1", {family = "ipv6"})
    assert.equal("EAI_ADDRFAMILY", err.code)
    assert.equal("EAI_ADDRFAMILY", select(2, net.resolve("::1", {family = "ipv4"})).code)
  end)

  it("says which name there is not", function()
    local found, err = net.resolve(NOBODY)
    assert.is_nil(found)
    assert.matches("^EAI_", err.code)
    assert.matches("resolve " .. NOBODY .. ": ", tostring(err), 1, true)
  end)

  it("gives up when its time is up", function()
    -- After a turn as long as this the loop looks at its timers first.
    task.spawn(function()
      local till = os.clock() + 0.01
      while os.clock() < till do end
    end)
    local found, err = net.resolve("localhost", {timeout = 0})
    assert.is_nil(found)
    assert.equal("TIMEDOUT", err.code)
  end)

  it("can be cancelled while a thread is at it, again and again", function()
    for _ = 1, 50 do
      local lookup = task.spawn(net.resolve, "localhost")
      task.yield()
      lookup:cancel()
      assert.equal("CANCELLED", select(2, lookup:join()).code)
    end
  end)

  it("is cancelled with its context", function()
    local ended
    context.scope(function(ctx)
      local lookup = ctx:spawn(function()
        local _ <close> = setmetatable({}, {__close = function() ended = true end})
        net.resolve("localhost")
      end)
      task.yield()
      lookup:cancel()
    end)
    assert.is_true(ended)
  end)

  it("serves many tasks at once", function()
    local lookups = {}
    for i = 1, 100 do
      lookups[i] = function() return net.resolve("localhost", {family = "ipv4"}) end
    end
    for _, found in ipairs(task.all(lookups)) do assert.same({"127.0.0.1"}, found) end
  end)

  it("runs other tasks meanwhile", function()
    local turns = 0
    local counter = task.spawn(function()
      while true do
        turns = turns + 1
        task.yield()
      end
    end)
    net.resolve("localhost")
    counter:cancel()
    assert.is_true(turns > 0)
  end)

  it("raises on what can be no host", function()
    assert.has_error(function() net.resolve() end)
    assert.error_matches(function() net.resolve("") end, "the host is missing")
    assert.error_matches(function() net.resolve("a b") end, "bad host 'a b'")
    assert.error_matches(function() net.resolve("127.1") end, "four decimal numbers")
    assert.error_matches(function() net.resolve("localhost:80") end, "no IPv6 address")
    assert.error_matches(function() net.resolve("a\0b") end, "zero byte")
  end)

  it("raises on bad options", function()
    assert.error_matches(function() net.resolve("x", {family = "ipv5"}) end, "family")
    assert.error_matches(function() net.resolve("x", {family = 4}) end, "family")
    assert.error_matches(function() net.resolve("x", {port = 65536}) end, "port")
    assert.error_matches(function() net.resolve("x", {port = -1}) end, "port")
    assert.error_matches(function() net.resolve("x", {port = "http"}) end, "port")
    assert.error_matches(function() net.resolve("x", {timeout = -1}) end, "timeout")
    assert.error_matches(function() net.resolve("x", {timeout = 0 / 0}) end, "timeout")
    assert.has_error(function() net.resolve("x", 80) end)
  end)

  it("works in a user's coroutine", function()
    local lookup = coroutine.wrap(function() return net.resolve("localhost") end)
    assert.is_table(lookup())
  end)
end)
