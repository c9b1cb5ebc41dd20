local command_line <const> = require "spec.command_line"
local json <const> = require "ahost.json"
local subprocess <const> = require "spec.subprocess"

local is <const> = command_line.is

-- Serves until it is stopped, and tells what it logs.
local SERVICE <const> = [[
local net <const> = require "ahost.net"
local task <const> = require "ahost.task"
local Service = {}
function Service:start(ctx)
  ctx:publish("shop.stock", {}, { doc = "what there is" })
  local control <const> = ctx:require "control"
  control:command("sum", function(request)
    local sum = 0
    for _, word in ipairs(request.arguments) do sum = sum + tonumber(word) end
    return sum
  end, "adds numbers")
  control:command("say", function(request)
    self.log:info("%s", request.arguments[1])
  end)
  control:command("slow", function()
    self.log:warning "asked"
    task.sleep(1000)
  end)
  net.serve("127.0.0.1:0", function(stream) stream:read() end, { limit = 5 })
  ctx:spawn("restock", function() ctx:request "supplier/fast" end)
  ctx:on_close(function() print "closed" end)
  print "started"
  io.stdout:flush()
end
return Service
]]

-- A component that starts when it is told to.
local WAITER <const> = [[
return {
  start = function(_, ctx)
    print "waiting"
    io.stdout:flush()
    ctx:spawn("other", require "ahost.task".sleep, 1000)
    ctx:request "database"
  end,
}
]]

local function new(files)
  files = files or {}
  files["shop.yaml"] = files["shop.yaml"] or "components: {shop: {type: ./shop.lua}}\n"
  files["shop.lua"] = SERVICE
  files["waiter.lua"] = WAITER
  return command_line.new(files)
end

local function start(at, words, line)
  local running <const> = at:start(words)
  assert.equal(line or "started", running:read_line())
  return running
end

local function has(text, part)
  assert.is_truthy(text:find(part, 1, true), ("no '%s' in:\n%s"):format(part, text))
end

local NOT_RUNNING <const> = "ahost ctl: the application is not running, or cannot be "
  .. "reached: "

describe("ahost ctl", function()
  it("tells people of components, listeners, resources and tasks", function()
    local at <close> = new()
    local running <close> = start(at, "run shop.yaml")
    local result <const> = at:run "ctl shop.yaml status"
    assert.equal(0, result.status, result.err)
    has(result.out, "application  shop (" .. at.directory .. "/shop.yaml)\n")
    has(result.out, "state        running for ")
    assert.matches("\nloop lag     [%d.e-]+ ms on average, [%d.e-]+ ms at most, in %d",
      result.out)
    has(result.out, [[
COMPONENT  TYPE                       STATE    TASKS  OWNS
root       ahost.component.container  started  0
  shop     ./shop.lua                 started  1      1 request
]])
    has(result.out, "\nLISTENER")
    has(result.out, "server  shop       0 of 5\n")
    assert.matches("\nshop.stock +shop +what there is\n", result.out)
    assert.matches("\nrestock +shop +resource supplier/fast +shop.lua:%d+\n", result.out)
    assert.equal("", result.err)
    assert(running)
  end)

  it("tells scripts the same as a line of JSON", function()
    local at <close> = new()
    local running <close> = start(at, "run shop.yaml")
    local result <const> = at:run "ctl --json shop.yaml status resources"
    assert.equal(0, result.status, result.err)
    assert.matches("^[^\n]+\n$", result.out)
    local reply <const> = json.decode(result.out)
    assert.is_true(reply.ok)
    assert.equal("shop", reply.result.name)
    assert.is_nil(reply.result.tasks)
    local keys <const> = {}
    for _, resource in ipairs(reply.result.resources) do keys[resource.key] = true end
    assert.is_true(keys["shop.stock"])
    local refused <const> = at:run "ctl --json shop.yaml nope"
    assert.equal(1, refused.status)
    assert.equal("NOTFOUND", json.decode(refused.out).error.code)
    assert(running)
  end)

  it("finds the application by its files, or by its socket", function()
    local at <close> = new {
      ["conf/ahost.yaml"] = "services:\n  a: {component: {type: ../shop.lua}}\n"
        .. "  b: {component: {type: ../shop.lua}}\n",
    }
    local running <close> = start(at, "run shop.yaml")
    local expected <const> = "^shop: running, process %d+, ahost %d"
    local socket <const> = at.directory .. "/ahost-shop.sock"
    for _, words in ipairs { "ctl shop.yaml ping", "ctl ping shop.yaml",
      "ctl -c shop.yaml ping", "-c shop.yaml ctl ping",
      "ctl --socket=ahost-shop.sock ping", "ctl --socket " .. socket .. " ping" } do
      local result <const> = at:run(words)
      assert.equal(0, result.status, result.err)
      assert.matches(expected, result.out)
    end
    assert.matches(expected, at:shell("AHOST_CONFIG=shop.yaml $ahost ctl ping").out)
    local service <close> = start(at, "run conf/ahost.yaml -s a")
    assert.matches("^ahost%-a: ", at:run("ctl conf/ahost.yaml -s a ping").out)
    assert.equal(1, at:run("ctl conf/ahost.yaml -s b ping").status)
    assert.matches("^ahost%-a: ",
      at:shell("AHOST_SERVICE=a $ahost ctl conf/ahost.yaml ping").out)
    assert(running)
    assert(service)
  end)

  it("bears files whose names are no UTF-8", function()
    local at <close> = new { ["\xe9.yaml"] = "component: {type: ./shop.lua}\n" }
    local running <close> = start(at, "run \xe9.yaml")
    assert.matches("^_: running", at:run("ctl \xe9.yaml ping").out)
    assert(running)
  end)

  it("looks into an application that does not get on with its start", function()
    local at <close> = new {
      ["stuck.yaml"] = "components: {web: {type: ./waiter.lua}}\n",
    }
    local running <close> = start(at, "run stuck.yaml", "waiting")
    local result <const> = at:run "ctl stuck.yaml status"
    has(result.out, "state        starting for ")
    assert.matches("\n  web +./waiter.lua +starting +2 ", result.out)
    assert.matches("\nweb.start +web +resource database +waiter.lua:6\n", result.out)
    assert(running)
  end)

  it("ends it, with a status, and waits for that", function()
    local at <close> = new()
    local running <close> = start(at, "run shop.yaml")
    is(at:run "ctl stop 3 --wait shop.yaml", 0)
    local result <const> = running:finish()
    assert.equal("NOTICE ahost.control: asked to stop by the control socket\nclosed\n",
      result.out)
    assert.equal(3, result.status)
    is(at:shell "ls", 0, "shop.lua\nshop.yaml\nwaiter.lua\n")
  end)

  it("says when it is not running", function()
    local at <close> = new()
    local result <const> = at:run "ctl shop.yaml status"
    assert.same({ 1, "" }, { result.status, result.out })
    has(result.err, NOT_RUNNING .. "connect unix:" .. at.directory
      .. "/ahost-shop.sock: no such file or directory (ENOENT); connect unix:/run/")
    is(at:run "ctl --socket x ping", 1, "",
      NOT_RUNNING .. "connect unix:x: no such file or directory (ENOENT)\n")
    is(at:run "ctl shop.yaml --set control=false ping", 1, "",
      "ahost ctl: shop.yaml: its control socket is turned off\n")
    is(at:run "ctl nowhere.yaml ping", 2, "",
      "nowhere.yaml cannot be read: No such file or directory\n")
    assert.equal(2, at:run("ctl ping").status)
  end)

  it("says when it has been killed, and its next run takes the socket over", function()
    local at <close> = new()
    local first <close> = start(at, "run shop.yaml")
    local ping <const> = json.decode(at:run("ctl --json ping shop.yaml").out)
    at:shell("kill -9 " .. ping.result.pid)
    assert.equal(137, first:finish().status)
    is(at:run "ctl --socket ahost-shop.sock ping", 1, "",
      NOT_RUNNING .. "connect unix:ahost-shop.sock: connection refused (ECONNREFUSED)\n")
    local second <close> = start(at, "run shop.yaml")
    assert.equal(0, at:run("ctl shop.yaml ping").status)
    assert.equal(0, at:run("ctl shop.yaml stop --wait").status)
    second:finish()
  end)

  it("sets levels of logging", function()
    local at <close> = new()
    local running <close> = start(at, "run shop.yaml")
    is(at:run "ctl shop.yaml log", 0, "all loggers: notice\n")
    at:run "ctl shop.yaml say unheard"
    is(at:run "ctl shop.yaml log info shop", 0, "shop: info\n")
    is(at:run "ctl shop.yaml say heard", 0)
    is(at:run "ctl shop.yaml log inherit shop", 0, "shop: notice\n")
    is(at:run "ctl shop.yaml log loud", 1, "", "ahost ctl: no level 'loud' (known are: "
      .. "debug, info, notice, warning, error, critical, inherit)\n")
    at:run "ctl shop.yaml stop"
    local out <const> = running:finish().out
    has(out, "INFO shop: heard\n")
    assert.is_nil(out:find("unheard", 1, true))
  end)

  it("shows metrics", function()
    local at <close> = new()
    local running <close> = start(at, "run shop.yaml")
    assert.matches("# EOF\n$", at:run("ctl shop.yaml metrics").out)
    assert.matches("\n# TYPE ", at:run("ctl shop.yaml metrics prometheus").out)
    assert.equal(1, at:run("ctl shop.yaml metrics xml").status)
    assert(running)
  end)

  it("passes on the words of commands of the application", function()
    local at <close> = new()
    local running <close> = start(at, "run shop.yaml")
    is(at:run "ctl shop.yaml sum 1 2 39", 0, "42\n")
    is(at:run "ctl shop.yaml sum", 0, "0\n")
    local failed <const> = at:run "ctl shop.yaml sum x.lua"
    assert.equal(1, failed.status)
    assert.matches("^ahost ctl: shop.lua:9: attempt to perform arithmetic", failed.err)
    has(at:run("ctl shop.yaml commands").out, "\nsum       adds numbers\n")
    assert(running)
  end)

  it("gives up when an answer takes too long, or the application ends", function()
    local at <close> = new()
    local running <close> = start(at, "run shop.yaml")
    is(at:run "ctl shop.yaml --timeout 10ms slow", 1, "",
      "ahost ctl: no answer: read_line: timed out (TIMEDOUT)\n")
    assert.equal("WARNING shop: asked", running:read_line())
    local asking <close> = at:start "ctl shop.yaml slow"
    assert.equal("WARNING shop: asked", running:read_line())
    is(at:run "ctl shop.yaml stop", 0)
    local outcome <const> = asking:finish()
    assert.equal(1, outcome.status)
    assert.equal("ahost ctl: the application closed the connection without an answer\n",
      outcome.out)
    assert.equal(0, running:finish().status)
  end)

  it("is told when an option of a command is none", function()
    local at <close> = new()
    local function refused(words, message)
      is(at:run("ctl shop.yaml " .. words), 2, "",
        ("ahost ctl: %s\ntry 'ahost ctl --help'\n"):format(message))
    end
    refused("", "a command is missing: status, for example")
    refused("ping x", "ping: one word too many: 'x'")
    refused("log '\xff'", "words must be UTF-8")
    refused("stop x", "the status must be a number, not 'x'")
    refused("status --limit x", "--limit must be a number, not 'x'")
    refused("status --timeout x", "--timeout: 'x' is no duration, as 30s")
    refused("status --socket @x", "--socket: '@x' must be the path of a file")
    refused("status --jsno", "unknown option '--jsno' (did you mean \"--json\"?)")
  end)

  it("does not take one application for another of the same name", function()
    local at <close> = new { ["other/shop.yaml"] = "component: {type: ../shop.lua}\n" }
    local running <close> = start(at, "run shop.yaml")
    local result <const> = at:run "ctl other/shop.yaml stop"
    assert.equal(1, result.status)
    has(result.err, ("the application here is that of %s/shop.yaml, not of "
      .. "%s/other/shop.yaml; give each a name of its own: control.name"):format(
      at.directory, at.directory))
    assert.equal(0, at:run("ctl shop.yaml ping").status)
    assert(running)
  end)
end)

describe("the control socket of ahost run", function()
  it("is left to the program that has it", function()
    local at <close> = new()
    local first <close> = start(at, "run shop.yaml")
    local second <close> = at:start "run shop.yaml"
    local line <const> = second:read_line()
    has(line, "WARNING ahost.control: there is no control socket: listen on unix:")
    has(line, "address already in use (EADDRINUSE)")
    assert.equal("started", second:read_line())
    second:signal "TERM"
    assert.equal(0, second:finish().status)
    assert.equal(0, at:run("ctl shop.yaml ping").status)
    assert(first)
  end)

  it("can be turned off", function()
    local at <close> = new()
    local running <close> = start(at, "run shop.yaml --set control=false")
    is(at:shell "ls", 0, "shop.lua\nshop.yaml\nwaiter.lua\n")
    assert(running)
  end)

  it("is beside the file that says so", function()
    local at <close> = new { ["conf/shop.yaml"] =
      "component: {type: ../shop.lua}\ncontrol: {path: run.sock, name: store}\n" }
    local running <close> = start(at, "run conf/shop.yaml")
    assert.matches("^store: ", at:run("ctl conf/shop.yaml ping").out)
    is(at:shell "ls conf", 0, "run.sock\nshop.yaml\n")
    assert(running)
  end)

  it("that was asked for has to be there", function()
    local at <close> = new()
    local result <const> = at:run "run shop.yaml --set control.path=no/where.sock"
    assert.same({ 1, "" }, { result.status, result.out })
    has(result.err, "ERROR ahost.application: the control socket: listen on "
      .. "unix:no/where.sock: no such file or directory (ENOENT)\n")
  end)

  it("is checked", function()
    local at <close> = new { ["shop.yaml"] = "component: {type: ./shop.lua}\n"
      .. "control:\n  paht: x\n  name: a/b\n" }
    is(at:run "check shop.yaml", 2, "", [[
shop.yaml:4:3: control.name: must be letters, digits, dots, hyphens and underscores
shop.yaml:3:3: control.paht: unknown option (did you mean "path"?)
]])
  end)

  it("is for the user of the program, and root", function()
    local at <close> = new()
    local is_root <const> = subprocess.shell("test $(id -u) = 0 && command -v setpriv")
    if is_root.status ~= 0 then
      return pending "needs root, and setpriv"
    end
    local running <close> = start(at, "run shop.yaml")
    local ping <const> = "cp $ahost ./ahost && chmod 755 . ./ahost && "
      .. "setpriv --reuid=65534 --clear-groups ./ahost ctl --socket ahost-shop.sock ping"
    local result = at:shell(ping)
    assert.equal(1, result.status)
    has(result.err, "permission denied (EACCES)")
    result = at:shell("chmod 666 ahost-shop.sock && " .. ping)
    is(result, 1, "", "ahost ctl: only the user of the program, and root, may\n")
    at:run "ctl shop.yaml stop"
    has(running:finish().out, "of user 65534\n")
  end)
end)
