-- `metric`: add() to a counter, with TAGS 1 to its series with a tag that is looked up
-- each time. An operation is one call.
local metrics <const> = require "ahost.metrics"

local count <const> = tonumber((...) or 20000000)
local with_tags <const> = select(2, ...) == "1"

local hits <const> = metrics.registry():counter "hits"
local methods <const> = { "GET", "PUT", "POST", "DELETE" }

local function run(n)
  for i = 1, n do
    if with_tags then
      hits:with({ method = methods[i % 4 + 1] }):add()
    else
      hits:add()
    end
  end
end

run(count // 10)
local began <const> = os.clock()
run(count)
print(("operations=%d\nseconds=%.6f"):format(count, os.clock() - began))
