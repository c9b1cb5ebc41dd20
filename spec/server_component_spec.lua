local context <const> = require "ahost.context"
local errors <const> = require "ahost.error"
local net <const> = require "ahost.net"
local new_instance <const> = require "spec.component_instance"
local Server <const> = require "ahost.components.server"
local task <const> = require "ahost.task"

-- Runs the component while fn(address, server) runs.
local function with_server(values, fn)
  values.address = values.address or "127.0.0.1:0"
  local instance <const> = assert(new_instance(Server, "server/echo", values))
  return context.scope(function(ctx)
    instance:start(ctx)
    local server <const> = ctx:require "server"
    fn(server:address(), server)
    ctx:close()
  end)
end

describe("the component server", function()
  it("calls its handler for each connection", function()
    with_server({
      handler = function(stream)
        for line in stream:lines() do stream:write(line:upper(), "\n") end
      end,
    }, function(address, server)
      local one <close> = assert(net.connect(address))
      local two <close> = assert(net.connect(address))
      one:write "a\n"
      two:write "b\n"
      assert.equal("A", one:read_line())
      assert.equal("B", two:read_line())
      assert.equal(2, server:count())
    end)
  end)

  it("closes a connection that is silent for too long", function()
    local outcome
    with_server({
      timeout = "10ms",
      handler = function(stream)
        assert.equal(0.01, stream.timeout)
        local data, err = stream:read()
        outcome = { data, err.code }
      end,
    }, function(address)
      local stream <close> = assert(net.connect(address))
      assert.is_nil(stream:read())
      assert.same({ nil, "TIMEDOUT" }, outcome)
    end)
  end)

  it("accepts no more connections than its limit", function()
    with_server({
      limit = 1,
      handler = function(stream) stream:write(assert(stream:read_line()), "\n") end,
    }, function(address, server)
      local one <close> = assert(net.connect(address))
      local two <close> = assert(net.connect(address))
      two:write "two\n"
      while server:count() == 0 do task.yield() end
      assert.equal(1, server:count())
      one:write "one\n"
      assert.equal("one", one:read_line())
      assert.equal("two", two:read_line())
    end)
  end)

  it("stops listening when its context ends", function()
    local where
    with_server({ handler = print }, function(address) where = address end)
    local stream, err = net.connect(where)
    assert.is_nil(stream)
    assert.equal("ECONNREFUSED", err.code)
  end)

  it("fails to start where it cannot listen, or has no handler", function()
    local listener <close> = assert(net.listen "127.0.0.1:0")
    local ok, err = pcall(with_server, { handler = print, address = listener:address() })
    assert.is_false(ok)
    assert.is_true(errors.is(err, "EADDRINUSE"))
    ok, err = pcall(with_server, { handler = "string:nothing" })
    assert.is_false(ok)
    assert.match("^module 'string' has no 'nothing'", tostring(err))
  end)

  it("tells what is wrong with its options", function()
    local instance, problems = new_instance(Server, "echo",
      { address = "localhost", limit = 0, port = 1 })
    assert.is_nil(instance)
    assert.equal(4, #problems)
    assert.match("^echo.address: must be an address, not \"localhost\" %(the port is",
      problems[1])
    assert.equal("echo.handler: is required, but missing", problems[2])
    assert.equal("echo.limit: must be an integer at least 1, not 0", problems[3])
    assert.match("^echo.port: unknown option", problems[4])
  end)
end)
