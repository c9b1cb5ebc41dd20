-- `lookup`: ctx:get() of a resource that was published LEVELS contexts further
-- up. An operation is one call.
local context <const> = require "ahost.context"

local count <const> = tonumber((...) or 5000000)
local levels <const> = tonumber(select(2, ...) or 0)

local mailer <const> = { name = "the mailer" }
local root <const> = context.new(context.current())
root:publish("mailer", mailer)
local ctx = root
for i = 1, levels do
  ctx = ctx:child()
  ctx:publish("other", i)
end

local function run(n)
  for _ = 1, n do
    assert(ctx:get("mailer") == mailer)
  end
end

run(count // 10)
local began <const> = os.clock()
run(count)
local seconds <const> = os.clock() - began
root:close()
print(("operations=%d\nseconds=%.6f"):format(count, seconds))
