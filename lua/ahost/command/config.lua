-- ahost config: shows the effective configuration and where it comes from, reads a value
-- of it, or changes one in its file.

local config <const> = require "ahost.config"
local configuration <const> = require "ahost.command.configuration"
local edit <const> = require "ahost.command.edit"
local errors <const> = require "ahost.error"
local json <const> = require "ahost.json"
local masking <const> = require "ahost.command.masking"
local yaml <const> = require "ahost.yaml"

local command <const> = {
  summary = "show the effective configuration, read or change a value",
  usage = "[FILE ...] [-g KEY | -s KEY=VALUE ...] [--origin] [--secrets]",
  doc = [[
Without -g and -s, all of the configuration as YAML. Secrets are masked: what the
components say is secret, and elsewhere what has a name like "password" or "token".
-s changes the last of the files that has the key, else the last one; comments stay.
A change that makes the configuration invalid is refused.
The exit status is 1 for a key that is not there, 2 for what is wrong.]],
  options = {
    {
      key = "more_files",
      short = "f",
      value = "FILE",
      repeated = true,
      doc = "as FILE, and as -c FILE",
    },
    { key = "get", short = "g", value = "KEY", doc = "show one value: a.b.c" },
    {
      key = "change",
      short = "s",
      value = "KEY=VALUE",
      repeated = true,
      doc = "change a value (YAML) in its file; repeatable",
    },
    {
      key = "origin",
      long = "origin",
      doc = "a line for each value, with the place that it is from",
    },
    { key = "secrets", long = "secrets", doc = "show secrets, too" },
  },
}

for _, option in ipairs(configuration.options) do
  table.insert(command.options, {
    key = option.key,
    long = option.long,
    value = option.value,
    repeated = option.repeated,
    doc = option.doc,
  })
end

local function bad_usage(text) return nil, errors.new("USAGE", text) end

-- ---- showing -------------------------------------------------------------------------

-- -> the values to be shown, without secrets unless they are asked for
local function shown_values(args, values, files)
  if args.secrets then return values end
  local app, err, partial = configuration.build(values, files)
  if not app then
    io.stderr:write("note: ahost run would not accept this:\n" .. err.message .. "\n")
  end
  return masking.mask(values, app or partial)
end

local function show(v)
  if v == json.null then
    print "null"
  elseif type(v) == "table" then
    io.write(yaml.encode(v))
  else
    print(v)
  end
end

-- Whether a path is another one, or below it.
local function is_below(path, above)
  return not above or path == above or path:sub(1, #above + 1) == above .. "."
end

local function show_origins(values, shown, below)
  for path, v, origin in config.origins(values) do
    if is_below(path, below) then
      local text = masking.lookup(shown, config.split(path))
      if text == nil then text = v end
      print(("%s = %s%s"):format(path, yaml.encode(text, { flow = true }),
        origin and "   # " .. origin or ""))
    end
  end
end

local function missing(key, files)
  io.stderr:write(("ahost config: there is no '%s' in %s\n"):format(key,
    configuration.name(files)))
  return 1
end

local function get(args, values, shown, files)
  local keys <const> = config.split(args.get)
  if config.lookup(values, keys) == nil then return missing(args.get, files) end
  if args.origin then
    show_origins(values, shown, config.join(keys))
  else
    show(masking.lookup(shown, keys))
  end
  return 0
end

-- ---- the command ---------------------------------------------------------------------

local function check_usage(args)
  local changes <const> = #args.change > 0
  if changes and args.get then return bad_usage "-g and -s exclude each other" end
  if changes and args.origin then
    return bad_usage "--origin and -s exclude each other"
  end
  return true
end

function command.main(args)
  local ok, wrong = check_usage(args)
  if not ok then return nil, wrong end
  table.move(args.more_files, 1, #args.more_files, #args.files + 1, args.files)
  if #args.change > 0 then return edit(args) end
  local values, files = configuration.load(args)
  if not values then return nil, files end
  local shown <const> = shown_values(args, values, files)
  if args.get then return get(args, values, shown, files) end
  if args.origin then
    show_origins(values, shown)
  elseif next(values) ~= nil then
    show(shown)
  end
  return 0
end

return command
