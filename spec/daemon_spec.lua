local command_line <const> = require "spec.command_line"
local process <const> = require "ahost.process"
local subprocess <const> = require "spec.subprocess"
local task <const> = require "ahost.task"

local is <const> = command_line.is

-- Says what it is like in a file, as standard output ends at its readiness. Its
-- configuration says what goes wrong.
local SERVICE <const> = [[
local process <const> = require "ahost.process"
local task <const> = require "ahost.task"
local Service = { options = {
  out = { type = "string" }, fail = { type = "boolean" }, dies = { type = "boolean" },
  hangs = { type = "boolean" }, slow = { type = "duration", default = 0 },
  ends = { type = "integer" },
} }

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  assert(file:write(text))
end

function Service:start(ctx)
  print "starting"
  io.stdout:flush()
  if self.config.fail then error("it cannot", 0) end
  if self.config.dies then os.execute("kill -KILL " .. process.pid) end
  if self.config.hangs then task.sleep(60) end
  if self.config.out then write(self.config.out, assert(process.cwd())) end
  ctx:on_close(function() task.sleep(self.config.slow) end)
end

return Service
]]

-- A directory with the service, which anybody may write in; what is still running when
-- it goes is ended.
local function new(files)
  files["service.lua"] = SERVICE
  local at <const> = command_line.new(files)
  os.execute("chmod 777 " .. subprocess.quote(at.directory))
  local remove <const> = at.remove
  at.remove = function()
    at:shell "for f in *.pid; do [ ! -s $f ] || kill -KILL $(cat $f); done"
    remove()
  end
  return at
end

local APP <const> = [[
component: {type: ./service.lua}
stop_timeout: 5
daemon:
  pidfile: app.pid
]]

-- The messages without the directory.
local function relative(at, result)
  for _, name in ipairs { "out", "err" } do
    result[name] = result[name]:gsub(at.directory:gsub("%p", "%%%0") .. "/", "")
  end
  return result
end

local function run(at, words) return relative(at, at:run(words)) end

local function pid_of(at) return tonumber(at:read "app.pid") end

-- A line of /proc/PID/status, or nil.
local function status_of(pid, name)
  local file <close> = io.open(("/proc/%d/status"):format(pid))
  return file and file:read("a"):match("\n" .. name .. ":[ \t]*([^\n]-)[ \t]*\n")
end

-- One that has ended may be there until its parent has noticed.
local function is_alive(pid) return (status_of(pid, "State") or "Z"):find "^Z" == nil end

local function exists(at, name)
  return os.execute("test -e " .. subprocess.quote(at.directory .. "/" .. name)) == true
end

-- Whoever is not root cannot try it.
local function as_root(name, body)
  if subprocess.shell("id -u").out == "0\n" then return it(name, body) end
  pending(name .. " (needs root)")
end

describe("ahost -d", function()
  it("returns when everything has started, and -k when everything has ended", function()
    local at <close> = new { ["app.yaml"] = APP }
    is(run(at, "-d run app.yaml"), 0, "starting\n")
    local pid <const> = pid_of(at)
    assert.is_true(is_alive(pid))
    assert.not_equal(process.pid, pid)
    is(run(at, "-k run app.yaml"), 0)
    assert.is_false(is_alive(pid))
    assert.is_false(exists(at, "app.pid"))
  end)

  it("takes its options before and behind the command, and without it", function()
    local at <close> = new { ["app.yaml"] = APP }
    for _, words in ipairs {
      "-d -c app.yaml", "run app.yaml -d", "-c app.yaml -d run",
    } do
      is(run(at, words), 0, "starting\n")
      is(run(at, (words:gsub("-d", "-k"))), 0)
    end
    is(run(at, "-d check app.yaml"), 2, "",
      "ahost: -d is for run, not for check\ntry 'ahost --help'\n")
    is(run(at, "-k service.lua"), 2, "",
      "ahost: -k is for commands, and service.lua is a script\n")
    is(run(at, "check -d app.yaml"), 2, "",
      "ahost check: unknown option '-d'\ntry 'ahost check --help'\n")
  end)

  it("leaves the terminal, its session and its standard streams", function()
    local at <close> = new { ["app.yaml"] = APP }
    run(at, "-d run app.yaml")
    local pid <const> = pid_of(at)
    local found <const> = at:shell(("for n in 0 1 2; do readlink /proc/%d/fd/$n; done; "
      .. "cut -d' ' -f4-7 /proc/%d/stat"):format(pid, pid)).out
    local parent, group, session, terminal =
      found:match "^/dev/null\n/dev/null\n/dev/null\n(%d+) (%d+) (%d+) (%d+)\n$"
    assert(parent, found)
    assert.equal("0", terminal)
    assert.equal(group, session)
    assert.not_equal(tostring(pid), session)
    assert.not_equal(tostring(process.pid), parent)
    is(run(at, "-k run app.yaml"), 0)
  end)

  it("tells on the terminal what is wrong with the configuration", function()
    local at <close> = new { ["app.yaml"] = APP .. "  umask: 027\n  uid: -1\n  uib: 1\n" }
    is(run(at, "-d run app.yaml"), 2, "", [[
app.yaml:7:3: daemon.uib: unknown option (did you mean "uid"?)
app.yaml:6:3: daemon.uid: must be a name or a number from 0
app.yaml:5:3: daemon.umask: must be a string, not 27 (write it in quotes)
]])
    at:write("app.yaml", APP .. "  umask: '089'\n  groups: [1, '']\n")
    is(run(at, "check app.yaml"), 2, "", [[
app.yaml:6:15: daemon.groups[2]: must be a name or a number
app.yaml:5:3: daemon.umask: must be octal digits, as in "027"
]])
    at:write("app.yaml", APP:gsub("service.lua}", "service.lua, fial: true}"))
    is(run(at, "-d run app.yaml"), 2, "",
      'app.yaml:1:34: fial: unknown option (did you mean "fail"?)\n')
    is(run(at, "-d run nowhere.yaml"), 2, "",
      "nowhere.yaml cannot be read: No such file or directory\n")
    assert.is_false(exists(at, "app.pid"))
  end)

  it("ends with what a failing start ends with, and leaves nothing", function()
    local at <close> = new { ["app.yaml"] = APP }
    local result <const> = run(at, "-d run app.yaml --set component.fail=true")
    assert.equal(1, result.status)
    assert.matches("the root component failed in start: it cannot", result.err, 1, true)
    assert.is_false(exists(at, "app.pid"))
    is(run(at, "-d run app.yaml --set component.dies=true"), 1, "starting\n",
      "ahost: the daemon died before everything had started\n")
    assert.is_false(exists(at, "app.pid"))
  end)

  it("gives up the start when it is told to", function()
    local at <close> = new { ["app.yaml"] = APP }
    local running <close> = at:start "-d run app.yaml --set component.hangs=true"
    assert.equal("starting", running:read_line())
    running:signal "INT"
    assert.equal(1, running:finish().status)
    assert.is_false(exists(at, "app.pid"))
  end)

  it("runs once", function()
    local at <close> = new { ["app.yaml"] = APP }
    run(at, "-d run app.yaml")
    local pid <const> = pid_of(at)
    is(run(at, "-d run app.yaml"), 1, "",
      ("ahost: app.pid is held by process %d, which runs already\n"):format(pid))
    assert.equal(pid, pid_of(at))
    is(run(at, "-k run app.yaml"), 0)
  end)

  it("runs once even when several are started together", function()
    local at <close> = new { ["app.yaml"] = APP }
    local result <const> = relative(at, at:shell("for i in 1 2 3 4 5; do "
      .. "{ $ahost -d run app.yaml >/dev/null; echo $?; } & done; wait"))
    local _, started = result.out:gsub("0\n", "")
    assert.equal(1, started, result.err)
    local _, refused = result.err:gsub("held by [^\n]*, which runs already\n", "")
    assert.equal(4, refused, result.err)
    is(run(at, "-k run app.yaml"), 0)
  end)

  it("takes over a stale pid file, whatever lives under its number", function()
    local at <close> = new { ["app.yaml"] = APP, ["app.pid"] = process.pid .. "\n" }
    is(run(at, "-k run app.yaml"), 0, "app.pid is stale: what wrote it has ended\n")
    is(run(at, "-d run app.yaml"), 0, "starting\n")
    assert.not_equal(process.pid, pid_of(at))
    os.execute("kill -KILL " .. pid_of(at))
    repeat task.sleep(0.01) until not is_alive(pid_of(at))
    is(run(at, "-d run app.yaml"), 0, "starting\n")
    is(run(at, "-k run app.yaml"), 0)
    is(run(at, "-k run app.yaml"), 0, "app.pid is not there: nothing is running\n")
  end)

  it("leaves alone what is no pid file", function()
    local at <close> = new { ["app.yaml"] = APP, ["app.pid"] = "12\n13\n" }
    is(run(at, "-d run app.yaml"), 1, "",
      "ahost: app.pid is no pid file, and is left alone\n")
    is(run(at, "-k run app.yaml"), 1, "", "ahost: app.pid is no pid file\n")
    assert.equal("12\n13\n", at:read "app.pid")
    at:shell "echo 12 > other; ln -sf other app.pid"
    is(run(at, "-d run app.yaml"), 1, "",
      "ahost: app.pid is no pid file, and is left alone\n")
    at:shell "rm app.pid; mkfifo app.pid"
    is(run(at, "-d run app.yaml"), 1, "",
      "ahost: app.pid is no pid file, and is left alone\n")
  end)

  it("does not start without the pid file or directory that it is to have", function()
    local at <close> = new { ["app.yaml"] = APP }
    is(run(at, "-d run app.yaml --set daemon.pidfile=no/app.pid"), 1, "",
      "ahost: the pid file no/app.pid cannot be made: No such file or directory\n")
    is(run(at, "-d run app.yaml --set daemon.working_dir=no"), 1, "",
      "ahost: cannot go to the working directory no: no such file or directory\n")
    assert.is_false(exists(at, "app.pid"))
    is(run(at, "-k run app.yaml --set daemon.pidfile=null"), 2, "",
      "daemon.pidfile: is not given, so nobody knows which process to end\n")
  end)

  it("goes to its directory, where its files are still found", function()
    local at <close> = new {
      ["etc/app.yaml"] = APP:gsub("./service.lua}", "../service.lua, out: /dev/null}")
        .. "  working_dir: /\n  umask: '027'\n",
    }
    is(run(at, "-d run etc/app.yaml --set component.out=" .. at.directory .. "/out"), 0,
      "starting\n")
    assert.equal("/", at:read "out")
    assert.equal("0027", status_of(tonumber(at:read "etc/app.pid"), "Umask"))
    assert.equal("640\n", at:shell("stat -c %a out").out)
    is(run(at, "-k run etc/app.yaml"), 0)
  end)

  as_root("becomes somebody else", function()
    local at <close> = new { ["app.yaml"] = APP }
    local function check(words, ids)
      is(run(at, "-d run app.yaml " .. words), 0, "starting\n")
      local pid <const> = pid_of(at)
      assert.equal(ids, ("%s / %s / %s"):format(status_of(pid, "Uid"),
        status_of(pid, "Gid"), status_of(pid, "Groups")):gsub("(%d+)\t%1\t%1\t%1", "%1"))
      is(run(at, "-k run app.yaml"), 0)
      assert.is_false(exists(at, "app.pid"))
    end
    check("--set daemon.uid=nobody", "65534 / 65534 / 65534")
    check("--set daemon.uid=daemon --set daemon.gid=0", "1 / 0 / 0")
    check("--set daemon.uid=4321 --set daemon.gid=bin", "4321 / 2 / 2")
    check("--set daemon.uid=1 --set daemon.groups=[]", "1 / 1 / ")
    check("--set daemon.gid=3 --set 'daemon.groups=[bin, 1234]'", "0 / 3 / 2 1234")
  end)

  as_root("knows whom it cannot become", function()
    local at <close> = new { ["app.yaml"] = APP .. "  uid: nobody_\n" }
    is(run(at, "-d run app.yaml"), 2, "",
      'app.yaml:5:3: daemon.uid: there is no user "nobody_"\n')
    is(run(at, "-d run app.yaml --set daemon.uid=0 --set daemon.gid=no"), 2, "",
      '--set daemon.gid: daemon.gid: there is no group "no"\n')
    is(run(at, "-d run app.yaml --set daemon.uid=0 --set 'daemon.groups=[0, no]'"), 2, "",
      '--set daemon.groups: daemon.groups[2]: there is no group "no"\n')
    local result <const> = relative(at, at:shell(
      "cp $ahost ahost && setpriv --reuid 65534 --regid 65534 --clear-groups "
      .. "./ahost -d run app.yaml --set daemon.uid=0"))
    is(result, 2, "",
      "--set daemon.uid: daemon.uid: only root can become somebody else\n")
    assert.is_false(exists(at, "app.pid"))
  end)

  as_root("leaves nothing when it fails as somebody else", function()
    local at <close> = new { ["app.yaml"] = APP .. "  uid: nobody\n" }
    os.execute("chmod 755 " .. subprocess.quote(at.directory))
    assert.equal(1, run(at, "-d run app.yaml --set component.fail=true").status)
    assert.is_false(exists(at, "app.pid"))
  end)
end)

describe("ahost -k", function()
  it("waits for a slow end, and never asks twice", function()
    local at <close> = new { ["app.yaml"] = APP }
    run(at, "-d run app.yaml --set component.slow=1")
    local pid <const> = pid_of(at)
    is(run(at, "-k run app.yaml"), 0)
    assert.is_false(is_alive(pid))
  end)

  it("gives up after stop_timeout and a second", function()
    local at <close> = new { ["app.yaml"] = APP }
    run(at, "-d run app.yaml --set component.slow=60 --set stop_timeout=30")
    local pid <const> = pid_of(at)
    is(run(at, "-k run app.yaml --set stop_timeout=0.1"), 1, "",
      ("ahost: process %d of app.pid has not ended within 1.1 s\n"):format(pid))
    assert.is_true(is_alive(pid))
  end)
end)
