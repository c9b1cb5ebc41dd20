-- The reference for `log_below`: the call of an empty method of a table, with the same
-- arguments. An operation is one call.
local count <const> = tonumber((...) or 20000000)

local logger <const> = {}

function logger:debug(format, ...) end -- luacheck: ignore

local function run(n)
  for i = 1, n do logger:debug("number %d", i) end
end

run(count // 10)
local began <const> = os.clock()
run(count)
print(("operations=%d\nseconds=%.6f"):format(count, os.clock() - began))
