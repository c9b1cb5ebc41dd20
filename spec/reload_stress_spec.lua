-- Random applications, reloaded at random while they start, fail, restart and end. What
-- each component does is drawn from a seed; a failure names its seed.

local context <const> = require "ahost.context"
local gc_stress <const> = require "spec.gc_stress"
local log <const> = require "ahost.log"
local reloading_files <const> = require "spec.reloading_files"
local task <const> = require "ahost.task"
local testing <const> = require "ahost.testing"
local tree <const> = require "ahost.component.tree"

local KEYS <const> = 6
local INNER <const> = 3 -- components below an isolated one, c11 and so on
local LONGEST <const> = 10000 -- virtual seconds

-- Each has once shown a mistake.
local SEEDS <const> = { 1009, 1021, 1023, 1040, 1188, 1221, 1409, 1478, 1620, 2373 }

-- ---- chance --------------------------------------------------------------------------

-- The same numbers for the same seed, whatever the order of others.
local function generator(...)
  local state = 0
  for _, part in ipairs { ... } do
    for i = 1, #tostring(part) do
      state = (state * 31 + tostring(part):byte(i)) % 2147483647
    end
  end
  state = state % 2147483646 + 1
  return function(most)
    state = state * 48271 % 2147483647
    return state % most + 1
  end
end

-- ---- components ----------------------------------------------------------------------

local World <const> = {}
World.__index = World

function World:wrong(format, ...)
  self.problems[#self.problems + 1] = ("seed %d: "):format(self.seed)
    .. format:format(...)
end

-- What one version of a component does.
local function draw(seed, name, version)
  local random <const> = generator(seed, name, version)
  local own <const> = tonumber(name:match "%d+")
  local uses <const> = {}
  -- Those with smaller numbers are used, so that there is mostly an order.
  for key = 1, own - 1 do
    local is_there <const> = key <= KEYS or key > 10
    if is_there and random(own > 10 and 6 or 3) == 1 then
      uses[#uses + 1] = { key = "k" .. key, by = random(3) }
    end
  end
  return {
    own = "k" .. own,
    uses = uses,
    delay = random(3) == 1 and random(10) / 100 or 0,
    fails = random(8) == 1 and version > 0,
    does_not_publish = random(12) == 1 and version > 0,
    crashes = random(10) == 1 and random(50) / 10,
    exclusive = random(10) == 1,
    rebinds = random(4) == 1,
    saves = random(3) == 1,
    slow_end = random(5) == 1 and random(10) / 100 or 0,
    restart = random(2) == 1 and "on-failure" or nil,
  }
end

local function look_up(instance, ctx, use)
  if use.by == 1 and tonumber(use.key:match "%d+") <= instance.config.known then
    instance.values[use.key] = ctx:request(use.key)
  elseif use.by == 2 then
    instance.values[use.key] = ctx:get(use.key) or nil
  else
    instance.refs[use.key] = ctx:ref(use.key)
  end
end

function World:start(instance, ctx, name, version, does)
  instance.values, instance.refs = {}, {}
  instance.version = version
  self.open = self.open + 1
  ctx:on_close(function()
    self.open = self.open - 1
    if does.slow_end > 0 then task.sleep(does.slow_end) end
  end)
  for _, use in ipairs(does.uses) do look_up(instance, ctx, use) end
  task.sleep(does.delay)
  if not does.does_not_publish then
    ctx:publish(does.own, { name = name, version = version, instance = instance })
  end
  if does.fails then error "no luck" end
  if does.crashes then
    ctx:spawn("crash", function()
      task.sleep(does.crashes)
      error "crash"
    end)
  end
end

-- What the configuration says of a component: `known` is the last that is sure to be
-- there when it starts.
function World:configuration(name)
  return { type = ("./%s.lua"):format(name), known = self.count, number = 0 }
end

-- The component that a file is about.
function World:component(name, version)
  local does <const> = draw(self.seed, name, version)
  return {
    exclusive = does.exclusive,
    restart = does.restart,
    backoff = 0.01,
    start = function(instance, ctx)
      self:start(instance, ctx, name, version, does)
    end,
    rebind = does.rebinds and function(instance, key, value)
      instance.values[key] = value
    end or nil,
    save = does.saves and function() return { version } end or nil,
  }
end

-- ---- what has to be so ---------------------------------------------------------------

-- What a component holds that is not what there is.
local function find_stale(host)
  for node in tree.each(host.app.root) do
    if node.state ~= "started" or node.ended then return "something is going on" end
    for key, value in pairs(node.instance.values or {}) do
      local now <const> = node.ctx:get(key)
      if now == nil then return ("%s holds %s, which is gone"):format(node.path, key) end
      if now.instance ~= value.instance then
        return ("%s holds %s of version %s, not %s"):format(node.path, key, value.version,
          now.version)
      end
    end
  end
end

-- In the end all hold what there is.
function World:check_values(host)
  local stale
  for _ = 1, 200 do
    if host.app.stopping:is_set() then return end
    stale = find_stale(host)
    if not stale or self.reloading > 0 then return end
    task.sleep(0.1)
  end
  self:wrong("%s", stale)
end

local function versions(app)
  local found <const> = {}
  for node in tree.each(app.root) do
    found[node.path] = node.instance and node.instance.version
  end
  return found
end

function World:check_report(before, host, report)
  if report.ok or self.overlapped then return end
  local after <const> = versions(host.app)
  for path, version in pairs(before) do
    if after[path] ~= nil and after[path] ~= version then
      self:wrong("%s is version %s after a failed reload, not %s", path, after[path],
        version)
    end
  end
end

-- ---- one run -------------------------------------------------------------------------

local function text_of(name, version)
  return ("return package.loaded['spec.world']:component(%q, %d)"):format(name, version)
end

local function change(world, files, random)
  local number <const> = random(world.count + INNER + 1)
  local at <const> = number > world.count and 9 + number - world.count or number
  local name <const> = "c" .. at
  world.version = world.version + 1
  files:write(name .. ".lua", text_of(name, world.version))
end

-- Changes what the configuration says: which components there are, and of these.
local function configure(world, random)
  local components <const>, what <const> = world.config.components, random(4)
  if what == 1 then
    local name <const> = "c" .. random(world.count)
    components[name] = not components[name] and world:configuration(name) or nil
  elseif what == 2 then
    local one <const> = components["c" .. random(world.count)]
    if one then one.number = random(1000) end
  else
    local inner <const> = components.c10 and components.c10.components
    local name <const> = "c" .. 10 + random(INNER)
    if not inner then
      components.c10 = world:configuration "c10"
      components.c10.components = {}
      components.c10.isolated = random(3) > 1
    elseif what == 3 then
      inner[name] = not inner[name] and world:configuration(name) or nil
    elseif random(4) == 1 then
      components.c10 = nil
    else
      components.c10.isolated = not components.c10.isolated
    end
  end
end

local function reload(world, host, random)
  local asked <const> = random(5) == 1 and "c" .. random(world.count) or nil
  local before <const> = versions(host.app)
  world.overlapped = world.reloading > 0
  world.reloading = world.reloading + 1
  local report <const> = host:reload(asked, { force = random(3) == 1 })
  world.reloading = world.reloading - 1
  world.reloads = world.reloads + 1
  if host.app.stopping:is_set() then return end
  world:check_report(before, host, report)
  world.overlapped = world.reloading > 0
end

local function live(world, files, host, random)
  for _ = 1, 3 + random(8) do
    for _ = 1, random(3) do change(world, files, random) end
    if random(3) == 1 then configure(world, random) end
    if random(4) == 1 then
      task.spawn(reload, world, host, random) -- two at a time
    end
    reload(world, host, random)
    if random(2) == 1 then task.sleep(random(40) / 100) end
  end
  while world.reloading > 0 do task.sleep(0.1) end
  world:check_values(host)
end

local function run(seed)
  local random <const> = generator(seed)
  local files <close> = reloading_files()
  local world <const> = setmetatable({ seed = seed, problems = {}, open = 0, version = 0,
    reloads = 0, reloading = 0, count = 2 + random(KEYS - 1) }, World)
  world.config = { start_timeout = 5, reload = { grace = 1, generations = 2 },
    components = {} }
  package.loaded["spec.world"] = world
  local texts <const> = {}
  for i = 1, world.count do
    local name <const> = "c" .. i
    texts[name] = text_of(name, 0)
    world.config.components[name] = world:configuration(name)
  end
  for i = 10, 10 + INNER do files:write(("c%d.lua"):format(i), text_of("c" .. i, 0)) end
  local records <close> = log.capture { passes = false }
  local ok, host = pcall(files.start, files, texts, world.config)
  if ok then
    context.scope(function()
      local life <const> = task.spawn(live, world, files, host, random)
      if random(4) == 1 then
        task.sleep(random(20) / 10)
      else
        life:join(LONGEST)
      end
      host:stop()
      life:cancel()
      life:join()
    end)
    if world.open ~= 0 then world:wrong("%d components have not ended", world.open) end
  end
  for _, record in ipairs(records.records) do
    if record.text:find "attempt to " then world:wrong("%s", record.text) end
  end
  package.loaded["spec.world"] = nil
  return world
end

describe("a random application that is reloaded at random", function()
  it("keeps the promises of reloading", function()
    local clock <close> = testing.clock()
    local problems <const>, reloads = {}, 0
    local seeds <const> = table.move(SEEDS, 1, #SEEDS, 1, {})
    for seed = 1, gc_stress() and 8 or 60 do seeds[#seeds + 1] = seed end
    for _, seed in ipairs(seeds) do
      local world <const> = run(seed)
      table.move(world.problems, 1, #world.problems, #problems + 1, problems)
      reloads = reloads + world.reloads
    end
    clock:close()
    assert.same({}, problems)
    assert.is_true(reloads > 20)
  end)
end)
