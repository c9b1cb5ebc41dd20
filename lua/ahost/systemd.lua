-- ahost.systemd: what a service tells the manager that started it (sd_notify), and the
-- sockets that it was given. Where there is no such manager nothing happens.
--
-- The variables that say so are taken out of the environment when they are first looked
-- at: they are not meant for programs that this one starts.

local protocol <const> = require "ahost.systemd.protocol"
local net <const> = require "ahost.net.core"
local process <const> = require "ahost.process"
local time <const> = require "ahost.time"

local systemd <const> = {}

local MICROSECONDS <const> = 1000000

local function take(name)
  local value <const> = process.env[name]
  process.env[name] = nil
  return value
end

-- Seconds within which signs of life are expected, or nil.
local function take_watchdog()
  local interval <const>, pid <const> = take "WATCHDOG_USEC", take "WATCHDOG_PID"
  local microseconds <const> = interval and interval:find "^%d+$" and tonumber(interval)
  local is_meant <const> = pid == nil or tonumber(pid) == process.pid
  return is_meant and microseconds and microseconds > 0 and microseconds / MICROSECONDS
    or nil
end

local manager

-- -> {address =, watchdog =}
local function get_manager()
  if manager then return manager end
  local socket <const> = take "NOTIFY_SOCKET"
  local address <const> = socket and "unix:" .. socket
  manager = {
    address = address and net.check_address(address) and address or nil,
    watchdog = take_watchdog(),
  }
  return manager
end

--- Whether a manager wants to hear of this process.
---@return boolean
function systemd.is_notified() return get_manager().address ~= nil end

-- One line for each, in order.
local function lines_of(fields)
  local names <const>, lines <const> = {}, {}
  for name in next, fields do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do
    lines[i] = ("%s=%s"):format(name, tostring(fields[name]):gsub("[\r\n]+", " "))
  end
  return table.concat(lines, "\n")
end

--- Tells the manager something; see sd_notify(3). Does not wait.
---@param fields table<string, string|number>    { STATUS = "serving" }
---@return boolean? told       false where nobody is to be told
---@return ahost.Error? err    code EAGAIN when the manager is behind, ECONNREFUSED...
function systemd.notify(fields)
  if not systemd.is_notified() then return false end
  return protocol.send(manager.address, lines_of(fields))
end

--- Says in a line what the service is doing, as `systemctl status` shows it.
---@param text string
---@return boolean? told
---@return ahost.Error? err
function systemd.status(text)
  return systemd.notify { STATUS = text }
end

--- Says that everything has started, or that a reload is over.
---@param status? string
---@return boolean? told
---@return ahost.Error? err
function systemd.ready(status)
  return systemd.notify { READY = 1, MAINPID = process.pid, STATUS = status }
end

--- Says that a reload has begun, which `systemd.ready` ends.
---@return boolean? told
---@return ahost.Error? err
function systemd.reloading()
  return systemd.notify {
    RELOADING = 1,
    MONOTONIC_USEC = ("%d"):format(time.now() * MICROSECONDS // 1),
  }
end

--- Says that the service is going to end.
---@param status? string
---@return boolean? told
---@return ahost.Error? err
function systemd.stopping(status)
  return systemd.notify { STOPPING = 1, STATUS = status }
end

--- Gives a sign of life; to be given more often than every `systemd.watchdog` seconds.
---@return boolean? told
---@return ahost.Error? err
function systemd.alive() return systemd.notify { WATCHDOG = 1 } end

--- How long the manager waits for a sign of life before it ends the process.
---@return number? seconds    nil: it does not
function systemd.watchdog() return get_manager().watchdog end

--- The sockets that the process was started with, which `fd:NAME` listens on.
---@return {fd: integer, name: string}[]
function systemd.sockets() return protocol.sockets() end

return systemd
