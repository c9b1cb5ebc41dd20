local bus <const> = require "ahost.bus"
local certificates <const> = require "spec.certificates"
local context <const> = require "ahost.context"
local errors <const> = require "ahost.error"
local net <const> = require "ahost.net"
local new_instance <const> = require "spec.component_instance"

-- Runs the component while fn(its resource, its log, the bus) runs.
local function with_component(values, fn)
  local instance <const> = assert(new_instance(require "ahost.components.tls", "tls",
    values))
  return context.scope(function(ctx)
    local own <const> = bus.new()
    ctx:publish("bus", own)
    instance:start(ctx)
    fn(ctx:require "tls.context", instance.log.records, own)
    ctx:close()
  end)
end

certificates.describer(describe, pending)("the component tls", function()
  local directory

  setup(function() directory = certificates.make() end)
  teardown(function() certificates.remove() end)

  local function install(name)
    os.execute(("cd %s; cp %s.crt live.crt; cp %s.key live.key"):format(directory, name,
      name))
  end

  local function subject(address)
    local stream <close> = assert(net.connect(address,
      { tls = { ca = directory .. "/ca.crt" } }))
    return stream:tls().peer.subject
  end

  it("publishes its certificates, and loads them again on app.hup", function()
    install "server"
    with_component({ cert = directory .. "/live.crt", key = directory .. "/live.key" },
      function(resource, records, own)
        local server <close> = assert(net.serve("127.0.0.1:0",
          function(stream) stream:read_all() end, { tls = resource }))
        assert.equal("CN=localhost", subject(server:address()))
        install "renewed"
        own:publish("app.hup")
        assert.equal("CN=renewed", subject(server:address()))
        os.execute("echo nothing >" .. directory .. "/live.crt")
        own:publish("app.hup")
        assert.equal("CN=renewed", subject(server:address()))
        assert.equal("info: certificates loaded again", records[1])
        assert.matches("^error: certificates not loaded again: option 'cert'", records[2])
      end)
  end)

  it("gives its certificates to a server of the configuration", function()
    local files <const> = {
      cert = directory .. "/server.crt", key = directory .. "/server.key",
    }
    with_component(files, function()
      local server <const> = assert(new_instance(require "ahost.components.server",
        "server/echo", { address = "127.0.0.1:0", tls = true,
          handler = function(stream) stream:write(stream:read_line()) end }))
      server:start(context.current())
      local stream <close> = assert(net.connect(
        context.current():require("server"):address(),
        { tls = { ca = directory .. "/ca.crt" } }))
      stream:write("hello\n")
      assert.equal("hello", stream:read_all())
    end)
  end)

  it("can be for clients", function()
    with_component({ role = "client", ca = directory .. "/ca.crt" }, function(resource)
      local server <close> = assert(net.serve("127.0.0.1:0",
        function(stream) stream:write("x") end, { tls = {
          cert = directory .. "/server.crt", key = directory .. "/server.key",
        } }))
      local stream <close> = assert(net.connect(server:address(), { tls = resource }))
      assert.equal("x", stream:read())
    end)
  end)

  it("refuses what is for the other side, and files that are none", function()
    local Tls <const> = require "ahost.components.tls"
    local ok, err = pcall(new_instance, Tls, "tls", { verify = false })
    assert.is_false(ok)
    assert.is_true(errors.is(err, "CONFIG"))
    assert.same({ "verify", "it is for a client only" }, { err.option, err.message })
    ok, err = pcall(with_component, { cert = "/nowhere/a", key = "/nowhere/b" })
    assert.is_false(ok)
    assert.equal("option 'cert': /nowhere/a: No such file or directory", err.message)
  end)
end)
