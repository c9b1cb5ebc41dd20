local net <const> = require "ahost.net"
local testing <const> = require "ahost.testing"

local Server <const> = dofile "examples/components/server.lua"

-- An application that is the server alone, on any free port, and a client of it.
local function start()
  local app <const> = testing.host {
    component = Server,
    options = { address = "127.0.0.1:0", quiet = true },
  }
  return app, assert(net.connect(app:require "echo.address"))
end

describe("the server", function()
  it("sends back what it gets", function()
    local _, client = start()
    client:write("one\ntwo\n")
    assert.equal("one", client:read_line())
    assert.equal("two", client:read_line())
  end)

  it("drops clients that are silent for a minute", function()
    local clock <close> = testing.clock()
    local _, client = start()
    assert.is_nil(client:read_line())
    assert.equal(60, clock:now())
  end)

  it("hangs up when it is stopped", function()
    local app, client = start()
    assert.equal(0, app:stop())
    assert.is_nil(client:read_line())
  end)
end)
