-- Child processes of tasks that are cancelled at any moment.

local context <const> = require "ahost.context"
local fs <const> = require "ahost.fs"
local is_gc_stressed <const> = require "spec.gc_stress"
local process <const> = require "ahost.process"
local run_world <const> = require "spec.blocking_world"
local task <const> = require "ahost.task"

local CODES <const> = "TIMEDOUT TOOLONG ESRCH EPIPE CLOSED ECONNRESET EOF ECANCELED"

local actions <const> = {}

local function expect(world, what, ...) return world:expect(what, CODES, ...) end

-- What children do, from the shortest to those that end when they are made to.
local SCRIPTS <const> = {
  "exit 3",
  "echo hello; echo bye >&2",
  "cat",
  "head -c 200000 /dev/zero",
  "cat >/dev/null & echo left",
  "sleep 9 & exit 1",
  "sleep 9",
  "trap '' TERM; sleep 9",
  "kill -STOP $$",
  "exec 0<&- 1>&- 2>&-; sleep 0.003",
}

local function options(world)
  return {
    "sh", "-c", world:pick(SCRIPTS),
    group = world:pick { true, false, nil },
    stop_timeout = world.random(4) / 1000,
    stderr = world:pick { "pipe", "stdout", "null" },
  }
end

function actions.run(world)
  local o <const> = options(world)
  o.timeout = world.random(12) / 1000
  o.limit = world:pick { 0, 100, 1000000 }
  o.stdin = world:pick { "", ("x"):rep(100000), nil }
  local result <const> = expect(world, "run", process.run(o))
  if result and not (result.status and result.stdout) then world:wrong "half a result" end
end

function actions.run_true(world)
  local result <const> = expect(world, "true", process.run { "true" })
  if result and result.status ~= 0 then world:wrong("status %d", result.status) end
end

function actions.fail(world)
  local result <const>, err = world:pick {
    function() return process.run { "/nowhere/to/be/found" } end,
    function() return process.spawn { "sh", cwd = "/nowhere" } end,
    function() return process.spawn { "/etc/passwd" } end,
    function() return process.run { "/" , stdin = "text" } end,
  }()
  if result or not ("ENOENT EACCES"):find(err.code, 1, true) then
    world:wrong("fail: %s", err or "did not")
  end
end

local methods <const> = {
  function(world, child) return child:wait(world.random(4) / 1000) end,
  function(world, child)
    return child:kill(world:pick { "TERM", "STOP", "CONT", "USR1" })
  end,
  function(_, child) return child.stdin and child.stdin:write "text\n" end,
  function(_, child) return child.stdin and child.stdin:shutdown() end,
  function(world, child)
    return child.stdout and child.stdout:read(world.random(1000), 0.003)
  end,
  function(_, child) return child.stdout and child.stdout:close(0) end,
}

-- One that is left alone ends with its context.
function actions.spawn(world)
  local o <const> = options(world)
  o.stdin = world:pick { "pipe", "null" }
  o.stdout = world:pick { "pipe", "null" }
  local child <const> = assert(process.spawn(o))
  for _ = 1, world.random(5) do
    expect(world, "a method", world:pick(methods)(world, child))
  end
  if world.random(3) == 1 then child:close() end
end

function actions.spawn_in_scope(world)
  context.scope({ on_error = "log" }, function(ctx)
    local child <const> = assert(process.spawn(options(world)))
    ctx:spawn(function() child:wait() end)
    ctx:spawn(function() child.stdout:read() end)
    if world.random(2) == 1 then task.yield() end
    ctx:close()
    if not child:wait(0) then world:wrong "a child has outlived its context" end
  end)
end

function actions.pipeline(world)
  local first <const> = assert(process.spawn { "sh", "-c", world:pick(SCRIPTS),
    stdin = "null", stop_timeout = 0.001, stderr = "null" })
  local second <close> = assert(process.spawn {
    "cat", stdin = first.stdout, stop_timeout = 0.002 })
  if world.random(2) == 1 then first:kill "KILL" end
  expect(world, "pipeline", second.stdout:read(10, 0.004))
end

-- The children of this process, zombies too.
local function children()
  local all = ""
  for _, entry in ipairs(assert(fs.list "/proc/self/task")) do
    all = all .. (fs.read("/proc/self/task/" .. entry.name .. "/children") or "")
  end
  return all
end

local function examine(world)
  local left <const> = children()
  if left ~= "" then world:wrong("children %s are left", left) end
end

describe("child processes of random tasks", function()
  setup(function() process.run { "true" } end)

  it("end with their contexts, and nothing is left behind", function()
    local problems <const> = {}
    local from <const> = tonumber(os.getenv "SEED") or 1
    local count <const> = tonumber(os.getenv "SEEDS") or is_gc_stressed() and 6 or 40
    for seed = from, from + count - 1 do
      local found <const> = run_world(seed, actions, function() end, examine)
      table.move(found, 1, #found, #problems + 1, problems)
    end
    assert.same({}, problems)
  end)
end)
