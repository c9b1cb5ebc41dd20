-- ahost.loadable: parts of ahost that need a library of their own. They are built when
-- the library is there, and loaded when they are used.

local core <const> = require "ahost.host.loadable"
local errors <const> = require "ahost.error"

local loadable <const> = {}

--- What a part needs, for messages.
---@class ahost.loadable.Needs
---@field library string     "OpenSSL (libssl)"
---@field package string     Debian's, of those who run it
---@field build string       Debian's, of those who build it

local function exists(path)
  local file <close> = io.open(path, "rb")
  return file ~= nil
end

local function missing(name, needs)
  return errors.new("NOTFOUND", ("%s needs %s, which this ahost was built without: "
    .. "install %s and build it again"):format(name, needs.library, needs.build))
end

-- A program that libahost.a is linked into has Lua's functions, but perhaps to itself.
local function unexported(name, symbol)
  return errors.new("NOTFOUND", ("%s cannot be loaded into this program, which does not "
    .. "export '%s': link it with -rdynamic (ENABLE_EXPORTS in CMake), or to libahost.so")
    :format(name, symbol))
end

local function unloadable(name, needs, reason)
  local symbol <const> = reason:match "undefined symbol: (luaL?_[%w_]+)"
  if symbol then return unexported(name, symbol) end
  return errors.new("NOTFOUND", ("%s needs %s, which cannot be loaded: %s; install %s")
    :format(name, needs.library, reason, needs.package))
end

--- Loads a part.
---@param name string                   "tls": the file tls.so, function luaopen_ahost_tls
---@param needs ahost.loadable.Needs
---@return any? value                   what its function returns
---@return ahost.Error? err             code NOTFOUND: names the library and the package
function loadable.open(name, needs)
  for _, directory in ipairs(core.directories()) do
    local path = directory .. "/" .. name .. ".so"
    if exists(path) then
      local open, reason = package.loadlib(path, "luaopen_ahost_" .. name)
      if not open then return nil, unloadable(name, needs, reason) end
      return open(name, path)
    end
  end
  return nil, missing(name, needs)
end

return loadable
