-- ahost check: does all that `ahost run` does before anything is started, and tells what
-- is wrong, or what there is to configure.

local commands <const> = require "ahost.command.application"
local components <const> = require "ahost.command.components"
local config <const> = require "ahost.config"
local configuration <const> = require "ahost.command.configuration"
local errors <const> = require "ahost.error"
local options <const> = require "ahost.options"
local schema <const> = require "ahost.application.schema"
local settings <const> = require "ahost.component.settings"
local tree <const> = require "ahost.component.tree"

local check <const> = {
  summary = "say all that is wrong with configuration files",
  usage = "[FILE ...] [--set KEY=VALUE]... [-s SERVICE] [--help-all]",
  doc = [[
Modules are loaded and `init` of the components is called; nothing is started. Files
are found as `ahost run` finds them. -v shows the tree of components.
The exit status is 0, or 2 when something is wrong.]],
  options = {
    {
      key = "help_all",
      long = "help-all",
      doc = "show the options of all components in the tree",
    },
  },
}
table.move(configuration.options, 1, #configuration.options, 2, check.options)

-- What a file would call the node.
local function place_of(node, values)
  if node.path == "" then return values.component and "component" or "components" end
  return node.parent and node.alias or node.path
end

local function print_node(node, values, level)
  print(("%s%s: %s"):format(("  "):rep(level), place_of(node, values), node.type))
  for _, child in ipairs(node.children) do print_node(child, values, level + 1) end
end

local function roots_of(app)
  local roots <const> = { app.root }
  table.move(app.wired, 1, #app.wired, #roots + 1, roots)
  return roots
end

-- ---- help ----------------------------------------------------------------------------

-- The top-level keys, and those that are gone when a configuration has been loaded.
local function top_level()
  local keys <const> = {
    include = { type = "any", doc = "files whose values win over those of this one" },
    services = { type = "map", doc = "top-level keys by service; one is chosen" },
  }
  for name, option in next, schema.keys do keys[name] = option end
  return keys
end

local function print_top_level()
  io.write("top-level keys:\n", options.help(top_level()), "\n",
    "any component:\n", settings.help())
end

local function print_options(node, values)
  local name <const> = node.path == "" and place_of(node, values) or node.path
  io.write("\n")
  components.print_options(("%s: %s"):format(name, node.type), node.component, node.path)
end

local function print_help(app, values)
  print_top_level()
  for _, root in ipairs(app and roots_of(app) or {}) do
    for node in tree.each(root) do
      if node.component then print_options(node, values) end
    end
  end
end

local function print_bundled()
  print_top_level()
  for _, name in ipairs(components.names()) do
    local component <const> = components.load(name)
    if component then
      io.write("\n")
      components.print_options(name, component, "")
    end
  end
end

-- ---- the command ---------------------------------------------------------------------

-- Adds what is wrong with the commands of the application, which only this looks at.
local function with_commands(err, values)
  local problems <const> = err and table.move(err.errors, 1, #err.errors, 1, {}) or {}
  local wrong <const> = commands.check(values)
  if #wrong == 0 then return err end
  table.move(wrong, 1, #wrong, #problems + 1, problems)
  return errors.new("CONFIG", table.concat(problems, "\n"), { errors = problems })
end

function check.main(args)
  local is_given <const> = config.find() or #args > 0 or #args.files > 0 or #args.set > 0
  if args.help_all and not is_given then
    print_bundled()
    return 0
  end
  local values, files = configuration.load(args)
  if not values then return nil, files end
  local keys <const> = schema.check(values)
  if keys then configuration.apply(keys, args.verbose) end
  local app, err, partial = configuration.build(values, files)
  err = with_commands(err, values)
  if args.help_all then print_help(app or partial, values) end
  if err then return nil, err end
  if args.help_all then return 0 end
  for _, root in ipairs(args.verbose and roots_of(app) or {}) do
    print_node(root, values, 0)
  end
  print(configuration.name(files) .. ": fine")
  return 0
end

return check
