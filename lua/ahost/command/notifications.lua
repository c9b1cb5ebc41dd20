-- What `ahost run` tells of the life of its application: to who started it in the
-- background, and to systemd.

local daemon <const> = require "ahost.command.daemon"
local log <const> = require "ahost.log"
local systemd <const> = require "ahost.systemd"
local task <const> = require "ahost.task"
local time <const> = require "ahost.time"

local notifications <const> = {}

local ATTEMPTS <const>, PAUSE <const> = 50, 0.1 -- seconds

-- Tells something that must not be lost: a manager that is behind is waited for.
local function tell(message, status)
  local told, err = message(status)
  for _ = 2, ATTEMPTS do
    if told ~= nil or err.code ~= "EAGAIN" then break end
    task.sleep(PAUSE)
    told, err = message(status)
  end
  if told == nil then log.get "ahost.systemd":warning("%s", err) end
end

-- Signs of life, twice as often as they are expected. They stop when the loop does.
local function show_life()
  local interval <const> = systemd.watchdog()
  if not interval then return end
  local timer
  timer = time.timer(function() systemd.alive() end, { autorestart = true })
  timer:start(interval / 2)
end

--- Follows an application until the current context ends.
---@param app ahost.Application    opened, but not started
function notifications.follow(app)
  app.bus:subscribe("app.run", daemon.ready)
  if not systemd.is_notified() then return end
  systemd.status "starting"
  show_life()
  app.bus:subscribe("app.run", function() tell(systemd.ready, "running") end)
  app.bus:subscribe("app.reloading", function(_, begins)
    if begins then
      tell(systemd.reloading)
    else
      tell(systemd.ready, "running")
    end
  end)
  app.bus:subscribe("app.stop", function(_, count)
    if count == 1 then tell(systemd.stopping, "stopping") end
  end)
end

return notifications
