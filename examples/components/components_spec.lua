local context <const> = require "ahost.context"
local net <const> = require "ahost.net"
local subprocess <const> = require "spec.subprocess"
local testing <const> = require "ahost.testing"
local tutorial <const> = require "spec.tutorial"

local FOLDER <const> = "examples/components"
local FILES <const> = { FOLDER .. "/config.yaml" }

-- A copy of the folder in which the default address is a free one. -> its path, the port
local function copy()
  local directory <const>, remove <const> = subprocess.directory()
  context.current():on_close(remove)
  local port <const> = testing.free_port()
  for _, name in ipairs { "server.lua", "client.lua", "config.yaml", "loud.yaml" } do
    local file <close> = assert(io.open(FOLDER .. "/" .. name))
    local text <const> = file:read("a"):gsub("64100", port)
    subprocess.write(directory .. "/" .. name, text)
  end
  return directory, port
end

describe("the components example", function()
  it("is what its tutorial shows", function()
    tutorial.check_code(FOLDER,
      { "server.lua", "client.lua", "server_spec.lua", "config.yaml", "loud.yaml" })
  end)

  it("does what its tutorial says", function()
    local directory <const>, port <const> = copy()
    tutorial.play(FOLDER, function(command)
      return (command:gsub("64100", port):gsub("^[%u_]+=", "env %0")
        :gsub(FOLDER .. "/(%l+%.%l+)", directory .. "/%1"))
    end)
  end)

  it("merges its files", function()
    local app <const> = testing.host {
      files = { FILES[1], FOLDER .. "/loud.yaml" },
      config = { component = { timeout = "1s" } },
    }
    assert.equal("HELLO, WORLD!", app:instance().config.message)
    assert.equal(1, app:instance().config.timeout)
    assert.equal(5, app:instance("server").config.idle)
  end)

  it("has a client that tells of a server that hangs up", function()
    local server <close> = assert(net.serve("127.0.0.1:0", function() end))
    local output <close> = testing.capture()
    local app <const> = testing.host {
      component = FOLDER .. "/client.lua",
      options = { address = server:address(), message = "Hello?" },
    }
    assert.equal(1, app:wait())
    assert.truthy(output.errors:find("^client: .+\n$"))
  end)

  it("has a client that does not wait for ever", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local clock <close> = testing.clock()
    local output <close> = testing.capture()
    local app <const> = testing.host {
      component = FOLDER .. "/client.lua",
      options = { address = listener:address(), message = "Hello?", timeout = 7 },
    }
    assert.equal(1, app:wait())
    assert.equal(7, clock:now())
    assert.truthy(output.errors:find("^client: .*%(TIMEDOUT%)\n$"))
  end)

  it("says where a server cannot listen", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local result <const> = subprocess.shell(("$ahost run %s --set %s.address=%s"):format(
      FILES[1], "component.components.server", listener:address()))
    assert.same({ 1, "" }, { result.status, result.out })
    assert.truthy(result.err:find("server.lua) failed in start: listen on "
      .. listener:address() .. ": address already in use", 1, true))
  end)
end)
