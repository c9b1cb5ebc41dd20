-- `reload_answer`: from saving a file of a server to the first answer by the new code:
-- `control`, by the control socket; `watch`, under `ahost run --watch`; `restart`, by
-- ending the program and starting it anew. The median of some changes.
local net <const> = require "ahost.net"
local process <const> = require "ahost.process"
local task <const> = require "ahost.task"
local time <const> = require "ahost.time"

local mode <const> = ... or "watch"
local CHANGES <const> = 11
local AHOST <const> = (os.getenv "AHOST" or "build/release/ahost"):gsub("^[^/]",
  process.cwd() .. "/%0")

local SERVER <const> = [[
local net <const> = require "ahost.net"
return {
  start = function()
    assert(net.serve("unix:server", function(stream) stream:write "%d\n" end))
  end,
}
]]

local directory <const> = os.tmpname()
os.remove(directory)
assert(os.execute("mkdir " .. directory))

local function write(name, text)
  local file <close> = assert(io.open(directory .. "/" .. name, "w"))
  assert(file:write(text))
end

-- Saves version `number`. -> when
local function save(number)
  write("server.lua", SERVER:format(number))
  return time.now()
end

-- Waits until version `number` answers.
local function await(number)
  local answer
  repeat
    local stream <close> = net.connect("unix:" .. directory .. "/server")
    answer = stream and stream:read_line()
    if answer ~= tostring(number) then task.sleep(0.0005) end
  until answer == tostring(number)
end

local function start()
  local words <const> = { AHOST, "run", "server.yaml", cwd = directory, stdin = "null",
    stdout = "null", stderr = "null" }
  if mode == "watch" then table.insert(words, 3, "--watch") end
  return assert(process.spawn(words))
end

local function reload()
  local stream <close> = assert(net.connect("unix:" .. directory .. "/control"))
  assert(stream:write '{"command": "reload"}\n')
  assert(stream:read_line():find('"ok":true', 1, true))
end

-- Ends the program as its user would, and starts it anew. -> the program
local function restart(child)
  child:kill "TERM"
  child:wait()
  return start()
end

write("server.yaml", "components: {server: {type: ./server.lua}}\n"
  .. "control: {path: " .. directory .. "/control}\n")
save(0)
local child = start()
await(0)
task.sleep(0.5) -- watches begin when all has started
local times <const> = {}
for i = 1, CHANGES do
  local saved <const> = save(i)
  if mode == "restart" then
    child = restart(child)
  elseif mode == "control" then
    reload()
  end
  await(i)
  times[i] = (time.now() - saved) * 1000
end
child:kill "TERM"
child:wait()
os.execute("rm -r " .. directory)
table.sort(times)
print(("milliseconds=%.3f\nlongest=%.3f"):format(times[(CHANGES + 1) // 2],
  times[CHANGES]))
