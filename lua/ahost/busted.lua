-- ahost.busted: a helper for busted, so that specs run in a stock Lua as they do with
-- `ahost test`: `busted --helper=ahost.busted`, or `helper = "ahost.busted"` in the file
-- .busted. Bodies of tests are tasks' code, in contexts of their own, and have 30
-- seconds, or what the environment variable AHOST_TEST_TIMEOUT says (0: no limit).

local run <const> = require "ahost.run"
local wrap_safe <const> = require "ahost.testing.busted"

local DEFAULT_LIMIT <const> = 30 -- seconds

-- In `ahost test` all of it is done already.
if not require("ahost.run.loop").in_task() then
  local execute <const> = require "busted.execute"
  package.loaded["busted.execute"] = function(busted)
    wrap_safe(busted, tonumber(os.getenv "AHOST_TEST_TIMEOUT") or DEFAULT_LIMIT)
    local execute_suite <const> = execute(busted)
    return function(...) return run(execute_suite, ...) end
  end
end

return true
