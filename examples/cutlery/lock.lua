-- Robots lay and clear tables, and keep count although they have to wait between
-- reading the kitchen's stock and writing it: one at a time holds its lock.
--
--     ahost examples/cutlery/lock.lua
local context <const> = require "ahost.context"
local sync <const> = require "ahost.sync"
local task <const> = require "ahost.task"

local ROBOTS <const>, TABLES <const> = 10, 100 -- tables for each robot

local kitchen <const> = { knives = 100, forks = 100, lock = sync.lock() }

local function change(stock, knives, forks)
  local new_knives <const>, new_forks <const> = stock.knives + knives, stock.forks + forks
  task.yield() -- the walk to the cupboard: the others run meanwhile
  stock.knives, stock.forks = new_knives, new_forks
end

local function change_kitchen(knives, forks)
  local _ <close> = kitchen.lock:acquire()
  change(kitchen, knives, forks)
end

local function walk(steps)
  for _ = 1, steps do task.yield() end
end

local function robot(distance)
  local own <const> = { knives = 0, forks = 0 }
  for _ = 1, TABLES do
    change_kitchen(-4, -4)
    change(own, 4, 4)
    walk(distance)
    change(own, -4, -4)
    change_kitchen(4, 4)
  end
end

context.scope(function(ctx)
  for i = 1, ROBOTS do ctx:spawn("robot " .. i, robot, i) end
end)
print(("knives: %d, forks: %d"):format(kitchen.knives, kitchen.forks))
