-- ahost.command.watch: which of a program's files have changed, for `ahost run --watch`.
--
-- What is watched are the directories of the files. Changes are gathered until it has
-- been quiet for a moment: an editor does several things to save a file, and who saves
-- all of them, or checks out a branch, means one change.

local context <const> = require "ahost.context"
local fs <const> = require "ahost.fs"
local log <const> = require "ahost.log"
local sync <const> = require "ahost.sync"
local task <const> = require "ahost.task"
local time <const> = require "ahost.time"

local watch <const> = {}

local QUIET <const> = 0.05 -- seconds without a change
local LATEST <const> = 0.5 -- seconds after the first, quiet or not

local logger <const> = log.get "ahost.watch"

---@class ahost.command.Changes
---@field paths fun(): string[]
---@field files table<string, boolean>     the paths that matter
---@field links table<string, table>       directory -> { path -> what its link leads to }
---@field watches table<string, ahost.fs.Watch>    by directories
---@field refused table<string, boolean>   directories that could not be watched
---@field changed table<string, boolean>
---@field wake ahost.sync.Event
local Changes = {}
Changes.__index = Changes

local function directory_of(path)
  local directory <const> = path:match("^(.*)/[^/]*$")
  return directory == "" and "/" or directory
end

function Changes:mark(path)
  self.changed[path] = true
  self.wake:set()
end

-- Links ---------------------------------------------------------------------------------

-- A file that is changed by changing where a link leads to is not touched itself.

local function is_same(a, b)
  return a and b and a.inode == b.inode and a.device == b.device and a.mtime == b.mtime
end

function Changes:remember_link(path)
  local info <const> = fs.lstat(path)
  if not info or info.type ~= "link" then return end
  local directory <const> = directory_of(path)
  self.links[directory] = self.links[directory] or {}
  self.links[directory][path] = fs.stat(path)
end

function Changes:compare_links(directory)
  for path, before in pairs(self.links[directory] or {}) do
    local now <const> = fs.stat(path)
    if now and not is_same(before, now) then
      self.links[directory][path] = now
      self:mark(path)
    end
  end
end

-- Directories ---------------------------------------------------------------------------

function Changes:listen(directory, events)
  for event in events do
    if self.files[event.path] then
      self:mark(event.path)
    else
      self:compare_links(directory)
    end
  end
end

function Changes:add(ctx, directory)
  if self.watches[directory] then return end
  local events, err = fs.watch(directory)
  if events then
    self.watches[directory], self.refused[directory] = events, nil
    ctx:spawn("watch of " .. directory, self.listen, self, directory, events)
  elseif not self.refused[directory] then
    self.refused[directory] = true
    logger:warning("changes in %s will not be noticed: %s", directory, err)
  end
end

--- Watches what is to be watched now.
function Changes:update(ctx)
  local files <const>, directories <const> = {}, {}
  self.links = {}
  for _, path in ipairs(self.paths()) do
    files[path], directories[directory_of(path)] = true, true
  end
  self.files = files
  for directory in pairs(directories) do self:add(ctx, directory) end
  for directory, events in pairs(self.watches) do
    if not directories[directory] then
      self.watches[directory] = nil
      events:close()
    end
  end
  for path in pairs(files) do self:remember_link(path) end
end

-- The task ------------------------------------------------------------------------------

--- Waits for a change, and then for the end of them.
function Changes:gather()
  self.wake:wait()
  local latest <const> = time.now() + LATEST
  repeat
    self.wake:clear()
    local left <const> = math.min(QUIET, latest - time.now())
  until left <= 0 or not self.wake:wait(left)
  self.wake:clear()
  local paths <const> = {}
  for path in pairs(self.changed) do paths[#paths + 1] = path end
  table.sort(paths)
  self.changed = {}
  return paths
end

function Changes:run(ctx, started, fn)
  self:update(ctx)
  started:set()
  while true do
    fn(self:gather())
    self:update(ctx)
  end
end

---Calls a function when files have changed: once it has been quiet for 50 ms, at the
---latest half a second after the first change, with all that have changed, sorted. What
---changes during the call is told by the next. Files may be missing, and directories
---come and go. Waits until they are watched.
---@param paths fun(): string[]            absolute paths; asked again after each call
---@param fn fun(changed: string[])        may wait; what it raises fails the task
---@return ahost.Task task                 of the current context; cancelled it ends
function watch.changes(paths, fn)
  local started <const> = sync.event()
  local changes <const> = setmetatable({
    paths = paths,
    files = {},
    links = {},
    watches = {},
    refused = {},
    changed = {},
    wake = sync.event(),
  }, Changes)
  local watching <const> = task.spawn("watch of files", function()
    local _ <close> = setmetatable({}, { __close = function() started:set() end })
    context.scope(function(ctx) changes:run(ctx, started, fn) end)
  end)
  started:wait()
  return watching
end

return watch
