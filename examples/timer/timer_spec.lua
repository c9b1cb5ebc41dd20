local testing <const> = require "ahost.testing"
local tutorial <const> = require "spec.tutorial"

local FOLDER <const> = "examples/timer"
local Metronome <const> = dofile(FOLDER .. "/timer.lua")

describe("the timer example", function()
  it("is what its tutorial shows", function()
    tutorial.check_code(FOLDER, { "timer.lua" }, { "timer_spec.lua" })
  end)

  it("does what its tutorial says", function()
    tutorial.play(FOLDER, function(command) return command end)
  end)

  it("beats once in a period, then waits for the end of its patience", function()
    local clock <close> = testing.clock()
    local output <close> = testing.capture()
    local app <const> = testing.host {
      component = Metronome,
      options = { period = "1m", beats = 5, patience = "2m" },
    }
    clock:advance(60)
    assert.equal(1, app:instance().count)
    assert.equal(0, app:wait())
    assert.truthy(output:find "beat 5\nsilence\n$")
    assert.equal(7 * 60, clock:now())
  end)

  it("ends at the first silence that is too long", function()
    local clock <close> = testing.clock()
    local output <close> = testing.capture()
    local app <const> = testing.host {
      component = Metronome,
      options = { period = "1m", patience = "10s" },
    }
    assert.equal(0, app:wait())
    assert.truthy(output:find "^beat 1\nsilence\n$")
    assert.equal(1, app:instance().count)
    assert.equal(70, clock:now())
  end)
end)
