local installed <const> = require "spec.installed"
local tutorial <const> = require "spec.tutorial"

local FOLDER <const> = "examples/c-component"

local with_installed <const> = installed.tests(it, pending)

describe("the example of a component in C", function()
  local at

  lazy_setup(function()
    at = not installed.missing and installed.new()
  end)

  lazy_teardown(function()
    if at then at:close() end
  end)

  it("is what its tutorial shows", function()
    tutorial.check_code(FOLDER, { "report.lua", "primes.yaml" }, { "primes.c" })
  end)

  with_installed("does what its tutorial says", function()
    at:run("cp $root/" .. FOLDER .. "/* .")
    tutorial.play(FOLDER, function(command) return at:script(command) end)
  end)

  with_installed("survives all that can end a wait", function()
    at:run("cp $root/" .. FOLDER .. "/* .; "
      .. "cc $CFLAGS -shared -fPIC -o primes.so primes.c "
      .. "$(pkg-config --cflags ahost-lua)")
    assert.equal("CANCELLED\tTIMEDOUT\tfalse\ttrue\n", at:run [[
      cat >ends.lua <<'end'
      local context, task = require "ahost.context", require "ahost.task"
      local Ends = { components = { primes = { type = "primes" } } }
      function Ends:run(ctx)
        local count = ctx:require "primes.count"
        local cancelled = task.spawn(count, 1000000)
        task.yield()
        cancelled:cancel()
        local _, why = cancelled:join()
        local _, late = task.timeout(0.001, count, 1000000)
        local ok = pcall(count, 1000001)
        local waiting = {} -- more than the pool has threads; the end cancels them
        for i = 1, 20 do waiting[i] = task.spawn(count, 100000) end
        task.yield()
        print(why.code, late.code, ok, #waiting == 20)
      end
      return Ends
end
      $prefix/bin/ahost ends.lua]])
  end)
end)
