-- Calls in threads by tasks that are cancelled at any moment, and channels between them.

local context <const> = require "ahost.context"
local fs <const> = require "ahost.fs"
local is_gc_stressed <const> = require "spec.gc_stress"
local run_world <const> = require "spec.blocking_world"
local task <const> = require "ahost.task"
local thread <const> = require "ahost.thread"

local CODES <const> = "CLOSED CANCELLED TIMEDOUT"

local actions <const> = {}

local function expect(world, what, ...) return world:expect(what, CODES, ...) end

-- Several pools: one of the world, those that come and go, the program's own.
local function call(world, ...)
  if world.random(4) == 1 then return thread.call(...) end
  return world.pool:call(...)
end

function actions.echo(world)
  local value <const> = { { world.random(100) }, "text", n = world.random(1000) }
  value.self = value
  local result <const> = expect(world, "echo",
    call(world, function(v) return v end, value))
  if result and (result.n ~= value.n or result.self ~= result) then
    world:wrong("not what was given came back")
  end
end

function actions.large(world)
  local size <const> = world.random(2000000)
  local result <const> = expect(world, "large",
    call(world, function(text) return text .. text end, ("x"):rep(size)))
  if result and #result ~= 2 * size then world:wrong("a part came back") end
end

function actions.raise(world)
  local kind <const> = world.random(3)
  local result <const>, err = call(world, function(k)
    error(k == 1 and "text" or k == 2 and { code = "MINE" } or nil)
  end, kind)
  if result ~= nil or not err then world:wrong("raise returned %s", result) end
end

function actions.exhaust(world)
  local result <const>, err = world.pool:call(function()
    local all <const> = {}
    while #all < math.huge do all[#all + 1] = ("x"):rep(100000) .. #all end
  end)
  if result ~= nil or not (" ENOMEM " .. CODES):find(err.code, 1, true) then
    world:wrong("exhaust: %s %s", result, err)
  end
end

function actions.refuse(world)
  local ok <const>, err = pcall(call, world, function() return print end)
  if ok and err == nil then return end -- closed
  if not ok and err.code == "CANCELLED" then error(err, 0) end
  if not ok and not tostring(err):find("result 1: a function cannot", 1, true) then
    world:wrong("refuse: %s", err)
  end
end

-- Ends when it is told to, or at once.
local function compute(world)
  return call(world, function(kind)
    local cancelled <const> = require "ahost.thread".cancelled
    if kind == 1 then
      repeat until cancelled()
    elseif kind == 2 then
      while true do pcall(function() while true do end end) end
    end
    for _ = 1, 20000 do end
    return true
  end, world.random(3))
end

function actions.compute(world)
  expect(world, "compute", task.timeout(world.random(10) / 1000, compute, world))
end

-- Numbers that are not put twice, and so must not come twice.
local function number(world)
  world.last = world.last + 1
  return world.last
end

local function note(world, value)
  if value == nil then return end
  if world.got[value] or value > world.last then world:wrong("%s came again", value) end
  world.got[value] = true
end

function actions.put(world)
  for _ = 1, world.random(8) do
    expect(world, "put", world.channel:put(number(world), world.random(5) / 1000))
  end
end

function actions.get(world)
  for _ = 1, world.random(8) do
    note(world, expect(world, "get", world.channel:get(world.random(5) / 1000)))
  end
end

function actions.try(world)
  world.channel:try_put(number(world))
  note(world, (world.channel:try_get()))
end

function actions.put_in_thread(world)
  local from <const>, count <const> = world.last + 1, world.random(8)
  world.last = world.last + count
  expect(world, "put in thread", call(world, function(channel, first, last)
    for i = first, last do channel:put(i, 0.003) end
    return true
  end, world.channel, from, from + count - 1))
end

function actions.get_in_thread(world)
  local got <const> = expect(world, "get in thread", call(world, function(channel, n)
    local all <const> = {}
    for _ = 1, n do all[#all + 1] = channel:get(0.003) end
    return all
  end, world.channel, world.random(8)))
  for _, value in ipairs(got or {}) do note(world, value) end
end

-- A channel in a channel: its only holder may be the other one.
function actions.answer(world)
  local questions <const>, answer <const> = thread.channel(1), thread.channel(1)
  local asked <const> = task.spawn(call, world, function(q)
    local back <const> = q:get()
    if back then back:put "answer" end
  end, questions)
  questions:put(answer)
  if world.random(3) > 1 then
    expect(world, "answer", answer:get(0.01))
  end
  questions:close()
  asked:cancel()
end

function actions.pool(world)
  local pool <const> = thread.pool {
    size = world.random(3), max_queue = world.random(3), name = "brief",
    interruptible = world.random(4) > 1,
  }
  local tasks <const> = {}
  for i = 1, world.random(12) do
    tasks[i] = task.spawn(function()
      expect(world, "brief", pool:call(function(n)
        for _ = 1, n do end
        return n
      end, world.random(30000)))
    end)
  end
  for _ = 1, world.random(5) do world:pick(tasks):cancel() end
  if world.random(3) == 1 then task.yield() end
  local ending <const> = world.random(3)
  if ending == 1 then
    pool:close(5)
  elseif ending == 2 then
    for _, one in ipairs(tasks) do one:join() end
  end
end

function actions.pool_in_scope(world)
  context.scope({ on_error = "log" }, function(ctx)
    local pool <const> = thread.pool { size = 1, name = "scoped" }
    for _ = 1, world.random(5) do
      ctx:spawn(function() pool:call(function() return true end) end)
    end
    if world.random(2) == 1 then
      task.yield()
      ctx:close()
    end
  end)
end

local function prepare(world)
  world.last, world.got = 0, {}
  world.channel = thread.channel(world.random(4))
  world.pool = thread.pool {
    size = world.random(3), name = "world", max_queue = world.random(10),
    memory_limit = 16000000,
  }
end

local function count_threads(name)
  local count = 0
  for _, entry in ipairs(assert(fs.list "/proc/self/task")) do
    local comm <const> = fs.read("/proc/self/task/" .. entry.name .. "/comm")
    if comm == name .. "\n" then count = count + 1 end
  end
  return count
end

local function examine(world)
  for _ = 1, #world.channel do note(world, (world.channel:try_get())) end
  world.pool:close()
end

describe("threads that random tasks call", function()
  -- What is shared by all threads stays, once it has been made.
  setup(function() thread.call(function() end) end)

  it("give each value once, and nothing is left behind", function()
    local problems <const> = {}
    local from <const> = tonumber(os.getenv "SEED") or 1
    local count <const> = tonumber(os.getenv "SEEDS") or is_gc_stressed() and 6 or 60
    for seed = from, from + count - 1 do
      local found <const> = run_world(seed, actions, prepare, examine)
      table.move(found, 1, #found, #problems + 1, problems)
    end
    for _ = 1, 500 do
      if count_threads "ahost:brief" + count_threads "ahost:scoped" == 0 then break end
      collectgarbage()
      task.sleep(0.01)
    end
    assert.equal(0, count_threads "ahost:brief" + count_threads "ahost:scoped")
    assert.same({}, problems)
  end)
end)
