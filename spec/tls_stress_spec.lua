-- TLS with peers that send nonsense, stop, or are many: nothing hangs, nothing grows.

local certificates <const> = require "spec.certificates"
local context <const> = require "ahost.context"
local gc_stress <const> = require "spec.gc_stress"
local host <const> = require "ahost.host"
local net <const> = require "ahost.net"
local stream_pair <const> = require "spec.stream_pair"
local task <const> = require "ahost.task"

-- A generator of numbers from 1 to n that is the same in each run.
local function generator(seed)
  return function(n)
    seed = (seed * 1103515245 + 12345) % 2147483648
    return seed // 65536 % n + 1
  end
end

-- Some bytes of a text replaced, removed or doubled.
local function mutate(text, random)
  local at <const>, kind = random(#text), random(3)
  if kind == 1 then
    return text:sub(1, at - 1) .. string.char(random(256) - 1) .. text:sub(at + 1)
  elseif kind == 2 then
    return text:sub(1, at - 1) .. text:sub(at + random(8))
  end
  return text:sub(1, at) .. text:sub(math.max(at - random(40), 1))
end

certificates.describer(describe, pending)("TLS", function()
  local server_options, client_options

  setup(function()
    local directory <const> = certificates.make()
    server_options = {
      cert = directory .. "/server.crt", key = directory .. "/server.key",
    }
    client_options = { ca = directory .. "/ca.crt", hostname = "localhost" }
  end)
  teardown(function() certificates.remove() end)

  -- A connection whose bytes pass through change(data, number of the piece) on their
  -- way to the client or to the server; a peer that waits for bytes that were taken away
  -- has little patience. -> what the client got, or its error
  local function through(change, to_client, patience)
    local outcome
    context.scope({ on_error = "log" }, function()
      local middle <close> = assert(net.listen("127.0.0.1:0"))
      local server <close> = assert(net.serve("127.0.0.1:0", function(stream)
        stream.timeout = patience
        stream:write(stream:read_line() or "", "\n")
      end, { tls = server_options }))
      local accepting <const> = task.spawn(middle.accept, middle)
      local client <close> = assert(net.connect(middle:address()))
      local near <close> = assert(accepting:join())
      local far <close> = assert(net.connect(server:address()))
      local function pump(from, to, changing)
        local count, data = 0, from:read()
        while data do
          count = count + 1
          to:write(changing and change(data, count) or data)
          data = from:read()
        end
        to:shutdown()
      end
      task.spawn(pump, near, far, not to_client)
      task.spawn(pump, far, near, to_client)
      client.timeout = patience
      local ok, err = task.timeout(patience or 10, client.starttls, client,
        client_options)
      if ok then
        client:write("hello\n")
        ok, err = client:read_line()
      end
      outcome = ok or err
    end)
    return outcome
  end

  it("passes unchanged bytes, however they are cut", function()
    assert.equal("hello", through(function(data) return data end))
    assert.equal("hello", through(stream_pair.bytes))
    assert.equal("hello", through(stream_pair.bytes, true))
  end)

  it("never takes changed bytes for those that were sent", function()
    local random <const> = generator(7)
    for round = 1, gc_stress() and 30 or 200 do
      local piece <const> = random(3)
      local outcome <const> = through(function(data, number)
        return number == piece and mutate(data, random) or data
      end, round % 2 == 0, 0.05)
      if type(outcome) == "string" then
        assert.equal("hello", outcome) -- the piece was never sent
      elseif outcome then
        assert.is_string(outcome.code)
      end
    end
  end)

  it("holds little for many peers that do not read", function()
    local count <const> = 100
    local written = 0
    local server <close> = assert(net.serve("127.0.0.1:0", function(stream)
      local piece <const> = ("x"):rep(100000)
      while stream:write(piece) do written = written + 1 end
    end, { tls = server_options }))
    local before <const> = host.stats().memory
    local streams <const> = {}
    for i = 1, count do
      streams[i] = assert(net.connect(server:address(), { tls = client_options }))
    end
    local last
    repeat
      last = written
      task.sleep(0.05)
    until written == last
    collectgarbage()
    local each <const> = (host.stats().memory - before) / count
    assert.is_true(each < 500000, ("%.0f bytes each"):format(each))
    for _, stream in ipairs(streams) do stream:close(0) end
    server:close()
  end)
end)
