-- Configuration: files, defaults and overrides, merged into one nested table.

local context <const> = require "ahost.context"
local errors <const> = require "ahost.error"
local files <const> = require "ahost.config.files"
local file <const> = require "ahost.config.file"
local interpolate <const> = require "ahost.config.interpolation"
local layers <const> = require "ahost.config.layers"
local merge <const> = require "ahost.config.merge"
local origin <const> = require "ahost.config.origin"
local override <const> = require "ahost.config.override"
local path <const> = require "ahost.config.path"
local places <const> = require "ahost.config.places"
local problems <const> = require "ahost.config.problems"
local process <const> = require "ahost.process"
local service <const> = require "ahost.config.service"
local source <const> = require "ahost.config.source"
local value <const> = require "ahost.config.value"

local config = {}

config.origin = origin.of
config.directory = origin.directory
config.beside = origin.beside
config.origins = origin.leaves
config.literal = origin.literal
config.split = path.split
config.join = path.join
config.find = places.find
config.places = places.list
config.lookup = path.lookup

-- The maps that `merge` takes. -> map; raises on anything else
local function check_map(v, n)
  if v == nil or v == value.null then
    return {}
  elseif not value.is_map(v) then
    error(("config.merge: bad argument #%d (a map expected, got %s)"):format(n,
      value.kind(v)), 3)
  end
  return v
end

---Layers one configuration upon another: maps recurse, everything else replaces,
---lists and null too. Dotted keys are expanded on both sides, but not in `listen`
---and `logging.loggers`, nor in tables that `load` or `merge` made, where dots are
---data already. Arguments stay as they are; the result shares nothing with them but
---functions and objects. Raises an error object (code CONFIG) when one argument says
---two things about the same key, or contains itself.
---@param base? table
---@param over? table
---@return table
function config.merge(base, over)
  return merge.copies(check_map(base, 1), check_map(over, 2))
end

---@class ahost.config.LoadOptions
---@field set? string[]         "KEY=VALUE": the last word; VALUE is YAML
---@field service? string       the one of `services` to choose
---@field env? table            the environment variables (those of the process)
---@field defaults? table       the lowest layer

local function check_set(list)
  if type(list) == "string" then
    list = { list }
  end
  for _, text in ipairs(list or {}) do
    if type(text) ~= "string" then
      error(("config.load: set is a list of strings, got a %s"):format(type(text)), 3)
    end
  end
  return list or {}
end

local function check_option(opts, name, kind)
  if opts[name] ~= nil and type(opts[name]) ~= kind then
    error(("config.load: %s is a %s, got a %s"):format(name, kind, type(opts[name])), 3)
  end
end

local function check_files(list)
  list = type(list) == "string" and { list } or list or {}
  for _, name in ipairs(list) do
    if type(name) ~= "string" then
      error(("config.load: files are paths, got a %s"):format(type(name)), 3)
    end
  end
  return list
end

-- -> name | nil, what chose it
local function chosen_service(opts, env)
  if opts.service then
    return opts.service
  end
  local name = env.AHOST_SERVICE
  if name and name ~= "" then
    return name, "AHOST_SERVICE"
  end
end

-- Those that name a service come before it is chosen, all others have the last word.
local function parse_overrides(list, load)
  local early, late = {}, {}
  for _, text in ipairs(list) do
    local set, problem = override.parse(text)
    if not set then
      load.problems:add(nil, nil, problem)
    else
      table.insert(set.keys[1] == "services" and early or late, set)
    end
  end
  return early, late
end

local function apply_all(config_table, sets, load)
  for _, set in ipairs(sets) do
    override.apply(config_table, set, load)
  end
end

---Reads configuration files and merges them left to right, over `defaults` and under
---the overrides. The result is one nested table: includes are in, the chosen service
---is merged over the top level, dotted keys are expanded, tags and `${}` replaced.
---Reads files in the calling thread.
---@param names? string|string[]    paths, by their endings YAML or Lua
---@param opts? ahost.config.LoadOptions
---@return table? config
---@return ahost.Error? err         code CONFIG; `err.errors` lists all that is wrong
---@return string[] read            the files that it depends on: those given, included
---  and named by tags, also where they could not be read
function config.load(names, opts)
  opts = opts or {}
  names = check_files(names)
  local sets = check_set(opts.set)
  check_option(opts, "service", "string")
  check_option(opts, "defaults", "table")
  local load = { env = opts.env or process.env, problems = problems.new(), read = {} }
  local root = source.table(load, opts.defaults or {}, "defaults")
  layers.read(load, root, names)
  local early, late = parse_overrides(sets, load)
  apply_all(root, early, load)
  local name, by = chosen_service(opts, load.env)
  service.select(root, name, by, load.problems)
  apply_all(root, late, load)
  interpolate(root, load.env, load.problems)
  local err = load.problems:error()
  if err then
    return nil, err, load.read
  end
  return root, nil, load.read
end

---A value of the application's configuration.
---@param name string       "a.b.c"
---@param default? any      what to return when it is not there, or null
---@return any
function config.get(name, default)
  local root = context.current():get "config"
  local v = root and path.lookup(root, name)
  if v == nil or v == value.null then
    return default
  end
  return v
end

-- "app.lua:12" of the caller at a level
local function place_of(level)
  local info = debug.getinfo(level + 1, "Sl")
  return info and info.currentline > 0
    and ("%s:%d"):format(info.short_src, info.currentline) or nil
end

---Adds what is not there to the application's configuration. Raises NOTFOUND where
---there is no application.
---@param defaults table    dotted keys are expanded; `${}` is not replaced
function config.defaults(defaults)
  local root = context.current():require "config"
  if not value.is_map(defaults) then
    error(("config.defaults: a map expected, got %s"):format(value.kind(defaults)), 2)
  end
  merge.fill(root, merge.copy(defaults), place_of(2) or "config.defaults")
end

-- Positions in a text are told without the name of its file.
local function edit_failure(name, text)
  local place = text:match "^yaml:(.*)$"
  local message = place and name .. ":" .. place or name .. ": " .. text
  return nil, errors.new("CONFIG", message)
end

-- Whether a file that cannot be edited has the key. -> boolean | nil, err
local function chunk_has(name, keys)
  local load = { env = process.env, problems = problems.new() }
  local tree = source.read(load, name)
  if not tree then
    return nil, load.problems:error()
  end
  return path.lookup(tree, keys) ~= nil
end

-- Looks at one file. -> whether it has the key, its text if it can be edited;
-- nil, err
local function look_into(edit, name, keys)
  if not name:find "%.ya?ml$" then
    return chunk_has(name, keys)
  end
  local text, reason = file.read(name)
  if not text then
    return edit_failure(name, "cannot be read: " .. reason)
  end
  local has, problem = edit.has(text, keys)
  if has == nil then
    return edit_failure(name, problem.message)
  end
  return has, text
end

-- -> the last file that has the key, else the last one; its text
local function file_to_edit(edit, names, keys)
  local target, content = nil, nil
  for i = #names, 1, -1 do
    local has, text = look_into(edit, names[i], keys)
    if has == nil then
      return nil, text
    elseif has or not target then
      target, content = names[i], text
    end
    if has then
      break
    end
  end
  if not content then
    return edit_failure(target, "cannot be edited; only YAML files can")
  end
  return target, content
end

---Changes one value in a file, in place, keeping comments and everything else: in
---the last of the files that has the key, else in the last one.
---@param names string|string[]
---@param name string|string[]      "a.b.c", or a list of keys
---@param v any
---@return string? file             that was changed
---@return ahost.Error? err         code CONFIG, or of the file system
function config.edit(names, name, v)
  local edit <const> = require "ahost.yaml.edit"
  names = check_files(names)
  if #names == 0 then
    error("config.edit: no file", 2)
  end
  local keys = type(name) == "table" and name or path.split(name)
  local target, text = file_to_edit(edit, names, keys)
  if not target then
    return nil, text
  end
  local changed, problem = edit.set(text, keys, v)
  if not changed then
    return edit_failure(target, problem.message)
  end
  local ok, err = files.replace(target, changed)
  if not ok then
    return nil, err
  end
  return target
end

return config
