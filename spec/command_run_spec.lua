local command_line <const> = require "spec.command_line"

local is <const> = command_line.is

local HELLO <const> = [[
local Hello = { options = { word = { type = "string", default = "hello" } } }
function Hello:start() print(self.config.word) end
function Hello:run() return self.config.word == "fail" and 3 or nil end
return Hello
]]

-- Serves until it is stopped.
local SERVICE <const> = [[
local Service = {}
function Service:start(ctx)
  ctx:on_close(function() print "closed" end)
  print "started"
  io.stdout:flush()
end
return Service
]]

describe("ahost run", function()
  it("runs what a file describes, with modules from beside it", function()
    local at <close> = command_line.new {
      ["app/app.yaml"] = "component: {type: hello}",
      ["app/hello.lua"] = "return require 'parts.hello'",
      ["app/parts/hello.lua"] = HELLO,
    }
    is(at:run "run app/app.yaml", 0, "hello\n")
    is(at:shell "cd app && $ahost run app.yaml", 0, "hello\n")
  end)

  it("merges files, and what --set says", function()
    local at <close> = command_line.new {
      ["a.yaml"] = "component: {type: ./hello.lua, word: a}",
      ["b.lua"] = "return { component = { word = 'b' } }",
      ["hello.lua"] = HELLO,
    }
    is(at:run "run a.yaml b.lua", 0, "b\n")
    is(at:run "-c a.yaml run b.lua", 0, "b\n")
    is(at:run "run -c b.lua a.yaml", 0, "a\n")
    is(at:run "run a.yaml --set component.word=x b.lua --set=component.word=fail", 3,
      "fail\n")
    is(at:run "run --set component.type=./hello.lua", 0, "hello\n")
  end)

  it("has limits for what says no limits of its own", function()
    local at <close> = command_line.new {
      ["app.yaml"] = [[
component: {type: ./limited.lua}
limits: {memory: 32MiB, connections: 1, line: 10, events: 3, queue: 2}
]],
      ["limited.lua"] = [[
local net <const>, task <const> = require "ahost.net", require "ahost.task"
local Limited <const> = {}
function Limited:run(ctx)
  local bus <const> = ctx:require "bus"
  local subscriber <const> = bus:subscriber "message"
  for _ = 1, 5 do bus:publish "message" end
  print(subscriber.dropped)
  local queue <const> = require("ahost.sync").queue()
  print(queue:try_put(1), queue:try_put(2), (queue:try_put(3)))
  local server <const> = assert(net.serve("127.0.0.1:0", function(stream)
    print(select(2, stream:read_line()).code)
    task.sleep(100)
  end))
  local first <const> = assert(net.connect(server:address()))
  local second <const> = assert(net.connect(server:address()))
  first:write("longer than that\n")
  second:write("longer than that\n")
  task.sleep(0.05)
  print(server:count())
  print(pcall(string.rep, "x", 64 << 20))
end
return Limited
]],
    }
    local result <const> = at:run "run app.yaml"
    assert.equal("", result.err)
    assert.equal("2\ntrue\ttrue\tfalse\nTOOLONG\n1\nfalse\tnot enough memory\n",
      result.out)
    is(at:run "check app.yaml --set limits.line=0", 2, "",
      "--set limits.line: limits.line: must be a size from 1 to 1GiB (bytes, or as 64K "
        .. "10MB 1G), not 0\n")
  end)

  it("finds its configuration", function()
    local at <close> = command_line.new { ["hello.lua"] = HELLO }
    is(at:run "run", 2, "", "ahost: there is no configuration: none of ahost.yaml, "
      .. "etc/ahost.yaml, /etc/ahost/ahost.yaml, ahost.lua, etc/ahost.lua, "
      .. "/etc/ahost/ahost.lua exists; name a file, or set AHOST_CONFIG\n")
    at:write("etc/ahost.lua", "return { component = { type = '../hello.lua' } }")
    is(at:run "run", 0, "hello\n")
    at:write("ahost.yaml", "component: {type: ./hello.lua, word: first}")
    is(at:run "run", 0, "first\n")
    is(at:shell "AHOST_CONFIG=etc/ahost.lua $ahost run", 0, "hello\n")
  end)

  it("chooses a service", function()
    local at <close> = command_line.new {
      ["ahost.yaml"] = "services:\n"
        .. "  a: {component: {type: ./hello.lua, word: a}}\n"
        .. "  b: {component: {type: ./hello.lua, word: b}}\n",
      ["hello.lua"] = HELLO,
    }
    is(at:run "run -s a", 0, "a\n")
    is(at:run "run --service=b", 0, "b\n")
    is(at:shell "AHOST_SERVICE=a $ahost run", 0, "a\n")
    is(at:shell "AHOST_SERVICE=a $ahost run -sb", 0, "b\n")
  end)

  it("tells all that is wrong, with status 2, and starts nothing", function()
    local at <close> = command_line.new {
      ["a.yaml"] = "component:\n  type: ./hello.lua\n  wrod: x\n  word: [1]\n",
      ["b.yaml"] = "component: [",
      ["c.yaml"] = "stop_timeout: 1",
      ["hello.lua"] = HELLO,
    }
    is(at:run "run a.yaml", 2, "", [[
a.yaml:4:3: word: must be a string, not a list of 1
a.yaml:3:3: wrod: unknown option (did you mean "word"?)
]])
    is(at:run "run nowhere.yaml", 2, "",
      "nowhere.yaml cannot be read: No such file or directory\n")
    is(at:run "run c.yaml", 2, "", "c.yaml: there is nothing to run; give component, "
      .. "components, schedules, servers or listen\n")
    is(at:run "run c.yaml --set logging.level=loud --set component.type=./hello.lua", 2,
      "", "--set logging.level: logging.level: must be debug, info, notice, warning, "
      .. 'error or critical, not "loud"\n')
  end)

  it("tells what is wrong with its own words", function()
    local at <close> = command_line.new {}
    local function refused(words, message)
      is(at:run("run " .. words), 2, "",
        ("ahost run: %s\ntry 'ahost run --help'\n"):format(message))
    end
    refused("-x", "unknown option '-x'")
    refused("--sevice x", [[unknown option '--sevice' (did you mean "--service"?)]])
    refused("--set", "--set takes a value: --set KEY=VALUE")
    refused("-vs", "-s takes a value: -s NAME")
    refused("--help=me", "--help takes no value")
    assert.matches("^usage: ahost run ", at:run("run --help").out)
    assert.equal(at:run("run --help").out, at:run("run -h").out)
  end)

  it("tells at -v how far it gets", function()
    local at <close> = command_line.new {
      ["app.yaml"] = "components: {a: {type: ./a.lua}, b: {type: ./b.lua}}\n"
        .. "listen: {app.run: 'stop:now'}",
      ["a.lua"] = [[
        return { start = function(_, ctx)
          ctx:request "db"
        end }]],
      ["b.lua"] = [[
        return {
          prepare = function() end,
          start = function(_, ctx) ctx:publish("db", 1) end,
        }]],
      ["stop.lua"] = "return { now = function() require 'ahost.host'.stop() end }",
    }
    local told <const> = {}
    for line in at:run("-v run app.yaml").err:gmatch "DEBUG ([^\n]*)" do
      told[#told + 1] = line
    end
    assert.same({
      "ahost.application: component a (./a.lua): start",
      "ahost.application: component b (./b.lua): prepare",
      "ahost.context: a.start waits for resource 'db' at a.lua:2",
      "ahost.application: component b (./b.lua): start",
      "ahost.application: published: db",
      "ahost.application: component b (./b.lua): started",
      "ahost.application: component a (./a.lua): started",
      "ahost.application: the root component: started",
    }, told)
    assert.equal("", at:run("run app.yaml").err)
  end)

  it("stops at a process signal", function()
    local at <close> = command_line.new { ["s.lua"] = SERVICE }
    local running <close> = at:start "run --set component.type=./s.lua"
    assert.equal("started", running:read_line())
    running:signal "TERM"
    local result <const> = running:finish()
    assert.equal("closed\n", result.out)
    assert.equal(0, result.status)
  end)

  it("ends with 1 when a process signal comes before all has started", function()
    local at <close> = command_line.new {
      ["s.lua"] = "local S = {}\n"
        .. "function S:%s()\n  print 'here'\n  io.stdout:flush()\n"
        .. "  require('ahost.task').sleep(1000)\nend\nreturn S",
    }
    local text <const> = at:read "s.lua"
    for _, phase in ipairs { "init", "prepare", "start" } do
      at:write("s.lua", text:format(phase))
      local running <close> = at:start "run --set component.type=./s.lua"
      assert.equal("here", running:read_line())
      running:signal "INT"
      assert.equal(1, running:finish().status)
    end
  end)

  it("ends with 1 when something fails", function()
    local at <close> = command_line.new {
      ["s.lua"] = "return { start = function() error 'boom' end }",
    }
    local result <const> = at:run "run --set component.type=./s.lua"
    assert.equal(1, result.status)
    assert.matches("the root component failed in start: s.lua:1: boom", result.err, 1,
      true)
  end)

  it("gives the host its limits", function()
    local at <close> = command_line.new {
      ["s.lua"] = [[
        return { run = function()
          print(require "ahost.component.runtime".stop_timeout())
          print(os.getenv "UV_THREADPOOL_SIZE")
          print(require "ahost.log".level(""))
        end }]],
      ["ahost.yaml"] = "component.type: ./s.lua\nstop_timeout: 1500ms\nmax_threads: 7\n"
        .. "logging.level: error\n",
    }
    is(at:run "run", 0, "1.5\n7\nerror\n")
    assert.equal("1.5\n7\ndebug\n", at:run("-v run").out)
    assert.equal("1.5\n7\ndebug\n", at:run("run -v").out)
  end)
end)
