local net <const> = require "ahost.net"
local testing <const> = require "ahost.testing"
local tutorial <const> = require "spec.tutorial"

local FOLDER <const> = "examples/addition"

-- Starts the application on a free port. -> app, what it prints
local function start(...)
  package.loaded["@" .. FOLDER .. "/addition.lua"] = nil -- its counts begin at 0
  local output <const> = testing.capture()
  local app <const> = testing.host {
    files = FOLDER .. "/addition.yaml",
    set = { "servers.addition.address=127.0.0.1:0", ... },
  }
  return app, output
end

local function connect(app)
  return assert(net.connect(app:require("server/addition"):address()))
end

describe("the addition example", function()
  it("is what its tutorial shows", function()
    tutorial.check_code(FOLDER, { "addition.lua", "addition.yaml" })
  end)

  it("does what its tutorial says", function()
    local address <const> = tutorial.free_address()
    tutorial.play(FOLDER, function(command)
      return (command:gsub("127.0.0.1 64102", (address:gsub(":", " ")))
        :gsub("addition%.yaml", "%0 --set servers.addition.address=" .. address))
    end)
  end)

  it("adds, and says what it cannot add", function()
    local app <const>, output <close> = start()
    local client <const> = connect(app)
    local answers <const> = {
      ["2+2+3"] = "7",
      ["-5+3"] = "-2",
      ["41"] = "41",
      [" 1 + 2 "] = "3",
      [""] = "not a sum",
      ["1++2"] = "not a sum",
      ["1.5+1"] = "not a sum",
      ["1+nil"] = "not a sum",
    }
    for question, answer in pairs(answers) do
      client:write(question, "\n")
      assert.equal(answer, client:read_line(), question)
    end
    app:stop()
    assert.truthy(output:find "refused: \"1%+%+2\"\n")
    assert.truthy(output:find "the end: 4 sums, 4 refused\n$")
  end)

  it("reports as often as its schedule says", function()
    local clock <close> = testing.clock()
    local app <const>, output <close> = start("schedules.statistics.every=1m")
    local client <const> = connect(app)
    client:write("1+1\n")
    assert.equal("2", client:read_line())
    assert.is_nil((output:find "statistics"))
    clock:advance(60)
    assert.truthy(output:find "statistics: 1 sums, 0 refused\n$")
  end)

  it("drops who is silent for a minute, and who sends an endless line", function()
    local clock <close> = testing.clock()
    local app <const>, _ <close> = start()
    local silent <const>, endless <const> = connect(app), connect(app)
    endless:write(("1+"):rep(1000))
    assert.is_nil((endless:read()))
    assert.equal(0, clock:now())
    assert.is_nil((silent:read()))
    assert.equal(60, clock:now())
  end)
end)
