-- A command: counts primes twice at once, then with too little time.
local task <const> = require "ahost.task"

local Report <const> = {}

function Report.run(_, ctx)
  local count <const> = assert(ctx:request "primes.count")
  local ticks = 0
  local ticker <const> = task.spawn(function()
    while true do
      ticks = ticks + 1
      task.yield()
    end
  end)
  local found <const> = task.all {
    function() return count(100) end,
    function() return count(1000000) end,
  }
  ticker:cancel()
  print(("%d primes up to 100, %d up to 1000000"):format(found[1], found[2]))
  print("other tasks ran meanwhile: " .. tostring(ticks > 1))
  print(count(1000000, 0.001))
end

return Report
