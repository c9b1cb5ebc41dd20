-- The tree of an application's components, made from its configuration: each node is
-- one component with its options checked and an instance of its table. Nothing is
-- started here.

local codes <const> = require "ahost.component.code"
local config <const> = require "ahost.config"
local errors <const> = require "ahost.error"
local json <const> = require "ahost.json"
local loader <const> = require "ahost.component.loader"
local log <const> = require "ahost.log"
local options <const> = require "ahost.options"
local settings <const> = require "ahost.component.settings"
local task <const> = require "ahost.task"
local value <const> = require "ahost.config.value"

local tree <const> = {}

-- A component that contains its own type has no end.
local MOST_LEVELS <const> = 50

-- The alias of the root.
local ROOT <const> = "root"

---@class ahost.ComponentNode
---@field path string            dotted aliases; "" for the root
---@field alias string
---@field type string
---@field component table        what the type names
---@field options table          checked
---@field settings table         checked
---@field raw table              its configuration, unchecked
---@field children ahost.ComponentNode[]
---@field parent? ahost.ComponentNode
---@field instance? table
---@field code ahost.Code         what it has loaded
---@field added table              the children that its `init` has added
---@field withdrawn? string[]     what it had published, while it is started again and
---  those who hold that get it anew
---@field is_replaced? boolean    a newer generation of it is being started
---@field generation integer       how many there have been of it
---@field resource_name? string  of what it publishes as "default"
---@field keeper? table          shows who has started it again last

---@return string text   what messages call a component
function tree.describe(node)
  if node.path == "" then return "the root component" end
  if node.type == node.alias then return "component " .. node.path end
  return ("component %s (%s)"):format(node.path, node.type)
end

-- ---- problems ------------------------------------------------------------------------

local Builder <const> = {}
Builder.__index = Builder

local function join(path, name) return path == "" and name or path .. "." .. name end

function Builder:complain(origin, path, text)
  local prefix <const> = path == "" and "the root component" or path
  self.problems[#self.problems + 1] =
    (origin and origin .. ": " or "") .. prefix .. ": " .. text
end

-- ---- instances -----------------------------------------------------------------------

local Base <const> = {}

--- Adds a component below this one; only in `init`. What the configuration says of the
--- alias wins over `values`.
---@param alias string
---@param type_? string|table   the alias, if left out; or the component itself
---@param values? table
function Base:add(alias, type_, values)
  local adding <const> = self._adding
  if not adding then
    error("components can be added in init only", 2)
  elseif type(alias) ~= "string" or alias == "" then
    error("the alias of a component must be a nonempty string", 2)
  elseif adding[alias] then
    error(("there is already a child component named '%s'"):format(alias), 2)
  elseif values ~= nil and type(values) ~= "table" then
    error(("the configuration of component '%s' must be a table, not a %s")
      :format(alias, type(values)), 2)
  end
  local given <const> = config.merge({}, values)
  if type(type_) == "string" then given.type = type_ end
  adding[alias] = { values = given, component = type(type_) == "table" and type_ or nil }
  adding[#adding + 1] = alias
end

--- Where the relative file that an option names is: beside the file that says so.
---@param option string
---@return string? directory    nil: the working directory
function Base:directory_of(option)
  return config.directory(self._node.raw, option) or self._node.configured_in
end

-- A configuration that is refused needs no traceback.
local function trace(err)
  if errors.is(err, "CANCELLED") or errors.is(err, "CONFIG") then return err end
  return debug.traceback(tostring(err), 2)
end

--- Allows this component more time to start; only while it does.
---@param seconds number    from now on
function Base:extend_start(seconds)
  local starting <const> = self._node.starting
  if starting then starting:extend(self._node, seconds) end
end

-- The logger of a component is named after its path, that of the root after its type:
-- "app" for "./lib/app.lua".
local function logger_name(node)
  if node.path ~= "" then return node.path end
  local name <const> = node.type:match("([^/]*)$"):gsub("%.lua", "")
  return (name:gsub("[^%w_.]", "."))
end

-- Gives a node an instance of its component and runs its `init`. -> added children, in
-- order and by alias | nil, message | nil, err
local function instantiate(node)
  local component <const> = node.component
  local instance <const> = setmetatable({
    config = node.options,
    name = node.alias,
    path = node.path,
    log = log.get(logger_name(node)),
    _adding = {},
    _node = node,
  }, {
    __index = function(_, name)
      local found <const> = component[name]
      if found == nil then return Base[name] end
      return found
    end,
  })
  if component.init then
    local ok, err = node.code:run(task.current(), xpcall, component.init, trace, instance)
    if not ok then
      if errors.is(err, "CANCELLED") then error(err, 0) end
      return nil, err
    end
  end
  local added <const> = instance._adding
  instance._adding = nil
  node.instance, node.added = instance, node.added or added
  return added
end

-- ---- children ------------------------------------------------------------------------

-- A map of components; null entries are empty configurations. -> map | nil
function Builder:child_map(values, origin, path)
  if values == nil or values == json.null then return {} end
  if not value.is_map(values) then
    self:complain(origin, join(path, "components"),
      "must be a map of components by alias")
    return nil
  end
  return values
end

-- The configurations of a node's children: from its code, from its table, and from the
-- configuration, which wins. -> {{alias=, layers=, at=, component=}, ...}
function Builder:child_list(node, added)
  local raw <const> = node.raw.components
  local own <const> = self:child_map(node.component.components, nil, node.path) or {}
  local origin <const> = config.origin(node.raw, "components")
  local external <const> = self:child_map(raw, origin, node.path) or {}
  local list, seen = {}, {}
  local function take(alias)
    if seen[alias] then return end
    seen[alias] = true
    list[#list + 1] = alias
  end
  for _, alias in ipairs(added) do take(alias) end
  local rest = {}
  for alias in next, own do rest[#rest + 1] = alias end
  for alias in next, external do rest[#rest + 1] = alias end
  table.sort(rest)
  for _, alias in ipairs(rest) do take(alias) end
  for i, alias in ipairs(list) do
    local from_code <const> = added[alias] or {}
    list[i] = {
      alias = alias,
      layers = { own[alias], from_code.values, external[alias] },
      at = config.origin(external, alias),
      component = from_code.component,
    }
  end
  return list
end

-- ---- nodes ---------------------------------------------------------------------------

-- Layers of configuration, lowest first; nil and null are empty. -> map | nil
function Builder:merge_layers(layers, origin, path)
  local merged
  for i = 1, 3 do
    local layer <const> = layers[i]
    if layer ~= nil and layer ~= json.null then
      if not value.is_map(layer) then
        self:complain(origin, path,
          ("the configuration of a component is a map of its options, not %s")
            :format(type(layer) == "table" and "a list" or tostring(layer)))
        return nil
      end
      merged = merged and config.merge(merged, layer) or layer
    end
  end
  return merged or {}
end

-- Where the options of a node were written, for messages.
local function place_of(node, at)
  return {
    path = node.path,
    at = at,
    origin = config.origin,
    literal = config.literal,
    reserved = settings.reserved,
  }
end

function Builder:check_options(node, at)
  local place <const> = place_of(node, at)
  local schema <const> = node.component.options
  local ok, checked, problems = pcall(options.check, schema, node.raw, place)
  if not ok then
    self:complain(nil, node.path,
      ("the options of type '%s': %s"):format(node.type, checked))
    return
  end
  local own, wrong = settings.check(node.component, node.raw, place)
  for _, list in ipairs { problems or {}, wrong or {} } do
    table.move(list, 1, #list, #self.problems + 1, self.problems)
  end
  node.options, node.settings = checked, own
end

-- Where the type of a node is searched for, if it is a relative file.
local function directory_of_type(node, directory)
  return not node.component and config.directory(node.raw, "type") or directory
end

-- The root that a script has returned: runs the script again.
function Builder:load_script(node, directory)
  node.code = codes.new()
  local component, err = self.load_root(node.code)
  if not component then
    self:complain(nil, node.path, err.message)
    return false
  end
  node.component, node.directory, node.configured_in = component, directory, directory
  return true
end

local METHODS <const> = { "init", "prepare", "start", "run", "rebind", "save", "restore" }

-- -> whether what is called of a component can be
function Builder:check_methods(node)
  for _, name in ipairs(METHODS) do
    local method <const> = node.component[name]
    if method ~= nil and type(method) ~= "function" then
      self:complain(nil, node.path, ("'%s' of type '%s' is a %s, not a function"):format(
        name, node.type, type(method)))
      return false
    end
  end
  return true
end

-- What is from the code of its parent belongs to that. -> whether there is a component
function Builder:load(node, directory, at)
  if node.component and not node.parent and self.load_root and self.plan then
    return self:load_script(node, directory)
  elseif node.component then
    node.directory, node.configured_in = directory, directory
    node.code = node.parent and node.parent.code or self.component_code or self.code
      or codes.new()
    return true
  end
  node.code = self.code or codes.new()
  local from <const> = directory_of_type(node, directory)
  local component, err, home = loader.load(node.type, from, node.code)
  if not component then
    self:complain(config.origin(node.raw, "type") or at, node.path, err.message)
    return false
  end
  node.component, node.directory, node.configured_in = component, home or from, from
  return true
end

-- What is the type of a node: what the configuration says, or its alias, which the root
-- has not got.
local function type_of(alias, raw, component)
  if raw.type ~= nil and raw.type ~= json.null then return raw.type end
  if alias == ROOT and not component then return nil end
  return alias:match("^[^/]*")
end

-- A node without its component's own options. `child` is as in child_list.
-- -> node | nil
function Builder:new_node(child, parent)
  local alias <const> = child.alias
  local path <const> = parent and join(parent.path, alias) or self.path
  local raw <const> = self:merge_layers(child.layers, child.at, path)
  if not raw then return nil end
  local node <const> = {
    path = path,
    alias = alias,
    raw = raw,
    type = type_of(alias, raw, parent or child.component),
    parent = parent,
    level = parent and parent.level + 1 or 1,
    generation = 1,
    resource_name = alias:match("/([%w_]+)$"),
    children = {},
  }
  if node.type == nil then
    self:complain(child.at, path, "it has no type, which names a module or a file")
    return nil
  elseif type(node.type) ~= "string" then
    self:complain(config.origin(raw, "type"), path, "type must be a string")
    return nil
  elseif node.level > MOST_LEVELS then
    self:complain(child.at, path,
      "components are nested too deeply; does one contain itself?")
    return nil
  end
  -- Another type than that of the code comes from the configuration.
  if raw.type == nil then node.component = child.component end
  return node
end

-- Where the files are that no file names: beside the parent what its code says, in the
-- directory of the application what was configured by no file.
function Builder:directory_for(child, parent)
  local configured <const> = child.layers[3]
  local is_ours <const> = type(configured) == "table" and configured.type ~= nil
  return parent and not is_ours and parent.directory or self.directory
end

---@return ahost.ComponentNode?
function Builder:build(child, parent)
  local node <const> = self:new_node(child, parent)
  if not node then return nil end
  local defaults <const> = self.defaults[node.type]
  if defaults then
    node.raw = self:merge_layers({ defaults, node.raw }, child.at, node.path) or node.raw
  end
  local directory <const> = self:directory_for(child, parent)
  local kept <const> = self.plan
    and self.plan:keep(node, directory_of_type(node, directory))
  if kept then return self:build_kept(kept, node, child) end
  if self:load(node, directory, child.at) and self:check_methods(node) then
    self:check_options(node, child.at)
    self:build_children(node, child.at)
  end
  return node
end

-- A component that stays as it is, though it may have other children than before.
function Builder:build_kept(kept, node, child)
  local entry <const> = { raw = node.raw, parent = node.parent, children = {} }
  node.component = kept.component
  self.plan:kept(kept, entry, function()
    return self:build(child, node.parent), self:failure()
  end)
  for _, below in ipairs(self:child_list(node, kept.added)) do
    entry.children[#entry.children + 1] = self:build(below, kept)
  end
  return kept
end

-- Runs `init`. -> the added children | nil: it has not run, or failed
-- What `init` has refused: an option, if it says which, or all of the configuration.
function Builder:complain_of(node, err, at)
  local option <const> = err.option
  self:complain(option and config.origin(node.raw, option) or at,
    option and join(node.path, option) or node.path, err.message)
end

function Builder:instantiate(node, at)
  if not (node.options and node.settings) then return nil end
  local added, message = instantiate(node)
  if added then return added end
  if errors.is(message, "CONFIG") then
    self:complain_of(node, message, at)
  else
    self:complain(nil, node.path, "init failed: " .. message)
  end
  return nil
end

local function names_type(child)
  for i = 1, 3 do
    local layer <const> = child.layers[i]
    if value.is_map(layer) and layer.type ~= nil then return true end
  end
  return false
end

-- Where `init` could not tell what the children are, those that name their type are
-- checked all the same.
function Builder:build_children(node, at)
  local added <const> = self:instantiate(node, at)
  for _, child in ipairs(self:child_list(node, added or {})) do
    if added or names_type(child) then
      node.children[#node.children + 1] = self:build(child, node)
    end
  end
end

-- -> what is wrong, or nil
function Builder:failure()
  if #self.problems == 0 then return nil end
  return errors.new("CONFIG", table.concat(self.problems, "\n"),
    { errors = self.problems })
end

--- Makes the tree below a root. May wait, as modules are loaded and `init` is called.
---@param values table       the configuration of the root: {type=, ...}
---@param opts? {path: string?, alias: string?, at: string?, directory: string?,
---  defaults: table?, component: table?, component_code: ahost.Code?,
---  load_root: (fun(code: ahost.Code): table?, ahost.Error?)?, code: ahost.Code?,
---  plan: ahost.ReloadPlan?}   `defaults`: configurations by type, the lowest layer;
---  `at`: where the root was written; `component`: that of the root, `component_code`:
---  what that has loaded, `load_root`: loads it again; `code`: what all of them load
---  together (each has its own); `plan`: which of the present ones stay (none)
---@return ahost.ComponentNode? root
---@return ahost.Error? err   code CONFIG; `err.errors` has all that is wrong
---@return ahost.ComponentNode? partial   what could be built, to look at only
function tree.build(values, opts)
  opts = opts or {}
  local builder <const> = setmetatable({
    problems = {},
    path = opts.path or "",
    directory = opts.directory,
    defaults = opts.defaults or {},
    code = opts.code,
    component_code = opts.component_code,
    load_root = opts.load_root,
    plan = opts.plan,
  }, Builder)
  local root <const> = builder:build {
    alias = opts.alias or ROOT,
    layers = { values },
    at = opts.at,
    component = opts.component,
  }
  local err <const> = builder:failure()
  if not err then return root end
  return nil, err, root
end

--- A tree made anew for a restart: fresh instances, the same configuration.
---@param node ahost.ComponentNode
---@param alone? boolean    its children stay as they are
function tree.renew(node, alone)
  local added, message = instantiate(node)
  if not added then error(message, 0) end
  if alone then return end
  for _, child in ipairs(node.children) do tree.renew(child) end
end

--- Iterates over a node and all below it, parents first.
---@param node ahost.ComponentNode
function tree.each(node)
  return coroutine.wrap(function()
    local function visit(here)
      coroutine.yield(here)
      for _, child in ipairs(here.children) do visit(child) end
    end
    visit(node)
  end)
end

return tree
