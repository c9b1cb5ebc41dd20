-- Reloading for users of the command: by `ahost ctl`, by process signals, and what they
-- are told.

local command_line <const> = require "spec.command_line"
local json <const> = require "ahost.json"
local service_manager <const> = require "spec.service_manager"
local subprocess <const> = require "spec.subprocess"

local CONFIG <const> = [[
components:
  shop: {type: ./shop.lua, stock: 1}
  user: {type: ./user.lua}
]]

-- Publishes what it is configured with.
local SHOP <const> = [[
return { start = function(self, ctx)
  ctx:publish("stock", self.config.stock)
  print("stock", self.config.stock)
  io.stdout:flush()
end }
]]

local USER <const> = [[
return { start = function(_, ctx)
  print("user", ctx:request "stock")
  io.stdout:flush()
end }
]]

local function new(files)
  local all <const> = { ["shop.yaml"] = CONFIG, ["shop.lua"] = SHOP, ["user.lua"] = USER }
  for name, text in pairs(files or {}) do all[name] = text end
  return command_line.new(all)
end

-- Reads lines until one matches. -> it
local function await(running, pattern)
  local seen <const> = {}
  for line in function() return running:read_line() end do
    if line:find(pattern) then return line end
    seen[#seen + 1] = line
  end
  error(("no line matches '%s' in:\n%s"):format(pattern, table.concat(seen, "\n")), 2)
end

local function start(at, words)
  local running <const> = at:start("run shop.yaml " .. (words or ""))
  await(running, "^user\t1")
  -- All have started when it answers that it is running.
  repeat until at:run("ctl shop.yaml ping").out:find ": running,"
  return running
end

describe("ahost ctl reload", function()
  it("tells what became of each component, and why", function()
    local at <close> = new()
    local running <close> = start(at)
    at:write("shop.yaml", (CONFIG:gsub("stock: 1", "stock: 2")))
    local result <const> = at:run "ctl shop.yaml reload"
    assert.equal("", result.err)
    assert.matches("^reloaded in [%d.]+ ms\n\nCOMPONENT +WHAT +GENERATION +START +WHY\n",
      result.out)
    assert.matches("\nshop +reloaded +2 +[%d.]+ ms +its configuration has changed\n",
      result.out)
    assert.matches("\nuser +reloaded +2 +[%d.]+ ms +it holds 'stock'\n$", result.out)
    assert.equal(0, result.status)
    await(running, "^stock\t2")
    await(running, "^user\t2")
  end)

  it("says that nothing has changed", function()
    local at <close> = new()
    local _ <close> = start(at)
    command_line.is(at:run "ctl shop.yaml reload", 0, "nothing has changed\n")
  end)

  it("reloads a component that is named", function()
    local at <close> = new()
    local _ <close> = start(at)
    local result <const> = at:run "ctl shop.yaml reload user"
    assert.matches("\nuser +reloaded +2 +[%d.]+ ms +it was asked for\n$", result.out)
    command_line.is(at:run "ctl shop.yaml reload nobody", 1, "",
      "not reloaded, all goes on as before\nthere is no component 'nobody'\n")
    command_line.is(at:run "ctl shop.yaml reload --force", 0, "nothing has changed\n")
  end)

  it("tells of mistakes as compilers do, with status 1", function()
    local at <close> = new()
    local _ <close> = start(at)
    at:write("user.lua", "return {\n  start = function()\n")
    local result = at:run "ctl shop.yaml reload"
    assert.equal("", result.out)
    assert.matches("^not reloaded, all goes on as before\nuser.lua:3: 'end' expected .*"
      .. " %(shop.yaml:3:10: user%)\n$", result.err)
    assert.equal(1, result.status)
    at:write("user.lua", "return { start = function()\n  error 'no luck'\nend }")
    result = at:run "ctl shop.yaml reload"
    assert.matches("\nuser.lua:2: no luck %(component user .-%)\n    stack traceback:\n"
      .. "    ", result.err)
    assert.equal(1, result.status)
    at:write("user.lua", USER)
    assert.equal(0, at:run("ctl shop.yaml reload").status)
  end)

  it("gives scripts the report as JSON", function()
    local at <close> = new()
    local _ <close> = start(at)
    at:write("user.lua", "return {")
    local result <const> = at:run "ctl --json shop.yaml reload"
    local reply <const> = json.decode(result.out)
    assert.is_true(reply.ok)
    assert.is_false(reply.result.ok)
    assert.equal("kept", reply.result.components.user.what)
    assert.equal(1, result.status)
  end)

  it("knows the files that it looks at, from anywhere", function()
    local at <close> = new {
      ["shop.yaml"] = CONFIG .. "include: more/*.yaml\n",
      ["more/a.yaml"] = "metrics.tags.a: !file secret\n",
      ["more/secret"] = "x",
    }
    local _ <close> = start(at)
    local names <const> = { "more/a.yaml", "more/secret", "shop.lua", "shop.yaml",
      "user.lua" }
    for i, name in ipairs(names) do names[i] = at.directory .. "/" .. name .. "\n" end
    command_line.is(at:run "ctl shop.yaml files", 0, table.concat(names))
  end)

  it("has commands of components follow their generations", function()
    local text <const> = [[
      return { start = function(_, ctx)
        ctx:publish("stock", 1)
        ctx:require "control":command("version", function() return "%s" end)
        %s
      end }
    ]]
    local at <close> = new { ["shop.lua"] = text:format("one", "") }
    local _ <close> = start(at)
    command_line.is(at:run "ctl shop.yaml version", 0, "one\n")
    at:write("shop.lua", text:format("two", "error 'no luck'"))
    assert.equal(1, at:run("ctl shop.yaml reload").status)
    command_line.is(at:run "ctl shop.yaml version", 0, "one\n")
    at:write("shop.lua", text:format("three", ""))
    assert.equal(0, at:run("ctl shop.yaml reload").status)
    command_line.is(at:run "ctl shop.yaml version", 0, "three\n")
  end)

  it("shows in the status which generations there are", function()
    local at <close> = new {
      ["shop.lua"] = [[
        local net <const> = require "ahost.net"
        return { start = function(self, ctx)
          net.serve("unix:socket", function(stream)
            stream:write "hello\n"
            stream:read()
          end)
          ctx:publish("stock", 1)
        end }
      ]],
      ["client.lua"] = [[
        local net <const> = require "ahost.net"
        local stream <close> = assert(net.connect "unix:socket")
        stream:read_line()
        print "connected"
        io.stdout:flush()
        stream:read()
        print "cut"
      ]],
    }
    local _ <close> = start(at)
    local client <close> = at:start "client.lua"
    assert.equal("connected", client:read_line())
    assert.equal(0, at:run("ctl shop.yaml reload shop").status)
    local result = at:run "ctl shop.yaml status components"
    assert.matches("\n +shop +%./shop.lua +started +2, 1 old ", result.out)
    at:run "ctl shop.yaml reload shop"
    result = at:run "ctl shop.yaml status components"
    assert.matches("\n +shop +%./shop.lua +started +3, 1 old ", result.out)
  end)
end)

describe("a reload of ahost run", function()
  it("keeps the last word of the command line", function()
    local at <close> = new()
    local running <close> = start(at, "--set components.shop.stock=1")
    at:write("shop.yaml", (CONFIG:gsub("stock: 1", "stock: 2")))
    command_line.is(at:run "ctl shop.yaml reload", 0, "nothing has changed\n")
    running:signal "TERM"
    assert.equal(0, running:finish().status)
  end)

  it("follows what the configuration says about the process", function()
    local at <close> = new()
    local _ <close> = start(at)
    at:write("shop.yaml", CONFIG .. "logging: {level: debug, file: {path: log}}\n")
    command_line.is(at:run "ctl shop.yaml reload", 0,
      "reloaded the configuration: it concerns no component\n")
    at:run "ctl shop.yaml reload user"
    assert.matches("DEBUG ahost.application component user .-: start\n", at:read "log")
    at:write("shop.yaml", CONFIG)
    at:run "ctl shop.yaml reload"
    command_line.is(at:run "ctl shop.yaml log", 0, "all loggers: notice\n")
  end)

  it("changes nothing when a log cannot be opened", function()
    local at <close> = new()
    local _ <close> = start(at)
    local text <const> = CONFIG:gsub("stock: 1", "stock: 2")
    at:write("shop.yaml", text .. "logging: {level: debug, file: {path: none/log}}\n")
    local result <const> = at:run "ctl shop.yaml reload"
    assert.matches("\nshop.yaml:4:%d+: logging.file.path: cannot open none/log: ",
      result.err)
    assert.equal(1, result.status)
    command_line.is(at:run "ctl --socket ahost-shop.sock log", 0, "all loggers: notice\n")
  end)

  it("warns once of what takes a restart", function()
    local at <close> = new()
    local running <close> = start(at)
    at:write("shop.yaml", CONFIG .. "max_threads: 3\ncontrol: {name: shop}\n")
    assert.equal(0, at:run("ctl shop.yaml reload").status)
    at:write("shop.yaml", CONFIG .. "max_threads: 3\ntick_period: 2\n")
    assert.equal(0, at:run("ctl shop.yaml reload").status)
    running:signal "TERM"
    local out <const> = running:finish().out
    local _, count = out:gsub("max_threads has changed: that takes a restart", "")
    assert.equal(1, count)
    assert.matches("WARNING ahost.application: control has changed", out)
  end)

  it("tells what is wrong with the configuration, and goes on", function()
    local at <close> = new()
    local running <close> = start(at)
    at:write("shop.yaml", CONFIG .. "limits: {line: 0}\n")
    local result <const> = at:run "ctl --socket ahost-shop.sock reload"
    assert.matches("\nshop.yaml:4:%d+: limits.line: must be a size", result.err)
    assert.equal(1, result.status)
    running:signal "TERM"
    assert.equal(0, running:finish().status)
  end)
end)

describe("SIGHUP", function()
  it("reloads with reload.on_hup", function()
    local at <close> = new { ["shop.yaml"] = CONFIG .. "reload: {on_hup: true}\n" }
    local running <close> = start(at)
    at:write("user.lua", USER:gsub("user", "client"))
    running:signal "HUP"
    await(running, "^client\t1")
    await(running, "NOTICE ahost.application: reloaded in .*: user %(reloaded%)")
    at:write("user.lua", "return {")
    running:signal "HUP"
    await(running, "ERROR ahost.application: not reloaded: .*user.lua:1: ")
  end)

  it("tells the service manager when it has been heard", function()
    for _, config in ipairs { "", "reload.on_hup: true\n" } do
      local at <close> = new { ["shop.yaml"] = CONFIG .. config }
      service_manager.install(at)
      local socket <const> = at.directory .. "/notify"
      local manager <close> = service_manager.hear(at, socket)
      local running <close> = subprocess.start(at:script(
        ("NOTIFY_SOCKET=%s exec $ahost run shop.yaml"):format(socket)))
      repeat until manager:read_line():find "READY=1"
      at:write("user.lua", "return {") -- also when it fails
      running:signal "HUP"
      assert.matches("RELOADING=1", manager:read_line())
      assert.matches("READY=1", manager:read_line())
    end
  end)

  it("does not without it", function()
    local at <close> = new { ["user.lua"] = [[
      return { start = function(_, ctx)
        local bus <const> = ctx:require "bus"
        bus:subscribe("app.reloading", function(_, begins)
          print("reloading", begins)
          io.stdout:flush()
        end)
        bus:subscribe("app.reload", function() print "reloaded" end)
        print("user", 1)
        io.stdout:flush()
      end }
    ]] }
    local running <close> = start(at)
    at:write("shop.lua", "return {")
    running:signal "HUP"
    assert.equal("reloading\ttrue", running:read_line())
    assert.equal("reloading\tfalse", running:read_line())
  end)
end)
