local subprocess <const> = require "spec.subprocess"
local testing <const> = require "ahost.testing"
local tutorial <const> = require "spec.tutorial"

local FOLDER <const> = "examples/hello"

describe("the hello example", function()
  it("is what its tutorial shows", function()
    tutorial.check_code(FOLDER, { "hello.lua", "bye.lua", "hello.yaml" })
  end)

  it("does what its tutorial says", function()
    tutorial.play(FOLDER, function(command) return command end)
  end)

  it("greets whom its configuration names, and goes on", function()
    local output <close> = testing.capture()
    local app <const> = testing.host { files = FOLDER .. "/hello.yaml" }
    assert.truthy(output:find "^Hello Prague!\n$")
    assert.equal(0, app:stop())
  end)

  it("ends with the status that run returns", function()
    assert.same({ status = 0, out = "Good-bye!\n", err = "" },
      subprocess.shell("$ahost examples/hello/bye.lua"))
    assert.equal(7, subprocess.shell("$ahost examples/hello/bye.lua 7").status)
    local misused <const> = subprocess.shell("$ahost examples/hello/bye.lua 128")
    assert.equal(1, misused.status)
    assert.truthy(misused.err:find("exit status out of range: 128", 1, true))
  end)
end)
