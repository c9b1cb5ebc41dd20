-- ahost.control.place: where the control socket of an application is, for the
-- application and for who speaks to it.

local config <const> = require "ahost.config"
local files <const> = require "ahost.config.files"
local net <const> = require "ahost.net.core"
local process <const> = require "ahost.process"

local place <const> = {}

local OF_SYSTEM <const> = "/run"
local MOST <const> = 64 -- characters of a name

---@class ahost.ControlPlace
---@field name string       of the application
---@field paths string[]    the socket; who speaks to it tries them in order
---@field is_given boolean  whether the configuration says where it is
---@field file? string      the absolute path of the first configuration file

--- What is wrong with the path of a socket, or true: a check of options.
---@param path string
---@return boolean ok
---@return string? problem
function place.check(path)
  if path:find "^@" then return false, "must be the path of a file" end
  local ok, problem = net.check_address("unix:" .. path)
  return ok == true, problem
end

--- What is wrong with the name of an application, or true: a check of options.
---@param name string
---@return boolean ok
---@return string? problem
function place.check_name(name)
  if #name > MOST then return false, ("must have at most %d letters"):format(MOST) end
  if name:find "^[%w_.-]+$" then return true end
  return false, "must be letters, digits, dots, hyphens and underscores"
end

-- "/etc/shop.yaml" is "shop"; a service of it "shop-web".
local function default_name(first, service)
  local name = first and first:match("([^/]+)$"):gsub("%.%w+$", "") or "ahost"
  if service and service ~= "" then name = name .. "-" .. service end
  name = name:gsub("[^%w_.-]", "_"):sub(1, MOST)
  return name ~= "" and name or "ahost"
end

local function default_paths(name)
  local file <const> = ("/ahost-%s.sock"):format(name)
  local own <const> = process.env.XDG_RUNTIME_DIR
  if own and own:sub(1, 1) == "/" then return { own .. file, OF_SYSTEM .. file } end
  return { OF_SYSTEM .. file }
end

-- The absolute path of a file as it can be told in JSON.
local function identity_of(name)
  local path <const> = name and files.realpath(name)
  if not path or utf8.len(path) then return path end
  return (path:gsub("[\x80-\xff]", "?"))
end

--- Where the control socket of the application is that a configuration describes.
---@param values table        the effective configuration
---@param keys table          its top-level keys, checked
---@param names string[]      the files that it came from
---@param service? string     that was chosen; by default what AHOST_SERVICE says
---@return ahost.ControlPlace? where    nil: it is to have none
function place.of(values, keys, names, service)
  local control <const> = keys.control or {}
  if control.enabled == false then return nil end
  local name <const> = control.name
    or default_name(names[1], service or process.env.AHOST_SERVICE)
  return {
    name = name,
    paths = control.path and { config.beside(values.control, "path", control.path) }
      or default_paths(name),
    is_given = control.path ~= nil,
    file = identity_of(names[1]),
  }
end

return place
