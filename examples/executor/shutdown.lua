-- A program that is stopped while its threads are at work.
--
--     ahost examples/executor/shutdown.lua
local host <const> = require "ahost.host"
local task <const> = require "ahost.task"
local thread <const> = require "ahost.thread"

local function count(begun)
  local own <const> = require "ahost.thread"
  begun:put("counting")
  local steps = 0
  while not own.cancelled() do steps = steps + 1 end
  begun:put("counted to the end")
end

local function spin(begun)
  begun:put("spinning")
  while true do end
end

local function save(begun)
  begun:put("saving")
  os.execute("sleep 0.3")
  return "saved"
end

local pool <const> = thread.pool(3)
local begun <const> = thread.channel(3)
task.spawn("counter", pool.call, pool, count, begun)
task.spawn("spinner", pool.call, pool, spin, begun)
task.spawn("saver", function() print(task.shield(pool.call, pool, save, begun)) end)

for _ = 1, 3 do assert(begun:get()) end
print("all three are at work: stop")
task.spawn("last", function() print(task.shield(begun.get, begun)) end)
host.stop()
