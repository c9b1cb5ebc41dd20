-- Files and what they include, as layers: the values of an included file override
-- those of the including one, later ones override earlier ones.

local file <const> = require "ahost.config.file"
local files <const> = require "ahost.config.files"
local merge <const> = require "ahost.config.merge"
local origin <const> = require "ahost.config.origin"
local source <const> = require "ahost.config.source"
local value <const> = require "ahost.config.value"

local layers = {}

-- A few files that include each other's neighbours twice would be read without end.
local MOST_FILES <const> = 1000

-- -> a list of { text =, place =, path = } of what `include` says
local function wanted(load, tree)
  local include = tree.include
  local place = origin.of(tree, "include")
  if type(include) == "string" then
    return { { text = include, place = place, path = "include" } }
  elseif include == nil or include == value.null then
    return {}
  elseif not value.is_list(include) then
    load.problems:add(place, "include",
      ("must be a path or a list of paths, not %s"):format(value.kind(include)))
    return {}
  end
  local list = {}
  for i, text in ipairs(include) do
    local item = { text = text, place = origin.of(include, i), path = "include." .. i }
    if type(text) == "string" then
      list[#list + 1] = item
    else
      load.problems:add(item.place, item.path,
        ("must be a path, not %s"):format(value.kind(text)))
    end
  end
  return list
end

-- -> the files that an item names
local function matching(load, item, includer)
  if not item.text:find "[*?[]" or item.text:find("\0", 1, true) then
    return { file.beside(item.text, includer) }
  end
  local directory = (includer:match "^.*/" or ""):gsub("[*?[\\]", "\\%0")
  local found, err = files.glob(file.beside(item.text, directory))
  if not found then
    load.problems:add(item.place, item.path, ("%s: %s"):format(item.text, err.message))
  end
  return found or {}
end

-- -> "a.yaml -> b.yaml -> a.yaml" if the file is being read already
local function loop(chain, real, name)
  for i, link in ipairs(chain) do
    if link.real == real then
      local names = {}
      for j = i, #chain do
        names[#names + 1] = chain[j].name
      end
      return table.concat(names, " -> ") .. " -> " .. name
    end
  end
  return nil
end

local read

local function include(load, tree, includer, chain)
  for _, item in ipairs(wanted(load, tree)) do
    for _, name in ipairs(matching(load, item, includer)) do
      local layer = read(load, name, item, chain)
      if layer then
        merge.into(tree, layer)
      end
    end
  end
end

-- Reads a file with all that it includes. -> tree | nil
function read(load, name, item, chain)
  local real = not name:find("\0", 1, true) and files.realpath(name) or nil
  local circle = real and loop(chain, real, name)
  load.files = load.files + 1
  if circle then
    load.problems:add(item.place, item.path, "files include each other: " .. circle)
    return nil
  elseif load.files > MOST_FILES then
    if load.files == MOST_FILES + 1 then
      load.problems:add(item.place, item.path,
        ("more than %d files are included"):format(MOST_FILES))
    end
    return nil
  end
  local tree = source.read(load, name, item.place, item.path)
  if not tree then
    return nil
  end
  chain[#chain + 1] = { real = real, name = name }
  include(load, tree, name, chain)
  chain[#chain] = nil
  tree.include = nil
  return tree
end

---Reads files and merges them left to right.
---@param load table        `env`, `problems`
---@param base table        the lowest layer; changed
---@param names string[]
function layers.read(load, base, names)
  load.files = 0
  for _, name in ipairs(names) do
    local layer = read(load, name, {}, {})
    if layer then
      merge.into(base, layer)
    end
  end
end

return layers
