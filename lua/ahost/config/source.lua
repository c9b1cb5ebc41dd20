-- One source of configuration, a file or a table: read, checked, its tags replaced
-- and its dotted keys expanded.

local chunk <const> = require "ahost.config.chunk"
local expand <const> = require "ahost.config.expand"
local file <const> = require "ahost.config.file"
local value <const> = require "ahost.config.value"

local source = {}

-- What comes from outside is no place for references: `${` stays what it is.
local function as_is(text)
  return (text:gsub("%${", "$${"))
end

-- -> text, or the default | nil, problem
local function variable(env, name, default)
  if not name:find "^[%w_]+$" then
    return nil, ("%q is no name of an environment variable"):format(name)
  end
  local v = env[name]
  if v ~= nil then
    return as_is(v)
  elseif default == nil then
    return nil, ("environment variable %s is not set"):format(name)
  end
  return default
end

-- A file's text loses one line end, the last: that is how secrets are stored.
local function contents(load, name, of)
  local full = file.beside(name, of)
  file.note(load, full)
  local text, reason = file.read(full)
  if not text then
    return nil, ("%s cannot be read: %s"):format(full, reason)
  end
  return as_is((text:gsub("\r?\n$", "")))
end

local tags = {}

tags["!env"] = function(load, text)
  local name, default = text:match "^([^:]*):(.*)$"
  name = name or text
  local v, problem = variable(load.env, name, default)
  if v == nil and name:find "^[%w_]+$" then
    problem = ("%s, and there is no default (!env %s:default)"):format(problem, name)
  end
  return v, problem
end

tags["!file"] = function(load, text, of)
  return contents(load, text, of)
end

-- Replaces a tagged node. -> its value; null, and a complaint, when it has none
local function resolve(self, container, key, node)
  local apply = tags[node.tag]
  local v, problem
  if not apply then
    problem = ("has the unknown tag %s"):format(tostring(node.tag))
  elseif type(node.value) ~= "string" or node.value == "" then
    problem = ("%s takes %s"):format(node.tag,
      node.tag == "!env" and "the name of a variable" or "a path")
  else
    v, problem = apply(self.load, node.value, self.of)
  end
  if v ~= nil then
    return v
  end
  self:complain(container, key, problem)
  return value.null
end

-- -> what the text says, its positions; nil and a complaint if it is no YAML
local function decode(load, text, name)
  local yaml <const> = require "ahost.yaml"
  local v, extra = yaml.decode(text,
    { name = name, tags = { "!env", "!file" }, positions = true })
  if v == nil then
    load.problems:add(nil, nil, extra.message)
  end
  return v, extra
end

local function read_yaml(load, text, name)
  local tree, positions = decode(load, text, name)
  if tree == value.null then
    return {}
  elseif tree ~= nil and (type(tree) ~= "table" or getmetatable(tree) ~= nil) then
    local kind = type(tree) == "table" and not value.is_list(tree) and "a tag"
      or value.kind(tree)
    load.problems:add(name, nil, ("the document must be a map, not %s"):format(kind))
    return nil
  end
  return tree, positions
end

local function read_lua(load, text, name)
  local lookup = {}
  function lookup.env(variable_name, default)
    return variable(load.env, variable_name, default)
  end
  function lookup.file(path)
    return contents(load, path, name)
  end
  return chunk.run(text, name, lookup, load.problems)
end

local READERS <const> = { yaml = read_yaml, yml = read_yaml, lua = read_lua }

---Reads one file.
---@param load table        `env`, `problems`; `read` if what is read is to be noted
---@param name string
---@param place? string     who names it, for messages
---@param path? string
---@return table? tree      expanded; nobody else has it
function source.read(load, name, place, path)
  local reader = READERS[name:match "%.(%w+)$"]
  if not reader then
    load.problems:add(place, path, ("%s is no configuration file: its name ends neither "
      .. "in .yaml or .yml nor in .lua"):format(name))
    return nil
  end
  file.note(load, name)
  local text, reason = file.read(name)
  if not text then
    load.problems:add(place, path, ("%s cannot be read: %s"):format(name, reason))
    return nil
  end
  local count = load.problems.count
  local tree, positions = reader(load, text, name)
  if tree then
    expand.tree(tree, { source = name, of = name, positions = positions,
      resolve = resolve, load = load, problems = load.problems }, expand.ROOT)
  end
  load.problems:sort(count)
  return tree
end

---Reads the value of an override; paths in it are relative to the program's
---directory.
---@param load table
---@param text string       YAML
---@param name string       its origin
---@param keys string[]     where it is going to stand
---@return any? v           expanded; nil, and a complaint, if it is no YAML
function source.value(load, text, name, keys)
  local v = decode(load, text, name)
  if v == nil then
    return nil
  end
  return expand.value(v, { source = name, resolve = resolve, load = load,
    problems = load.problems }, keys)
end

---Checks and expands a table.
function source.table(load, t, name)
  local tree = chunk.check(t, name, load.problems)
  expand.tree(tree, { source = name, problems = load.problems }, expand.ROOT)
  return tree
end

return source
