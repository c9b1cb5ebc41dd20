-- TLS with very many peers that stall, and with certificates that are loaded again
-- while clients come and go.

local certificates <const> = require "spec.certificates"
local context <const> = require "ahost.context"
local gc_stress <const> = require "spec.gc_stress"
local host <const> = require "ahost.host"
local net <const> = require "ahost.net"
local task <const> = require "ahost.task"
local tls <const> = require "ahost.tls"

local function descriptors()
  local count, list <close> = 0, assert(io.popen("ls /proc/$PPID/fd"))
  for _ in list:lines() do count = count + 1 end
  return count
end

certificates.describer(describe, pending)("TLS under load", function()
  local directory

  setup(function() directory = certificates.make() end)
  teardown(function() certificates.remove() end)

  local function install(name)
    os.execute(("cp %s/%s.crt %s/live.crt; cp %s/%s.key %s/live.key"):format(directory,
      name, directory, directory, name, directory))
  end

  local function files(name, more)
    local options <const> = more or {}
    options.cert = ("%s/%s.crt"):format(directory, name)
    options.key = ("%s/%s.key"):format(directory, name)
    return options
  end

  local function client_options(more)
    local options <const> = more or {}
    options.ca, options.hostname = directory .. "/ca.crt", "localhost"
    return options
  end

  -- The first bytes of a handshake, up to the middle of its first record.
  local HALF <const> = "\22\3\1\2\0\1\0\1\252\3\3" .. ("r"):rep(100)

  it("holds little for thousands of peers that stall in the handshake", function()
    local count <const> = gc_stress() and 50 or 1000
    local server <close> = assert(net.serve("127.0.0.1:0", function(stream)
      stream:read()
    end, { tls = files("server", { handshake_timeout = 1000 }) }))
    local good <const> = { tls = client_options() }
    assert(net.connect(server:address(), good)):close()
    collectgarbage()
    local before <const>, open <const> = host.stats().memory, descriptors()
    local peers <const> = {}
    for i = 1, count do
      peers[i] = assert(net.connect(server:address()))
      peers[i]:write(HALF)
      peers[i]:flush()
    end
    local stream <close> = assert(net.connect(server:address(), good))
    assert.equal("TLSv1.3", stream:tls().version) -- nobody waits behind them
    collectgarbage()
    local each <const> = (host.stats().memory - before) / count
    assert.is_true(each < 8000, ("%.0f bytes each"):format(each))
    for _, peer in ipairs(peers) do peer:close(0) end
    stream:close()
    server:close()
    assert.is_true(descriptors() <= open)
  end)

  it("fails no client while its certificate is loaded again and again", function()
    local reloads <const>, clients <const> = gc_stress() and 5 or 100, 4
    install "server"
    local settings <const> = assert(tls.server(files "live"))
    local server <close> = assert(net.serve("127.0.0.1:0", function(stream)
      for line in stream:lines() do stream:write(line, "\n") end
    end, { tls = settings }))
    local subjects, is_over, served = {}, false, 0
    -- Half of them resume the session of the last one.
    local function use(resumes)
      local session
      repeat
        local stream <close> = assert(net.connect(server:address(),
          { tls = client_options { session = session } }))
        stream:write("hello\n")
        assert.equal("hello", stream:read_line())
        local told <const> = assert(stream:tls())
        subjects[told.peer.subject] = true
        session = resumes and told.session or nil
        served = served + 1
      until is_over
      return true
    end
    local users <const> = {}
    for i = 1, clients do users[i] = task.spawn(use, i % 2 == 0) end
    for i = 1, reloads do
      install(i % 2 == 0 and "server" or "renewed")
      assert.is_true(settings:reload())
      local before <const> = served
      repeat task.yield() until served > before
    end
    is_over = true
    for _, user in ipairs(users) do assert(user:join()) end
    assert.is_true(subjects["CN=localhost"] and subjects["CN=renewed"])
  end)

  it("can be cancelled wherever it waits, and leaves nothing behind", function()
    local server <close> = assert(net.serve("127.0.0.1:0", function(stream)
      for line in stream:lines() do stream:write(line, "\n") end
    end, { tls = files "server" }))
    assert(net.connect(server:address(), { tls = client_options() })):close()
    local open <const> = descriptors()
    local function use()
      local stream <close> = assert(net.connect(server:address(),
        { tls = client_options() }))
      stream:write(("x"):rep(50000), "\n")
      stream:flush()
      stream:read_line(100000)
      stream:shutdown()
      return "whole"
    end
    local last
    for turns = 0, gc_stress() and 20 or 60 do
      context.scope({ on_error = "log" }, function()
        local user <const> = task.spawn(use)
        for _ = 1, turns do task.yield() end
        user:cancel()
        last = user:join()
      end)
    end
    assert.is_true(last == "whole" or last == nil)
    server:close(0)
    assert.is_true(descriptors() <= open)
  end)
end)
