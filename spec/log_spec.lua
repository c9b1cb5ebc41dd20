local context <const> = require "ahost.context"
local log <const> = require "ahost.log"
local subprocess <const> = require "spec.subprocess"
local task <const> = require "ahost.task"

-- Runs fn(logger) and returns the records that it makes, which go nowhere else.
local function records_of(fn)
  local capture <close> = log.capture { passes = false }
  fn(log.get "spec.records")
  return capture.records
end

-- The text of the record of logger:notice(...).
local function text_of(...)
  local arguments <const> = table.pack(...)
  local records <const> = records_of(function(logger)
    logger:notice(table.unpack(arguments, 1, arguments.n))
  end)
  assert.equal(1, #records)
  return records[1].text
end

-- Runs a script in a host of its own, with options of the command.
local function run(options, script)
  return subprocess.shell([[
    script=$(mktemp)
    cat >$script <<'END'
]] .. script .. [[

END
    "$ahost" ]] .. options .. [[ $script; status=$?; rm $script; exit $status]])
end

describe("a logger", function()
  it("is the same object for the same name while it is in use", function()
    local logger <const> = log.get "spec.same"
    collectgarbage()
    assert.equal(logger, log.get "spec.same")
    assert.not_equal(logger, log.get "spec.other")
    assert.equal("logger: spec.same", tostring(logger))
    assert.equal(log.get(), log.get "")
  end)

  it("has a method for each level", function()
    log.set_level("spec.levels", "debug")
    local capture <close> = log.capture { passes = false }
    local logger <const> = log.get "spec.levels"
    local levels <const> = { "debug", "info", "notice", "warning", "error", "critical" }
    for _, level in ipairs(levels) do logger[level](logger, "as %s", level) end
    for i, record in ipairs(capture.records) do
      assert.equal(levels[i], record.level)
      assert.equal("spec.levels", record.logger)
      assert.equal("as " .. levels[i], record.text)
    end
    assert.equal(#levels, #capture.records)
    log.set_level("spec.levels", nil)
  end)

  it("formats as string.format does", function()
    assert.equal("x=  7 50% 'y'", text_of("x=%3d %d%% '%s'", 7, 50, "y"))
    assert.equal("nil true", text_of("%s %s", nil, true))
    local function name() return "a name" end
    local named <const> = setmetatable({}, { __tostring = name })
    assert.equal("a name", text_of("%s", named))
  end)

  it("takes a text without a format as it is", function()
    assert.equal("plain", text_of "plain")
    assert.equal("nil", text_of(nil))
    assert.equal("nil", text_of())
    assert.equal("42", text_of(42))
    local err <const> = require("ahost.error").new("CLOSED", "it is 100% over")
    assert.equal("it is 100% over (CLOSED)", text_of(err))
  end)

  it("shows structured data, sorted by names", function()
    assert.equal('[sd a="1" b="x" c="true"] done',
      text_of("done", { b = "x", c = true, a = 1 }))
    assert.equal('[sd id="7"] got 2 of t', text_of("got %d of %s", 2, "t", { id = 7 }))
    assert.equal("nothing", text_of("nothing", {}))
    assert.equal("nothing", text_of("nothing", nil))
  end)

  it("escapes the values of structured data, and mends names", function()
    assert.equal([=[[sd k="a\"b\\c\]d=e f"] m]=],
      text_of("m", { k = [=[a"b\c]d=e f]=] }))
    assert.equal('[sd a_b_c__="1"] m', text_of("m", { ['a b=c]"'] = 1 }))
    local null <const> = require("ahost.json").null
    assert.equal('[sd 1="x" n="null"] m', text_of("m", { "x", n = null }))
  end)

  it("takes as many arguments as the format does, then data", function()
    assert.matches("^table: ", text_of("%s", { a = 1 }))
    assert.matches('^%[sd b="2"%] table: ', text_of("%s", { a = 1 }, { b = 2 }))
    assert.matches('^%[sd b="2"%] 100%% of table: ',
      text_of("100%% of %s", {}, { b = 2 }))
  end)

  it("writes a bad format with a note instead of raising", function()
    assert.equal("%d items (bad format: argument 1: (number expected, got string))",
      text_of("%d items", "many"))
    assert.matches("^%%s and %%s %(bad format: argument 2: %(no value",
      text_of("%s and %s", 1))
    assert.matches("^100%% %(bad format: ", text_of "100%")
    assert.matches("^%%y %(bad format: ", text_of("%y", 1))
    assert.equal("text (2 arguments too many)", text_of("text", 1, 2))
    assert.equal('[sd a="1"] text 1 (1 argument too many)',
      text_of("text %d", 1, 2, { a = 1 }))
  end)

  it("survives values that cannot become text", function()
    local function fail() error("expected by the spec") end
    local bad <const> = setmetatable({}, { __tostring = fail })
    assert.matches("^%%s %(bad format: .*expected by the spec", text_of("%s", bad))
    assert.equal("(table without text)", text_of(bad))
    assert.equal('[sd k="(table without text)"] m', text_of("m", { k = bad }))
    local function wait() task.sleep(0) end
    local waits <const> = setmetatable({}, { __tostring = wait })
    assert.matches("cannot wait here", text_of("%s", waits))
  end)

  it("survives any bytes", function()
    assert.equal("a\\0b", text_of("a\0b"))
    assert.equal("a\\0b", text_of("%s", "a\0b"))
    assert.equal(100000, #text_of("%s", ("x"):rep(100000)))
    local numbers <const> = {}
    for i = 1, 2000 do numbers[i] = 1 end
    assert.equal(("1"):rep(2000), text_of(("%d"):rep(2000), table.unpack(numbers)))
    for byte = 0, 255 do
      text_of("%" .. string.char(byte), 1)
      text_of("%" .. string.char(byte))
      text_of("%-5." .. string.char(byte) .. "%", "x", { [string.char(byte)] = byte })
    end
  end)

  it("refuses to be called as a function", function()
    assert.has_error(function() log.get("spec").notice("text") end)
    assert.has_error(function() log.get("spec").notice() end)
    assert.has_error(function() log.get(1) end)
    assert.has_error(function() log.get "a\0b" end)
  end)

  it("makes nothing of a record below its level", function()
    local logger <const> = log.get "spec.quiet"
    local function fail() error("it was formatted") end
    local value <const> = setmetatable({}, { __tostring = fail })
    collectgarbage()
    collectgarbage "stop"
    local before <const> = collectgarbage "count"
    for _ = 1, 1000 do logger:debug("%s", value) end
    local after <const> = collectgarbage "count"
    collectgarbage "restart"
    assert.is_true(after - before < 1)
  end)
end)

describe("levels", function()
  after_each(function()
    for _, name in ipairs { "spec", "spec.a", "spec.a.b", "spec.ab" } do
      log.set_level(name, nil)
    end
  end)

  it("are inherited by the parts of names", function()
    local logger <const>, beside <const> = log.get "spec.a.b", log.get "spec.ab"
    assert.equal("notice", log.level "spec.a.b")
    log.set_level("spec.a", "debug")
    assert.equal("debug", log.level "spec.a.b")
    assert.equal("notice", log.level "spec.ab")
    assert.equal("notice", log.level "spec")
    log.set_level("spec", "error")
    assert.equal("debug", log.level "spec.a")
    assert.equal("error", log.level "spec.ab")
    local capture <close> = log.capture { passes = false }
    logger:debug "heard"
    beside:warning "not heard"
    assert.equal(1, #capture.records)
    log.set_level("spec.a", nil)
    assert.equal("error", log.level "spec.a.b")
    logger:warning "not heard"
    assert.equal(1, #capture.records)
  end)

  it("can be asked for", function()
    local capture <close> = log.capture { passes = false }
    local logger <const> = log.get "spec.a"
    assert.is_false(logger:enabled "info")
    assert.is_true(logger:enabled "notice")
    log.set_level("spec.a", "info")
    assert.is_true(logger:enabled "info")
    assert.equal("notice", log.level())
    capture:close()
  end)

  it("of another name are refused", function()
    assert.has_error(function() log.set_level("spec", "loud") end,
      "bad argument #2 to 'set_level' (no log level 'loud' (debug, info, notice, "
      .. "warning, error or critical expected))")
    assert.has_error(function() log.set_level("spec", 10) end)
    assert.has_error(function() log.get("spec"):enabled "loud" end)
  end)

  it("hold for the records of the host too", function()
    local capture <close> = log.capture { passes = false }
    local signal <const> = require("ahost.signal").new()
    signal:connect(function() error("expected by the spec") end)
    log.set_level("ahost.signal", "critical")
    signal:emit()
    log.set_level("ahost.signal", nil)
    assert.same({}, capture.records)
    signal:emit()
    assert.equal("ahost.signal", capture.records[1].logger)
  end)

  it("begin at notice, with -v at debug", function()
    local script <const> = [[
      local log = require "ahost.log"
      local logger = log.get "app"
      logger:debug("d")
      logger:notice("n", { k = 1 })
      print(log.level())]]
    local quiet <const>, verbose <const> = run("", script), run("-v", script)
    assert.equal('NOTICE app: [sd k="1"] n\n', quiet.err)
    assert.equal("notice\n", quiet.out)
    assert.equal('DEBUG app: d\nNOTICE app: [sd k="1"] n\n', verbose.err)
    assert.equal("debug\n", verbose.out)
  end)
end)

describe("log.capture", function()
  it("keeps text, message, data and time", function()
    local data <const> = { k = 1 }
    local before <const> = os.time()
    local record <const> = records_of(function(logger)
      logger:error("n=%d", 7, data)
    end)[1]
    assert.is_true(record.time >= before and record.time < before + 60)
    record.time = nil
    assert.equal(data, record.data)
    assert.same({
      level = "error",
      logger = "spec.records",
      data = data,
      message = "n=7",
      text = '[sd k="1"] n=7',
    }, record)
  end)

  it("keeps records of C and Lua code in order", function()
    local signal <const> = require("ahost.signal").new()
    signal:connect(function() error("from C", 0) end)
    local records <const> = records_of(function(logger)
      logger:notice "first"
      signal:emit()
      logger:notice "third"
      signal:emit()
    end)
    assert.equal(4, #records)
    assert.equal("first", records[1].message)
    assert.matches("from C", records[2].text)
    assert.equal("error", records[2].level)
    assert.equal(records[2].text, records[2].message)
    assert.equal("third", records[3].message)
    assert.matches("from C", records[4].text)
  end)

  it("fills in what somebody holds", function()
    local signal <const> = require("ahost.signal").new()
    signal:connect(function() error("from C", 0) end)
    local capture <close> = log.capture { passes = false }
    local records <const> = capture.records
    signal:emit()
    task.yield()
    assert.equal(1, #records)
  end)

  it("lets records pass unless told otherwise", function()
    local ran <const> = run("", [[
      local log = require "ahost.log"
      do
        local outer <close> = log.capture()
        log.get("a"):notice "passes"
        do
          local inner <close> = log.capture { passes = false }
          log.get("a"):notice "is kept"
          assert(#inner.records == 1)
        end
        assert(#outer.records == 2)
      end
      log.get("a"):notice "passes again"]])
    assert.equal(0, ran.status)
    assert.equal("NOTICE a: passes\nNOTICE a: passes again\n", ran.err)
  end)

  it("stops when it is closed, and with its context", function()
    local inner
    local outer <close> = log.capture { passes = false }
    context.scope(function() inner = log.capture() end)
    local closed <const> = log.capture()
    closed:close()
    closed:close()
    log.get("spec"):notice "text"
    assert.equal(0, #inner.records)
    assert.equal(0, #closed.records)
    assert.equal(1, #outer.records)
  end)

  it("counts what is too much", function()
    local capture <close> = log.capture { passes = false, max = 2 }
    for i = 1, 5 do log.get("spec"):notice(i) end
    assert.equal(2, #capture.records)
    assert.equal(3, capture.dropped)
  end)

  it("is collected when it is forgotten", function()
    local weak <const> = setmetatable({ log.capture() }, { __mode = "v" })
    for _ = 1, 3 do collectgarbage() end
    assert.is_nil(weak[1])
    assert.equal("text", text_of "text")
  end)

  it("refuses wrong options", function()
    assert.has_error(function() log.capture(1) end)
    assert.has_error(function() log.capture { max = 0 } end)
    assert.has_error(function() log.capture { max = "x" } end)
  end)
end)
