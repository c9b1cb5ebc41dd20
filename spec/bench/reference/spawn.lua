-- The reference for `spawn`: a new coroutine per operation, run to its end by
-- one resume, which gives the result.
local count <const> = tonumber((...) or 1000000)

local function body(i)
  return i + 1
end

local function run(n)
  for i = 1, n do
    local ok, result = coroutine.resume(coroutine.create(body), i)
    assert(ok and result == i + 1)
  end
end

run(count // 10)
local began <const> = os.clock()
run(count)
print(("operations=%d\nseconds=%.6f"):format(count, os.clock() - began))
