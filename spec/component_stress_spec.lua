-- Random applications, the same for the same seed, of which certain things must be true
-- whatever their components do.

local application <const> = require "ahost.application"
local context <const> = require "ahost.context"
local gc_stress <const> = require "spec.gc_stress"
local host <const> = require "ahost.host"
local log <const> = require "ahost.log"
local task <const> = require "ahost.task"
local testing <const> = require "ahost.testing"
local time <const> = require "ahost.time"

-- These have found mistakes.
local SEEDS <const> = { 368, 776, 1523, 2176, 2254, 3577, 4697, 5592 }

-- No application takes longer: start_timeout, its own stop, and its teardown.
local LONGEST <const> = 1000 -- seconds of the virtual clock

-- A generator of its own: that of Lua may be another one in the next version.
local function generator(seed)
  local state = seed * 2654435761 % 2147483647 + 1
  return function(n)
    state = state * 48271 % 2147483647
    return state // 7 % n + 1
  end
end

-- ---- what components do --------------------------------------------------------------

local actions <const> = {}

-- Waits in a way that ends by itself.
local function busy(world, fn, ...)
  world.busy = world.busy + 1
  local _ <close> = setmetatable({}, { __close = function()
    world.busy = world.busy - 1
  end })
  return fn(...)
end

-- Odd fractions, lest two things happen at the same time by chance.
local function sleep(world, n) busy(world, task.sleep, n + 0.31) end

local function check_found(world, self, value)
  if value and value.ctx:state() == "closed" then
    world:wrong("%s found what the ended %s had published", self.path, value.path)
  end
end

function actions.sleep(world, _, _, it) sleep(world, it.n) end

function actions.yield() task.yield() end

function actions.publish(_, self, ctx, it)
  pcall(ctx.publish, ctx, it.key, { ctx = ctx, path = self.path })
end

function actions.request(world, self, ctx, it)
  if it.n < 3 then
    check_found(world, self, (ctx:request(it.key)))
  else
    check_found(world, self, (busy(world, ctx.request, ctx, it.key, it.n + 0.17)))
  end
end

function actions.get(world, self, ctx, it) check_found(world, self, ctx:get(it.key)) end

function actions.poll(world, self, ctx, it)
  ctx:spawn(function()
    while true do
      sleep(world, it.n)
      check_found(world, self, ctx:get(it.key))
    end
  end)
end

function actions.listen(world, self, ctx, it)
  ctx.published:connect(function(event)
    world:note("%s hears of %s", self.path, event.key)
    check_found(world, self, ctx:get(event.key))
    if it.n == 1 then error("listener", 0) end
  end)
end

function actions.raise() error("raised", 0) end

function actions.fail_later(world, _, ctx, it)
  ctx:spawn(function()
    sleep(world, it.n)
    world.restarts = true
    error("late", 0)
  end)
end

function actions.close(world, self, ctx, it)
  ctx:spawn(function()
    sleep(world, it.n)
    self.closes_itself, world.restarts = true, true
    ctx:close()
  end)
end

function actions.stop(_, _, ctx) ctx:require("application"):stop(3) end

function actions.extend(_, self, _, it) self:extend_start(it.n) end

-- Counts its calls; `fn` is what else it does.
local function on_close(world, ctx, fn)
  local id <const> = #world.calls + 1
  world.calls[id] = 0
  ctx:on_close(function()
    world.calls[id] = world.calls[id] + 1
    fn()
  end)
end

function actions.on_close(world, self, ctx, it)
  on_close(world, ctx, function()
    world:note("%s is torn down", self.path)
    if it.n == 1 then
      sleep(world, 1)
    elseif it.n == 2 then
      error("teardown", 0)
    elseif it.n == 3 then
      actions.publish(world, self, ctx, it)
    else
      check_found(world, self, ctx:get(it.key))
    end
  end)
end

local CALM <const> = {
  "sleep", "yield", "publish", "publish", "request", "request", "get", "poll", "listen",
  "extend", "on_close", "on_close",
}
local WILD <const> = {
  "raise", "fail_later", "fail_later", "fail_later", "close", "stop",
}

-- ---- random trees --------------------------------------------------------------------

local function make_actions(random, wildness)
  local list <const> = {}
  for i = 1, random(4) - 1 do
    local kinds <const> = random(100) <= wildness and WILD or CALM
    list[i] = { what = kinds[random(#kinds)], n = random(4), key = "k" .. random(6) }
  end
  return list
end

-- Checks the life of one instance.
local function follow(world, self, ctx)
  local parent <const> = self._node.parent and self._node.parent.instance
  if parent then parent.contexts_below[#parent.contexts_below + 1] = ctx end
  local before <const> = world.alive[self.path]
  if before and before:state() ~= "closed" then
    world:wrong("%s lives twice", self.path)
  end
  world.alive[self.path] = ctx
  on_close(world, ctx, function()
    world:note("%s ends", self.path)
    for _, below in ipairs(self.contexts_below) do
      if below:state() ~= "closed" and not self.closes_itself then
        world:wrong("%s ends before one below it", self.path)
      end
    end
  end)
end

local function make_component(world, random, wildness, depth)
  local children <const> = {}
  for i = 1, depth < 4 and random(4) - 1 or 0 do
    local alias <const> = "c" .. i .. (random(4) == 1 and "/named" or "")
    children[alias] = make_component(world, random, wildness, depth + 1)
    children[i] = alias
  end
  local prepare <const> = make_actions(random, wildness)
  local start <const> = make_actions(random, wildness)
  local component <const> = {
    isolated = random(8) == 1,
    restart = ({ "never", "never", "on-failure", "always" })[random(4)],
    backoff = random(3) - 1,
    max_restarts = random(6),
    init = function(self)
      self.contexts_below = {}
      for _, alias in ipairs(children) do self:add(alias, children[alias]) end
    end,
    prepare = function(self, ctx)
      world:note("%s prepares", self.path)
      follow(world, self, ctx)
      for _, it in ipairs(prepare) do actions[it.what](world, self, ctx, it) end
    end,
    start = function(self, ctx)
      world:note("%s starts", self.path)
      for _, it in ipairs(start) do actions[it.what](world, self, ctx, it) end
    end,
  }
  if random(3) == 1 then
    function component.rebind(self, key, value)
      world:note("%s is bound to %s again", self.path, key)
      check_found(world, self, value)
    end
  end
  return component
end

-- ---- one application -----------------------------------------------------------------

local World <const> = {}
World.__index = World

function World:note(form, ...)
  self.trace[#self.trace + 1] = ("%.3f "):format(time.now() - self.began)
    .. form:format(...)
end

function World:wrong(form, ...)
  self.problems[#self.problems + 1] = ("seed %d: "):format(self.seed) .. form:format(...)
end

local function new_world(seed)
  return setmetatable({ seed = seed, began = time.now(), busy = 0, trace = {},
    problems = {}, calls = {}, alive = {} }, World)
end

-- Whether something went on is known at the moment of the report only. A restart may be
-- to come after its pause.
local function watch_failure(world, app)
  local fail <const> = app.fail
  function app:fail(message)
    message = message or ""
    local stuck <const> = message:find "nobody is left to publish"
    local late <const> = message:find "did not start within"
    if stuck and world.busy > 0 then world:wrong("a deadlock that is none") end
    if late and world.busy == 0 and not world.restarts then
      world:wrong("a deadlock that is not noticed: %s", message)
    end
    world:note("it fails: %s", message)
    return fail(self, message)
  end
end

local function check_end(world, app)
  for id, calls in ipairs(world.calls) do
    if calls ~= 1 then world:wrong("on_close %d was called %d times", id, calls) end
  end
  if app.ctx:state() ~= "closed" then world:wrong "the application is not closed" end
  if world.busy ~= 0 then world:wrong("%d tasks are left", world.busy) end
  if app.failure and app.status == 0 then world:wrong "a failure has status 0" end
end

-- -> problems, what has happened
local function run(seed)
  local random <const>, world <const> = generator(seed), new_world(seed)
  local root <const> = make_component(world, random, ({ 0, 5, 15, 30 })[random(4)], 1)
  local timeout <const>, stop_after <const> = ({ 5, 20 })[random(2)], random(30)
  local records <close> = log.capture { passes = false }
  context.scope(function(ctx)
    local app <const> = assert(application.new(
      { start_timeout = timeout, component = {} }, { component = root }))
    watch_failure(world, app)
    local life <const> = ctx:spawn(function() app:run() end)
    local stopper <const> = ctx:spawn(function()
      for _ = 1, 2 do
        task.sleep(stop_after + 0.0001)
        app:stop()
      end
    end)
    local _, err = life:join(LONGEST)
    if err then world:wrong("its run did not end: %s", tostring(err)) end
    stopper:cancel()
    check_end(world, app)
    world:note("status %d", app.status)
  end)
  for _, record in ipairs(records.records) do
    if record.text:find "attempt to " then world:wrong("%s", record.text) end
  end
  return world.problems, world.trace
end

-- ---- the specs -----------------------------------------------------------------------

describe("a random application", function()
  local is_slow <const> = gc_stress()

  it("keeps every promise of its components' lives", function()
    local clock <close> = testing.clock()
    local problems <const> = {}
    local seeds <const> = table.move(SEEDS, 1, #SEEDS, 1, {})
    for seed = 1, is_slow and 8 or 150 do seeds[#seeds + 1] = seed end
    for _, seed in ipairs(seeds) do
      local found <const> = run(seed)
      table.move(found, 1, #found, #problems + 1, problems)
    end
    clock:close()
    assert.same({}, problems)
  end)

  it("does the same each time", function()
    local clock <close> = testing.clock()
    for seed = 201, is_slow and 204 or 230 do
      local _, first = run(seed)
      local _, second = run(seed)
      assert.same(first, second)
    end
    clock:close()
  end)

  it("leaves nothing behind", function()
    local clock <close> = testing.clock()
    local function measure()
      for _ = 1, 2 do
        task.yield()
        collectgarbage()
      end
      return host.stats()
    end
    for seed = 301, is_slow and 303 or 340 do run(seed) end
    local before <const> = measure()
    for seed = 301, is_slow and 303 or 340 do run(seed) end
    local after <const> = measure()
    clock:close()
    assert.equal(before.tasks, after.tasks)
    assert.equal(before.handles, after.handles)
    local grown <const> = after.memory - before.memory
    assert.is_true(grown < 32768, grown .. " bytes more")
  end)
end)
