-- ahost run: runs the application that configuration files describe.

local configuration <const> = require "ahost.command.configuration"
local daemon <const> = require "ahost.command.daemon"
local notifications <const> = require "ahost.command.notifications"
local process <const> = require "ahost.process"
local schema <const> = require "ahost.application.schema"
local source <const> = require "ahost.command.source"
local systemd <const> = require "ahost.systemd"
local worker <const> = require "ahost.command.worker"

local function options()
  local list <const> = table.move(configuration.options, 1, #configuration.options, 1, {})
  table.move(daemon.options, 1, #daemon.options, #list + 1, list)
  list[#list + 1] = {
    key = "watch",
    short = "w",
    long = "watch",
    doc = "reload when a file is saved, and say on standard error what came of it",
  }
  return list
end

local run <const> = {
  summary = "run the application that configuration files describe",
  usage = "[FILE ...] [--set KEY=VALUE]... [-s SERVICE]",
  doc = [[
Files are merged from left to right. Without one: what AHOST_CONFIG names, else the
first of ahost.yaml, etc/ahost.yaml, /etc/ahost/ahost.yaml and the same with .lua.
With `workers` in the configuration several processes run it, which share the listening
sockets: one that dies is started again, USR2 replaces all of them one by one.
The exit status is 0, 1 after a failure, 2 for what `ahost check` would have found,
or what the application chose. -d and -k go by the key `daemon` of the configuration.
Components whose files or configuration change are replaced while they serve: by
`ahost ctl reload`, by HUP with `reload.on_hup: true`, by -w as soon as a file is saved.
HUP opens log files again in any case.]],
  options = options(),
}

-- -> status | nil, err
local function kill(args)
  local values, err = configuration.load(args)
  if not values then return nil, err end
  return daemon.stop(values)
end

-- -> loaded | nil, err
local function read(args)
  local values, files, all = configuration.load(args)
  if not values then return nil, files end
  return { values = values, files = files, read = all }
end

-- -> loaded | nil, err | nil, status
local function load(args)
  if args.daemon then daemon.settle_files(args) end
  local loaded, err = read(args)
  if not loaded or not args.daemon then return loaded, err end
  local ok, problem = daemon.enter(loaded.values)
  if not ok then return nil, problem end
  return loaded
end

-- What is wrong with the top-level keys is left for configuration.build to tell.
-- -> application, place of its control socket | nil, err
local function build(args, loaded, is_worker)
  local values <const>, files <const> = loaded.values, loaded.files
  local keys <const> = schema.check(values)
  if keys then
    configuration.apply(keys, args.verbose)
    local logs, wrong = configuration.open_logs(values, args)
    if not logs then return nil, wrong end
  end
  local app, err = configuration.build(values, files,
    source.new(args, loaded, is_worker))
  if not app then return nil, err end
  return app, configuration.control(values, app.keys, files, args)
end

-- Runs the application as one of several, which the supervisor has made a daemon, if that
-- is what they are.
local function run_worker(this, args)
  if args.daemon then this:settle(daemon.settle_files, args) end
  local loaded, err = read(args)
  if not loaded then return nil, err end
  local app, place = build(args, loaded, true)
  if not app then return nil, place end
  return this:run(app, place, args.daemon and daemon.leave_terminal)
end

-- What follows the life of an application, or a supervisor. -> function(app)
local function follower(args, keys, what)
  if not (args.watch or keys.reload.watch) then return notifications.follow end
  local watch <const> = require("ahost.command.watching")[what]
  return function(app)
    notifications.follow(app)
    watch(app)
  end
end

-- Runs the workers that the configuration asks for, which read it for themselves.
local function supervise(args, app, place, directory, loaded)
  local warn <const> = source.warner(loaded.values, "workers")
  local follow <const> = follower(args, app.keys, "supervisor")
  return require("ahost.command.supervisor").run {
    settings = app.keys,
    control = place,
    directory = directory,
    opened = follow,
    read = function()
      local values, problem = configuration.load(args)
      if not values then return nil, problem end
      warn(values)
      return schema.check(values)
    end,
  }
end

function run.main(args)
  if args.kill then return kill(args) end
  local this, problem = worker.attach()
  if problem then return nil, problem end
  if this then return run_worker(this, args) end
  if args.daemon and not daemon.detached() then
    daemon.detach()
    return 0
  end
  systemd.sockets() -- which no program that is started inherits
  local directory <const> = args.daemon and process.cwd() or nil
  local loaded, err = load(args)
  if math.type(err) == "integer" then return err end
  if not loaded then return nil, err end
  local app, place = build(args, loaded)
  if not app then return nil, place end
  if app.keys.workers then return supervise(args, app, place, directory, loaded) end
  return app:run {
    stops = true,
    process_signals = true,
    control = place,
    opened = follower(args, app.keys, "application"),
  }
end

return run
