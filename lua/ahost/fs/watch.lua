-- ahost.fs.watch: what changes in the file system, made of the kernel's notices.
--
-- A notice says in which directory something happened to a name; it is stale when it is
-- read. So it is only an occasion to look: what is known of a path is compared with what
-- is there now. When notices were lost everything is compared.
--
-- What is watched are directories. Those above the path are watched too, for the one
-- name that leads to it, so that the path may be missing, moved away and made again.

local core <const> = require "ahost.fs.core"
local errors <const> = require "ahost.error"

local watching <const> = {}

-- Notices that are kept for who does not take them in time.
local MAX <const> = 1000

-- What makes a directory one that cannot be watched now: not there, not ours.
local GONE <const> = { ENOENT = true, ENOTDIR = true, EACCES = true, ELOOP = true }

---@class ahost.fs.Watch
---@field dropped integer    notices that there was no room for; what they told is found
local Watch = {}

local function parent_of(path)
  local parent <const> = path:match("^(.*)/[^/]*$")
  return parent ~= "" and parent or "/"
end

local function name_of(path) return path:match("[^/]*$") end

local function join(directory, name)
  return directory == "/" and "/" .. name or directory .. "/" .. name
end

-- Whether the two are one file, not only of one name.
local function is_same(a, b)
  return a and b and a.inode == b.inode and a.device == b.device and a.type == b.type
end

local function is_unchanged(a, b)
  return is_same(a, b) and a.mtime == b.mtime and a.size == b.size and a.mode == b.mode
end

function Watch:emit(what, path)
  if not self.quiet then self.ready[#self.ready + 1] = { path = path, what = what } end
end

-- Directories ---------------------------------------------------------------------------

function Watch:unwatch(key)
  local directory <const> = self.directories[key]
  if not directory then return end
  self.notices:remove(directory.id)
  self.directories[key], self.by_id[directory.id] = nil, nil
end

--- Watches a directory that is there, for one name or for all.
---@return boolean? watched    nil when it has gone meanwhile
function Watch:watch(path, info, only)
  local key <const> = only and path .. "\0" .. only or path
  local old <const> = self.directories[key]
  if old and is_same(old.info, info) then return true end
  self:unwatch(key)
  self.scanned[key] = nil
  local id, err = self.notices:add(path, only)
  if not id then
    if GONE[err.code] then return nil end
    error(err, 0)
  end
  local directory <const> = { id = id, path = path, info = info, only = only }
  self.directories[key], self.by_id[id] = directory, directory
  return true
end

--- Watches the directories above the path as far as they are there.
function Watch:watch_above()
  local path = self.path
  local chain <const> = {}
  while path ~= "/" do
    table.insert(chain, 1, path)
    path = parent_of(path)
  end
  for _, step in ipairs(chain) do
    local above <const> = parent_of(step)
    local info <const> = core.stat(above)
    if info and info.type == "directory" then
      self:watch(above, info, name_of(step))
    else
      self:unwatch(above .. "\0" .. name_of(step))
    end
  end
end

-- What is known -------------------------------------------------------------------------

function Watch:learn(path, info)
  self.known[path] = info
  local parent <const> = parent_of(path)
  local below <const> = self.below[parent] or {}
  self.below[parent] = below
  below[path] = true
end

--- Forgets a path and, if it was a directory, what is below it.
function Watch:forget(path)
  for below in pairs(self.below[path] or {}) do self:forget(below) end
  self.below[path], self.scanned[path], self.known[path] = nil, nil, nil
  local siblings <const> = self.below[parent_of(path)]
  if siblings then siblings[path] = nil end
  self:unwatch(path)
  self:emit("removed", path)
end

--- Looks at a path in a directory.
---@param touched? boolean    the kernel says that it was written to
function Watch:examine(path, touched)
  local info <const>, old = core.lstat(path), self.known[path]
  if old and not (info and (is_same(old, info) or
      (old.type ~= "directory" and info.type ~= "directory"))) then
    self:forget(path)
    old = nil
  end
  if not info then return end
  self:learn(path, info)
  if not old then
    self:emit("created", path)
  elseif info.type ~= "directory" and (touched or not is_unchanged(old, info)) then
    self:emit("changed", path)
  end
  if info.type == "directory" and self.recursive then self:scan(path, info) end
end

--- Compares a directory with what is known of it, unless that has been done since it is
--- watched.
function Watch:scan(path, info)
  local again <const> = self.directories[path] and self.scanned[path]
  if not self:watch(path, info) or (again and not self.thorough) then return end
  local there <const> = {}
  for _, entry in ipairs(core.list(path) or {}) do
    local below <const> = join(path, entry.name)
    there[below] = true
    self:examine(below)
  end
  for below in pairs(self.below[path] or {}) do
    if not there[below] then self:forget(below) end
  end
  self.scanned[path] = true
end

--- Compares a file, or what a link leads to.
function Watch:compare_file(info, touched)
  local old <const> = self.known[self.path]
  self.known[self.path] = info
  if not old then
    self:emit("created", self.path)
  elseif touched or not is_unchanged(old, info) then
    self:emit("changed", self.path)
  end
end

--- What the path is, when it is no directory, is to be seen in the one above.
function Watch:watch_beside()
  local above <const> = parent_of(self.path)
  local info <const> = core.stat(above)
  if info and info.type == "directory" then
    self:watch(above, info)
  else
    self:unwatch(above)
  end
end

--- What the path is now, and whether it is a directory. What it is later will be noticed.
function Watch:look()
  local info = core.stat(self.path)
  if not (info and info.type == "directory") then
    self:watch_beside()
    info = core.stat(self.path)
  end
  local is_directory <const> = info ~= nil and info.type == "directory"
  if is_directory and self.path ~= "/" then self:unwatch(parent_of(self.path)) end
  return info, is_directory
end

--- Compares the path itself, and then what is below.
---@param touched? boolean    the kernel says that it was written to
function Watch:compare(touched)
  local info <const>, is_directory <const> = self:look()
  local old = self.known[self.path]
  if old and (not info or (old.type == "directory") ~= is_directory
      or (is_directory and not is_same(old, info))) then
    self:forget(self.path)
    old = nil
  end
  if is_directory then
    self.known[self.path] = info
    if not old then self:emit("created", self.path) end
    self:scan(self.path, info)
  elseif info then
    self:compare_file(info, touched)
  end
end

function Watch:compare_all()
  self.thorough = true
  self:watch_above()
  self:compare()
  self.thorough = false
end

-- Notices -------------------------------------------------------------------------------

--- A directory has gone, or something in it has its name. One that is made anew can have
--- all that the old one was told by, but nobody watches it.
function Watch:distrust(directory)
  local only <const>, path <const> = directory.only, directory.path
  self:unwatch(only and path .. "\0" .. only or path)
  self.scanned[path] = nil
  self:watch_above()
  self:compare()
  if self.known[path] and path ~= self.path then self:examine(path) end
end

function Watch:handle(id, name, changed)
  local directory <const> = self.by_id[id]
  if not directory then return end
  local path <const> = join(directory.path, name)
  if not changed and name == name_of(directory.path) then self:distrust(directory) end
  if directory.only then
    if changed and self.known[self.path] then return end -- is told of elsewhere
    self:watch_above()
    self:compare()
  elseif directory.path == parent_of(self.path) and self.path ~= "/" then
    self:compare(changed and path == self.path)
  elseif self.known[directory.path] then
    self:examine(path, changed)
  end
end

--- Makes events of the next notice. A cancellation leaves it for the next time.
function Watch:advance()
  if self.notices:overflowed() then self.incomplete = true end
  if self.incomplete then
    self:compare_all()
    self.incomplete = false
  end
  local id, name, changed = self.notices:first()
  if not id then return end
  self:handle(id, name, changed)
  self.notices:drop()
end

local function leave(watch) return setmetatable({}, {
  __close = function() watch.busy = false end,
}) end

---Waits for the next change.
---@return {path: string, what: "created"|"changed"|"removed"}? event    nil when closed
function Watch:__call()
  if self.busy then error("another task is waiting for this watch already", 2) end
  self.busy = true
  local _ <close> = leave(self)
  while #self.ready == 0 do
    if not self.notices:wait() then return nil end
    self:advance()
  end
  return table.remove(self.ready, 1)
end

---Ends the watch: who waits gets nil.
function Watch:close()
  self.notices:close()
  self.ready = {}
end

Watch.__close = Watch.close
Watch.__name = "ahost.fs.watch"

function Watch:__index(name)
  if name == "dropped" then return self.notices:dropped() end
  return Watch[name]
end

-- Starting ------------------------------------------------------------------------------

-- Without "." and double slashes; ".." is for the file system to understand.
local function absolute(path)
  if path:sub(1, 1) ~= "/" then
    path = join(assert(core.readlink("/proc/self/cwd")), path)
  end
  path = path:gsub("/%./", "/"):gsub("/%.$", "/"):gsub("//+", "/")
  return #path > 1 and path:gsub("/$", "") or path
end

local OPTIONS <const> = { recursive = "boolean", max = "number" }

local function check_options(opts)
  for name, value in pairs(opts) do
    if not OPTIONS[name] then error(("unknown option '%s'"):format(name), 3) end
    if type(value) ~= OPTIONS[name] then
      error(("option '%s': a %s is expected"):format(name, OPTIONS[name]), 3)
    end
  end
  if opts.max and not (math.type(opts.max) == "integer" and opts.max > 0) then
    error("option 'max': a positive integer is expected", 3)
  end
end

---@class ahost.fs.WatchOptions
---@field recursive? boolean    what is in directories below, too
---@field max? integer          notices of the kernel to keep (1000)

---Tells of changes: of what is in a directory, or of a file, or of what a link leads to.
---The path may be missing, and come and go. Waits until it is watched. The watch ends
---with the current context.
---@param path string
---@param opts? ahost.fs.WatchOptions
---@return ahost.fs.Watch? watch    an iterator: of absolute paths; `for` closes it
---@return ahost.Error? err         code ENOSPC (fs.inotify.max_user_watches), EMFILE...
function watching.watch(path, opts)
  opts = opts or {}
  if type(path) ~= "string" or path == "" then error("the path is no path", 2) end
  check_options(opts)
  path = absolute(path)
  local watch <const> = setmetatable({
    notices = core.notices(opts.max or MAX),
    path = path,
    recursive = opts.recursive,
    directories = {}, -- by path, and by path and name when it is for that alone
    by_id = {},
    known = {},       -- path -> what fs.lstat gave last
    below = {},       -- directory -> { path = true }
    scanned = {},     -- directory -> true: compared since it is watched
    ready = {},
    quiet = true,
  }, Watch)
  local ok, err = pcall(watch.compare_all, watch)
  if not ok then
    watch:close()
    if errors.is(err) and err.code ~= "CANCELLED" then return nil, err end
    error(err, 0)
  end
  watch.quiet = nil
  return watch, nil, nil, watch
end

return watching
