local installed <const> = require "spec.installed"
local program <const> = require "spec.tutorial_program"
local tutorial <const> = require "spec.tutorial"

local FOLDER <const> = "examples/embed-game-loop"

local with_installed <const> = installed.tests(it, pending)

describe("the example of a game loop", function()
  local at

  lazy_setup(function() at = program.new(FOLDER) end)

  lazy_teardown(function()
    if at then at:close() end
  end)

  it("is what its tutorial shows", function()
    tutorial.check_code(FOLDER, { "rules.lua", "game.yaml" }, { "game.c" })
  end)

  with_installed("does what its tutorial says", function()
    program.play(at, FOLDER)
  end)

  with_installed("ends with the status of rules that fail", function()
    local result <const> = at:shell [[
      cat >game.yaml <<'end'
component: {type: ./broken.lua}
end
      cat >broken.lua <<'end'
return { start = function(_, ctx)
  local player = ctx:require "game.player"
  print(pcall(player.move, player, "far"))
  ctx:spawn(function()
    require "ahost.task".sleep(0.01)
    error "the rules are broken"
  end)
end }
end
      ./game 600]]
    assert.equal(1, result.status)
    assert.matches("the rules are broken", result.err)
    assert.matches("number expected", result.out)
  end)

  with_installed("takes new rules while it runs, unless they are wrong", function()
    local out <const> = at:run [[
      cp $root/examples/embed-game-loop/game.yaml .
      : >out; ./game 100000 >>out 2>log & trap "kill $!" EXIT
      appears() { until grep "$1" out; do sleep 0.02; done; }
      appears 'frame 30:' >/dev/null
      sed -i 's/direction \* self/2 * direction * self/' rules.lua
      appears 'the rules are new'
      echo 'x x' >>rules.lua
      appears 'the rules stay as they are']]
    assert.matches("^the rules are new\n", out)
    assert.matches("rules.lua:%d+: <eof> expected near 'x'\n$", out)
  end)
end)
