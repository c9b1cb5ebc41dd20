-- Files in the hands of tasks that are cancelled at any moment.

local context <const> = require "ahost.context"
local fs <const> = require "ahost.fs"
local is_gc_stressed <const> = require "spec.gc_stress"
local run_world <const> = require "spec.blocking_world"
local task <const> = require "ahost.task"

local NAMES <const> = { "a", "b", "dir/c", "dir/deep/d", "dir", "pipe" }
local WHOLE <const> = { "whole", "dir2/whole" } -- written atomically, by nothing else
local CODES <const> = "ENOENT ENOTDIR EISDIR EEXIST ENOTEMPTY EINVAL CLOSED ENXIO ESPIPE "
  .. "EOF TOOLONG ELOOP EPIPE"

local actions <const> = {}

local function path(world) return world.directory .. "/" .. world:pick(NAMES) end

-- A pipe is waited for until somebody writes to it.
local function bounded(fn, ...)
  return task.timeout(0.004, fn, ...)
end

local function expect(world, what, value, err)
  return world:expect(what, CODES .. " TIMEDOUT", value, err)
end

-- Contents that say themselves whether they are whole.
local function whole(world)
  local letter <const> = string.char(96 + world.random(26))
  return letter .. letter:rep(world.random(200000)) .. "!"
end

local function is_whole(data)
  return data == "" or data == "old" or data == data:sub(1, 1):rep(#data - 1) .. "!"
end

function actions.write(world)
  local data <const> = ("line\n"):rep(world.random(9999))
  expect(world, "write", bounded(fs.write, path(world), data,
    { append = world.random(2) == 1 }))
end

function actions.write_whole(world)
  expect(world, "write", fs.write(world.directory .. "/" .. world:pick(WHOLE),
    whole(world), { atomic = true }))
end

function actions.read_whole(world)
  local data <const> = expect(world, "read",
    fs.read(world.directory .. "/" .. world:pick(WHOLE)))
  if data and not is_whole(data) then world:wrong("read a part of %d bytes", #data) end
end

function actions.copy_whole(world)
  local from <const>, to <const> = world:pick(WHOLE), world:pick(WHOLE)
  expect(world, "copy", fs.copy(world.directory .. "/" .. from,
    world.directory .. "/" .. to, { overwrite = world.random(2) == 1 }))
end

function actions.read(world)
  expect(world, "read", bounded(fs.read, path(world), world.random(60000)))
end

function actions.names(world)
  local name <const> = path(world)
  expect(world, "stat", fs.stat(name))
  expect(world, "list", fs.list(name))
  expect(world, "exists", fs.exists(name))
end

function actions.rename(world)
  expect(world, "rename", fs.rename(path(world), path(world)))
end

function actions.mkdir(world)
  expect(world, "mkdir", fs.mkdir(world.directory .. "/dir/deep", { parents = true }))
end

function actions.remove(world)
  expect(world, "remove", fs.remove(path(world), { recursive = world.random(2) == 1 }))
end

function actions.temporary(world)
  local kind <const> = world:pick { "file", "directory" }
  local made, err = fs.temporary { directory = world.directory, type = kind }
  if not expect(world, "temporary", made, err) then return end
  if kind == "directory" then fs.write(made .. "/x", "x") end
end

local methods <const> = {
  function(world, file) return file:read(world.random(100000)) end,
  function(_, file) return file:read_line(100) end,
  function(world, file) return file:read_exactly(world.random(50000)) end,
  function(_, file) return file:read_until("e\nl", 100) end,
  function(_, file) return file:read_all(1000000) end,
  function(world, file) return file:read_at(world.random(1000), world.random(100000)) end,
  function(world, file) return file:write(("line\n"):rep(world.random(30000))) end,
  function(world, file) return file:write_at(world.random(1000), "line\n") end,
  function(_, file) return file:seek("set", 3) end,
  function(_, file) return file:seek "end" end,
  function(world, file) return file:truncate(world.random(100000)) end,
  function(_, file) return file:flush() end,
  function(_, file) return file:stat() end,
  function(_, file) return file:close() end,
}

local function use(world, file, count)
  for _ = 1, count do
    local value <const>, err = bounded(world:pick(methods), world, file)
    world:expect("a method", CODES .. " TIMEDOUT EBADF", value, err)
  end
end

-- Some close it, some leave that to the collector or the context.
function actions.open(world)
  local mode <const> = world:pick { "r", "r+", "w", "w+", "a" }
  local file, err = bounded(fs.open, path(world), mode)
  if not expect(world, "open", file, err) then return end
  local beside <const> = world.random(3) == 1 and task.spawn(use, world, file, 3)
  use(world, file, world.random(6))
  if beside then beside:cancel() end
  if world.random(3) > 1 then file:close() end
end

function actions.open_in_scope(world)
  context.scope({ on_error = "log" }, function(ctx)
    local file <const> = fs.open(world.directory .. "/mine", "w+")
    for _ = 1, 4 do ctx:spawn(use, world, file, 2) end
    for _ = 1, world.random(5) do task.yield() end
    if world.random(2) == 1 then ctx:close() end
  end)
end

function actions.watch(world)
  local watch <close> = fs.watch(world.directory, { recursive = world.random(2) == 1 })
  for _ = 1, world.random(4) do
    bounded(function() return watch() end)
  end
end

local function prepare(world)
  world.directory = assert(fs.temporary { type = "directory" })
  os.execute("mkfifo " .. world.directory .. "/pipe")
  fs.mkdir(world.directory .. "/dir2")
  for _, name in ipairs(WHOLE) do fs.write(world.directory .. "/" .. name, "old") end
end

-- What replaces a file has another name until then.
local function examine(world)
  for _, directory in ipairs { world.directory, world.directory .. "/dir2" } do
    for _, entry in ipairs(assert(fs.list(directory))) do
      if entry.name:find "^%." or entry.name:find "^ahost%-" then
        world:wrong("%s is left", entry.name)
      end
    end
  end
  for _, name in ipairs(WHOLE) do
    local data <const> = assert(fs.read(world.directory .. "/" .. name))
    if not is_whole(data) then world:wrong("%s is not whole", name) end
  end
end

describe("files that random tasks use", function()
  -- The loop keeps one descriptor for all notices from the first one on.
  setup(function() fs.watch("/"):close() end)

  it("are whole, and nothing is left behind", function()
    local problems <const> = {}
    local from <const> = tonumber(os.getenv "SEED") or 1
    local count <const> = tonumber(os.getenv "SEEDS") or is_gc_stressed() and 6 or 60
    for seed = from, from + count - 1 do
      local found <const> = run_world(seed, actions, prepare, examine)
      table.move(found, 1, #found, #problems + 1, problems)
    end
    assert.same({}, problems)
  end)
end)
