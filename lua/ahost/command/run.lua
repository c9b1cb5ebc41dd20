-- ahost run: runs the application that configuration files describe.

local configuration <const> = require "ahost.command.configuration"

local run <const> = {
  summary = "run the application that configuration files describe",
  usage = "[FILE ...] [--set KEY=VALUE]... [-s SERVICE]",
  doc = [[
Files are merged from left to right. Without one: what AHOST_CONFIG names, else the
first of ahost.yaml, etc/ahost.yaml, /etc/ahost/ahost.yaml and the same with .lua.
The exit status is 0, 1 after a failure, 2 for what `ahost check` would have found,
or what the application chose.]],
  options = configuration.options,
}

function run.main(args)
  local values, files = configuration.load(args)
  if not values then return nil, files end
  local ok, wrong = configuration.apply(values, args)
  if not ok then return nil, wrong end
  local app, err = configuration.build(values, files)
  if not app then return nil, err end
  return app:run { stops = true, process_signals = true }
end

return run
