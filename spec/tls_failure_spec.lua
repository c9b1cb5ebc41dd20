-- What can go wrong with TLS, at both ends: who is told what, and what is left over.

local certificates <const> = require "spec.certificates"
local net <const> = require "ahost.net"
local stream_pair <const> = require "spec.stream_pair"
local task <const> = require "ahost.task"
local testing <const> = require "ahost.testing"
local tls <const> = require "ahost.tls"

local function files(name, more)
  local directory <const> = certificates.make()
  local options <const> = {
    cert = directory .. "/" .. name .. ".crt", key = directory .. "/" .. name .. ".key",
  }
  for key, value in pairs(more or {}) do options[key] = value end
  return options
end

local function authority() return certificates.make() .. "/ca.crt" end

local function count_descriptors()
  local count = 0
  for _ in io.popen("ls /proc/$PPID/fd"):lines() do count = count + 1 end
  return count
end

-- Makes a connection that is to fail. -> error of the client, error of the server
local function fail(server, client)
  local listener <close> = assert(net.listen("127.0.0.1:0", { tls = server }))
  local accepting <const> = task.spawn(listener.accept, listener)
  local a, client_err = net.connect(listener:address(), { tls = client })
  local b <close> = assert(accepting:join())
  if a then -- with TLS 1.3 the server may be the last to know
    local _
    _, client_err = a:read()
    a:close()
  end
  local _, server_err = b:tls()
  assert.same(server_err and server_err.code, (select(2, b:read()) or {}).code)
  return client_err, server_err
end

certificates.describer(describe, pending)("TLS", function()
  local descriptors

  setup(function()
    certificates.make()
    stream_pair.with(function() end) -- what the first listener opens stays
    collectgarbage()
    descriptors = count_descriptors()
  end)
  teardown(function() certificates.remove() end)

  after_each(function()
    stream_pair.eventually(function()
      collectgarbage()
      return count_descriptors() <= descriptors
    end)
  end)

  local REFUSED <const> = {
    expired = 'the certificate "CN=expired" expired on 2021-01-01T00:00:00Z',
    future = 'the certificate "CN=future" is not valid before 2047-01-01T00:00:00Z',
    self = 'the certificate "CN=self" is self-signed, and not among those that are '
      .. 'trusted',
    foreign = 'the certificate "CN=foreign" is issued by "CN=Other Authority", which is '
      .. 'not trusted',
    a = 'the certificate "CN=a.test" is not for "127.0.0.1" but for a.test',
  }
  local REASONS <const> = { expired = "expired", future = "not-yet-valid",
    self = "self-signed", foreign = "unknown-issuer", a = "hostname" }

  for name, message in pairs(REFUSED) do
    it("refuses a certificate that is " .. REASONS[name], function()
      local err, server_err = fail(files(name), { ca = authority() })
      assert.equal("CERTIFICATE", err.code)
      assert.equal(REASONS[name], err.reason)
      assert.equal(message, err.message)
      assert.matches("^connect 127.0.0.1:%d+: the certificate .* %(CERTIFICATE%)$",
        tostring(err))
      assert.equal("TLS", server_err.code)
      assert.equal("alert", server_err.reason)
      assert.matches("^the peer broke off: ", server_err.message)
    end)
  end

  it("takes any certificate where nothing is to be verified", function()
    local listener <close> = assert(net.listen("127.0.0.1:0", { tls = files "self" }))
    local accepting <const> = task.spawn(listener.accept, listener)
    local a <close> = assert(net.connect(listener:address(),
      { tls = { verify = false } }))
    local b <close> = assert(accepting:join())
    assert(b:tls())
    assert.equal("CN=self", a:tls().peer.subject)
  end)

  it("trusts a certificate that is itself among the trusted ones", function()
    local listener <close> = assert(net.listen("127.0.0.1:0", { tls = files "self" }))
    local accepting <const> = task.spawn(listener.accept, listener)
    local a <close> = assert(net.connect(listener:address(),
      { tls = { ca = { authority(), certificates.make() .. "/self.crt" } } }))
    local b <close> = assert(accepting:join())
    assert(b:tls())
    assert.is_table(a:tls())
  end)

  it("does not trust an authority of the specs by the system's list", function()
    local err <const> = fail(files "server", true)
    assert.same({ "CERTIFICATE", "unknown-issuer" }, { err.code, err.reason })
  end)

  it("needs the certificate of a client that has none", function()
    local err, server_err = fail(
      files("server", { ca = authority(), client_certificates = "required" }),
      { ca = authority() })
    assert.same({ "CERTIFICATE", "missing" }, { server_err.code, server_err.reason })
    assert.equal("the client shows no certificate", server_err.message)
    assert.same({ "TLS", "certificate-required" }, { err.code, err.reason })
    assert.equal("the server wants a certificate of the client (cert, key)", err.message)
  end)

  for _, wanted in ipairs { "required", "optional" } do
    it("refuses a foreign client where certificates are " .. wanted, function()
      local _, server_err = fail(
        files("server", { ca = authority(), client_certificates = wanted }),
        files("foreign", { ca = authority() }))
      assert.same({ "CERTIFICATE", "unknown-issuer" },
        { server_err.code, server_err.reason })
    end)
  end

  it("needs a version that both sides speak", function()
    local err, server_err = fail(files("server", { min_version = "1.3" }),
      { ca = authority(), max_version = "1.2" })
    assert.same({ "TLS", "version" }, { err.code, err.reason })
    assert.same({ "TLS", "version" }, { server_err.code, server_err.reason })
    assert.matches("min_version", server_err.message)
  end)

  it("needs an application protocol that both sides speak, if both name some", function()
    local err, server_err = fail(files("server", { alpn = { "h2" } }),
      { ca = authority(), alpn = { "http/1.1" } })
    assert.same({ "TLS", "alpn" }, { err.code, err.reason })
    assert.same({ "TLS", "alpn" }, { server_err.code, server_err.reason })
  end)

  it("needs a certificate for the name, where there is none for all", function()
    local err, server_err = fail({ certificates = { ["a.test"] = files "a" } },
      { ca = authority(), hostname = "b.test" })
    assert.same({ "TLS", "server-name" }, { err.code, err.reason })
    assert.same({ "TLS", "server-name" }, { server_err.code, server_err.reason })
  end)

  -- What a server says about a peer that is no TLS client.
  local function meet(text)
    local listener <close> = assert(net.listen("127.0.0.1:0",
      { tls = files "server" }))
    local accepting <const> = task.spawn(listener.accept, listener)
    local raw <close> = assert(net.connect(listener:address()))
    local b <close> = assert(accepting:join())
    raw:write(text)
    raw:shutdown()
    local _, err = b:tls()
    return err
  end

  it("knows plain HTTP when it sees it", function()
    local err <const> = meet "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert.same({ "TLS", "http" }, { err.code, err.reason })
    assert.equal("the peer speaks plain HTTP to a TLS port", err.message)
  end)

  it("fails on what is not TLS, is too short or is empty", function()
    for _, text in ipairs { "SSH-2.0-OpenSSH_9.2\r\n", ("\0"):rep(100),
      ("\255"):rep(20000), "\22\3\1\255\255" .. ("x"):rep(70000) } do
      local err <const> = meet(text)
      assert.equal("TLS", err.code)
      assert.is_true(#err.message > 10)
    end
    for _, text in ipairs { "", "\22\3\1" } do
      local err <const> = meet(text)
      assert.same({ "TLS", "closed" }, { err.code, err.reason })
    end
  end)

  it("tells a client that the server speaks no TLS", function()
    local server <close> = assert(net.serve("127.0.0.1:0", function(stream)
      stream:write("220 mail.example.org ESMTP ready\r\n")
      stream:read_all()
    end))
    local stream, err = net.connect(server:address(), { tls = { ca = authority() } })
    assert.is_nil(stream)
    assert.same({ "TLS", "not-tls" }, { err.code, err.reason })
    assert.equal("the peer does not speak TLS", err.message)
  end)

  it("ends the wait for a peer that stops in the middle of the handshake", function()
    local err <const> = (function()
      local listener <close> = assert(net.listen("127.0.0.1:0",
        { tls = files("server", { handshake_timeout = 0.05 }) }))
      local accepting <const> = task.spawn(listener.accept, listener)
      local raw <close> = assert(net.connect(listener:address()))
      local b <close> = assert(accepting:join())
      raw:write("\22\3\1\2\0")
      local reader <const> = task.spawn(b.read, b)
      local _, reading = reader:join()
      assert.equal("TIMEDOUT", reading.code)
      assert.equal("TIMEDOUT", select(2, b:write("x")).code)
      return select(2, b:tls())
    end)()
    assert.equal("TLS handshake: timed out (TIMEDOUT)", tostring(err))
    local silent <close> = assert(net.listen("127.0.0.1:0"))
    local accepting <const> = task.spawn(silent.accept, silent)
    local stream, late = net.connect(silent:address(),
      { timeout = 0.05, tls = { ca = authority() } })
    assert.is_nil(stream)
    assert.matches("^connect 127.0.0.1:%d+: timed out %(TIMEDOUT%)$", tostring(late))
    accepting:join():close()
  end)

  it("keeps nobody waiting behind such a peer", function()
    local capture <close> = testing.capture()
    local server <close> = assert(net.serve("127.0.0.1:0", function(stream)
      stream:write("welcome\n")
    end, { tls = files("server", { handshake_timeout = 5 }) }))
    local stuck <const> = {}
    for i = 1, 20 do stuck[i] = assert(net.connect(server:address())) end
    stuck[1]:write("GET / HTTP/1.0\r\n\r\n")
    local stream <close> = assert(net.connect(server:address(),
      { tls = { ca = authority() } }))
    assert.equal("welcome", stream:read_line())
    for _, one in ipairs(stuck) do one:close() end
    server:close(5)
    for _, record in ipairs(capture.records) do
      assert.is_true(record.level == "debug", record.message)
    end
  end)

  it("tells who breaks the protocol later", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local accepting <const> = task.spawn(listener.accept, listener)
    local middle <close> = assert(net.listen("127.0.0.1:0", { tls = files "server" }))
    local far_end <const> = task.spawn(middle.accept, middle)
    local raw <close> = assert(net.connect(listener:address()))
    local near <close> = assert(accepting:join())
    local far <close> = assert(net.connect(middle:address()))
    local b <close> = assert(far_end:join())
    local function pump(from, to)
      local data = from:read()
      while data do
        to:write(data)
        to:flush()
        data = from:read()
      end
    end
    task.spawn(pump, far, near)
    local pumping <const> = task.spawn(pump, near, far)
    assert(raw:starttls { ca = authority(), hostname = "localhost" })
    raw:write("good")
    assert.equal("good", b:read())
    pumping:cancel()
    task.yield()
    far:write("\23\3\3\0\32" .. ("?"):rep(32))
    local data, err = b:read()
    assert.is_nil(data)
    assert.same({ "TLS", "record" }, { err.code, err.reason })
    assert.equal("TLS", select(2, b:write("more")).code)
    assert.equal("TLS", select(2, raw:read_all()).code)
  end)

  it("expects of each connection the host of its own options", function()
    local listener <close> = assert(net.listen("127.0.0.1:0", { tls = files "server" }))
    for _, hostname in ipairs { "a.test", "", "b.test", "" } do
      local accepting <const> = task.spawn(listener.accept, listener)
      local a <close> = assert(net.connect(listener:address(),
        { tls = { verify = false, hostname = hostname ~= "" and hostname or nil } }))
      local b <close> = assert(accepting:join())
      assert.equal(hostname, b:tls().server_name or "")
      assert.equal("TLSv1.3", a:tls().version)
    end
    local ca <const> = { ca = authority() }
    local own <close> = assert(net.listen("127.0.0.1:0", { tls = files "server" }))
    for hostname, reason in pairs { ["a.test"] = "hostname", localhost = "" } do
      ca.hostname = hostname
      local accepting <const> = task.spawn(own.accept, own)
      local stream, err = net.connect(own:address(), { tls = ca })
      assert.equal(reason, stream and "" or err.reason)
      if stream then stream:close() end
      accepting:join():close()
    end
  end)

  it("raises on options that make no sense", function()
    local MISUSE <const> = {
      [{ cert = "a.crt" }] = "'cert' and 'key' belong together: 'key' is missing",
      [{ hostnam = "a" }] = "unknown option 'hostnam' (did you mean \"hostname\"?)",
      [{ verify = 1 }] = "'verify' must be a boolean, not a number",
      [{ certificates = {} }] = "'certificates' is for servers only",
      [{ min_version = "1.4" }] = "'min_version' must be 1.0, 1.1, 1.2 or 1.3, not 1.4",
      [{ min_version = 1.3, max_version = "1.2" }] =
        "'min_version' is greater than 'max_version'",
      [{ alpn = { "" } }] =
        "'alpn' must be a list of names of 1 to 255 bytes, not  (the 1.)",
      [{ handshake_timeout = -1 }] = "'handshake_timeout' must be >= 0 seconds",
      [{ context = {} }] = "'context' must be what ahost.tls.client or .server returns",
      [{ context = tls.server(files "server") }] = "it is made for a server",
      [7] = "true or a table of options is expected, not a number",
    }
    for options, text in pairs(MISUSE) do
      assert.has_error(function() net.connect("127.0.0.1:1", { tls = options }) end,
        "option 'tls': " .. text)
    end
    for options, text in pairs {
      [true] = "a server needs 'cert' and 'key' (or 'certificates')",
      [files("server", { hostname = "a" })] = "'hostname' is for clients only",
      [files("server", { client_certificates = "yes" })] =
        "'client_certificates' must be none, optional or required, not 'yes'",
      [files("server", { client_certificates = "required" })] =
        "'client_certificates' needs 'ca', whose certificates clients are to show",
    } do
      assert.has_error(function() net.listen("127.0.0.1:0", { tls = options }) end,
        "option 'tls': " .. text)
    end
  end)

  it("says which file is not what it should be", function()
    local directory <const> = certificates.make()
    local key <const> = directory .. "/server.key"
    for text, options in pairs {
      ["option 'cert': /nowhere/a.crt: No such file or directory"] =
        { cert = "/nowhere/a.crt", key = key },
      ["option 'cert': " .. key .. ": there is nothing of the kind in it, in PEM"] =
        { cert = key, key = key },
      ["option 'key': " .. directory .. "/a.key: it is not the key of the certificate"] =
        files("server", { key = directory .. "/a.key" }),
      ["option 'key': " .. directory
        .. "/locked.key: the key is encrypted: option 'password' is needed"] =
        files("server", { key = directory .. "/locked.key" }),
      ["option 'ca': " .. key .. ": there is nothing of the kind in it, in PEM"] =
        files("server", { ca = key }),
      ["option 'ciphers': no cipher match"] = files("server", { ciphers = "none" }),
    } do
      local context, err = tls.server(options)
      assert.is_nil(context)
      assert.same({ "CONFIG", text }, { err.code, err.message })
      local listener, reason = net.listen("127.0.0.1:0", { tls = options })
      assert.is_nil(listener)
      assert.equal(text, reason.message)
    end
    assert(tls.server(files("server",
      { key = directory .. "/locked.key", password = "secret" })))
  end)

  it("can be started once, with nobody at reading or writing", function()
    stream_pair.with(function(a, b)
      local reader <const> = task.spawn(a.read, a)
      task.yield()
      assert.has_error(function() a:starttls { verify = false } end,
        "another task is reading this stream: TLS cannot start")
      reader:cancel()
      assert.has_error(function() a:starttls() end, "option 'tls': 'hostname' is needed: "
        .. "whom the certificate of the server must be for")
      task.spawn(b.starttls, b, files("server", { server = true }))
      assert(a:starttls { verify = false })
      assert.has_error(function() a:starttls { verify = false } end,
        "TLS has been started on this stream already")
      a:close()
      assert.equal("CLOSED", select(2, a:starttls { verify = false }).code)
    end)
  end)
end)
