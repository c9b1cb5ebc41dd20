-- The promise of reloading, under load: a server is reloaded again and again, with good,
-- broken and slow versions of its components, while clients come and go. Nobody is
-- refused, nobody is cut off, each is served by one generation, and nothing grows.

local command_line <const> = require "spec.command_line"
local gc_stress <const> = require "spec.gc_stress"
local json <const> = require "ahost.json"
local net <const> = require "ahost.net"
local subprocess <const> = require "spec.subprocess"
local task <const> = require "ahost.task"

local stressed <const> = gc_stress()
local RELOADS <const> = stressed and 40 or 1000
local CLIENTS <const> = stressed and 4 or 40
local WARM <const> = RELOADS // 5 -- after which nothing grows

-- Answers with its version and that of the texts that it holds; tells of its memory when
-- it is asked by the control socket.
local SERVER <const> = [[
local host <const> = require "ahost.host"
local net <const> = require "ahost.net"
local task <const> = require "ahost.task"
local Server <const> = {
  options = { address = { type = "address", default = "127.0.0.1:0" } },
}
function Server:start(ctx)
  local texts <const> = ctx:request "texts"
  %s
  local server <const> = assert(net.serve(self.config.address, function(stream)
    for line in stream:lines() do
      stream:write(line, " server %d texts ", tostring(texts), "\n")
    end
  end))
  if not self.saved then
    print(server:address())
    io.stdout:flush()
  end
end
function Server:save() return true end
return Server
]]

local TEXTS <const> = [[
return {
  start = function(_, ctx)
    %s
    ctx:publish("texts", %d)
  end,
}
]]

local PROBE <const> = [[
local host <const> = require "ahost.host"
return {
  start = function(_, ctx)
    ctx:require("control"):command("memory", function()
      for _ = 1, 4 do collectgarbage() end
      local stats <const> = host.stats()
      return { memory = stats.memory, handles = stats.handles, tasks = stats.tasks }
    end)
  end,
}
]]

local CONFIG <const> = [[
reload: {grace: 60s, generations: 1000}
components:
  texts: {type: ./texts.lua}
  server: {type: ./server.lua}
  probe: {type: ./probe.lua}
]]

-- ---- versions ------------------------------------------------------------------------

local DELAY <const> = 'require "ahost.task".sleep(0.005)'
local BROKEN <const> = { "}", 'error "not this one"', "local x = nil + 1" }

-- What is done to a version: nothing, mostly.
local function variation(number)
  if number % 7 == 3 then return DELAY end
  if number % 5 == 2 then return BROKEN[number // 5 % #BROKEN + 1] end
  return ""
end

local function is_broken(text)
  for _, broken in ipairs(BROKEN) do
    if text == broken then return true end
  end
  return false
end

-- ---- the control socket --------------------------------------------------------------

local Control <const> = {}
Control.__index = Control

local function connect_control(directory)
  local stream <const> = assert(net.connect("unix:" .. directory .. "/ahost-live.sock"))
  return setmetatable({ stream = stream }, Control)
end

function Control:ask(command)
  self.stream:write(json.encode { command = command }, "\n")
  local line <const> = assert(self.stream:read_line(1048576))
  local reply <const> = json.decode(line)
  assert(reply.ok, line)
  return reply.result
end

-- ---- clients -------------------------------------------------------------------------

-- Talks for a while on one connection. All answers are of one generation.
local function talk(world, lines)
  local stream <close> = assert(net.connect(world.address))
  local first
  for i = 1, lines do
    assert(stream:write(i, "\n"))
    local line <const> = assert(stream:read_line())
    local number <const>, by <const> = line:match "^(%d+) (.*)$"
    assert(tonumber(number) == i, line)
    first = first or by
    assert(by == first, line)
    world.answers = world.answers + 1
    world.generations[by] = true
  end
  world.connections = world.connections + 1
end

-- Failures are collected: the first one says enough.
local function client(world, id)
  local turn = id
  while not world.over do
    turn = turn + 1
    local ok, err = pcall(talk, world, turn % 20 == 0 and 200 or turn % 4)
    if not ok then
      world.failure = world.failure or tostring(err)
      return
    end
  end
end

local function descriptors(pid)
  local pipe <close> = assert(io.popen(("ls /proc/%d/fd | wc -l"):format(pid)))
  return pipe:read "n"
end

-- ---- the load ------------------------------------------------------------------------

-- Reloads for each of these numbers. What is broken stays so until it is written again.
local function reload_often(at, control, first, last)
  local broken <const> = {}
  for number = first, last do
    local what <const> = variation(number)
    local name <const> = number % 3 == 0 and "texts" or "server"
    local text <const> = name == "texts" and TEXTS or SERVER
    subprocess.write(("%s/%s.lua"):format(at.directory, name), text:format(what, number))
    broken[name] = is_broken(what)
    local report <const> = control:ask "reload"
    assert(report.ok == not (broken.texts or broken.server), json.encode(report))
  end
end

local function is_draining(control)
  local function any(nodes)
    for _, node in ipairs(nodes) do
      if #node.draining > 0 or any(node.children) then return true end
    end
    return false
  end
  return any(control:ask("status").components)
end

-- Reloads while clients come and go. -> what is left of it when they have gone
local function load(at, control, world, first, last)
  local clients <const> = {}
  world.over = false
  for i = 1, CLIENTS do clients[i] = task.spawn(client, world, i) end
  reload_often(at, control, first, last)
  world.over = true
  for _, one in ipairs(clients) do one:join() end
  while is_draining(control) do task.sleep(0.01) end
  local left <const> = control:ask "memory"
  left.descriptors = descriptors(control:ask("ping").pid)
  return left
end

describe("reloading under load", function()
  it("refuses nobody, cuts nobody off, and does not grow", function()
    local at <const> = command_line.new {
      ["server.lua"] = SERVER:format("", 0),
      ["texts.lua"] = TEXTS:format("", 0),
      ["probe.lua"] = PROBE,
      ["live.yaml"] = CONFIG,
    }
    local running <close> = at:start "run -l log live.yaml"
    local world <const> = { answers = 0, connections = 0, generations = {} }
    world.address = running:read_line()
    local control <const> = connect_control(at.directory)
    local before <const> = load(at, control, world, 1, WARM)
    local after <const> = load(at, control, world, WARM + 1, RELOADS)
    assert.is_nil(world.failure)
    assert.is_true(world.connections > RELOADS)
    assert.equal(before.descriptors, after.descriptors)
    assert.equal(before.handles, after.handles)
    -- What looks after a reload ends with the last of the components that it started.
    assert.is_true(math.abs(after.tasks - before.tasks) <= 3)
    assert.is_true(after.memory < before.memory * 1.1 + 100000,
      ("%d bytes, then %d"):format(before.memory, after.memory))
    os.execute(("kill -TERM %d"):format(control:ask("ping").pid))
    assert.equal(0, running:finish().status)
  end)
end)
