-- ahost.embedding: what a program in C has done for it in Lua (ahost.h).

local application <const> = require "ahost.application"
local config <const> = require "ahost.config"
local core <const> = require "ahost.embedding.host"
local errors <const> = require "ahost.error"
local host <const> = require "ahost.host"
local log <const> = require "ahost.log"
local options <const> = require "ahost.options"
local reference <const> = require "ahost.reference"
local runtime <const> = require "ahost.component.runtime"
local schema <const> = require "ahost.application.schema"
local yaml <const> = require "ahost.yaml"

local embedding <const> = {}

local function not_found(format, ...)
  error(errors.new("NOTFOUND", format:format(...)), 0)
end

-- ---- functions that are called -------------------------------------------------------

local function find_application()
  local ctx <const> = core.application()
  local app <const> = ctx and ctx:get "application"
  if not app then not_found("no application runs") end
  return app
end

-- "game.update" in the globals
local function find_global(name)
  local found = _G[name]
  if found ~= nil then return found end
  found = name ~= "" and _G or nil
  for part in (name .. "."):gmatch "([^.]*)%." do
    found = type(found) == "table" and found[part] or nil
  end
  if found == nil then not_found("there is no global function '%s'", name) end
  return found
end

local function find_function(name)
  if not name:find(":", 1, true) then return find_global(name) end
  local found, err = reference.resolve(name)
  if found == nil then error(err, 0) end
  return found
end

-- Keeps an error, with its traceback unless it is of the world.
local function trace(err)
  if errors.is(err) then return err end
  return debug.traceback(tostring(err), 2)
end

-- Calls a method in the context of its component, which does not fail with it.
local function call_method(path, name, ...)
  local app <const> = find_application()
  local instance <const> = app:instance(path)
  if not instance then not_found("there is no component '%s'", path) end
  local method <const> = instance[name]
  if method == nil then not_found("component '%s' has no method '%s'", path, name) end
  local arguments <const> = table.pack(...)
  local ok, result
  local call <const> = instance._node.ctx:spawn(name, function()
    ok, result = xpcall(method, trace, instance, table.unpack(arguments, 1, arguments.n))
  end)
  local _ <close> = setmetatable({}, { __close = function() call:cancel() end })
  local joined, err = call:join()
  if ok then return result end
  if ok == nil then error(not joined and err or "the component has ended", 0) end
  error(result, 0)
end

--- Calls a function for the program. Waits as that does; raises what it raises, and
--- NOTFOUND.
---@param component? string   the path of one, whose method is called
---@param name string         a method, "module:function", or a global function
---@return any
function embedding.call(component, name, ...)
  if component then return call_method(component, name, ...) end
  return find_function(name)(...)
end

--- Whether the application can reload what has changed. Raises NOTFOUND.
function embedding.can_reload() return find_application().reload ~= nil end

--- Reloads a component, or all that has changed (nil), and returns the report. Waits.
---@param component? string
function embedding.reload(component) return find_application():reload(component) end

-- ---- applications --------------------------------------------------------------------

local function directory_of(file) return file:match("^(.*)/[^/]*$") end

-- Puts into effect what a configuration says about the host. -> true | nil, err
local function apply(values, keys)
  runtime.stop_timeout(keys.stop_timeout)
  if values.logging == nil then return true end
  return log.configure(values.logging)
end

-- Where the configuration is from, for reloads.
local function source_of(files, sets)
  return {
    load = function() return config.load(files, { set = sets }) end,
    apply = apply,
    files = function() return files end,
  }
end

local function search_beside(directory)
  if not directory then return end
  package.path = ("%s/?.lua;%s/?/init.lua;%s"):format(directory, directory, package.path)
end

-- -> application | nil, err
local function build(files, sets)
  local source <const> = source_of(files, sets)
  local values, err = source.load()
  if not values then return nil, err end
  local keys, wrong = schema.check(values)
  if not keys then return nil, wrong end
  local ok, problem = apply(values, keys)
  if not ok then return nil, problem end
  local directory <const> = directory_of(files[1])
  search_beside(directory)
  return application.new(values, { directory = directory, source = source })
end

--- Runs the application that configuration files describe, and ends the host with its
--- status. Waits.
---@param files string[]
---@param sets string[]    "key=value"
function embedding.run(files, sets)
  local app, err = build(files, sets)
  if app then return host.stop(app:run { stops = true }) end
  if core.refuse(err.message) then return end
  log.get("ahost.application"):error("%s", err.message)
  host.stop(2)
end

--- The options of a component that is written in C. Raises CONFIG.
---@param name string    of its type
---@param text string    YAML
---@return table
function embedding.options(name, text)
  local decoded, err = yaml.decode(text)
  local wrong = err and err.message or "a map of options is expected"
  if type(decoded) == "table" then
    local ok, problem = pcall(options.describe, decoded)
    if ok then return decoded end
    wrong = tostring(problem)
  end
  error(errors.new("CONFIG", ("the options of component type '%s': %s"):format(name,
    wrong)), 0)
end

return embedding
