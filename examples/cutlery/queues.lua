-- Robots lay and clear tables, each from a queue of orders of its own. What changes
-- the stock does not wait, so it needs no lock.
--
--     ahost examples/cutlery/queues.lua
local context <const> = require "ahost.context"
local sync <const> = require "ahost.sync"
local task <const> = require "ahost.task"

local ROBOTS <const>, TABLES <const> = 10, 1000 -- tables in all

local kitchen <const> = { knives = 100, forks = 100 }

local function give(from, to, knives, forks)
  from.knives, from.forks = from.knives - knives, from.forks - forks
  to.knives, to.forks = to.knives + knives, to.forks + forks
end

local function robot(orders)
  local own <const> = { knives = 0, forks = 0 }
  for order in orders:items() do
    if order == "lay" then
      give(kitchen, own, 4, 4)
    elseif order == "clear" then
      give(own, kitchen, 4, 4)
    end
    task.yield() -- the walk to the table
  end
end

context.scope(function(ctx)
  local queues <const> = {}
  for i = 1, ROBOTS do
    queues[i] = sync.queue(10)
    ctx:spawn("robot " .. i, robot, queues[i])
  end
  for i = 1, TABLES do
    local orders <const> = queues[i % ROBOTS + 1]
    orders:put("lay")
    orders:put("clear")
  end
  for _, orders in ipairs(queues) do orders:close() end
end)
print(("knives: %d, forks: %d"):format(kitchen.knives, kitchen.forks))
