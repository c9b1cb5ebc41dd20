-- An rsyslogd of our own for specs: it listens on UDP, TCP and Unix sockets and writes
-- the parts of each message as a line of JSON.

local json <const> = require "ahost.json"
local net <const> = require "ahost.net"
local subprocess <const> = require "spec.subprocess"
local task <const> = require "ahost.task"

local CONFIGURATION <const> = [[
global(workDirectory="@" maxMessageSize="64k")
module(load="imudp") module(load="imtcp") module(load="imptcp")
module(load="imuxsock" SysSock.Use="off" SysSock.RateLimit.Interval="0")
template(name="parts" type="list" option.jsonf="on") {
  property(outname="pri" name="pri" format="jsonf")
  property(outname="facility" name="syslogfacility-text" format="jsonf")
  property(outname="severity" name="syslogseverity-text" format="jsonf")
  property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="app" name="app-name" format="jsonf")
  property(outname="process" name="procid" format="jsonf")
  property(outname="id" name="msgid" format="jsonf")
  property(outname="data" name="structured-data" format="jsonf")
  property(outname="version" name="protocol-version" format="jsonf")
  property(outname="message" name="msg" format="jsonf")
}
action(type="omfile" file="@/out" template="parts" asyncWriting="off" flushOnTXEnd="on")
input(type="imudp" address="127.0.0.1" port="%d")
input(type="imtcp" address="127.0.0.1" port="%d")
input(type="imptcp" path="@/stream")
input(type="imuxsock" socket="@/datagrams" useSpecialParser="off"
  rateLimit.interval="0")
]]

local Server <const> = {}
Server.__index = Server

local function read(path)
  local file <close> = io.open(path, "rb")
  return file and file:read "a" or ""
end

local function exists(path)
  local pipe <close> = io.popen("test -e " .. path .. " && echo yes")
  return pipe:read "l" == "yes"
end

local function free_port(open)
  local socket <close> = assert(open "127.0.0.1:0")
  return tonumber(socket:address():match "%d+$")
end

--- A server with its addresses in `udp`, `tcp`, `stream` and `datagrams`. It is not
--- started yet.
local function new()
  local directory, remove = subprocess.directory()
  local udp <const>, tcp <const> = free_port(net.udp), free_port(net.listen)
  local text <const> = CONFIGURATION:gsub("@", directory):format(udp, tcp)
  subprocess.write(directory .. "/conf", text)
  return setmetatable({
    directory = directory,
    remove = remove,
    port = udp,
    udp = "udp://127.0.0.1:" .. udp,
    tcp = "tcp://127.0.0.1:" .. tcp,
    stream = "unix-stream://" .. directory .. "/stream",
    datagrams = "unix://" .. directory .. "/datagrams",
  }, Server)
end

-- Whether all its sockets are open: the UDP port is the last to be told.
function Server:is_up()
  local port <const> = (":%04X "):format(self.port)
  return exists(self.directory .. "/stream") and exists(self.directory .. "/datagrams")
    and read("/proc/net/udp"):find(port, 1, true) ~= nil
end

function Server:start()
  local pipe <close> = io.popen(("cd %s && rm -f stream datagrams; "
    .. "rsyslogd -n -f conf -i NONE >>log 2>&1 & echo $!"):format(self.directory))
  self.pid = pipe:read "n"
  while not self:is_up() do
    assert(exists("/proc/" .. self.pid), read(self.directory .. "/log"))
    task.sleep(0.01)
  end
end

---@param name string   "KILL", "STOP", "CONT"
function Server:signal(name) os.execute(("kill -%s %d"):format(name, self.pid)) end

--- Ends it, and waits for that.
function Server:stop()
  if not self.pid then return end
  self:signal "KILL"
  local state
  repeat
    state = read("/proc/" .. self.pid .. "/stat"):match "%) (%a)"
    if state then task.sleep(0.01) end
  until state == nil or state == "Z"
  self.pid = nil
end

--- Waits until so many messages have come, and returns them in their order.
---@param count integer
---@return table[]
function Server:messages(count)
  local text
  repeat
    task.sleep(0.01)
    text = read(self.directory .. "/out")
  until select(2, text:gsub("\n", "\n")) >= count
  local messages <const> = {}
  for line in text:gmatch "[^\n]+" do
    messages[#messages + 1] = assert(json.decode(line))
  end
  return messages
end

--- Forgets the messages so far.
function Server:clear() subprocess.write(self.directory .. "/out", "") end

function Server:__close()
  self:stop()
  self.remove()
end

return { new = new }
