-- Who depends on whom among components: those who hold what others have published, and
-- children on their parents. So they can be ended in an order in which nothing is used
-- that has ended before.

local runtime <const> = require "ahost.component.runtime"

local dependencies <const> = {}

--- Whether a node is `above` or below it.
---@param node? ahost.ComponentNode
---@param above ahost.ComponentNode
---@return boolean
function dependencies.is_below(node, above)
  while node and node ~= above do node = node.parent end
  return node ~= nil
end

local function set_of(list)
  local set <const> = {}
  for _, item in ipairs(list) do set[item] = true end
  return set
end

local function is_open(node) return node.ctx and node.ctx:state() ~= "closed" end

--- Those of the keys that a node, or what is below its context, has looked up.
---@param node ahost.ComponentNode
---@param keys string[]
---@return string[] held
function dependencies.held(node, keys)
  if #keys == 0 or not is_open(node) then return {} end
  local set <const>, found <const> = set_of(keys), {}
  for _, key in ipairs(runtime.held(node.ctx)) do
    if set[key] then found[#found + 1] = key end
  end
  return found
end

-- Those of the keys, a set, that a node sees as resources of another, or would if that
-- had them yet.
local function provided(node, source, keys, set)
  local found <const> = {}
  for _, key in ipairs(keys) do
    local provider <const> = set[key] and runtime.provider(node.ctx, key)
    if set[key] and (provider == nil or provider == source.ctx) then
      found[#found + 1] = key
    end
  end
  return found
end

--- Those of another's keys that a node, or what is below its context, has looked up, and
--- those that it has references to, unless it would find somebody else's.
---@param node ahost.ComponentNode
---@param source ahost.ComponentNode
---@param keys string[]    that the other has published, or had
---@return string[] held
---@return string[] referred
function dependencies.uses(node, source, keys)
  if #keys == 0 or not is_open(node) then return {}, {} end
  local set <const> = set_of(keys)
  return provided(node, source, runtime.held(node.ctx), set),
    provided(node, source, runtime.referred(node.ctx), set)
end

-- ---- order ---------------------------------------------------------------------------

-- -> {[context] = node}
local function by_context(nodes)
  local found <const> = {}
  for _, node in ipairs(nodes) do
    if is_open(node) then found[node.ctx] = node end
  end
  return found
end

-- Adds those who hold something of others to the dependants of these. Between a
-- component and one below it the tree decides.
local function add_holders(dependants, nodes)
  local found <const> = by_context(nodes)
  for _, node in ipairs(nodes) do
    local held <const> = is_open(node) and runtime.held(node.ctx) or {}
    table.sort(held)
    for _, key in ipairs(held) do
      local source <const> = found[runtime.provider(node.ctx, key) or false]
      if source and not dependencies.is_below(source, node)
        and not dependencies.is_below(node, source) then
        table.insert(dependants[source], node)
      end
    end
  end
end

--- For each of the nodes those of them that are to end before it.
---@param nodes ahost.ComponentNode[]
---@return table<ahost.ComponentNode, ahost.ComponentNode[]>
function dependencies.dependants(nodes)
  local found <const> = {}
  for _, node in ipairs(nodes) do found[node] = {} end
  for _, node in ipairs(nodes) do
    local above = node.parent
    while above and not found[above] do above = above.parent end
    if above then table.insert(found[above], node) end
  end
  add_holders(found, nodes)
  return found
end

--- The order in which nodes are to end: first who depends on others, else the last one
--- first; who is below another always before that. Where components hold each other in a
--- circle, it is broken.
---@param nodes ahost.ComponentNode[]    in the order of their starts
---@param dependants table<ahost.ComponentNode, ahost.ComponentNode[]>
---@return ahost.ComponentNode[]
function dependencies.order(nodes, dependants)
  local list <const>, seen <const> = {}, {}
  local begun <const> = {} -- how many below a node have been begun with
  local function count(node, more)
    local above = node.parent
    while above do
      begun[above] = (begun[above] or 0) + more
      above = above.parent
    end
  end
  local function visit(node)
    if seen[node] then return end
    seen[node] = true
    count(node, 1)
    for i = #dependants[node], 1, -1 do
      local one <const> = dependants[node][i]
      if (begun[one] or 0) == 0 or dependencies.is_below(one, node) then visit(one) end
    end
    count(node, -1)
    list[#list + 1] = node
  end
  for i = #nodes, 1, -1 do visit(nodes[i]) end
  return list
end

return dependencies
