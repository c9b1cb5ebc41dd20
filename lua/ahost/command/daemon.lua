-- ahost.command.daemon: `ahost -d` and `ahost -k`: an application in the background, as
-- the top-level key `daemon` describes it.

local config <const> = require "ahost.config"
local configuration <const> = require "ahost.command.configuration"
local core <const> = require "ahost.command.daemon.core"
local errors <const> = require "ahost.error"
local process <const> = require "ahost.process"
local schema <const> = require "ahost.application.schema"
local task <const> = require "ahost.task"

local daemon <const> = {
  detach = core.detach,
  detached = core.detached,
  ready = core.ready,
  leave_terminal = core.leave_terminal,
}

local FAILED <const> = 1
local POLL <const> = 0.02 -- seconds between two looks at a pid file

---@type ahost.command.Option[]
daemon.options = {
  {
    key = "daemon",
    short = "d",
    doc = "run in the background; returns when all has started",
  },
  { key = "kill", short = "k", doc = "end the one in the background, and wait" },
}

-- ---- places --------------------------------------------------------------------------

-- What a relative path means, seen from the directory that the program was started in.
local function absolute(path)
  return path:find "^/" and path or assert(process.cwd()) .. "/" .. path:gsub("^%./", "")
end

--- Makes the files of a command independent of the working directory.
---@param args table    as parsed; changed
function daemon.settle_files(args)
  local files <const> = configuration.files(args)
  for i = #args, 1, -1 do args[i] = nil end
  for i, file in ipairs(files) do files[i] = absolute(file) end
  args.files = files
  args.log_file = args.log_file and absolute(args.log_file)
end

-- A path of `daemon`: a relative one is seen from the file that says it.
local function path_of(values, key)
  local path <const> = values.daemon[key]
  return path and absolute(config.beside(values.daemon, key, path))
end

-- ---- messages ------------------------------------------------------------------------

local function problem(container, key, path, text)
  local origin <const> = container and config.origin(container, key)
  return ("%s%s: %s"):format(origin and origin .. ": " or "", path, text)
end

-- -> nil, err: what the configuration says is wrong here
local function refuse(values, key, text)
  return nil, errors.new("CONFIG", problem(values.daemon, key, "daemon." .. key, text))
end

-- What is wrong with the world is told on the spot. -> status
local function fail(text)
  io.stderr:write("ahost: " .. text .. "\n") -- at once: others write there, too
  return FAILED
end

-- ---- who to be -----------------------------------------------------------------------

local function missing(kind, name)
  return (math.type(name) and "there is no %s %d" or 'there is no %s "%s"'):format(kind,
    name)
end

-- -> {uid=, gid=} or nil: as before | nil, err
local function find_user(values, keys)
  if keys.uid == nil then return nil end
  local user <const>, err <const> = core.user(keys.uid)
  if user then return user end
  return refuse(values, "uid", err or missing("user", keys.uid))
end

local function find_group(values, name, key)
  local gid <const>, err <const> = core.group(name)
  if gid then return gid end
  return refuse(values, key, err or missing("group", name))
end

-- -> list or nil: those of the user | nil, err
local function find_groups(values, keys)
  if not keys.groups then return nil end
  local gids <const> = {}
  for i, name in ipairs(keys.groups) do
    local gid <const>, err <const> = core.group(name)
    if not gid then
      return nil, errors.new("CONFIG", problem(values.daemon.groups, i,
        ("daemon.groups[%d]"):format(i), err or missing("group", name)))
    end
    gids[i] = gid
  end
  return gids
end

-- -> {uid=, gid=, groups=}, false when nothing is to change | nil, err
local function find_identity(values, keys)
  if keys.uid == nil and keys.gid == nil and keys.groups == nil then return false end
  local uid <const>, gid <const> = core.identity()
  local user, user_err = find_user(values, keys)
  if user_err then return nil, user_err end
  local group, group_err
  if keys.gid ~= nil then group, group_err = find_group(values, keys.gid, "gid") end
  if group_err then return nil, group_err end
  local groups <const>, groups_err <const> = find_groups(values, keys)
  if groups_err then return nil, groups_err end
  local identity <const> = {
    uid = user and user.uid or uid,
    gid = group or user and user.gid or gid,
    groups = groups or not user and { group } or nil,
  }
  if uid == 0 then return identity end
  if identity.uid == uid and identity.gid == gid and not keys.groups then return false end
  local key <const> = user and "uid" or group and "gid" or "groups"
  return refuse(values, key, "only root can become somebody else")
end

-- ---- becoming a daemon ---------------------------------------------------------------

-- -> true | nil, status
local function take_pidfile(path)
  local state <const>, detail <const> = core.take_pidfile(path)
  if state == "taken" then return true end
  if state == "held" then
    return nil, fail(("%s is held by %s, which runs already"):format(path,
      detail > 0 and "process " .. detail or "another process"))
  elseif state == "foreign" then
    return nil, fail(path .. " is no pid file, and is left alone")
  end
  return nil, fail(("the pid file %s cannot be made: %s"):format(path, detail))
end

-- -> true | nil, status
local function change_directory(path)
  local ok <const>, err <const> = process.chdir(path)
  if ok then return true end
  return nil, fail(("cannot go to the working directory %s: %s"):format(path,
    err.message))
end

-- -> true | nil, status
local function become(identity)
  local ok <const>, why <const> = core.become(identity.uid, identity.gid, identity.groups)
  if ok then return true end
  return nil, fail(("cannot become user %d, group %d: %s"):format(identity.uid,
    identity.gid, why))
end

--- Makes this process what the configuration says of the daemon. All that can fail
--- without a trace is tried first.
---@param values table
---@return true?
---@return ahost.Error|integer? err    or the status to end with
function daemon.enter(values)
  local checked <const>, err <const> = schema.check(values)
  if not checked then return nil, err end
  local keys <const> = checked.daemon
  if not keys then return true end
  local identity <const>, wrong <const> = find_identity(values, keys)
  if wrong then return nil, wrong end
  local pidfile <const> = path_of(values, "pidfile")
  local directory <const> = path_of(values, "working_dir")
  local ok, status = true, nil
  if directory then ok, status = change_directory(directory) end
  if ok and pidfile then ok, status = take_pidfile(pidfile) end
  if ok and identity then ok, status = become(identity) end
  if ok and keys.umask then core.umask(tonumber(keys.umask, 8)) end
  return ok, status
end

-- ---- ending one ----------------------------------------------------------------------

-- Looks at a pid file as long as it is held, by this process if given, for so many
-- seconds at most. -> state, pid
local function look(file, seconds, holder)
  local state, pid = file:state()
  for _ = 1, seconds // POLL do
    if state ~= "held" or holder and pid ~= holder then break end
    task.sleep(POLL)
    state, pid = file:state()
  end
  return state, pid
end

-- -> status
local function terminate(file, path, pid, patience)
  local ok <const>, why <const> = core.terminate(pid)
  if not ok then return fail(("process %d of %s: %s"):format(pid, path, why)) end
  if look(file, patience) == "held" then
    return fail(("process %d of %s has not ended within %.14g s"):format(pid, path,
      patience))
  end
  core.remove_stale(path, pid)
  return 0
end

-- -> status
local function stop_holder(path, patience)
  local file <close>, why <const> = core.open_pidfile(path)
  if why == "missing" then
    print(path .. " is not there: nothing is running")
    return 0
  elseif not file then
    return fail(why == "foreign" and path .. " is no pid file"
      or ("%s cannot be read: %s"):format(path, why))
  end
  local state <const>, pid <const> = look(file, 1, 0)
  if state == "stale" then
    print(path .. " is stale: what wrote it has ended")
    return 0
  elseif state == "foreign" or pid <= 1 then
    return fail(path .. " is no pid file")
  end
  return terminate(file, path, pid, patience)
end

--- Ends the daemon of a configuration: it is asked once, and waited for.
---@param values table
---@return integer? status
---@return ahost.Error? err
function daemon.stop(values)
  local checked <const>, err <const> = schema.check(values)
  if not checked then return nil, err end
  if not (checked.daemon and checked.daemon.pidfile) then
    return nil, errors.new("CONFIG",
      "daemon.pidfile: is not given, so nobody knows which process to end")
  end
  return stop_holder(path_of(values, "pidfile"), checked.stop_timeout + 1)
end

return daemon
