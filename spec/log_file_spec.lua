local log <const> = require "ahost.log"
local process <const> = require "ahost.process"
local subprocess <const> = require "spec.subprocess"
local task <const> = require "ahost.task"

local logger <const> = log.get "spec.file"

local function read(path)
  local file <close> = io.open(path, "rb")
  return file and file:read "a"
end

local function shell(script) return assert(os.execute(script)) end

-- Waits until every handler has written what it has.
local function written()
  for _, stats in ipairs(log.stats()) do
    while stats.queued > 0 do
      task.sleep(0.002)
      stats = log.stats()[1]
    end
  end
end

-- Waits until a function returns a true value, and returns that.
local function eventually(fn)
  while true do
    local value <const> = fn()
    if value then return value end
    task.sleep(0.005)
  end
end

local function told(capture, pattern)
  return eventually(function()
    for _, record in ipairs(capture.records) do
      if record.text:find(pattern) then return record end
    end
  end)
end

describe("a file handler", function()
  local directory, remove, path

  before_each(function()
    directory, remove = subprocess.directory()
    path = directory .. "/app.log"
  end)

  after_each(function()
    log.configure()
    remove()
  end)

  local function configure(options)
    options.path = options.path or path
    assert(log.configure { file = options })
  end

  -- What the file has after fn(logger), or one record.
  local function text_of(options, fn)
    configure(options)
    if type(fn) == "string" then logger:notice(fn) else fn(logger) end
    written()
    return read(path)
  end

  it("writes local time with microseconds, level, logger, data and message", function()
    local before <const> = os.time()
    local text <const> = text_of({}, function()
      logger:warning("%d left", 2, { k = 'a"b' })
    end)
    local time, rest = text:match "^(.-)%.%d%d%d%d%d%d( .*)$"
    assert.equal(' WARNING spec.file [sd k="a\\"b"] 2 left\n', rest)
    local shown <const> = "%d-%b-%Y %H:%M:%S"
    assert.is_true(time == os.date(shown, before) or time == os.date(shown, before + 1))
  end)

  it("writes what the format says", function()
    local text <const> = text_of({
      format = "%(levelname)-8s|%(name)12s|%(levelno)d|%(struct_data)s%(message)s|"
        .. "%(process)d|100%%",
      sd_id = "shop",
    }, function()
      logger:notice("m", { k = 1 })
      logger:critical("%s", "%(name)s 100% \\")
    end)
    local pid <const> = process.pid
    assert.equal(('NOTICE  |   spec.file|25|[shop k="1"] m|%d|100%%\n'
      .. "CRITICAL|   spec.file|50|%%(name)s 100%% \\|%d|100%%\n"):format(pid, pid), text)
  end)

  it("writes time as datefmt says, in UTC when asked to", function()
    local text <const> = text_of({
      format = "%(asctime)s", datefmt = "%%f=%f %Y-%m-%dT%H:%MZ", utc = true }, "m")
    assert.matches("^%%f=%d%d%d%d%d%d ", text)
    assert.equal(os.date "!%Y-%m-%dT%H:", text:match " (.-:)")
  end)

  it("marks the further lines of a record, and shows control characters", function()
    assert.equal("NOTICE one\n\ttwo\n\tthree\tx\\x1b[31m\\x00\\x7f\n",
      (text_of({ format = "%(levelname)s %(message)s" },
        "one\ntwo\n\tthree\tx\27[31m\\x00\127")))
  end)

  it("writes records from its level on", function()
    log.set_level("spec.file", "debug")
    local text <const> = text_of({ format = "%(message)s", level = "error" }, function()
      for _, level in ipairs { "debug", "notice", "warning", "error", "critical" } do
        logger[level](logger, level)
      end
    end)
    log.set_level("spec.file", nil)
    assert.equal("error\ncritical\n", text)
  end)

  it("appends", function()
    subprocess.write(path, "before\n")
    assert.equal("before\nafter\n", text_of({ format = "%(message)s" }, "after"))
    local text <const> = text_of({ format = "%(message)s" }, "more")
    assert.equal("before\nafter\nmore\n", text)
  end)

  it("starts a new file before one gets too large", function()
    configure { format = "%(message)s", backup_max_size = 100, backup_count = 2 }
    for i = 1, 100 do logger:notice("record %03d", i) end
    logger:notice(("x"):rep(200))
    logger:notice "the last"
    written()
    assert.equal("the last\n", read(path))
    assert.equal(("x"):rep(200) .. "\n", read(path .. ".1"))
    assert.equal("record 100\n", read(path .. ".2"):sub(-11))
    assert.is_true(#read(path .. ".2") <= 100)
    assert.is_nil(read(path .. ".3"))
  end)

  it("loses nothing while it rotates", function()
    configure { format = "%(message)s", backup_max_size = 1000, backup_count = 100 }
    for i = 1, 2000 do logger:notice("%d", i) end
    written()
    local next_number = 1
    for i = 100, 0, -1 do
      for number in (read(i > 0 and path .. "." .. i or path) or ""):gmatch "%d+" do
        assert.equal(next_number, tonumber(number))
        next_number = next_number + 1
      end
    end
    assert.equal(2001, next_number)
  end)

  it("starts a new file when the old one is of another day", function()
    subprocess.write(path, "old\n")
    shell(("touch -d '2 days ago' '%s'"):format(path))
    configure { format = "%(message)s", rotate_every = "1d" }
    logger:notice "new"
    logger:notice "and more"
    written()
    assert.equal("new\nand more\n", read(path))
    assert.equal("old\n", read(path .. ".1"))
  end)

  it("keeps as many old files as it is told", function()
    configure { format = "%(message)s", backup_count = 0 }
    logger:notice "old"
    written()
    log.rotate()
    eventually(function() return read(path) == "" end)
    logger:notice "new"
    written()
    assert.equal("new\n", read(path))
    assert.is_nil(read(path .. ".1"))
  end)

  it("is rotated on demand, but not when it is empty", function()
    configure { format = "%(message)s" }
    logger:notice "first"
    written()
    log.rotate()
    eventually(function() return read(path) == "" end)
    log.rotate()
    logger:notice "second"
    written()
    assert.equal("first\n", read(path .. ".1"))
    assert.equal("second\n", read(path))
    assert.is_nil(read(path .. ".2"))
  end)

  it("is opened again on demand when somebody has moved it", function()
    configure { format = "%(message)s" }
    logger:notice "first"
    written()
    os.rename(path, path .. ".moved")
    log.rotate()
    eventually(function() return read(path) end)
    logger:notice "second"
    written()
    assert.equal("first\n", read(path .. ".moved"))
    assert.equal("second\n", read(path))
    assert.is_nil(read(path .. ".1"))
  end)

  it("notices by itself that somebody has moved it", function()
    configure { format = "%(message)s" }
    logger:notice "first"
    written()
    os.rename(path, path .. ".moved")
    eventually(function()
      logger:notice "second"
      written()
      return read(path)
    end)
    assert.matches("second\n$", read(path))
  end)

  it("is shared by handlers that all rotate it", function()
    local function handler()
      return {
        class = "file",
        path = path,
        formatter = "plain",
        backup_max_size = 500,
        backup_count = 200,
      }
    end
    assert(log.configure {
      formatters = { plain = { format = "%(message)s" } },
      handlers = { a = handler(), b = handler() },
      root = { handlers = { "a", "b" } },
    })
    for i = 1, 500 do logger:notice("%d", i) end
    eventually(function()
      return log.stats()[1].queued + log.stats()[2].queued == 0
    end)
    local seen <const> = {}
    for i = 200, 0, -1 do
      for number in (read(i > 0 and path .. "." .. i or path) or ""):gmatch "%d+" do
        seen[number] = (seen[number] or 0) + 1
      end
    end
    for i = 1, 500 do assert.equal(2, seen[tostring(i)]) end
  end)

  it("cannot be opened: nothing changes then", function()
    configure { format = "%(message)s" }
    local ok, err = log.configure { file = { path = directory .. "/none/x" } }
    assert.is_nil(ok)
    assert.equal(("logging.file.path: cannot open %s/none/x: no such file or directory")
      :format(directory), err.message)
    assert.equal("CONFIG", err.code)
    logger:notice "still here"
    written()
    assert.equal("still here\n", read(path))
    shell("mkfifo " .. directory .. "/fifo")
    assert.is_nil(log.configure { file = { path = directory .. "/fifo" } })
    assert.is_nil(log.configure { file = { path = directory } })
  end)

  it("on a full disk drops records, and says so once", function()
    local capture <close> = log.capture()
    configure { path = "/dev/full" }
    for i = 1, 50 do
      logger:notice("lost %d", i)
      written()
    end
    eventually(function() return log.stats()[1].dropped == 50 end)
    local record <const> = told(capture, "no space left")
    assert.equal("log file /dev/full: no space left on device; records are dropped",
      record.text)
    assert.equal("error", record.level)
    assert.equal("ahost.log", record.logger)
    task.yield()
    assert.equal(51, #capture.records)
  end)

  it("says in other handlers what is wrong", function()
    assert(log.configure {
      file = { path = "/dev/full" },
      json = { path = path },
    })
    logger:notice "to one of them"
    eventually(function()
      return (read(path) or ""):find("log file /dev/full: no space left", 1, true)
    end)
  end)

  it("tells the end of a trouble, and how much was lost", function()
    local fifo <const> = directory .. "/fifo"
    local function reader(name)
      local pipe <close> = io.popen(("cat '%s' >'%s/%s' 2>/dev/null & echo $!")
        :format(fifo, directory, name))
      return pipe:read "n"
    end
    shell("mkfifo " .. fifo)
    local pid <const> = reader "first"
    local capture <close> = log.capture()
    eventually(function()
      return log.configure { file = { path = fifo, format = "%(message)s" } }
    end)
    logger:notice "heard"
    eventually(function() return read(directory .. "/first") == "heard\n" end)
    shell("kill " .. pid)
    for i = 1, 3 do
      eventually(function()
        logger:notice("lost %d", i)
        written()
        return #log.stats() == 0 or log.stats()[1].dropped > 0
      end)
    end
    told(capture, "broken pipe; records are dropped")
    local dropped <const> = log.stats()[1].dropped
    local second <const> = reader "second"
    eventually(function()
      logger:notice "again"
      written()
      return (read(directory .. "/second") or ""):find "again\n"
    end)
    assert.matches("works again, dropped %d+ records?$",
      told(capture, "works again").text)
    assert.is_true(log.stats()[1].dropped >= dropped)
    eventually(function()
      return read(directory .. "/second"):find "dropped %d+ record"
    end)
    log.configure()
    shell(("kill %d 2>/dev/null || true"):format(second))
  end)

  it("neither blocks nor grows when nobody reads what it writes", function()
    local fifo <const> = directory .. "/fifo"
    shell("mkfifo " .. fifo)
    local pipe <close> = io.popen(("sh -c 'exec sleep 60 <%s' >/dev/null 2>&1 & "
      .. "echo $!"):format(fifo))
    local pid <const> = pipe:read "n"
    eventually(function()
      return log.configure {
        file = { path = fifo, format = "%(message)s", queue = 50 },
      }
    end)
    for _ = 1, 500 do logger:notice(("x"):rep(1000)) end
    local stats <const> = log.stats()[1]
    assert.is_true(stats.queued <= 50)
    assert.is_true(stats.dropped > 300)
    log.configure()
    shell("kill " .. pid)
  end)
end)

describe("a JSON handler", function()
  it("writes an object a line, with the data as it is", function()
    local directory <const>, remove <const> = subprocess.directory()
    local path <const> = directory .. "/log.json"
    assert(log.configure { json = { path = path } })
    logger:notice("%s é", 'quote " and \\ and\nline', {
      text = "\1é\xff",
      integer = 42,
      number = 0.5,
      huge = math.huge,
      yes = true,
      null = require("ahost.json").null,
      list = { 1, { a = "b" } },
      ["a b"] = print ~= nil,
      err = require("ahost.error").new("CLOSED", "it is over"),
    })
    logger:error "no data"
    written()
    local pipe <close> = io.popen(([[python3 -c '
import json, sys, datetime
for line in open("%s", encoding="utf-8"):
    record = json.loads(line)
    time = datetime.datetime.strptime(record["time"], "%%Y-%%m-%%dT%%H:%%M:%%S.%%fZ")
    age = datetime.datetime.utcnow() - time
    assert 0 <= age.total_seconds() < 60
    del record["time"]
    print(json.dumps(record, sort_keys=True))' 2>&1]]):format(path))
    assert.equal(([[{"data": {"a b": true, "err": "it is over (CLOSED)", "huge": null, ]]
      .. [["integer": 42, "list": [1, {"a": "b"}], "null": null, "number": 0.5, ]]
      .. [["text": "\u0001\u00e9\ufffd", "yes": true}, "level": "notice", ]]
      .. [["logger": "spec.file", "message": "quote \" and \\ and\nline \u00e9", ]]
      .. [["process": %d}]]):format(process.pid), pipe:read "l")
    assert.equal(([[{"level": "error", "logger": "spec.file", "message": "no data", ]]
      .. [["process": %d}]]):format(process.pid), pipe:read "l")
    log.configure()
    remove()
  end)

  it("survives data that contains itself", function()
    local directory <const>, remove <const> = subprocess.directory()
    assert(log.configure { json = { path = directory .. "/log.json" } })
    local data <const> = {}
    data.data = data
    local function fail() error "expected by the spec" end
    logger:notice("m", data)
    logger:notice("m", { bad = setmetatable({}, { __tostring = fail }) })
    written()
    assert.matches('"bad":"%(table without text%)"', read(directory .. "/log.json"))
    log.configure()
    remove()
  end)
end)
