-- A function that blocks, in a thread, while the loop goes on.
--
--     ahost examples/executor/hello.lua
local task <const> = require "ahost.task"
local thread <const> = require "ahost.thread"

local function blocking(name)
  os.execute("sleep 0.2")
  return "hello " .. name .. ", from a thread"
end

local call <const> = task.spawn(thread.call, blocking, "reader")
for i = 1, 3 do
  print("the loop goes on: " .. i)
  task.sleep(0.01)
end
print(assert(call:join()))
