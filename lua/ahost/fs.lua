-- ahost.fs: files. What blocks is done in C, in threads; here is what is made of it.

local context <const> = require "ahost.context"
local core <const> = require "ahost.fs.core"
local process <const> = require "ahost.process"
local watching <const> = require "ahost.fs.watch"

---@class ahost.fs
local fs <const> = {
  chmod = core.chmod,
  copy = core.copy,
  exists = core.exists,
  list = core.list,
  lstat = core.lstat,
  mkdir = core.mkdir,
  open = core.open,
  read = core.read,
  readlink = core.readlink,
  remove = core.remove,
  rename = core.rename,
  stat = core.stat,
  symlink = core.symlink,
  watch = watching.watch,
  write = core.write,
}

local TEMPORARY <const> = { directory = "string", prefix = "string", type = "string" }
local TYPES <const> = { file = true, directory = true }

local function check_temporary(opts)
  if type(opts) ~= "table" then
    error(("a table of options is expected, got %s"):format(type(opts)), 3)
  end
  for name, value in pairs(opts) do
    local expected <const> = TEMPORARY[name]
    if not expected then error(("unknown option '%s'"):format(tostring(name)), 3) end
    if type(value) ~= expected then
      error(("option '%s': a %s is expected"):format(name, expected), 3)
    end
  end
  if opts.type and not TYPES[opts.type] then
    error("option 'type': \"file\" or \"directory\" is expected", 3)
  end
  if opts.prefix and opts.prefix:find("/", 1, true) then
    error("option 'prefix': a name without slashes is expected", 3)
  end
end

---@class ahost.fs.TemporaryOptions
---@field directory? string             where to make it ($TMPDIR or /tmp)
---@field prefix? string                how its name begins ("ahost-")
---@field type? "file"|"directory"      ("file")

---Makes an empty file or directory with a new name, for its owner alone; it is removed,
---with all that is in it, when the current context ends. Waits.
---@param opts? ahost.fs.TemporaryOptions
---@return string? path
---@return ahost.Error? err    code ENOENT, EACCES, ENOSPC...
function fs.temporary(opts)
  opts = opts or {}
  check_temporary(opts)
  local ctx <const> = context.current()
  local directory <const> = opts.directory or process.env.TMPDIR or "/tmp"
  local path, err = core.make_temporary(
    ("%s/%sXXXXXX"):format(directory, opts.prefix or "ahost-"), opts.type == "directory")
  if not path then return nil, err end
  ctx:on_close(function() core.remove(path, { recursive = true }) end)
  return path
end

return fs
