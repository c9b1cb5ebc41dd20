local Metrics <const> = require "ahost.components.metrics"
local context <const> = require "ahost.context"
local metrics <const> = require "ahost.metrics"
local net <const> = require "ahost.net"
local new_instance <const> = require "spec.component_instance"
local testing <const> = require "ahost.testing"

-- Runs the component while fn(address, registry) runs.
local function with_server(values, fn)
  values.address = "127.0.0.1:0"
  local instance <const> = assert(new_instance(Metrics, "metrics", values))
  return context.scope(function(ctx)
    local registry <const> = metrics.registry()
    ctx:publish("metrics", registry)
    instance:start(ctx)
    fn(ctx:require("metrics.server"):address(), registry)
    ctx:close()
  end)
end

-- Sends a request as it is. -> what comes back
local function ask(address, request)
  local stream <close> = assert(net.connect(address))
  stream:write(request)
  return (assert(stream:read_all(100000)))
end

describe("the component metrics", function()
  it("serves OpenMetrics", function()
    with_server({}, function(address, registry)
      registry:counter("hits"):add(3)
      local reply <const> = ask(address,
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n")
      local head, body = reply:match "^(.-\r\n)\r\n(.*)$"
      assert.matches("^HTTP/1.0 200 OK\r\n", head)
      assert.matches("\r\nContent%-Type: application/openmetrics%-text; version=1.0.0; "
        .. "charset=utf%-8\r\n", head)
      assert.matches("\r\nContent%-Length: " .. #body .. "\r\n", head)
      assert.equal("# TYPE hits counter\nhits_total 3\n# EOF\n", body)
      assert.equal(reply, ask(address, "GET /metrics?x=1 HTTP/1.0\n\n"))
    end)
  end)

  it("refuses what it does not know", function()
    with_server({}, function(address)
      local function status(request)
        return ask(address, request):match "^HTTP/1.0 (%d+) "
      end
      assert.equal("404", status "GET / HTTP/1.1\r\n\r\n")
      assert.equal("404", status "POST /metrics/x HTTP/1.1\r\n\r\n")
      assert.equal("405", status "POST /metrics HTTP/1.1\r\n\r\n")
      for _, line in ipairs { "", "GET", "GET /metrics", "GET metrics HTTP/1.1",
        "GET /metrics HTTP/2", "\0\1\2", "get /metrics HTTP/1.1" } do
        assert.equal("400", status(line .. "\r\n\r\n"))
      end
    end)
  end)

  it("reads no more than is reasonable", function()
    with_server({}, function(address)
      local function status(request)
        return ask(address, request):match "^HTTP/1.0 (%d+) "
      end
      assert.equal("431", status("GET /" .. ("x"):rep(10000)))
      assert.equal("431", status("GET /metrics HTTP/1.1\r\nA: " .. ("x"):rep(10000)))
      assert.equal("431", status("GET /metrics HTTP/1.1\r\n" .. ("A: b\r\n"):rep(101)))
      assert.equal("200",
        status("GET /metrics HTTP/1.1\r\n" .. ("A: b\r\n"):rep(100) .. "\r\n"))
    end)
  end)

  it("answers nobody who does not ask to the end", function()
    with_server({}, function(address)
      local stream <close> = assert(net.connect(address))
      stream:write "GET /metrics HTTP/1.1\r\n"
      stream:shutdown()
      assert.equal("", (stream:read_all(1000)))
    end)
  end)

  it("lets go of who takes too long", function()
    local _ <close> = testing.clock()
    with_server({ timeout = "2s" }, function(address)
      local stream <close> = assert(net.connect(address))
      stream:write "GET /metrics HTTP/1.1\r\n"
      assert.equal("", (stream:read_all(1000)))
    end)
  end)

  it("serves the registry of its application", function()
    local app <const> = testing.host {
      config = { components = { metrics = { address = "127.0.0.1:0" } } },
    }
    app:require("metrics"):gauge("depth"):set(1)
    local reply <const> = ask(app:require("metrics.server"):address(),
      "GET /metrics HTTP/1.0\r\n\r\n")
    assert.matches("\ndepth 1\n", reply)
    assert.matches("\nahost_connections 1\n", reply)
    app:stop()
  end)

  it("needs an address", function()
    local instance, problems = new_instance(Metrics, "metrics", {})
    assert.is_nil(instance)
    assert.same({ "metrics.address: is required, but missing" }, problems)
  end)
end)
