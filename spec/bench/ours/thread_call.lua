-- `thread_call`: calls of a function in a thread, one after the other.
-- An operation is one call.
local thread <const> = require "ahost.thread"
local time <const> = require "ahost.time"

local count <const> = tonumber((...) or 100000)

local function run(n)
  local pool <close> = thread.pool(1)
  for i = 1, n do
    assert(pool:call(function(number) return number + 1 end, i) == i + 1)
  end
end

run(count // 10)
local began <const> = time.now()
run(count)
print(("operations=%d\nseconds=%.6f"):format(count, time.now() - began))
