-- TLS with what others have written: the commands `openssl` and `curl`.

local certificates <const> = require "spec.certificates"
local net <const> = require "ahost.net"
local subprocess <const> = require "spec.subprocess"

-- A server of HTTP that says what it knows about the client.
local SERVER <const> = [[
local net = require "ahost.net"
local directory = ...
local server = assert(net.serve("127.0.0.1:0", function(stream)
  repeat local line = stream:read_line() until not line or line == ""
  local tls = stream:tls()
  local text = ("%s %s %s %s\n"):format(tls.version, tls.alpn, tls.resumed,
    tls.peer and tls.peer.subject)
  stream:write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ",
    tostring(#text), "\r\n\r\n", text)
end, { tls = { cert = directory .. "/server.crt", key = directory .. "/server.key",
  ca = directory .. "/ca.crt", client_certificates = "optional",
  alpn = { "http/1.1" } } }))
print(server:address())
io.stdout:flush()
]]

local function start_server()
  local server = subprocess.start("exec "
    .. subprocess.script(SERVER, certificates.make()):gsub("; status.*$", ""))
  local line = server:read_line()
  return server, assert(line and line:match("^127.0.0.1:%d+$"), line)
end

-- Starts `openssl s_server`. -> the process, its address, its process id
local function start_openssl(arguments)
  local directory <const> = certificates.make()
  local server = subprocess.start(("echo $$; cd %s; exec openssl s_server -accept "
    .. "127.0.0.1:0 -cert server.crt -key server.key %s"):format(directory, arguments))
  local pid <const> = server:read_line()
  local port, line
  repeat
    line = assert(server:read_line(), "openssl s_server has ended")
    port = line:match("^ACCEPT .*:(%d+)$")
  until port
  return server, "127.0.0.1:" .. port, pid
end

certificates.describer(describe, pending)("TLS", function()
  local authority

  setup(function() authority = certificates.make() .. "/ca.crt" end)
  teardown(function() certificates.remove() end)

  for version, flag in pairs { ["TLSv1.2"] = "-tls1_2", ["TLSv1.3"] = "-tls1_3" } do
    it("of version " .. version .. " is understood by openssl s_client", function()
      local server <close>, address = start_server()
      local result <const> = subprocess.shell(([[
        cd %s
        printf 'GET / HTTP/1.1\r\n\r\n' | openssl s_client -connect %s %s -CAfile ca.crt \
          -verify_return_error -verify_hostname localhost -servername localhost \
          -cert client.crt -key client.key -alpn http/1.1 -ign_eof -quiet]])
        :format(certificates.make(), address, flag))
      assert.equal(0, result.status, result.err)
      assert.truthy(result.out:find(version .. " http/1.1 false CN=Spec Client", 1, true),
        result.out)
      server:signal("TERM")
      assert.equal(0, server:finish().status)
    end)

    it("of version " .. version .. " is understood by openssl s_server", function()
      local server <close>, address = start_openssl(flag .. " -rev -alpn spec")
      local stream <close> = assert(net.connect(address,
        { tls = { ca = authority, alpn = { "spec" } } }))
      assert.equal(version, stream:tls().version)
      assert.equal("spec", stream:tls().alpn)
      stream:write("stressed\n")
      assert.equal("desserts", stream:read_line())
      server:signal("TERM")
    end)

    it("of version " .. version .. " is resumed with openssl s_client", function()
      local server <close>, address = start_server()
      local result <const> = subprocess.shell(([[
        cd %s
        ask() {
          printf 'GET / HTTP/1.1\r\n\r\n' |
            openssl s_client -connect %s %s -CAfile ca.crt -ign_eof "$@" 2>&1
        }
        ask -sess_out session >first
        ask -sess_in session | grep -a '^TLSv1'; rm session]])
        :format(certificates.make(), address, flag))
      assert.equal(version .. " nil true nil\n", result.out, result.err)
      server:signal("TERM")
      assert.equal(0, server:finish().status)
    end)
  end

  it("is understood by curl", function()
    local server <close>, address = start_server()
    local port <const> = address:match("%d+$")
    local result <const> = subprocess.shell(([[
      cd %s
      curl -sS --noproxy '*' --cacert ca.crt https://localhost:%s/ --resolve \
        localhost:%s:127.0.0.1 &&
      curl -sS --noproxy '*' --cacert ca.crt https://127.0.0.1:%s/ --cert client.crt \
        --key client.key
      curl -sS --noproxy '*' https://127.0.0.1:%s/ >other 2>&1; echo $?
      curl -sS --noproxy '*' http://127.0.0.1:%s/ >other 2>&1 || echo no]])
      :format(certificates.make(), port, port, port, port, port))
    assert.equal("TLSv1.3 http/1.1 false nil\nTLSv1.3 http/1.1 false CN=Spec Client\n"
      .. "60\nno\n", result.out, result.err)
    server:signal("TERM")
    assert.equal(0, server:finish().status)
  end)

  it("takes the key update of a peer, and goes on", function()
    local server <close>, address = start_server()
    local result <const> = subprocess.shell(([[
      cd %s
      { printf 'GET / HTTP/1.1\n'; sleep 0.2; printf 'K\n'; sleep 0.2; printf '\n'; } |
        openssl s_client -connect %s -CAfile ca.crt -crlf -nocommands -ign_eof -quiet; :
      { printf 'K\n'; sleep 0.2; printf 'K\n'; sleep 0.2; printf 'Q\n'; } |
        openssl s_client -connect %s -CAfile ca.crt -crlf >log 2>&1
      grep -c KEYUPDATE log]])
      :format(certificates.make(), address, address))
    assert.truthy(result.out:find("TLSv1.3", 1, true), result.out .. result.err)
    assert.truthy(result.out:find("2\n$"), result.out)
    server:signal("TERM")
    assert.equal(0, server:finish().status)
  end)

  it("takes the end of a server that is killed for a truncation", function()
    local _ <close>, address, pid = start_openssl("-rev")
    local stream <close> = assert(net.connect(address, { tls = { ca = authority } }))
    stream:write("abc\n")
    assert.equal("cba", stream:read_line())
    os.execute("kill -KILL " .. pid)
    local data, err = stream:read()
    assert.is_nil(data)
    assert.is_true(err.code == "TRUNCATED" or err.code == "ECONNRESET", err.code)
  end)
end)
