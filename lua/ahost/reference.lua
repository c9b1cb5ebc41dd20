-- ahost.reference: values in modules and files, named by text, as configurations name
-- them: "app.jobs:cleanup", "./jobs.lua:daily.report".
--
-- Modules are found as `require` finds them, but they are run here, so that what they do
-- at their top level may wait. Those of the application belong to the component that
-- loads them (ahost.component.code), all others are kept where `require` keeps them.

local code <const> = require "ahost.component.code"
local errors <const> = require "ahost.error"
local spelling <const> = require "ahost.spelling"
local sync <const> = require "ahost.sync"
local task <const> = require "ahost.task"

local reference <const> = {}

-- The loading that a task waits for.
local awaited <const> = setmetatable({}, { __mode = "k" })

local function failure(kind, message, fields)
  return nil, errors.new(kind, message, fields)
end

-- ---- finding -------------------------------------------------------------------------

local function is_file(name) return name:find("/", 1, true) or name:find("%.lua$") end

-- "./jobs.lua" below "/etc/app" is "/etc/app/jobs.lua".
local function file_path(name, directory)
  if directory and directory ~= "" and name:sub(1, 1) ~= "/" then
    name = directory:gsub("/*$", "/") .. name
  end
  local path = name:gsub("/%./", "/"):gsub("/%./", "/"):gsub("//+", "/")
  return (path:gsub("^%./", ""))
end

-- -> chunk, path | nil, err
local function find_file(owner, path)
  local chunk, problem = owner:compile(path)
  if chunk then return chunk, path end
  return failure(problem:find "^cannot " and "NOTFOUND" or "FAILED", problem)
end

-- Asks the searchers of `require`. -> loader, where it is from | nil, err
local function find_module(owner, name)
  local path <const> = owner:find(name)
  if path then return find_file(owner, path) end
  local searched = {}
  for _, searcher in ipairs(package.searchers) do
    local ok, loader, from = pcall(searcher, name)
    if not ok then return failure("FAILED", tostring(loader)) end
    if type(loader) == "function" then return loader, from end
    searched[#searched + 1] = type(loader) == "string" and loader:gsub("^%s+", "") or nil
  end
  return failure("NOTFOUND", ("module '%s' not found"):format(name),
    { searched = table.concat(searched, "\n\t") })
end

-- ---- loading -------------------------------------------------------------------------

-- Whether waiting for an entry would be waiting for oneself. -> the chain, or nil
local function find_loop(entry)
  local me <const>, chain = task.current(), {}
  local current = entry
  while current do
    for depth = current.depth, #current.stack do
      chain[#chain + 1] = current.stack[depth].what
    end
    if current.by == me then
      return table.concat(chain, " -> ") .. " -> " .. entry.what
    end
    current = awaited[current.by]
  end
end

-- Remembers where an error was raised.
local function on_error(value)
  if errors.is(value, "CANCELLED") then return value end
  local text = type(value) == "string" and value or tostring(value)
  return { value = value, text = text, traceback = debug.traceback(text, 2) }
end

-- Runs a chunk. A cancellation is no failure of the module. -> true | nil, err
local function run(entry, chunk, from)
  local ok, result = xpcall(chunk, on_error, entry.name, from)
  if not ok and errors.is(result, "CANCELLED") then error(result, 0) end
  if not ok then
    if type(result) ~= "table" then result = { text = tostring(result) } end
    return failure("FAILED", ("%s: %s"):format(entry.what, result.text),
      { value = result.value, traceback = result.traceback })
  end
  local loaded <const> = entry.owner.loaded
  if result ~= nil then
    loaded[entry.key] = result
  elseif loaded[entry.key] == nil then
    loaded[entry.key] = true
  end
  return true
end

-- The loadings that the task is in the middle of, outermost first.
local stacks <const> = setmetatable({}, { __mode = "k" })

local function begin(owner, key, name, what)
  local me <const> = task.current()
  local stack = stacks[me] or {}
  stacks[me] = stack
  local entry = { owner = owner, key = key, name = name, what = what, by = me,
    over = sync.event(), stack = stack, depth = #stack + 1 }
  stack[entry.depth], owner.loading[key] = entry, entry
  return setmetatable(entry, {
    __close = function()
      stack[entry.depth], owner.loading[key] = nil, nil
      entry.over:set()
    end,
  })
end

local function load_now(owner, key, name, what)
  local entry <close> = begin(owner, key, name, what)
  local find = is_file(name) and find_file or find_module
  local chunk, from = find(owner, is_file(name) and key:sub(2) or name)
  if not chunk then
    entry.err = from
    return nil, from
  end
  local ok, err = run(entry, chunk, from)
  entry.err = err
  if ok then owner.paths[key] = type(from) == "string" and from or nil end
  return ok, err
end

-- Waits for another task that loads the same. -> true, or nil and its error
local function wait_for(entry)
  local loop <const> = find_loop(entry)
  if loop then return failure("FAILED", "loading loop: " .. loop) end
  local me <const> = task.current()
  awaited[me] = entry
  local _ <close> = setmetatable({}, { __close = function() awaited[me] = nil end })
  entry.over:wait()
  if entry.err then return nil, entry.err end
  return true
end

--- Loads a module or a file, once, in the calling task. A second task that wants it
--- meanwhile waits for the first. May wait.
---@param name string    a module as for `require`, or a file: "./jobs.lua", "/srv/a.lua"
---@param opts? {directory: string?, code: ahost.Code?}    where relative files are; whose
---  the module is (the component's that calls)
---@return any value     what the module is; true if it returned nothing
---@return string|ahost.Error? path   where it is from, if known; else code NOTFOUND (with
---  what was `searched`), or FAILED (what it raised; fields `value` and `traceback`)
function reference.load(name, opts)
  local key, what = name, ("module '%s'"):format(name)
  local owner = opts and opts.code or code.current(task.current())
  if is_file(name) then
    local path <const> = file_path(name, opts and opts.directory)
    key, what = "@" .. path, path
  elseif owner.loaded[name] == nil and not owner:find(name) then
    owner = code.shared
  end
  while owner.loaded[key] == nil do
    local ok, err
    if owner.loading[key] then
      ok, err = wait_for(owner.loading[key])
    else
      ok, err = load_now(owner, key, name, what)
    end
    if not ok then return nil, err end
  end
  return owner.loaded[key], owner.paths[key]
end

-- ---- names ---------------------------------------------------------------------------

-- What a value can be asked for.
local function names_in(value)
  local names = {}
  for name in pairs(value) do
    if type(name) == "string" then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

local function get(value, name) return value[name] end

-- Follows "a.b" from what `what` names. -> value | nil, err
local function follow(value, path, what)
  for name in path:gmatch("[^.]+") do
    local kind <const> = type(value)
    if kind ~= "table" and kind ~= "userdata" then
      return failure("NOTFOUND", ("%s is a %s and has no '%s'"):format(what, kind, name))
    end
    local ok, inner = pcall(get, value, name)
    if not ok then
      return failure("FAILED", ("'%s' of %s: %s"):format(name, what, tostring(inner)))
    end
    if inner == nil then
      local hint = kind == "table" and " " .. spelling.hint(name, names_in(value)) or ""
      return failure("NOTFOUND", ("%s has no '%s'%s"):format(what, name, hint))
    end
    value, what = inner, ("'%s' of %s"):format(name, what)
  end
  return value
end

-- "module:a.b" -> "module", "a.b" | "module" | nil
local function split(text)
  local name, path = text:match("^(.*):([^:/]*)$")
  if not name then return text ~= "" and text or nil end
  local dotted = "." .. path
  if name == "" or dotted:gsub("%.[%a_][%w_]*", "") ~= "" then return end
  return name, path
end

--- Finds what a text refers to: `module:name.name`, `./file.lua:name`, or a module or
--- file alone, whose value it is then. May wait, as the module is loaded.
---@param text any    what is no string is returned as it is
---@param opts? {directory: string?, code: ahost.Code?}    as for `load`
---@return any value
---@return ahost.Error? err    code NOTFOUND or FAILED; tells which part failed
function reference.resolve(text, opts)
  if type(text) ~= "string" then return text end
  local name, path = split(text)
  if not name then
    return failure("NOTFOUND",
      ("bad reference '%s': the forms are module:name and ./file.lua:name"):format(text))
  end
  local value, err = reference.load(name, opts)
  if value == nil then return nil, err end
  if not path then return value end
  local what = is_file(name) and name or ("module '%s'"):format(name)
  return follow(value, path, what)
end

local function is_callable(value)
  local metatable <const> = type(value) == "table" and getmetatable(value)
  return type(value) == "function"
    or type(metatable) == "table" and type(metatable.__call) == "function"
end

--- The same for what must be a function, or a table that can be called.
---@param text any    a function is returned as it is
---@param opts? {directory: string?, code: ahost.Code?, op: string?}    as for `load`;
---  `op`: what the function is for, which begins the message of an error
---@return function? fn
---@return ahost.Error? err    code NOTFOUND or FAILED
function reference.callable(text, opts)
  local value, err = reference.resolve(text, opts)
  local op <const> = opts and opts.op
  if is_callable(value) then return value end
  if err then
    return failure(err.code, err.message, { op = op, value = err.value,
      traceback = err.traceback })
  end
  local what <const> = type(text) == "string" and ("'%s'"):format(text) or "it"
  return failure("FAILED", ("%s is a %s, not a function"):format(what, type(value)),
    { op = op })
end

return reference
