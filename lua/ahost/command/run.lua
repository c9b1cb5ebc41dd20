-- ahost run: runs the application that configuration files describe.

local configuration <const> = require "ahost.command.configuration"
local daemon <const> = require "ahost.command.daemon"
local notifications <const> = require "ahost.command.notifications"
local systemd <const> = require "ahost.systemd"

local run <const> = {
  summary = "run the application that configuration files describe",
  usage = "[FILE ...] [--set KEY=VALUE]... [-s SERVICE]",
  doc = [[
Files are merged from left to right. Without one: what AHOST_CONFIG names, else the
first of ahost.yaml, etc/ahost.yaml, /etc/ahost/ahost.yaml and the same with .lua.
The exit status is 0, 1 after a failure, 2 for what `ahost check` would have found,
or what the application chose. -d and -k go by the key `daemon` of the configuration.]],
  options = table.move(daemon.options, 1, #daemon.options, #configuration.options + 1,
    table.move(configuration.options, 1, #configuration.options, 1, {})),
}

-- -> status | nil, err
local function kill(args)
  local values, err = configuration.load(args)
  if not values then return nil, err end
  return daemon.stop(values)
end

-- -> values, files | nil, err | nil, status
local function load(args)
  if args.daemon then daemon.settle_files(args) end
  local values, files = configuration.load(args)
  if not values or not args.daemon then return values, files end
  local ok, err = daemon.enter(values)
  if not ok then return nil, err end
  return values, files
end

function run.main(args)
  if args.kill then return kill(args) end
  if args.daemon and not daemon.detached() then
    daemon.detach()
    return 0
  end
  systemd.sockets() -- which no program that is started inherits
  local values, files = load(args)
  if math.type(files) == "integer" then return files end
  if not values then return nil, files end
  configuration.apply(values, args.verbose)
  local logs, wrong = configuration.open_logs(values, args)
  if not logs then return nil, wrong end
  local app, err = configuration.build(values, files)
  if not app then return nil, err end
  return app:run {
    stops = true,
    process_signals = true,
    control = configuration.control(values, files, args),
    opened = notifications.follow,
  }
end

return run
