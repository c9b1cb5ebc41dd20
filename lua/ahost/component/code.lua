-- ahost.component.code: what one generation of a component has loaded: its own globals,
-- its own copies of the application's modules, and which files those are from. So a new
-- generation shares nothing with the old one, and a file that has changed concerns those
-- who have read it, and nobody else.
--
-- Modules of ahost, those that are installed on the machine, those in C and those that
-- the program has loaded itself are shared; but those that a script has loaded which
-- returns a component are that component's.

local core <const> = require "ahost.component.code.core"

local code <const> = {}

---@class ahost.Code
---@field loaded table<string, any>       modules and files, by name or "@path"
---@field paths table<string, string>     where they are from
---@field files table<string, integer>    fingerprints of what was read, by path
local Code <const> = {}
Code.__index = Code
Code.__name = "ahost.component.code"

---@return ahost.Code
function code.new()
  return setmetatable({ loaded = {}, paths = {}, loading = {}, files = {} }, Code)
end

--- What is loaded for nobody in particular: as `require` does.
---@type ahost.Code
code.shared = code.new()
code.shared.loaded = package.loaded
code.shared.env = _G

-- ---- globals -------------------------------------------------------------------------

-- `require` of what is shared. -> value, from | nil, nil, that there is no such module:
-- whoever has asked for it says where
local function load_shared(name)
  local ok, value, from = pcall(require, name)
  if ok then return value, from end
  local is_missing <const> = type(name) == "string" and type(value) == "string"
    and value:find(("module '%s' not found:"):format(name), 1, true) == 1
  if is_missing then return nil, nil, value end
  error(value, 0)
end

-- `require` of what is loaded here. Unlike the original it may wait.
-- -> value, from | nil, nil, that there is no such module
local function load_module(self, name)
  if not self:find(name) then return load_shared(name) end
  local value, from = require("ahost.reference").load(name, { code = self })
  if value ~= nil then return value, from end
  error(from.value ~= nil and from.value or from.message, 0)
end

-- What compiles for the globals of who calls it does so for these.
function Code:add_loaders(env)
  function env.load(chunk, name, mode, ...)
    if select("#", ...) > 0 then return load(chunk, name, mode, ...) end
    return load(chunk, name, mode, env)
  end
  function env.loadfile(path, mode, ...)
    if path then self.files[path] = code.fingerprint(path) end
    if select("#", ...) > 0 then return loadfile(path, mode, ...) end
    return loadfile(path, mode, env)
  end
  function env.dofile(path)
    local chunk <const>, problem <const> = env.loadfile(path)
    if not chunk then error(problem, 0) end
    return chunk()
  end
end

--- The globals: its own, falling back to the shared ones.
---@return table
function Code:globals()
  if self.env then return self.env end
  local env <const> = setmetatable({}, { __index = _G })
  env._G = env
  function env.require(name)
    local value <const> = self.loaded[name]
    if value ~= nil then return value, self.paths[name] end
    local found <const>, from <const>, problem <const> = load_module(self, name)
    if problem then error(problem, 2) end
    return found, from
  end
  self:add_loaders(env)
  self.env = env
  return env
end

-- ---- files ---------------------------------------------------------------------------

-- The directories of modules that are installed on the machine.
local INSTALLED <const> = {}
for template in core.installed:gmatch "[^;]+" do
  INSTALLED[#INSTALLED + 1] = template:match "^/[^?]*"
end

local function is_installed(path)
  for _, directory in ipairs(INSTALLED) do
    if path:sub(1, #directory) == directory then return true end
  end
  return false
end

-- What the script has loaded that returned a component, if one has.
local of_script

-- The file of a module of the application.
local function search(name)
  if package.preload[name] or name == "ahost" or name:find "^ahost%." then return nil end
  local path <const> = package.searchpath(name, package.path)
  return path and not is_installed(path) and path or nil
end

--- The file of a module that is to be loaded here.
---@param name string
---@return string? path    nil: the module is shared, or there is none
function Code:find(name)
  local is_loaded <const> = package.loaded[name] ~= nil
  if self == code.shared or is_loaded and not of_script then return nil end
  local path <const> = search(name)
  return path and (not is_loaded or of_script.files[path]) and path or nil
end

-- Without what only programs for text editors and shells understand.
local function strip(text)
  text = text:gsub("^\xEF\xBB\xBF", "")
  return (text:gsub("^#[^\n]*", ""))
end

--- Compiles a file; what it reads is noted.
---@param path string
---@return function? chunk
---@return string problem    why there is none
function Code:compile(path)
  local file <close>, problem = io.open(path, "r")
  if not file then return nil, "cannot open file " .. problem end
  local text, failure = file:read "a"
  if not text then return nil, ("cannot read file %s: %s"):format(path, failure) end
  self.files[path] = core.fingerprint(text)
  return load(strip(text), "@" .. path, "t", self:globals())
end

--- What a file is like now, to be compared with what was read.
---@param path string
---@return integer? fingerprint    nil: it cannot be read
function code.fingerprint(path)
  local file <close> = io.open(path, "r")
  local text <const> = file and file:read "a"
  return text and core.fingerprint(text)
end

-- ---- scripts -------------------------------------------------------------------------

local STANDARD <const> = { _G = true, package = true, coroutine = true, table = true,
  io = true, os = true, string = true, math = true, utf8 = true, debug = true }

-- What `require` finds from now on is noted, too.
local function note_modules(self)
  for i, searcher in ipairs(package.searchers) do
    package.searchers[i] = function(name)
      local loader, from = searcher(name)
      if type(loader) == "function" and from and from == search(name) then
        self.files[from] = code.fingerprint(from)
      end
      return loader, from
    end
  end
end

--- The code of a script that has run as the program, with the shared globals and modules.
---@param path string
---@return ahost.Code
function code.of_script(path)
  local self <const> = code.new()
  self.loaded, self.env = package.loaded, _G
  self.files[path] = code.fingerprint(path)
  for name in next, package.loaded do
    local from <const> = not STANDARD[name] and search(name)
    if from then self.files[from] = code.fingerprint(from) end
  end
  note_modules(self)
  of_script = self
  return self
end

-- ---- whose code runs -----------------------------------------------------------------

-- The code that tasks load in the name of, while `run` lasts.
local running <const> = setmetatable({}, { __mode = "k" })

--- Calls a function: what it loads meanwhile by ahost.reference is loaded here. Waits if
--- the function does.
---@param task ahost.Task    the calling one
---@param fn function
---@return any ...    what it returns
function Code:run(task, fn, ...)
  local before <const> = running[task]
  running[task] = self
  local _ <close> = setmetatable({}, { __close = function() running[task] = before end })
  return fn(...)
end

--- The code in whose name the calling task loads: of `run`, else of the component whose
--- context it is in, else the shared one.
---@param task? ahost.Task
---@return ahost.Code
function code.current(task)
  return task and running[task] or core.current() or code.shared
end

code.assign = core.assign

return code
