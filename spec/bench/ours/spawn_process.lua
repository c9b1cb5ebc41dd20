-- `spawn_process`: process.run of `true`, one after the other. An operation is one.
local process <const> = require "ahost.process"
local time <const> = require "ahost.time"

local count <const> = tonumber((...) or 1000)

local function run(n)
  for _ = 1, n do assert(assert(process.run { "true" }).status == 0) end
end

run(count // 10)
local began <const> = time.now()
run(count)
print(("operations=%d\nseconds=%.6f"):format(count, time.now() - began))
