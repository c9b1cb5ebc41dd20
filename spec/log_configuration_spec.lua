local command_line <const> = require "spec.command_line"
local log <const> = require "ahost.log"
local subprocess <const> = require "spec.subprocess"
local task <const> = require "ahost.task"

local is <const> = command_line.is

local function read(path)
  local file <close> = io.open(path, "rb")
  return file and file:read "a"
end

local function written()
  for i, stats in ipairs(log.stats()) do
    while stats.queued > 0 do
      task.sleep(0.002)
      stats = log.stats()[i]
    end
  end
end

-- What is wrong with a configuration.
local function problems(values)
  local ok, err = log.configure(values)
  assert.is_nil(ok)
  assert.equal("CONFIG", err.code)
  return err.message
end

describe("log.configure", function()
  local directory, remove

  before_each(function() directory, remove = subprocess.directory() end)

  after_each(function()
    log.configure()
    remove()
  end)

  -- A file handler that shows the logger and the message.
  local function file(name, level)
    return {
      class = "file",
      path = directory .. "/" .. name,
      formatter = "short",
      level = level,
    }
  end

  local function configure(values)
    values.version = 1
    values.formatters = { short = { format = "%(name)s %(message)s" } }
    assert(log.configure(values))
  end

  local function text(name)
    written()
    return read(directory .. "/" .. name)
  end

  it("gives loggers the handlers of those above them, too", function()
    configure {
      handlers = { all = file "all", app = file "app", db = file "db" },
      root = { handlers = { "all" } },
      loggers = {
        app = { handlers = { "app" } },
        ["app.db"] = { handlers = { "db" } },
      },
    }
    log.get("app.db.pool"):notice "1"
    log.get("app.dbx"):notice "2"
    log.get("other"):notice "3"
    assert.equal("app.db.pool 1\n", text "db")
    assert.equal("app.db.pool 1\napp.dbx 2\n", text "app")
    assert.equal("app.db.pool 1\napp.dbx 2\nother 3\n", text "all")
  end)

  it("stops where a logger does not propagate", function()
    configure {
      handlers = { all = file "all", app = file "app" },
      root = { handlers = { "all" } },
      loggers = {
        app = { handlers = { "app" }, propagate = false },
        quiet = { propagate = false },
      },
    }
    log.get("app.x"):notice "1"
    log.get("quiet"):notice "2"
    log.get("other"):notice "3"
    assert.equal("app.x 1\n", text "app")
    assert.equal("other 3\n", text "all")
  end)

  it("writes a record once to a handler that it reaches twice", function()
    configure {
      handlers = { all = file "all" },
      root = { handlers = { "all", "all" } },
      loggers = { app = { handlers = { "all" } } },
    }
    log.get("app"):notice "1"
    assert.equal("app 1\n", text "all")
  end)

  it("sets levels of loggers and handlers, until it is called again", function()
    configure {
      handlers = { all = file "all", bad = file("bad", "error") },
      root = { level = "warning", handlers = { "all", "bad" } },
      loggers = { app = { level = "debug" } },
      levels = { ["lib.x"] = "error" },
    }
    assert.equal("warning", log.level "other")
    assert.equal("debug", log.level "app.x")
    assert.equal("error", log.level "lib.x.y")
    log.get("app"):debug "1"
    log.get("lib.x"):warning "2"
    log.get("other"):error "3"
    assert.equal("app 1\nother 3\n", text "all")
    assert.equal("other 3\n", text "bad")
    assert(log.configure())
    assert.equal("notice", log.level "app")
    assert.equal("notice", log.level())
    assert.same({}, log.stats())
  end)

  it("writes what the handlers before have still to write", function()
    configure { handlers = { a = file "a" }, root = { handlers = { "a" } } }
    for i = 1, 1000 do log.get("x"):notice("%d", i) end
    configure { handlers = { b = file "b" }, root = { handlers = { "b" } } }
    log.get("x"):notice "new"
    assert.equal("x new\n", text "b")
    local path <const> = directory .. "/a"
    while not read(path):find "x 1000\n$" do task.sleep(0.002) end
  end)

  it("takes both forms at once", function()
    configure {
      file = { path = directory .. "/short", format = "%(message)s" },
      handlers = { a = file "a" },
      root = { handlers = { "a" } },
    }
    log.get("x"):notice "m"
    assert.equal("m\n", text "short")
    assert.equal("x m\n", text "a")
  end)

  it("says all that is wrong with the short form", function()
    assert.equal([[
logging.consol: unknown option (did you mean "console"?)
logging.file.path: must be a string of at least 1 character, not 5 (write it in quotes)
logging.file.rotate_every: must be a duration at least 1 (seconds, or as 10ms 5s 2m 1h]]
      .. [[30m 3d 1w), not "daily"
logging.level: must be debug, info, notice, warning, error or critical, not "loud"
logging.levels.x: must be debug, info, notice, warning, error or critical, not "x"
logging.syslog.facility: must be ]] .. "kern, user, mail, daemon, auth, syslog, lpr, "
      .. "news, uucp, cron, authpriv, ftp, ntp, audit, alert, clock, local0, local1, "
      .. 'local2, local3, local4, local5, local6 or local7, not "local8"',
      problems {
        consol = {},
        file = { path = 5, rotate_every = "daily" },
        level = "loud",
        levels = { x = "x" },
        syslog = { facility = "local8" },
      })
    assert.equal("logging.file.path: is required, but missing", problems { file = {} })
    assert.equal("logging.json.path: is required, but missing", problems { json = {} })
    assert.equal("logging.json.path: give either this or stderr",
      problems { json = { stderr = true, path = "x" } })
    assert.matches("^logging.console.format: '%%%(tim%)s' is none of %%%(asctime%)s",
      problems { console = { format = "%(asctime)s %(tim)s" } })
    assert.matches("'%%d' is none of", problems { console = { format = "%d" } })
  end)

  it("says all that is wrong with the form of dictConfig", function()
    assert.equal([[
logging.handlers.a.path: is required, but missing
logging.handlers.b.formatter: there is no formatter "shrot" (did you mean "short"?)
logging.handlers.c.class: must be console, file, syslog or json, not "fiel"
logging.handlers.d.class: is required, but missing
logging.handlers.e.path: unknown option (known are: class, colours, formatter, level, ]]
      .. [[queue, queue_size)
logging.loggers.x\.y.handlers[1]: there is no handler "bb" (did you mean "b"?)
logging.root.handlers[2]: there is no handler "z" (did you mean "a"?)]],
      problems {
        version = 1,
        formatters = { short = {} },
        handlers = {
          a = { class = "file" },
          b = { class = "console", formatter = "shrot" },
          c = { class = "fiel" },
          d = {},
          e = { class = "console", path = "x" },
        },
        loggers = { ["x.y"] = { handlers = { "bb" } } },
        root = { handlers = { "a", "z" } },
      })
    assert.matches("^logging.version: must be an integer from 1 to 1, not 2\n",
      problems { version = 2, handlers = { a = {} } })
    assert.matches("disable_existing_loggers: must be false",
      problems { disable_existing_loggers = true })
    assert.matches("^logging: must be a map", problems "x")
  end)

  it("refuses addresses of syslog servers that make no sense", function()
    local function problem(address)
      return (problems { syslog = { address = address } }
        :gsub("^logging.syslog.address: ", ""))
    end
    assert.equal("must be udp://HOST:PORT, tcp://HOST:PORT, unix:///PATH or "
      .. "unix-stream:///PATH", problem "http://x")
    assert.equal("must be udp://HOST:PORT", problem "udp://")
    assert.equal("must be tcp://HOST:PORT", problem "tcp://host:port")
    assert.equal("a port is from 1 to 65535", problem "tcp://host:65536")
    assert.equal("the path of a Unix socket begins with /", problem "unix://x")
    assert.equal("the path of a Unix socket has at most 107 bytes",
      problem("unix:///" .. ("x"):rep(200)))
    for _, address in ipairs { "udp://h", "tcp://[::1]:5", "tcp://[::1]", "/dev/log" } do
      assert(log.configure { syslog = { address = address } })
    end
  end)
end)

describe("the console", function()
  local function script(text)
    local path <const> = os.tmpname()
    subprocess.write(path, text)
    return path
  end

  local SCRIPT <const> = [[
    local log = require "ahost.log"
    assert(log.configure { console = { format = "%(levelname)s %(message)s",
      colours = COLOURS } })
    for i = 1, COUNT do
      io.stderr:write("own ", i, "\n")
      log.get("x"):warning("record %d", i)
    end]]

  it("keeps records in order with what the program prints", function()
    local path <const> = script((SCRIPT:gsub("COUNT", 100):gsub("COLOURS", '"auto"')))
    local expected <const> = {}
    for i = 1, 100 do
      expected[i] = ("own %d\nWARNING record %d\n"):format(i, i)
    end
    is(subprocess.shell("$ahost " .. path), 0, "", table.concat(expected))
    is(subprocess.shell("$ahost " .. path .. " 2>&1 | cat"), 0, table.concat(expected))
    os.remove(path)
  end)

  it("colours levels", function()
    local path <const> = script((SCRIPT:gsub("COUNT", 1):gsub("COLOURS", '"always"')))
    is(subprocess.shell("$ahost " .. path), 0, "",
      "own 1\n\27[33mWARNING\27[0m record 1\n")
    os.remove(path)
  end)

  it("holds nobody up that does not read it", function()
    local path <const> = script [[
      local log = require "ahost.log"
      assert(log.configure { console = {} })
      for i = 1, 3000 do log.get("x"):warning(("x"):rep(100)) end
      print(log.stats()[1].queued > 0)
      log.get("x"):critical "not heard"]]
    local result <const> = subprocess.shell(([[
      mkfifo %s.fifo; sleep 20 <%s.fifo & pid=$!
      $ahost %s 2>%s.fifo; status=$?
      kill $pid; exit $status]]):gsub("%%s", path))
    assert.equal("true\n", result.out)
    os.remove(path)
    os.remove(path .. ".fifo")
  end)
end)

describe("ahost run", function()
  local SERVICE <const> = [[
local Service = {}
function Service:start()
  self.log:notice("up", { n = 1 })
  self.log:debug "details"
  print "started"
  io.stdout:flush()
end
return Service]]
  local COMMAND <const> = [[
local Command = {}
function Command:run() self.log:notice("done", { n = 1 }) self.log:debug "details" end
return Command]]

  it("logs as the configuration says, to files beside it", function()
    local at <close> = command_line.new {
      ["etc/app.yaml"] = [[
component: {type: ./command.lua}
logging:
  file: {path: app.log, format: "%(levelname)s %(name)s %(struct_data)s%(message)s"}
]],
      ["etc/command.lua"] = COMMAND,
    }
    is(at:run "run etc/app.yaml", 0)
    assert.matches('^NOTICE %S+ %[sd n="1"%] done\n$', at:read "etc/app.log")
    is(at:run "-v run etc/app.yaml", 0)
    assert.matches("DEBUG %S+ details\n", at:read "etc/app.log")
  end)

  it("logs to the file of -l", function()
    local at <close> = command_line.new {
      ["app.yaml"] = "component: {type: ./command.lua}",
      ["command.lua"] = COMMAND,
      ["script.lua"] = "require('ahost.log').get('x'):notice 'from a script'",
    }
    is(at:run "-l a.log run app.yaml", 0)
    assert.matches('NOTICE %S+ %[sd n="1"%] done\n$', at:read "a.log")
    is(at:run "run -l b.log app.yaml", 0)
    assert.matches("done\n$", at:read "b.log")
    is(at:run "-l c.log script.lua", 0)
    assert.matches("NOTICE x from a script\n$", at:read "c.log")
    is(at:run "-l none/c.log script.lua", 2, "",
      "ahost: -l: cannot open none/c.log: no such file or directory\n")
    is(at:run "--syslog=x script.lua", 2, "", "ahost: --syslog: must be udp://HOST:PORT, "
      .. "tcp://HOST:PORT, unix:///PATH or unix-stream:///PATH\n")
    is(at:run "-l none/c.log run app.yaml", 2, "",
      "-l: cannot open none/c.log: no such file or directory\n")
  end)

  it("does not start with a wrong configuration, or a file that cannot be opened",
    function()
      local at <close> = command_line.new {
        ["app.yaml"] = "component: {type: ./command.lua}\nlogging:\n"
          .. "  handlers:\n    a: {class: file, path: none/app.log}\n"
          .. "  root: {handlers: [a]}\n",
        ["wrong.yaml"] = "component: {type: ./command.lua}\nlogging:\n"
          .. "  handlers:\n    a: {class: console, path: none/app.log}\n"
          .. "  loggers:\n    x.y: {handlers: [b]}\n",
        ["command.lua"] = COMMAND,
      }
      is(at:run "run app.yaml", 2, "", "app.yaml:4:22: logging.handlers.a.path: "
        .. "cannot open none/app.log: no such file or directory\n")
      is(at:run "run wrong.yaml", 2, "", "wrong.yaml:4:25: logging.handlers.a.path: "
        .. "unknown option (known are: class, colours, formatter, level, queue, "
        .. "queue_size)\n"
        .. "wrong.yaml:6:22: logging.loggers.x\\.y.handlers[1]: there is no handler "
        .. '"b" (did you mean "a"?)\n')
    end)

  it("rotates its files on HUP", function()
    local at <close> = command_line.new {
      ["app.yaml"] = "component: {type: ./service.lua}\n"
        .. "logging: {file: {path: app.log}}\n",
      ["service.lua"] = SERVICE,
    }
    local running <close> = at:start "run app.yaml"
    assert.equal("started", running:read_line())
    running:signal "HUP"
    local moved
    repeat
      task.sleep(0.005)
      moved = read(at.directory .. "/app.log.1")
    until moved
    assert.matches("up\n$", moved)
    running:signal "TERM"
    assert.equal(0, running:finish().status)
  end)

  it("writes what was logged before an emergency exit", function()
    local at <close> = command_line.new {
      ["script.lua"] = [[
require("ahost.process").signal("TERM"):connect(function() end)
for i = 1, 2000 do require("ahost.log").get("x"):notice("%d", i) end
print "busy"
io.stdout:flush()
while true do end]],
    }
    local running <close> = at:start "-l a.log script.lua"
    assert.equal("busy", running:read_line())
    local state
    repeat
      running:signal "TERM"
      task.sleep(0.01)
      state = (read("/proc/" .. running.pid .. "/stat") or ""):match "%) (%a)"
    until state == nil or state == "Z"
    assert.matches(" 2000\n$", at:read "a.log")
  end)
end)
