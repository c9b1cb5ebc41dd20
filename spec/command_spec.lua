local command_line <const> = require "spec.command_line"

local is <const> = command_line.is

describe("ahost", function()
  local at
  setup(function()
    at = command_line.new {
      ["app.lua"] = [[
        local app = {}
        function app.greet(...)
          print("hello", ...)
          print(require "ahost".config.get "defaults.web.port")
          print(table.concat(require "ahost".host.args, " "))
        end
        function app.wait()
          require "ahost".task.sleep(0)
          return 7
        end
        function app.text() return "text" end
        function app.large() return 300 end
        function app.fail() error "boom" end
        function app.sleep()
          print "here"
          io.stdout:flush()
          require "ahost".task.sleep(1000)
        end
        return app]],
      ["ahost.yaml"] = [[
commands:
  greet: app:greet
  wait: ./app.lua:wait
  text: app:text
  large: app:large
  fail: app:fail
  sleep: app:sleep
  wrong: app:nothing
  missing: nowhere:fn
  number: 5
  check: app:greet
  db.migrate: app:greet
defaults: {web: {port: 80}}
]],
      ["conf/other.yaml"] = "commands: {there: 'beside:fn'}",
      ["conf/beside.lua"] = "return { fn = function() print 'there' end }",
      ["bad.yaml"] = "commands: [",
    }
  end)
  teardown(function() at.remove() end)

  it("runs commands of the application, with their words", function()
    is(at:run "greet a -b --help '' ' c '", 0,
      "hello\ta\t-b\t--help\t\t c \n80\na -b --help   c \n")
    is(at:run "db.migrate", 0, "hello\n80\n\n")
    is(at:run "-c conf/other.yaml there", 0, "there\n")
    is(at:run "-- greet", 0, "hello\n80\n\n")
  end)

  it("ends with what a command returns", function()
    is(at:run "wait", 7)
    is(at:run "text", 1, "",
      "WARNING ahost.command: run() must return an integer or nil, not a string\n")
    is(at:run "large", 1, "", "WARNING ahost.command: exit status out of range: 300\n")
    local result <const> = at:run "fail"
    assert.equal(1, result.status)
    assert.matches("app.lua:%d+: boom\nstack traceback:", result.err)
  end)

  it("ends with 1 when a command is interrupted", function()
    local running <close> = at:start "sleep"
    assert.equal("here", running:read_line())
    running:signal "TERM"
    assert.equal(1, running:finish().status)
  end)

  it("says what commands there are", function()
    is(at:run "gret", 2, "", [[
ahost: no such command 'gret', and no such script (did you mean "greet"?)
the commands are run, check, config, test, new, components, ctl; of ahost.yaml: check, ]]
      .. "db.migrate, fail, greet, large, missing, number, sleep, text, wait, wrong\n")
    is(at:shell "cd conf && $ahost zzzzzzz", 2, "", [[
ahost: no such command 'zzzzzzz', and no such script
the commands are run, check, config, test, new, components, ctl
]])
  end)

  it("says what is wrong with a command", function()
    is(at:run "wrong", 2, "",
      "ahost.yaml:8:3: commands.wrong: module 'app' has no 'nothing' (known are: "
      .. "fail, greet, large, sleep, text, wait)\n")
    is(at:run "number", 2, "",
      "ahost.yaml:10:3: commands.number: must be module:function, not an integer\n")
    local result <const> = at:run "missing"
    assert.equal(2, result.status)
    assert.matches("^ahost.yaml:9:3: commands.missing: module 'nowhere' not found",
      result.err)
    is(at:run "-c nowhere.yaml greet", 2, "",
      "nowhere.yaml cannot be read: No such file or directory\n")
    local bad <const> = at:run "-c bad.yaml greet"
    assert.equal(2, bad.status)
    assert.matches("^bad.yaml:2:1: ", bad.err)
  end)

  it("prefers its own commands to files, and files to those of the application",
    function()
      local here <close> = command_line.new {
        ["greet"] = "print('script', ...)",
        ["check"] = "print 'not this'",
        ["fail/x"] = "",
        ["ahost.yaml"] = "commands: {greet: 'app:fn', fail: 'app:fn'}",
        ["app.lua"] = "return { fn = function() print 'command' end }",
      }
      is(here:run "greet a", 0, "script\ta\n")
      is(here:run "fail", 0, "command\n")
      assert.matches("nothing to run", here:run("check").err)
    end)

  it("tells what there is", function()
    local help <const> = at:run "--help"
    is(help, 0, [[
usage: ahost [options] SCRIPT [argument ...]
       ahost [options] COMMAND [argument ...]

SCRIPT is a Lua file; its body is the main task. commands:
  run         run the application that configuration files describe
  check       say all that is wrong with configuration files
  config      show the effective configuration, read or change a value
  test        run busted specs inside a host
  new         write a small application to begin with
  components  list the components that come with ahost
  ctl         look into a running application, or steer it
  NAME        one of `commands` in the configuration

options:
  -c FILE                 a configuration file; repeatable
  -l FILE                 log to a file
      --syslog[=ADDRESS]  log to a syslog server (unix:///dev/log)
  -v                      say more, and log debug records too
  -h, --help              show this and exit
  -d                      run in the background (run)
  -k                      end what runs in the background (run)
  -w, --watch             reload when a file is saved (run, scripts)
      --version           show the version and exit

'ahost COMMAND --help' tells more of a command
]])
    is(at:run "", 2, "", help.out)
    is(at:run "-h", 0, help.out)
  end)

  it("tells the usage of each command", function()
    for name in ("run check config test new components ctl"):gmatch "%l+" do
      local result <const> = at:run(name .. " --help")
      assert.equal(0, result.status)
      assert.equal("", result.err)
      assert.matches("^usage: ahost " .. name .. " %[options%] ", result.out)
    end
  end)

  it("refuses options that it does not know, and -c for scripts", function()
    assert.equal(2, at:run("-x run").status)
    assert.equal(2, at:run("-c").status)
    is(at:run "-c ahost.yaml app.lua", 2, "",
      "ahost: -c is for commands, and app.lua is a script\n")
  end)
end)

describe("ahost test", function()
  it("finds the modules of the application beside its configuration", function()
    local at <close> = command_line.new {
      ["etc/ahost.yaml"] = "",
      ["etc/shop.lua"] = "return 1",
      ["other/app.yaml"] = "",
      ["other/shop.lua"] = "return 2",
      ["spec/shop_spec.lua"] = "it('is found', function() print(require 'shop') end)",
    }
    assert.matches("^1\t", at:run("test").out)
    assert.matches("^2\t", at:run("-c other/app.yaml test").out)
    assert.matches("1 success /", at:run("test spec/shop_spec.lua").out)
  end)
end)

describe("ahost components", function()
  it("lists what comes with ahost", function()
    local at <close> = command_line.new {}
    local all <const> = at:run "components"
    assert.equal(0, all.status)
    assert.matches("\nserver +calls a function for each connection to an address\n",
      "\n" .. all.out)
    is(at:run "components server", 0,
      "server  calls a function for each connection to an address\n")
    local more <const> = at:run "components -v server"
    assert.matches("^server %- calls a function .*\n  address +address +required ",
      more.out)
    local result <const> = at:run "components sever"
    assert.equal(2, result.status)
    assert.matches("^ahost: no component 'sever' comes with ahost; there are ",
      result.err)
  end)
end)
