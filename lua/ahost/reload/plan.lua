-- What a reload is to replace: the application's tree of components made anew, in which
-- each component that nothing has changed for stays as it is.
--
-- A component is replaced when a file that it has read has changed, or its configuration
-- or that of its type; when it was asked for; when it comes from the code of one that is
-- replaced, or lies below an isolated one that is; and when it holds what one that is
-- replaced has published, unless it has `rebind`.

local changes <const> = require "ahost.reload.changes"
local dependencies <const> = require "ahost.component.dependencies"
local errors <const> = require "ahost.error"
local runtime <const> = require "ahost.component.runtime"
local tree <const> = require "ahost.component.tree"

local plan <const> = {}

---@class ahost.ReloadPlan
---@field app ahost.Application
---@field values table                the configuration as it is now
---@field keys table                  its top-level keys, checked
---@field draft ahost.Application    as it is to be
---@field roots ahost.ComponentNode[] of the new tree
---@field reasons table<string, string>    why each is replaced, by its path
---@field outgoing table<ahost.ComponentNode, string[]>   the present ones that end, and
---  the keys that each has published, or had
---@field rebinds table<ahost.ComponentNode, string[]>    those that stay, and the keys
---  that they get anew
local Plan <const> = {}
Plan.__index = Plan

-- ---- which stay ----------------------------------------------------------------------

function Plan:replace(node, reason)
  if self.dirty[node] then return end
  self.dirty[node] = true
  self.reasons[node.path] = self.reasons[node.path] or reason
end

-- Whether a node lies below an isolated one that does not stay.
function Plan:is_enclosed(node)
  local above = node.parent
  while above do
    if above.settings and above.settings.isolated and not self.entries[above] then
      return true
    end
    above = above.parent
  end
  return false
end

-- Why a component cannot stay that is to be as `node` says; nil: it can.
function Plan:obstacle(old, node, directory)
  if old.type ~= node.type or node.component and node.component ~= old.component
    or not node.component and directory ~= old.configured_in then
    return "it is another component"
  elseif not changes.same(old.raw, node.raw, "components") then
    return "its configuration has changed"
  elseif self:is_enclosed(node) or self:is_enclosed(old) then
    return "the isolated component above it is replaced"
  end
end

--- The present component that can stay where the new tree has `node`. Called while the
--- tree is built.
---@param node ahost.ComponentNode    not loaded yet
---@param directory? string           where its type is searched for
---@return ahost.ComponentNode? old
function Plan:keep(node, directory)
  local old <const> = self.present[node.path]
  if not old or self.dirty[old] then return nil end
  local obstacle <const> = self:obstacle(old, node, directory)
  if not obstacle then return old end
  self:replace(old, obstacle)
end

--- It stays.
---@param old ahost.ComponentNode
---@param entry {raw: table, parent: ahost.ComponentNode?,
---  children: ahost.ComponentNode[]}    what will be different about it
---@param renew fun(): ahost.ComponentNode?, ahost.Error?    builds it after all
function Plan:kept(old, entry, renew)
  entry.renew = renew
  self.entries[old] = entry
end

---@return boolean
function Plan:keeps(node) return self.entries[node] ~= nil end

---@return ahost.ComponentNode[]
function Plan:children(node)
  local entry <const> = self.entries[node]
  return entry and entry.children or node.children
end

--- Iterates over the new tree, parents first.
function Plan:each()
  return coroutine.wrap(function()
    local function visit(node)
      coroutine.yield(node)
      for _, child in ipairs(self:children(node)) do visit(child) end
    end
    for _, root in ipairs(self.roots) do visit(root) end
  end)
end

--- The components of the new tree that are not there yet, parents first.
---@return ahost.ComponentNode[]
function Plan:new_nodes()
  local list <const> = {}
  for node in self:each() do
    if not self.entries[node] then list[#list + 1] = node end
  end
  return list
end

--- The present component whose place a new one takes.
---@param node ahost.ComponentNode
---@return ahost.ComponentNode?
function Plan:predecessor(node)
  local old <const> = self.present[node.path]
  return old and self.outgoing[old] and old or nil
end

--- Whether nothing is different from what is there.
---@return boolean
function Plan:is_empty()
  return next(self.outgoing) == nil and #self:new_nodes() == 0
    and not self.config_changed and not self.wiring_changed
end

-- Builds one that was to stay. -> true | nil, err
function Plan:renew(old)
  local entry <const> = self.entries[old]
  for here in tree.each(old) do self.entries[here] = nil end -- those below may not stay
  local node, err = entry.renew()
  if err then return nil, err end
  local draft <const> = self.draft
  if draft.root == old then draft.root = node end
  for _, list in ipairs { draft.wired, entry.parent and self:children(entry.parent) } do
    for i, one in ipairs(list) do
      if one == old then list[i] = node end
    end
  end
  self.roots = draft:roots()
  return true
end

-- ---- what has changed ----------------------------------------------------------------

local function is_part(path, of)
  return of == "" or path == of or path:sub(1, #of + 1) == of .. "."
end

-- Marks what was asked for, or else all whose files have changed. -> true | nil, err
function Plan:mark(asked)
  local files <const> = changes.files()
  local found = asked == nil
  for path, node in next, self.present do
    if asked then
      if is_part(path, asked) then
        self:replace(node, "it was asked for")
        found = true
      end
    else
      local changed <const> = files:first_changed(node.code)
      if changed then self:replace(node, changed .. " has changed") end
    end
  end
  self.wiring_changed = not asked and files:first_changed(self.app.wiring) ~= nil
  if found then return true end
  return nil, errors.new("NOTFOUND", ("there is no component '%s'"):format(asked))
end

-- What a component has published, or had before it ended.
local function keys_of(node, before)
  local keys <const>, seen <const> = {}, {}
  local function take(list)
    for _, key in ipairs(list or {}) do
      if not seen[key] then keys[#keys + 1] = key end
      seen[key] = true
    end
  end
  if node.ctx and node.ctx:state() ~= "closed" then take(runtime.published(node.ctx)) end
  take(before)
  take(node.withdrawn)
  return keys
end

-- The present components that the new tree does not have.
function Plan:find_outgoing()
  for _, node in next, self.present do
    if not self.entries[node] then
      self.outgoing[node] = keys_of(node, self.outgoing[node])
    end
  end
end

-- ---- those who depend on it ----------------------------------------------------------

-- The keys of what is replaced that a node holds.
function Plan:held_keys(node)
  local held <const> = {}
  for source, keys in next, self.outgoing do
    table.move(dependencies.uses(node, source, keys), 1, #keys, #held + 1, held)
  end
  if self.config_changed then
    table.move(dependencies.held(node, { "config" }), 1, 1, #held + 1, held)
  end
  return held
end

-- -> whether there is one more to replace | nil, err
function Plan:add_holders()
  self.rebinds = {}
  for node in next, self.entries do
    local held <const> = self:held_keys(node)
    if #held > 0 and node.component.rebind then
      self.rebinds[node] = held
    elseif #held > 0 then
      self:replace(node, ("it holds '%s'"):format(held[1]))
      local ok, err = self:renew(node)
      if not ok then return nil, err end
      return true
    end
  end
  return false
end

--- Takes in all who hold what is replaced, as it is now: again after a while others may
--- have looked it up. May wait, as components are built.
---@return true? ok
---@return ahost.Error? err    code CONFIG
function Plan:complete()
  repeat
    self:find_outgoing()
    local more, err = self:add_holders()
    if err then return nil, err end
  until not more
  return true
end

--- What the present components have that nobody will have, though others that stay need
--- it.
---@param published table<string, boolean>    what new ones have published
---@return string? problem
function Plan:missing(published)
  for source, keys in next, self.outgoing do
    local gone <const> = {}
    for _, key in ipairs(keys) do
      if not published[key] then gone[#gone + 1] = key end
    end
    for node in next, self.entries do
      local held, referred = dependencies.uses(node, source, gone)
      local needed <const> = held[1] or referred[1]
      if needed then
        return ("%s publishes no '%s' any more, which %s needs"):format(
          tree.describe(source), needed, tree.describe(node))
      end
    end
  end
end

-- ---- making --------------------------------------------------------------------------

--- Makes the plan: reads and compiles what has changed. May wait.
---@param app ahost.Application
---@param values table      the configuration as it is now
---@param keys table        its top-level keys, checked
---@param asked? string     the path of the one component to reload, with all below it
---@return ahost.ReloadPlan? plan
---@return ahost.Error? err    code CONFIG or NOTFOUND
---@return ahost.ReloadPlan? partial   to look at only
function plan.new(app, values, keys, asked)
  local self <const> = setmetatable({
    app = app,
    values = values,
    keys = keys,
    present = {},
    dirty = {},
    entries = {},
    reasons = {},
    roots = {},
    outgoing = {},
    config_changed = not changes.same(app.config, values),
  }, Plan)
  for _, root in ipairs(app:roots()) do
    for node in tree.each(root) do self.present[node.path] = node end
  end
  local ok, err = self:mark(asked)
  if not ok then return nil, err, self end
  local built, wrong, partial = app:build_again(self)
  self.draft = built or partial
  self.roots = self.draft and self.draft.wired and self.draft:roots() or {}
  if not built then return nil, wrong, self end
  ok, err = self:complete()
  if not ok then return nil, err, self end
  return self
end

return plan
