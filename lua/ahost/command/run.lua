-- ahost run: runs the application that configuration files describe.

local configuration <const> = require "ahost.command.configuration"
local schema <const> = require "ahost.application.schema"
local worker <const> = require "ahost.command.worker"

local run <const> = {
  summary = "run the application that configuration files describe",
  usage = "[FILE ...] [--set KEY=VALUE]... [-s SERVICE]",
  doc = [[
Files are merged from left to right. Without one: what AHOST_CONFIG names, else the
first of ahost.yaml, etc/ahost.yaml, /etc/ahost/ahost.yaml and the same with .lua.
With `workers` in the configuration several processes run it, which share the listening
sockets: one that dies is started again, USR2 replaces all of them one by one.
The exit status is 0, 1 after a failure, 2 for what `ahost check` would have found,
or what the application chose.]],
  options = configuration.options,
}

-- Runs the workers that the configuration asks for, which read it for themselves.
local function supervise(args, settings, control)
  return require("ahost.command.supervisor").run(settings, control, function()
    local values, err = configuration.load(args)
    if not values then return nil, err end
    return schema.check(values)
  end)
end

function run.main(args)
  local this, problem = worker.attach()
  if problem then return nil, problem end
  local values, files = configuration.load(args)
  if not values then return nil, files end
  configuration.apply(values, args.verbose)
  local app, err = configuration.build(values, files)
  if not app then return nil, err end
  local control <const> = configuration.control(values, files, args)
  if this then return this:run(app, control) end
  if app.keys.workers then return supervise(args, app.keys, control) end
  return app:run {
    stops = true,
    process_signals = true,
    control = control,
  }
end

return run
