-- What a user is told when ahost has no TLS: because it was built without OpenSSL, or
-- because OpenSSL is not on this machine.

local subprocess <const> = require "spec.subprocess"

local CONNECT <const> = [[
local net = require "ahost.net"
print(net.connect("127.0.0.1:1", { tls = true }))
print(net.listen("127.0.0.1:0", { tls = { cert = "a", key = "b" } }))
]]

-- Runs a script by a copy of the program, which stands alone in its directory but for
-- what the shell commands add.
local function run(commands, script)
  return subprocess.shell(([[
    place=$(mktemp -d)
    mkdir $place/bin
    cp $ahost $place/bin/ahost
    cd $place/bin
    cat >script.lua <<'END'
%s
END
    %s
    ./ahost script.lua
    ./ahost components tls
    rm -r $place]]):format(script, commands))
end

-- Whether another ahost is installed on this machine, whose parts would be found.
local function is_installed()
  for _, directory in ipairs(require("ahost.host.loadable").directories()) do
    if not directory:find("components$") then
      local file <close> = io.open(directory .. "/tls.so")
      if file then return true end
    end
  end
  return false
end

describe("without OpenSSL", function()
  it("the error names the library and the package to install", function()
    if is_installed() then return end
    local reason <const> = "tls needs OpenSSL (libssl), which this ahost was built "
      .. "without: install libssl-dev and build it again (NOTFOUND)\n"
    local line <const> = "nil\t" .. reason
    local result <const> = run("", CONNECT)
    assert.equal(line .. line .. "tls  not built: module 'ahost.components.tls': "
      .. reason, result.out, result.err)
  end)

  it("on this machine the error says what could not be loaded", function()
    local result <const> = run("mkdir components; echo no >components/tls.so", CONNECT)
    assert.matches("tls needs OpenSSL %(libssl%), which cannot be loaded: .*tls.so: "
      .. ".*; install libssl3 %(NOTFOUND%)", result.out)
    assert.matches("\ntls  not built: .*: tls needs OpenSSL", result.out)
  end)
end)
