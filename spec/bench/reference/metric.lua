-- The reference for `metric`: a number in a table that is incremented, with TAGS 1 one
-- of a table by the value of the tag. An operation is one increment.
local count <const> = tonumber((...) or 20000000)
local with_tags <const> = select(2, ...) == "1"

local hits <const> = { value = 0 }
local methods <const> = { "GET", "PUT", "POST", "DELETE" }
local by_method <const> = {}
for _, method in ipairs(methods) do by_method[method] = { value = 0 } end

local function run(n)
  for i = 1, n do
    if with_tags then
      local series <const> = by_method[methods[i % 4 + 1]]
      series.value = series.value + 1
    else
      hits.value = hits.value + 1
    end
  end
end

run(count // 10)
local began <const> = os.clock()
run(count)
print(("operations=%d\nseconds=%.6f"):format(count, os.clock() - began))
