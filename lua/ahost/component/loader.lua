-- Finds what the type of a component names: a module ("webnotifier.detector"), a file
-- ("./detector.lua"), one of several in either ("webnotifier.app:Detector"), or a
-- component that comes with ahost ("server"). The application's own come first, and
-- before them what a program in C has registered.

local embedding <const> = require "ahost.embedding.host"
local errors <const> = require "ahost.error"
local reference <const> = require "ahost.reference"

local loader <const> = {}

local BUNDLED <const> = "ahost.components."

local function is_file(name) return name:find("/", 1, true) or name:find("%.lua") end

local function is_missing(err, module)
  local text <const> = ("module '%s' not found"):format(module)
  return errors.is(err, "NOTFOUND") and err.message:find(text, 1, true)
end

-- -> component | nil, err
local function find(name, directory, code)
  local component, err = reference.resolve(name, { directory = directory, code = code })
  if component ~= nil or is_file(name) then return component, err end
  if not is_missing(err, name:match("^[^:]*")) then return nil, err end
  local bundled, why = reference.resolve(BUNDLED .. name)
  local module <const> = name:match("^[^:]*")
  if bundled ~= nil or not is_missing(why, BUNDLED .. module) then
    return bundled, why
  end
  return nil, errors.new("NOTFOUND", ("there is no module '%s' in %s, and no "
    .. "component of that name comes with ahost"):format(module, package.path))
end

--- Loads the component that a type names. May wait, as it runs the module.
---@param name string         the type
---@param directory? string   where relative files are
---@param code ahost.Code     what it loads is kept there
---@return table? component
---@return ahost.Error? err   code NOTFOUND or FAILED
---@return string? directory  in which the component's own relative files are
function loader.load(name, directory, code)
  local written_in_c <const> = embedding.registered(name)
  if written_in_c then return written_in_c, nil, directory end
  local component, err = find(name, directory, code)
  if component == nil then return nil, err end
  if component == true then
    return nil, errors.new("FAILED",
      ("'%s' returns nothing: it must return a component, which is a table"):format(name))
  elseif type(component) ~= "table" then
    return nil, errors.new("FAILED",
      ("'%s' is a %s, not a component, which is a table"):format(name, type(component)))
  end
  local base <const> = name:match("^(.*):[^:/]*$") or name
  local _, path = reference.load(base, { directory = directory, code = code })
  local home = type(path) == "string" and path:match("^(.*)/[^/]*$")
  return component, nil, home or is_file(base) and directory or nil
end

return loader
