local net <const> = require "ahost.net"
local subprocess <const> = require "spec.subprocess"
local task <const> = require "ahost.task"
local tutorial <const> = require "spec.tutorial"

local FOLDER <const> = "examples/echo"

-- Starts the server on a free port.
local function start()
  local server = subprocess.start("exec $ahost examples/echo/echo.lua 127.0.0.1:0")
  return server, server:read_line():match("^listening on (.*)$")
end

local function ask(address, words)
  return subprocess.shell(("ECHO_ADDRESS=%s $ahost examples/echo/client.lua %s")
    :format(address, words))
end

describe("the echo example", function()
  it("is what its tutorial shows", function()
    tutorial.check_code(FOLDER, { "echo.lua", "client.lua" })
  end)

  it("does what its tutorial says", function()
    local address <const> = tutorial.free_address()
    tutorial.play(FOLDER, function(command)
      return (command:gsub("echo%.lua", "%0 " .. address)
        :gsub("127.0.0.1 64100", (address:gsub(":", " ")))
        :gsub("^(.*client%.lua)", "env ECHO_ADDRESS=" .. address .. " %1"))
    end)
  end)

  it("answers clients beside each other, the unfinished last line too", function()
    local server <close>, address = start()
    local streams <const> = {}
    for i = 1, 50 do streams[i] = assert(net.connect(address)) end
    for i = 50, 1, -1 do
      streams[i]:write("line ", tostring(i), "\r\nrest")
      streams[i]:shutdown()
    end
    for i, stream in ipairs(streams) do
      assert.equal("line " .. i .. "\nrest\n", stream:read_all())
    end
    server:signal("INT")
    assert.same({ status = 0, out = "" }, server:finish())
  end)

  it("drops who sends an endless line, and nobody else", function()
    local server <close>, address = start()
    local bad <close> = assert(net.connect(address))
    local good <close> = assert(net.connect(address))
    task.spawn(function() bad:write(("x"):rep(100000)) end)
    assert.is_nil((bad:read_line()))
    bad:close(0)
    good:write("still here\n")
    assert.equal("still here", good:read_line())
    assert.equal("and here", ask(address, "and here").out:match("(.-)\n"))
    server:signal("TERM")
    assert.same({ status = 0, out = "" }, server:finish())
  end)

  it("has a client that says why there is no answer", function()
    local listener <const> = assert(net.listen("127.0.0.1:0"))
    local address <const> = listener:address()
    listener:close()
    local refused <const> = ask(address, "hello")
    assert.same({ 1, "" }, { refused.status, refused.out })
    assert.equal("client: connect " .. address .. ": connection refused (ECONNREFUSED)\n",
      refused.err)
  end)

  it("says so when the address is taken", function()
    local server <close>, address = start()
    local second <const> = subprocess.shell("$ahost examples/echo/echo.lua " .. address)
    assert.equal(1, second.status)
    local reason <const> = "listen on " .. address .. ": address already in use"
    assert.truthy(second.err:find(reason, 1, true))
    server:signal("INT")
    assert.equal(0, server:finish().status)
  end)
end)
