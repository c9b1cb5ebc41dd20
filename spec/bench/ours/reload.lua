-- `reload_pause`: the longest turn of the loop while a reload replaces REPLACED of
-- COMPONENTS components, each from a file of its own. The first of them serves
-- CONNECTIONS connections. Some reloads without these warm up.
local application <const> = require "ahost.application"
local host <const> = require "ahost.host"
local process <const> = require "ahost.process"
local task <const> = require "ahost.task"

local replaced <const>, components <const>, connections <const> = tonumber((...)),
  tonumber((select(2, ...))), tonumber((select(3, ...)))
local WARM_UP <const> = 3
local CLIENTS <const> = debug.getinfo(1, "S").short_src:gsub("%.lua$", "_clients.lua")
local AHOST <const> = os.getenv "AHOST" or "build/release/ahost"

local SERVER <const> = [[
local net <const> = require "ahost.net"
local Server <const> = {}
function Server:start(ctx)
  local server <const> = assert(net.serve("127.0.0.1:0", function(stream)
    for line in stream:lines() do stream:write(line, " %d\n") end
  end))
  ctx:publish("address", server:address())
end
return Server
]]

local MEMBER <const> = [[
local Member <const> = { options = { port = { type = "integer", default = %d } } }
function Member:start(ctx) ctx:publish("member/" .. self.name, self) end
function Member:save() return { port = self.config.port } end
return Member
]]

local directory <const> = os.tmpname()
os.remove(directory)
assert(os.execute("mkdir " .. directory))

local function write(name, text)
  local file <close> = assert(io.open(directory .. "/" .. name, "w"))
  assert(file:write(text))
end

-- Makes the files of those that a reload is to replace different.
local function change(count, number)
  write("m1.lua", SERVER:format(number))
  for i = 2, count do write(("m%d.lua"):format(i), MEMBER:format(number)) end
end

local function configuration()
  local members <const> = {}
  for i = 1, components do
    local name <const> = "m" .. i
    members[name] = { type = ("%s/%s.lua"):format(directory, name) }
  end
  return { components = members, reload = { grace = "1h", generations = 1000 } }
end

-- -> the longest turn, in milliseconds
local function reload(app, number)
  change(replaced, number)
  task.sleep(0.02)
  host.stats(true)
  local report <const> = app:reload()
  assert(report.ok, report.err)
  task.sleep(0.02)
  return host.stats().lag.longest * 1000
end

-- -> the program whose connections they are
local function connect(app)
  local clients <const> = assert(process.spawn {
    AHOST, CLIENTS, app.ctx:get "address", tostring(connections),
  })
  assert(clients.stdout:read_line() == "ready")
  return clients
end

local function run()
  change(components, 0)
  local app <const> = assert(application.new(configuration()))
  local running <const> = task.spawn(function() app:run() end)
  app.running:wait()
  assert(not app.failure, app.failure)
  for i = 1, WARM_UP do reload(app, i) end
  local clients <const> = connect(app)
  assert(host.stats().connections == connections)
  local pause <const> = reload(app, WARM_UP + 1)
  clients.stdin:close()
  clients:wait()
  app:stop(0)
  running:join()
  return pause
end

local pause <const> = run()
os.execute("rm -r " .. directory)
print(("milliseconds=%.3f"):format(pause))
