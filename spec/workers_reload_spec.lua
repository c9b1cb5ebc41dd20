-- Workers reload one after the other, and stop at the first that cannot.

local command_line <const> = require "spec.command_line"
local json <const> = require "ahost.json"
local service_manager <const> = require "spec.service_manager"
local subprocess <const> = require "spec.subprocess"

local CONFIG <const> = "workers: {count: 2, backoff: 0}\ncomponent.type: ./app.lua\n"

-- Says what it is, and which worker it is in.
local function app(version, more)
  return ([[
local host <const> = require "ahost.host"
return { start = function(self, ctx)
  %s
  print("%s", host.worker)
  io.stdout:flush()
  self.log:warning "started"
end }
]]):format(more or "", version)
end

local function new(config)
  return command_line.new {
    ["app.yaml"] = CONFIG .. (config or ""),
    ["app.lua"] = app "one",
  }
end

local function await(running, pattern)
  for line in function() return running:read_line() end do
    if line:find(pattern) then return line end
  end
  error(("no line matches '%s'"):format(pattern), 2)
end

-- Both have started when the supervisor answers for both.
local function start(at)
  local running <const> = at:start "run app.yaml"
  await(running, "^one")
  await(running, "^one")
  repeat
    local _, count = at:run("ctl app.yaml ping --worker 1").out:gsub("running", "")
    local _, more = at:run("ctl app.yaml ping --worker 2").out:gsub("running", "")
  until count + more == 2
  return running
end

describe("ahost ctl reload of workers", function()
  it("has them reload in order and keeps their processes", function()
    local at <close> = new()
    local running <close> = start(at)
    at:write("app.lua", app "two")
    local result <const> = at:run "ctl app.yaml reload"
    assert.equal("", result.err)
    assert.matches("^worker 1, process %d+:\nreloaded in .*root +reloaded +2 .*"
      .. "\nworker 2, process %d+:\nreloaded in .*root +reloaded +2 ", result.out)
    assert.equal(0, result.status)
    assert.equal("two\t1", await(running, "^two"))
    assert.equal("two\t2", await(running, "^two"))
  end)

  it("stops at the first that cannot: the others keep what they have", function()
    local at <close> = new()
    local running <close> = start(at)
    at:write("app.lua", "return {")
    local result = at:run "ctl app.yaml reload"
    assert.matches("^worker 1, process %d+:\nnot reloaded, .-\napp.lua:1: .-"
      .. "worker 2, process %d+:\nnot asked: it keeps what it has\n$", result.err)
    assert.equal(1, result.status)
    await(running, "ERROR ahost.supervisor: worker 1 could not reload: .*app.lua:1:")
    at:write("app.lua", app("two", "if host.worker == 2 then error 'no luck' end"))
    result = at:run "ctl --json app.yaml reload"
    local answers <const> = json.decode(result.out).result.workers
    assert.is_true(answers[1].result.ok)
    assert.matches("no luck", answers[2].result.err)
    assert.equal(1, result.status)
    at:write("app.lua", app "three")
    assert.equal(0, at:run("ctl app.yaml reload").status)
  end)

  it("asks one when it is named", function()
    local at <close> = new()
    local running <close> = start(at)
    at:write("app.lua", app "two")
    local result <const> = at:run "ctl app.yaml reload --worker 2"
    assert.matches("^reloaded in ", result.out)
    assert.equal("two\t2", await(running, "^two"))
    command_line.is(at:run "ctl app.yaml reload --worker 2", 0, "nothing has changed\n")
  end)

  it("leaves those that start later to begin with what there is", function()
    local at <close> = new()
    local running <close> = start(at)
    at:write("app.lua", app "two")
    local pid <const> = at:run("ctl app.yaml ping --worker 1").out:match "process (%d+)"
    os.execute("kill -KILL " .. pid)
    assert.equal("two\t1", await(running, "^two"))
    local result <const> = at:run "ctl app.yaml reload"
    assert.matches("worker 1, process %d+:\nnothing has changed\nworker 2.*reloaded in ",
      result.out)
  end)

  it("warns of what takes a restart, once", function()
    local at <close> = new()
    local running <close> = start(at)
    at:write("app.yaml", CONFIG .. "control: {name: app}\nmax_threads: 2\n")
    assert.equal(0, at:run("ctl --socket ahost-app.sock reload").status)
    running:signal "TERM"
    local _, count = running:finish().out:gsub("max_threads has changed", "")
    assert.equal(1, count)
  end)
end)

describe("SIGHUP to a supervisor", function()
  it("has the workers reload in order with reload.on_hup", function()
    local at <close> = new "reload.on_hup: true\n"
    local running <close> = start(at)
    at:write("app.lua", app "two")
    running:signal "HUP"
    assert.equal("two\t1", await(running, "^two"))
    assert.equal("two\t2", await(running, "^two"))
    await(running, "NOTICE ahost.supervisor: the workers have reloaded")
  end)

  it("tells the service manager when it has been heard", function()
    for _, config in ipairs { "", "reload.on_hup: true\n" } do
      local at <close> = new(config)
      service_manager.install(at)
      local socket <const> = at.directory .. "/notify"
      local manager <close> = service_manager.hear(at, socket)
      local running <close> = subprocess.start(at:script(
        ("NOTIFY_SOCKET=%s exec $ahost run app.yaml"):format(socket)))
      repeat until manager:read_line():find "READY=1"
      running:signal "HUP"
      assert.matches("RELOADING=1", manager:read_line())
      assert.matches("READY=1", manager:read_line())
    end
  end)
end)
