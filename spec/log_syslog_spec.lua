local log <const> = require "ahost.log"
local net <const> = require "ahost.net"
local process <const> = require "ahost.process"
local subprocess <const> = require "spec.subprocess"
local syslog_server <const> = require "spec.syslog_server"
local task <const> = require "ahost.task"

local logger <const> = log.get "spec.syslog"

local function configure(options) assert(log.configure { syslog = options }) end

-- Waits until a capture has a record with such a text, and returns that.
local function told(capture, pattern)
  while true do
    for _, record in ipairs(capture.records) do
      if record.text:find(pattern) then return record end
    end
    task.sleep(0.01)
  end
end

local function host_name()
  local pipe <close> = io.popen "hostname"
  return pipe:read "l"
end

describe("a syslog handler", function()
  local server

  setup(function()
    server = syslog_server.new()
    server:start()
  end)

  teardown(function()
    log.configure()
    server:__close()
  end)

  before_each(function() server:clear() end)
  after_each(function() log.configure() end)

  for _, transport in ipairs { "udp", "tcp", "stream", "datagrams" } do
    it("sends all parts of RFC 5424 by " .. transport, function()
      configure { address = server[transport], format = "rfc5424", app_name = "shop" }
      local before <const> = os.date("!%Y-%m-%dT%H:%M")
      logger:notice("%d sold", 3, { k = [=[a"b]c\]=], n = 5 })
      local message <const> = server:messages(1)[1]
      if transport ~= "datagrams" then -- which gives its own name and zone
        assert.equal(host_name(), message.host)
        assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%d%d%d%dZ$",
          message.time)
      end
      assert.is_true(message.time:sub(1, 16) >= before)
      message.time, message.host = nil, nil
      assert.same({
        pri = "133",
        facility = "local0",
        severity = "notice",
        app = "shop",
        process = tostring(process.pid),
        id = "spec.syslog",
        data = [=[[log l="NOTICE"][sd k="a\"b\]c\\" n="5"]]=],
        version = "1",
        message = "3 sold",
      }, message)
    end)

    it("sends RFC 3164 by " .. transport, function()
      configure { address = server[transport], format = "rfc3164", facility = "mail" }
      logger:error("not sold", { k = 1 })
      local message <const> = server:messages(1)[1]
      assert.equal(host_name(), message.host)
      assert.equal("19", message.pri)
      assert.equal("ahost", message.app)
      assert.equal(tostring(process.pid), message.process)
      assert.equal("0", message.version)
      assert.equal(' ERROR spec.syslog [sd k="1"] not sold', message.message)
      assert.equal(os.date "%Y-%m-%dT%H:", message.time:sub(1, 14))
    end)

    it("keeps messages and their lines apart by " .. transport, function()
      configure { address = server[transport], format = "rfc5424" }
      logger:notice "first\nline 2"
      logger:notice ""
      logger:notice(("x"):rep(7000))
      local messages <const> = server:messages(3)
      assert.equal("first#012line 2", messages[1].message)
      assert.equal("", messages[2].message)
      assert.equal(("x"):rep(7000), messages[3].message)
    end)
  end

  it("has a severity for each level", function()
    configure { address = server.tcp }
    log.set_level("spec.syslog", "debug")
    local levels <const> = { "debug", "info", "notice", "warning", "error", "critical" }
    for _, level in ipairs(levels) do logger[level](logger, level) end
    log.set_level("spec.syslog", nil)
    local severities <const> = { "debug", "info", "notice", "warning", "err", "crit" }
    for i, message in ipairs(server:messages(#levels)) do
      assert.equal(severities[i], message.severity)
      assert.equal(levels[i], message.message)
    end
  end)

  it("sends valid headers whatever names there are", function()
    configure { address = server.tcp, sd_id = "shop@32473" }
    log.get(("long."):rep(10) .. "é"):notice("m", { [("k"):rep(40)] = "é\xff" })
    log.get(""):notice "of nobody"
    local messages <const> = server:messages(2)
    assert.equal("long.long.long.long.long.long.lo", messages[1].id)
    assert.equal(('[log l="NOTICE" logger="%s__"][shop@32473 %s="é\u{FFFD}"]')
      :format(("long."):rep(10), ("k"):rep(32)), messages[1].data)
    assert.equal("-", messages[2].id)
    assert.equal("of nobody", messages[2].message)
  end)

  it("cuts messages between characters, and leaves data out that does not fit",
    function()
      configure { address = server.udp, max_length = 500 }
      logger:notice(("é"):rep(500))
      logger:notice("short", { k = ("x"):rep(1000) })
      local messages <const> = server:messages(2)
      assert.equal("", (messages[1].message:gsub("é", "")))
      assert.equal('[log l="NOTICE"]', messages[2].data)
      assert.equal("short", messages[2].message)
    end)

  it("ends messages by newlines when asked to", function()
    configure { address = server.stream, format = "rfc5424", framing = "newlines" }
    logger:notice "one"
    logger:notice "two"
    local messages <const> = server:messages(2)
    assert.equal("one", messages[1].message)
    assert.equal("two", messages[2].message)
  end)

  for _, transport in ipairs { "tcp", "stream", "datagrams" } do
    it("goes on when the server comes back by " .. transport, function()
      configure { address = server[transport] }
      local capture <close> = log.capture()
      logger:notice "before"
      server:messages(1)
      server:stop()
      for i = 1, 3 do logger:notice("meanwhile %d", i) end
      local record <const> = told(capture, "trying again")
      assert.equal("ahost.log", record.logger)
      assert.equal("error", record.level)
      server:start()
      assert.matches("works again, dropped 0 records",
        told(capture, "works again").text)
      logger:notice "after"
      local messages <const> = server:messages(5)
      assert.equal(5, #messages)
      for i, text in ipairs { "before", "meanwhile 1", "meanwhile 2", "meanwhile 3",
        "after" } do
        assert.matches(text .. "$", messages[i].message)
      end
    end)
  end

  it("tells that nobody listens to its datagrams", function()
    server:stop()
    configure { address = server.udp }
    local capture <close> = log.capture()
    repeat
      logger:notice "lost or kept"
      task.sleep(0.01)
    until #log.stats() == 1 and log.stats()[1].queued > 1
    told(capture, "connection refused; trying again")
    server:start()
    told(capture, "works again")
    logger:notice "the last"
    repeat
      local messages <const> = server:messages(1)
    until messages[#messages].message == "the last"
  end)

  it("neither blocks nor grows when the server stops taking records", function()
    configure { address = server.stream, format = "rfc5424", queue = 100 }
    logger:notice "before"
    server:messages(1)
    server:signal "STOP"
    local total <const>, text <const> = 1000, ("x"):rep(4000)
    for _ = 1, total do logger:notice(text) end
    local stats <const> = log.stats()[1]
    assert.is_true(stats.dropped > 0)
    assert.is_true(stats.queued <= 100)
    server:signal "CONT"
    while log.stats()[1].queued > 0 do task.sleep(0.01) end
    local dropped <const> = log.stats()[1].dropped
    local kept, notes
    repeat
      kept, notes = 0, 0
      for _, message in ipairs(server:messages(1)) do
        if message.message == text then kept = kept + 1 end
        notes = notes + (message.message:match "^dropped (%d+) records?$" or 0)
      end
    until kept + dropped == total and notes == dropped
  end)

  it("cuts datagrams as the network wants it", function()
    configure { address = server.datagrams, format = "rfc5424", max_length = 65000 }
    logger:notice(("x"):rep(64000))
    assert.matches("^x+$", server:messages(1)[1].message)
  end)
end)

describe("the end of a program", function()
  it("waits for a server, but not for one that is not there", function()
    local listener <close> = assert(net.listen "127.0.0.1:0")
    local address <const> = "tcp://" .. listener:address()
    local script <const> = os.tmpname() .. ".lua"
    subprocess.write(script, "require('ahost.log').get('x'):notice 'last'")
    local running <close> = subprocess.start(("$ahost --syslog=%s %s"):format(address,
      script))
    local stream <close> = assert(listener:accept())
    local text <const> = assert(stream:read_all())
    assert.matches("^%d+ <133>1 .* ahost %d+ x %[log l=\"NOTICE\"%] last$", text)
    assert.equal(#text - #text:match "^%d+ ", tonumber(text:match "^%d+"))
    running:finish()
    listener:close()
    local result <const> = subprocess.shell(("$ahost --syslog=%s %s"):format(address,
      script))
    assert.equal(0, result.status)
    assert.matches("^ERROR ahost%.log: syslog 127%.0%.0%.1:%d+: connection refused; "
      .. "trying again", result.err)
    assert.matches("at the end dropped 1 record\n$", result.err)
    os.remove(script)
  end)
end)
