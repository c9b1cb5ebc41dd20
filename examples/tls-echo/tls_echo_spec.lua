local certificates <const> = require "spec.certificates"
local subprocess <const> = require "spec.subprocess"
local tutorial <const> = require "spec.tutorial"

local FOLDER <const> = "examples/tls-echo"

describe("the TLS echo example", function()
  it("is what its tutorial shows", function()
    tutorial.check_code(FOLDER, { "echo.lua", "client.lua" })
  end)
end)

certificates.describer(describe, pending)("the TLS echo example", function()
  local directory, remove

  setup(function() directory, remove = subprocess.directory() end)
  teardown(function() remove() end)

  it("does what its tutorial says", function()
    local address <const> = tutorial.free_address()
    tutorial.play(FOLDER, function(command)
      command = command:gsub(" certificates$", " certs"):gsub(" certificates/", " certs/")
      if command:find("^sh ") then
        return "mkdir -p " .. directory .. "; (cd " .. directory .. "; sh $OLDPWD/"
          .. command:match("^sh (.*)$") .. ") | sed s/^certs/certificates/"
      end
      return (command:gsub("certs", directory .. "/certs")
        :gsub("(echo%.lua .*)$", "%1 " .. address)
        :gsub("^(.*client%.lua)", "env ECHO_ADDRESS=" .. address .. " %1"))
    end)
  end)

  it("loads its certificates again on SIGHUP", function()
    assert.equal(0, subprocess.shell("sh examples/tls-echo/certificates.sh "
      .. directory .. "/live").status)
    local server <close> = subprocess.start("exec $ahost examples/tls-echo/echo.lua "
      .. directory .. "/live 127.0.0.1:0")
    local address <const> = server:read_line():match("^listening on (.*)$")
    local function ask()
      return subprocess.shell(("ECHO_ADDRESS=%s $ahost examples/tls-echo/client.lua "
        .. "%s/live/ca.crt hello"):format(address, directory))
    end
    assert.equal("TLSv1.3 with CN=localhost\nhello\n", ask().out)
    subprocess.shell("sh examples/tls-echo/certificates.sh " .. directory .. "/live")
    assert.matches("not trusted", ask().err)
    server:signal("HUP")
    assert.equal("certificates loaded again", server:read_line())
    assert.equal("TLSv1.3 with CN=localhost\nhello\n", ask().out)
    server:signal("INT")
    assert.equal(0, server:finish().status)
  end)
end)
