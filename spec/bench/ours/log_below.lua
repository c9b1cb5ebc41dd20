-- `log_below`: a record below the level of its logger, with an argument for its format.
-- An operation is one record.
local log <const> = require "ahost.log"

local count <const> = tonumber((...) or 20000000)

local function run(n)
  local logger <const> = log.get "bench"
  for i = 1, n do logger:debug("number %d", i) end
end

run(count // 10)
local began <const> = os.clock()
run(count)
print(("operations=%d\nseconds=%.6f"):format(count, os.clock() - began))
