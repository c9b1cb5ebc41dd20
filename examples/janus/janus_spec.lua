local tutorial <const> = require "spec.tutorial"

local FOLDER <const> = "examples/janus"

describe("the janus example", function()
  it("is what its tutorial shows", function()
    tutorial.check_code(FOLDER, { "janus.lua" })
  end)

  it("does what its tutorial says", function()
    tutorial.play(FOLDER, function(command) return command end)
  end)
end)
