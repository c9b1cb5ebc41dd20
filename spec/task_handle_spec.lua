local subprocess <const> = require "spec.subprocess"

describe("a task's handle", function()
  it("works in a script that never requires ahost.task", function()
    local run <const> = subprocess.shell [[
      script=$(mktemp)
      cat >$script <<'END'
local context = require "ahost.context"
local task = context.current():spawn(function() return "result" end)
print(task:join())
END
      "$ahost" $script; status=$?; rm $script; exit $status]]
    assert.equal("result\n", run.out)
    assert.equal(0, run.status)
  end)
end)
