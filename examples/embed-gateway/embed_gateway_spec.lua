local installed <const> = require "spec.installed"
local program <const> = require "spec.tutorial_program"
local tutorial <const> = require "spec.tutorial"

local FOLDER <const> = "examples/embed-gateway"

local with_installed <const> = installed.tests(it, pending)

describe("the example of a gateway", function()
  local at

  lazy_setup(function() at = program.new(FOLDER) end)

  lazy_teardown(function()
    if at then at:close() end
  end)

  it("is what its tutorial shows", function()
    tutorial.check_code(FOLDER, { "thermostat.lua", "gateway.yaml" }, { "gateway.c" })
  end)

  with_installed("does what its tutorial says", function()
    program.play(at, FOLDER)
  end)

  with_installed("ends when the host ends before the thread", function()
    local result <const> = at:shell [[
      cat >gateway.yaml <<'end'
component: {type: ./short.lua}
end
      cat >short.lua <<'end'
local host = require "ahost.host"
return { start = function(_, ctx)
  ctx:require "bus":subscribe("sensor.reading", function() host.stop(7) end)
end }
end
      ./gateway 1000000]]
    assert.equal(7, result.status)
    assert.equal("", result.err)
  end)
end)
