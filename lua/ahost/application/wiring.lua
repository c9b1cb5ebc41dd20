-- What a configuration wires without code: functions that hear messages of the bus
-- (`listen:`), schedules and servers, which are components like any other.

local config <const> = require "ahost.config"
local errors <const> = require "ahost.error"
local reference <const> = require "ahost.reference"
local tree <const> = require "ahost.component.tree"
local value <const> = require "ahost.config.value"

local wiring <const> = {}

local function resolve_listener(container, key, path, opts)
  local text <const> = container[key]
  if type(text) == "function" then return text end
  local origin <const> = config.origin(container, key)
  local prefix <const> = (origin and origin .. ": " or "") .. path .. ": "
  if type(text) ~= "string" then
    return nil, prefix .. "must be module:function or a list of them"
  end
  local fn, err = reference.resolve(text,
    { directory = config.directory(container, key) or opts.directory, code = opts.code })
  if fn == nil then return nil, prefix .. err.message end
  if type(fn) ~= "function" then
    return nil, ("%s'%s' is a %s, not a function"):format(prefix, text, type(fn))
  end
  return fn
end

--- The functions of `listen:`. May wait, as modules are loaded.
---@param listen table?      message -> "module:function" or a list of them; in a Lua
---  configuration also functions
---@param opts {directory: string?, code: ahost.Code}    `directory`: where relative files
---  are that no file names; `code`: what is loaded is kept there
---@return {message: string, fn: function}[]? listeners
---@return ahost.Error? err  code CONFIG
function wiring.listeners(listen, opts)
  local found <const>, problems <const> = {}, {}
  local function add(message, container, key)
    local fn, problem = resolve_listener(container, key, "listen." .. message, opts)
    if fn then
      found[#found + 1] = { message = message, fn = fn }
    else
      problems[#problems + 1] = problem
    end
  end
  for message, what in next, listen or {} do
    if type(what) == "table" then
      for i in ipairs(what) do add(message, what, i) end
    else
      add(message, listen, message)
    end
  end
  if #problems == 0 then return found end
  table.sort(problems)
  return nil, errors.new("CONFIG", table.concat(problems, "\n"), { errors = problems })
end

local function add_nodes(nodes, problems, values, kind, section, opts)
  for _, name in ipairs(value.sorted_keys(values or {})) do
    local node, err, partial = tree.build(values[name], {
      path = section .. "." .. name,
      alias = kind .. "/" .. name:gsub("[^%w_]", "_"),
      at = config.origin(values, name),
      directory = config.directory(values, name) or opts.directory,
      defaults = opts.defaults,
      code = opts.code,
      plan = opts.plan,
    })
    nodes[#nodes + 1] = node or partial
    local wrong <const> = err and err.errors or {}
    table.move(wrong, 1, #wrong, #problems + 1, problems)
  end
end

--- The components of `schedules:` and `servers:`. May wait.
---@param keys table         the top-level keys
---@param opts {directory: string?, defaults: table?, code: ahost.Code,
---  plan: ahost.ReloadPlan?}
---@return ahost.ComponentNode[]? nodes
---@return ahost.Error? err  code CONFIG
---@return ahost.ComponentNode[]? partial   what could be built
function wiring.components(keys, opts)
  local nodes <const>, problems <const> = {}, {}
  add_nodes(nodes, problems, keys.schedules, "schedule", "schedules", opts)
  add_nodes(nodes, problems, keys.servers, "server", "servers", opts)
  if #problems == 0 then return nodes end
  local err <const> = errors.new("CONFIG", table.concat(problems, "\n"),
    { errors = problems })
  return nil, err, nodes
end

return wiring
