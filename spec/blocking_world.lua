-- A world of tasks that do random things at once, and are cancelled at random moments:
-- the same for the same seed, but for what threads and the kernel make of it. Whatever
-- happens, nothing may be left behind.

local context <const> = require "ahost.context"
local host <const> = require "ahost.host"
local fs <const> = require "ahost.fs"
local task <const> = require "ahost.task"

local World <const> = {}
World.__index = World

-- What is left of the work of those who were cancelled ends within these looks.
local LOOKS <const>, PAUSE <const> = 3000, 0.002

-- A generator of its own: that of Lua may be another one in the next version.
local function generator(seed)
  local state = seed * 2654435761 % 2147483647 + 1
  return function(n)
    state = state * 48271 % 2147483647
    return state // 7 % n + 1
  end
end

local function count_descriptors() return #assert(fs.list "/proc/self/fd") end

function World:wrong(form, ...)
  table.insert(self.problems, ("seed %d: "):format(self.seed) .. form:format(...))
end

--- One of a list, or a number up to one.
function World:pick(list)
  if type(list) == "number" then return self.random(list) end
  return list[self.random(#list)]
end

--- What an operation has returned must be a result or one of these failures.
---@param codes string    between spaces
function World:expect(what, codes, value, err)
  if value ~= nil or err == nil then return value end
  if not (" " .. codes .. " "):find(" " .. tostring(err.code) .. " ", 1, true) then
    self:wrong("%s: %s", what, err)
  end
  return nil, err
end

-- Odd ones, lest all happens at the same time.
local function pause(world)
  local kind <const> = world.random(4)
  if kind == 1 then
    task.sleep(world.random(30) / 10000)
  else
    for _ = 1, world.random(6) do task.yield() end
  end
end

local function act(world, actions, names)
  for _ = 1, world.random(5) do
    local name <const> = world:pick(names)
    local ok <const>, err = pcall(actions[name], world)
    if not ok and err.code ~= "CANCELLED" then world:wrong("%s raised %s", name, err) end
    if not ok and err.code == "CANCELLED" then error(err, 0) end
    if world.random(3) == 1 then pause(world) end
  end
end

-- Cancels some of them, collects garbage, goes away before they are done.
local function disturb(world, tasks)
  for _ = 1, world.random(5) do
    pause(world)
    local kind <const> = world.random(4)
    if kind <= 2 then
      world:pick(tasks):cancel()
    elseif kind == 3 then
      collectgarbage "step"
    end
  end
end

local function live(world, actions, names)
  context.scope({ on_error = "log" }, function(ctx)
    local tasks <const> = {}
    for i = 1, 2 + world.random(4) do
      tasks[i] = ctx:spawn(act, world, actions, names)
    end
    disturb(world, tasks)
    local ending <const> = world.random(4)
    if ending == 1 then
      ctx:close()
    elseif ending == 2 then
      task.timeout(world.random(20) / 1000, function()
        for _, one in ipairs(tasks) do one:join() end
      end)
      for _, one in ipairs(tasks) do one:cancel() end
    end
  end)
end

-- Waits until what is counted is no more than it was.
local function settle(world, what, count, before)
  local now
  for _ = 1, LOOKS do
    now = count()
    if now <= before then return end
    collectgarbage()
    task.sleep(PAUSE)
  end
  world:wrong("%d %s are left of %d", now, what, before)
end

local function count_handles() return host.stats().handles end
local function count_tasks() return host.stats().tasks end

--- Runs a world of these actions.
---@param actions table<string, fun(world)>
---@param prepare fun(world)    before, in a context that ends when all is over
---@param examine? fun(world)   when nothing is under way any more
---@return string[] problems
return function(seed, actions, prepare, examine)
  local world <const> = setmetatable({
    seed = seed,
    random = generator(seed),
    problems = {},
  }, World)
  local names <const> = {}
  for name in pairs(actions) do names[#names + 1] = name end
  table.sort(names)
  collectgarbage()
  local descriptors <const>, tasks <const> = count_descriptors(), count_tasks()
  local handles <const> = count_handles()
  context.scope(function()
    prepare(world)
    live(world, actions, names)
    settle(world, "handles", count_handles, world.handles or handles)
    if examine then examine(world) end
  end)
  settle(world, "handles", count_handles, handles)
  settle(world, "tasks", count_tasks, tasks)
  settle(world, "descriptors", count_descriptors, descriptors)
  return world.problems
end
