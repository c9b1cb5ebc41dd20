local certificates <const> = require "spec.certificates"
local context <const> = require "ahost.context"
local net <const> = require "ahost.net"
local stream_pair <const> = require "spec.stream_pair"
local sync <const> = require "ahost.sync"
local task <const> = require "ahost.task"
local tls <const> = require "ahost.tls"

local ROUNDS <const> = 20

-- The options of a server with a certificate of the authority.
local function server_options(name, more)
  local directory <const> = certificates.make()
  local options <const> = {
    cert = directory .. "/" .. name .. ".crt", key = directory .. "/" .. name .. ".key",
  }
  for key, value in pairs(more or {}) do options[key] = value end
  return options
end

local function client_options(more)
  local options <const> = { ca = certificates.make() .. "/ca.crt" }
  for key, value in pairs(more or {}) do options[key] = value end
  return options
end

-- Calls fn(client, server) with the ends of a connection whose handshakes are made.
local function with_pair(fn, server, client)
  local listener <close> = assert(net.listen("127.0.0.1:0",
    { tls = server or server_options "server" }))
  local accepting <const> = task.spawn(listener.accept, listener)
  local a <close> = assert(net.connect(listener:address(),
    { tls = client or client_options() }))
  local b <close> = assert(accepting:join())
  assert(b:tls())
  fn(a, b)
end

local function count_descriptors()
  local count = 0
  for _ in io.popen("ls /proc/$PPID/fd"):lines() do count = count + 1 end
  return count
end

certificates.describer(describe, pending)("a TLS connection", function()
  teardown(function() certificates.remove() end)

  it("carries what is written, in both directions", function()
    with_pair(function(a, b)
      a:write("question\n", { "with", " parts\n" })
      assert.equal("question", b:read_line())
      assert.equal("with parts", b:read_line())
      b:write("answer")
      assert.equal("answer", a:read_exactly(6))
    end)
  end)

  it("carries much, in both directions at once, whole", function()
    local data <const> = ("0123456789abcdef"):rep(200000)
    with_pair(function(a, b)
      local function send(stream)
        assert(stream:write(data:sub(1, 7), data:sub(8)))
        assert(stream:shutdown())
      end
      local function receive(stream) return assert(stream:read_all()) end
      local results <const> = task.all {
        function() send(a) end, function() send(b) end,
        function() return receive(a) end, function() return receive(b) end,
      }
      assert.is_true(results[3] == data and results[4] == data)
    end)
  end)

  it("carries many small writes in order, with a reader that is slow", function()
    with_pair(function(a, b)
      local writer <const> = task.spawn(function()
        for i = 1, 20000 do assert(a:write(("%d\n"):format(i))) end
        return a:shutdown()
      end)
      for i = 1, 20000 do
        if i % 5000 == 0 then task.sleep(0.01) end
        assert.equal(tostring(i), b:read_line())
      end
      assert.is_nil(b:read_line())
      assert(writer:join())
    end)
  end)

  it("makes a writer wait for a peer that does not read, in little memory", function()
    with_pair(function(a, b)
      local written = 0
      local before <const> = require("ahost.host").stats().memory
      local writer <const> = task.spawn(function()
        local piece <const> = ("x"):rep(50000)
        for _ = 1, 1000 do
          assert(a:write(piece))
          written = written + #piece
        end
        return a:shutdown()
      end)
      local last = -1
      stream_pair.eventually(function()
        local stopped <const> = written == last
        last = written
        task.sleep(0.01)
        return stopped
      end)
      assert.is_true(written < 50000000)
      local held <const> = require("ahost.host").stats().memory - before
      assert.is_true(held < 2000000, tostring(held))
      assert.equal(50000000, #b:read_all(60000000))
      assert(writer:join())
    end)
  end)

  it("flushes when the kernel has the ciphertext", function()
    with_pair(function(a, b)
      local data <const> = ("y"):rep(30000000) -- more than the kernel takes
      task.spawn(function() a:write(data) end)
      task.yield()
      assert.same("TIMEDOUT", select(2, a:flush(0.01)).code)
      local reader <const> = task.spawn(b.read_exactly, b, #data)
      assert.is_true(a:flush())
      assert.equal(#data, #reader:join())
    end)
  end)

  it("ends with a plain end when the peer shuts down or closes", function()
    with_pair(function(a, b)
      a:write("last words")
      a:shutdown()
      assert.equal("last words", b:read_all())
      b:write("and mine")
      b:close()
      assert.equal("and mine", a:read())
      assert.same({ n = 1 }, table.pack(a:read()))
    end)
  end)

  it("that ends without being told so is TRUNCATED, behind what has come", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local accepting <const> = task.spawn(listener.accept, listener)
    local raw <const> = net.connect(listener:address())
    local plain <const> = assert(accepting:join())
    local cut <close> = assert(net.listen("127.0.0.1:0",
      { tls = server_options "server" }))
    -- What passes between the two is cut by who passes it on.
    local function pump(from, to)
      for data in from:chunks() do
        to:write(data)
        to:flush()
      end
    end
    local far_end <const> = task.spawn(cut.accept, cut)
    local far <const> = assert(net.connect(cut:address()))
    local pumps <const> = {
      task.spawn(pump, plain, far), task.spawn(pump, far, plain),
    }
    local b <const> = assert(far_end:join())
    assert(raw:starttls(client_options { hostname = "localhost" }))
    b:write("half of")
    assert.equal("half of", raw:read())
    for _, one in ipairs(pumps) do one:cancel() end
    task.yield()
    plain:close()
    far:close()
    local data, err = raw:read()
    assert.is_nil(data)
    assert.equal("TRUNCATED", err.code)
    assert.equal("read: the connection ended, but the peer has not said so (TRUNCATED)",
      tostring(err))
    assert.equal("TRUNCATED", select(2, b:read_all()).code)
  end)

  it("that ends so is at its end, where truncation is allowed", function()
    local listener <close> = assert(net.listen("127.0.0.1:0",
      { tls = server_options("server", { allow_truncation = true }) }))
    local accepting <const> = task.spawn(listener.accept, listener)
    local a <const> = assert(net.connect(listener:address(), { tls = client_options() }))
    local b <const> = assert(accepting:join())
    a:write("some")
    a:flush()
    task.spawn(function() task.sleep(0) end)
    assert.equal("some", b:read())
    assert.is_table(a:tls())
    a:close(0)
    local rest, err = b:read_all()
    assert.is_true(rest == "" or err.code == "ECONNRESET")
  end)

  it("tells of its version, cipher and peer", function()
    with_pair(function(a, b)
      local about <const> = a:tls()
      assert.equal("TLSv1.3", about.version)
      assert.matches("^TLS_", about.cipher)
      assert.is_false(about.resumed)
      assert.equal("CN=localhost", about.peer.subject)
      assert.equal("CN=Spec Authority", about.peer.issuer)
      assert.same({ "localhost", "127.0.0.1" }, about.peer.names)
      assert.equal(1577836800, about.peer.not_before)
      assert.equal(2461449600, about.peer.not_after)
      assert.matches("^%x+$", about.peer.fingerprint)
      assert.equal(64, #about.peer.fingerprint)
      assert.is_nil(b:tls().peer)
      assert.matches("%(tls%)$", tostring(a))
      a:close()
      assert.equal("CLOSED", select(2, a:tls()).code)
    end)
  end)

  it("is nil to a stream in plain text", function()
    stream_pair.with(function(a) assert.is_nil(a:tls()) end)
  end)

  it("speaks the first application protocol of the server that the client knows",
    function()
      with_pair(function(a, b)
        assert.equal("h2", a:tls().alpn)
        assert.equal("h2", b:tls().alpn)
      end, server_options("server", { alpn = { "h2", "http/1.1" } }),
        client_options { alpn = { "http/1.1", "h2" } })
    end)

  it("shows the certificate of the name that is asked for", function()
    local directory <const> = certificates.make()
    local function files(name)
      return { cert = directory .. "/" .. name .. ".crt",
        key = directory .. "/" .. name .. ".key" }
    end
    local options <const> = server_options("server",
      { certificates = { ["a.test"] = files "a", ["*.wild.test"] = files "wild" } })
    for hostname, subject in pairs { ["a.test"] = "CN=a.test", ["A.test"] = "CN=a.test",
      ["b.wild.test"] = "CN=wild", localhost = "CN=localhost" } do
      with_pair(function(a, b)
        assert.equal(subject, a:tls().peer.subject)
        assert.equal(hostname, b:tls().server_name)
      end, options, client_options { hostname = hostname })
    end
    with_pair(function(a, b)
      assert.equal("CN=localhost", a:tls().peer.subject)
      assert.is_nil(b:tls().server_name)
    end, options, client_options { hostname = "127.0.0.1" })
  end)

  it("shows the server the certificate of the client", function()
    with_pair(function(_, b)
      local peer <const> = b:tls().peer
      assert.equal("CN=Spec Client", peer.subject)
      assert.same({ "client@a.test" }, peer.names)
    end, server_options("server",
      { ca = certificates.make() .. "/ca.crt", client_certificates = "required" }),
      server_options("client", client_options()))
    with_pair(function(_, b) assert.is_nil(b:tls().peer) end, server_options("server",
      { ca = certificates.make() .. "/ca.crt", client_certificates = "optional" }))
  end)

  for _, version in ipairs { "1.2", "1.3" } do
    it("resumes a session of TLS " .. version, function()
      local server <const> = tls.server(server_options "server")
      local session
      local function connect(options, fn)
        with_pair(function(a, b)
          b:write("x")
          assert.equal("x", a:read())
          fn(a:tls(), b:tls())
        end, server, client_options(options))
      end
      local ciphers <const> = version == "1.2" and "ECDHE-ECDSA-AES128-GCM-SHA256" or nil
      connect({ max_version = version, ciphers = ciphers }, function(about)
        assert.equal("TLSv" .. version, about.version)
        assert.is_false(about.resumed)
        session = about.session
      end)
      assert.is_string(session)
      connect({ max_version = version, session = session }, function(about, theirs)
        assert.is_true(about.resumed)
        assert.is_true(theirs.resumed)
        assert.equal("CN=localhost", about.peer.subject)
      end)
      connect({ session = session, hostname = "localhost" }, function(about)
        assert.is_false(about.resumed)
      end)
      connect({ session = session:sub(1, -9) .. "garbage!" }, function(about)
        assert.is_boolean(about.resumed)
      end)
    end)
  end

  it("does not take the session of one that was not checked", function()
    local server <const> = tls.server(server_options "server")
    local session
    with_pair(function(a, b)
      b:write("x")
      a:read()
      session = assert(a:tls().session)
    end, server, { verify = false })
    local listener <close> = assert(net.listen("127.0.0.1:0", { tls = server }))
    local accepting <const> = task.spawn(listener.accept, listener)
    local stream, err = net.connect(listener:address(), { tls = { session = session } })
    accepting:join():close()
    assert.is_nil(stream)
    assert.equal("CERTIFICATE", err.code)
    assert.equal("unknown-issuer", err.reason)
  end)

  it("keeps its certificate when that of the server is reloaded", function()
    local directory <const> = certificates.make()
    local function install(name)
      os.execute(("cp %s/%s.crt %s/live.crt; cp %s/%s.key %s/live.key"):format(directory,
        name, directory, directory, name, directory))
    end
    install "server"
    local server <const> = assert(tls.server(server_options "live"))
    local listener <close> = assert(net.listen("127.0.0.1:0", { tls = server }))
    local function connect()
      local accepting <const> = task.spawn(listener.accept, listener)
      local stream <const> = assert(net.connect(listener:address(),
        { tls = client_options() }))
      return stream, accepting:join()
    end
    local old <close>, old_end = connect()
    assert(old_end:tls())
    install "renewed"
    assert.is_true(server:reload())
    local new <close> = connect()
    assert.equal("CN=renewed", new:tls().peer.subject)
    old_end:write("still here")
    assert.equal("still here", old:read())
    assert.equal("CN=localhost", old:tls().peer.subject)
    os.execute(("echo nothing >%s/live.crt"):format(directory))
    local ok, err = server:reload()
    assert.is_nil(ok)
    assert.equal("CONFIG", err.code)
    local newest <close> = connect()
    assert.equal("CN=renewed", newest:tls().peer.subject)
  end)

  it("begins with starttls, behind an exchange in plain text", function()
    stream_pair.with(function(a, b)
      local server <const> = task.spawn(function()
        assert.equal("STARTTLS", b:read_line())
        b:write("ready\n")
        assert(b:starttls(server_options("server", { server = true })))
        b:write("secret\n")
        return b:tls().version
      end)
      a:write("STARTTLS\n")
      assert.equal("ready", a:read_line())
      assert.is_true(a:starttls(client_options { hostname = "localhost" }))
      assert.equal("secret", a:read_line())
      assert.equal("TLSv1.3", server:join())
    end)
  end)

  it("does not begin with plain text that came too early", function()
    stream_pair.with(function(a, b)
      a:write("STARTTLS\nDELETE everything\n")
      assert.equal("STARTTLS", b:read_line())
      local ok, err = b:starttls(server_options("server", { server = true }))
      assert.is_nil(ok)
      assert.equal("TLS", err.code)
      assert.equal("plaintext", err.reason)
      assert.matches("18 bytes in plain text", err.message)
    end)
  end)

  it("works over a Unix socket", function()
    local path <const> = certificates.make() .. "/socket"
    local server <close> = assert(net.serve("unix:" .. path, function(stream)
      stream:write(stream:read_line(), "\n")
    end, { tls = server_options "server" }))
    local stream <close> = assert(net.connect(server:address(),
      { tls = client_options { hostname = "localhost" } }))
    stream:write("here\n")
    assert.equal("here", stream:read_line())
    assert.has_error(function()
      net.connect(server:address(), { tls = client_options() })
    end, "option 'tls': 'hostname' is needed: whom the certificate of the server must "
      .. "be for")
  end)

  it("gathers what is written during the handshake", function()
    local listener <close> = assert(net.listen("127.0.0.1:0",
      { tls = server_options "server" }))
    local accepting <const> = task.spawn(listener.accept, listener)
    local raw <close> = assert(net.connect(listener:address()))
    local b <close> = assert(accepting:join())
    assert.is_true(b:write("hello, "))
    local reader <const> = task.spawn(b.read_line, b)
    assert.is_true(b:write("you\n"))
    assert(raw:starttls(client_options { hostname = "localhost" }))
    assert.equal("hello, you", raw:read_line())
    raw:write("and you\n")
    assert.equal("and you", reader:join())
  end)

  it("sends what was gathered when it is closed during the handshake", function()
    local listener <close> = assert(net.listen("127.0.0.1:0",
      { tls = server_options "server" }))
    local accepting <const> = task.spawn(listener.accept, listener)
    local raw <close> = assert(net.connect(listener:address()))
    local b <const> = assert(accepting:join())
    b:write("goodbye")
    b:close()
    assert(raw:starttls(client_options { hostname = "localhost" }))
    assert.equal("goodbye", raw:read_all())
  end)

  it("survives the end of its context, its task and the interest in it", function()
    local before <const> = count_descriptors()
    local server <close> = assert(net.serve("127.0.0.1:0", function(stream)
      for data in stream:chunks() do assert(stream:write(data)) end
    end, { tls = server_options "server" }))
    local options <const> = { tls = client_options() }
    for i = 1, ROUNDS do
      context.scope(function()
        local stream = assert(net.connect(server:address(), options))
        stream:write("x")
        if i % 2 == 0 then assert.equal("x", stream:read()) end
      end)
      local forgotten = assert(net.connect(server:address(), options))
      forgotten:write("y")
      forgotten = nil -- luacheck: ignore
      local connecting <const> = task.spawn(net.connect, server:address(), options)
      for _ = 1, i % 5 do task.yield() end
      connecting:cancel()
      local late <const> = task.spawn(function()
        return task.timeout(0, net.connect, server:address(), options)
      end)
      late:join()
    end
    collectgarbage()
    collectgarbage()
    server:close()
    stream_pair.eventually(function()
      collectgarbage()
      return count_descriptors() <= before
    end)
  end)

  it("is one of many at once", function()
    local server <close> = assert(net.serve("127.0.0.1:0", function(stream)
      for line in stream:lines() do stream:write(line, "\n") end
    end, { tls = server_options "server" }))
    local options <const> = { tls = client_options() }
    local done <const> = sync.queue(50)
    for i = 1, 50 do
      task.spawn(function()
        local stream <close> = assert(net.connect(server:address(), options))
        for j = 1, 20 do
          stream:write(("%d %d\n"):format(i, j))
          assert.equal(("%d %d"):format(i, j), stream:read_line())
        end
        done:put(i)
      end)
    end
    local sum = 0
    for _ = 1, 50 do sum = sum + done:get() end
    assert.equal(1275, sum)
  end)
end)
