local command_line <const> = require "spec.command_line"

local is <const> = command_line.is

local FILES <const> = {
  ["ahost.yaml"] = [[
component:
  type: ./web.lua
  port: 80
  components:
    sessions: {type: ./sessions.lua}
    plain: {type: ./plain.lua}
servers:
  echo: {address: "127.0.0.1:0", handler: "web:echo"}
schedules:
  often: {every: 1h, func: "web:echo"}
listen:
  app.tick: web:echo
]],
  ["web.lua"] = [[
    local Web = {
      doc = "serves pages",
      options = { port = { type = "integer", min = 1, required = true } },
      echo = function() end,
    }
    function Web:init() self:add("added", "./plain.lua") end
    function Web:start() print "not reached" end
    return Web]],
  ["sessions.lua"] = [[
    return { options = { idle = { type = "duration", default = 60, doc = "how long" } } }
  ]],
  ["plain.lua"] = "return { options = {} }",
  ["free.lua"] = "return {}",
}

describe("ahost check", function()
  it("says that all is well, and starts nothing", function()
    local at <close> = command_line.new(FILES)
    is(at:run "check", 0, "ahost.yaml: fine\n")
    is(at:run "check ahost.yaml --set component.port=81", 0, "ahost.yaml: fine\n")
    is(at:run "-c ahost.yaml check ahost.yaml", 0, "ahost.yaml, ahost.yaml: fine\n")
    is(at:run "check --set component.port=81", 0, "ahost.yaml: fine\n")
    is(at:shell "mkdir x && cd x && $ahost check --set component.type=../free.lua", 0,
      "the configuration: fine\n")
  end)

  it("shows the tree when it is to be verbose", function()
    local at <close> = command_line.new(FILES)
    for _, words in ipairs { "-v check", "check -v" } do
      local result <const> = at:run(words)
      assert.equal(0, result.status)
      assert.equal([[
component: ./web.lua
  added: ./plain.lua
  plain: ./plain.lua
  sessions: ./sessions.lua
schedules.often: schedule
servers.echo: server
ahost.yaml: fine
]], result.out)
    end
  end)

  it("tells all that is wrong", function()
    local at <close> = command_line.new(FILES)
    at:write("bad.yaml", [[
component:
  port: none
  components:
    sessions: {idle: -1}
    plain: {what: 1}
    other: {type: ./nowhere.lua}
servers:
  echo: {limit: 0}
listen:
  app.tick: web:tick
logging:
  level: loud
commands:
  go: web:echo
  stop: web:stop
]])
    is(at:run "check ahost.yaml bad.yaml", 2, "", [[
bad.yaml:12:3: logging.level: must be debug, info, notice, warning, error or critical, ]]
    .. [[not "loud"
bad.yaml:2:3: port: must be an integer at least 1, not "none"
bad.yaml:6:13: other: cannot open file nowhere.lua: No such file or directory
bad.yaml:5:13: plain.what: unknown option (there are none)
bad.yaml:4:16: sessions.idle: must be a duration (seconds, or as 10ms 5s 2m 1h30m ]]
    .. [[3d 1w), not -1
bad.yaml:8:10: servers.echo.limit: must be an integer at least 1, not 0
bad.yaml:10:3: listen.app.tick: module 'web' has no 'tick' (known are: doc, echo, init, ]]
    .. [[options, start)
bad.yaml:15:3: commands.stop: module 'web' has no 'stop' (known are: doc, echo, init, ]]
    .. [[options, start)
]])
    at:write("none.yaml", "component: {}\n")
    is(at:run "check none.yaml", 2, "", "none.yaml:1:1: the root component: "
      .. "it has no type, which names a module or a file\n")
    at:write("keys.yaml", "componet: {}\nstop_timeout: soon\n")
    local result <const> = at:run "check keys.yaml"
    assert.equal(2, result.status)
    assert.matches("^keys.yaml: there is nothing to run; .*\n"
      .. ".*keys.yaml:2:1: stop_timeout: must be a duration", result.err)
    assert.matches('\nkeys.yaml:1:1: componet: unknown .*"component"', "\n" .. result.err)
  end)

  it("takes null for what is not there", function()
    local at <close> = command_line.new(FILES)
    local function nulls(names)
      return (names:gsub("%a+ ?", function(name) return name .. ":\n" end))
    end
    at:write("free.yaml", "component: {type: ./free.lua}\n"
      .. nulls "components schedules servers listen defaults commands logging")
    is(at:run "check free.yaml", 0, "free.yaml: fine\n")
    at:write("none.yaml", nulls "component components schedules servers listen")
    is(at:run "check none.yaml", 2, "", "none.yaml: there is nothing to run; give "
      .. "component, components, schedules, servers or listen\n")
  end)

  it("ends with 1 when it is interrupted", function()
    local at <close> = command_line.new {
      ["s.lua"] = "print 'here' io.stdout:flush() require('ahost.task').sleep(1000)",
    }
    local running <close> = at:start "check --set component.type=./s.lua"
    assert.equal("here", running:read_line())
    running:signal "INT"
    assert.equal(1, running:finish().status)
  end)

  describe("--help-all", function()
    it("tells the options of all components", function()
      local at <close> = command_line.new(FILES)
      at:write("free.yaml", "component.components.free: {type: ./free.lua}")
      local result <const> = at:run "check --help-all ahost.yaml free.yaml"
      assert.equal(0, result.status)
      assert.equal("", result.err)
      local parts <const> = {
        "top%-level keys:\n.*\n  include +any\n.*\n  stop_timeout +duration +10\n",
        "\nany component:\n.*\n  restart +enum +never ",
        "\ncomponent: ./web.lua %- serves pages\n  port  integer  required  at least 1\n",
        "\nadded: ./plain.lua\n  it has no options\n",
        "\nfree: ./free.lua\n  it does not say what its options are\n",
        "\nsessions: ./sessions.lua\n  sessions.idle  duration  60  how long\n",
        "\nschedules.often: schedule %- .*\n  schedules.often.cron ",
        "\nservers.echo: server %- ",
      }
      assert.matches("^" .. table.concat(parts, ".*"), result.out)
    end)

    it("tells what it can when something is wrong", function()
      local at <close> = command_line.new(FILES)
      local result <const> = at:run "check --help-all --set component.port=0"
      assert.equal(2, result.status)
      assert.equal(
        "--set component.port: port: must be an integer at least 1, not 0\n", result.err)
      assert.matches("\n  port +integer +required .*\n  sessions.idle ", result.out)
    end)

    it("tells of the bundled components where there is no configuration", function()
      local at <close> = command_line.new {}
      local result <const> = at:run "check --help-all"
      assert.equal(0, result.status)
      assert.matches("^top%-level keys:\n.*\nserver %- .*\n  address +address",
        result.out)
    end)
  end)
end)
