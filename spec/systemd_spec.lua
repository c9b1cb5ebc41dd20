local command_line <const> = require "spec.command_line"
local net <const> = require "ahost.net"
local process <const> = require "ahost.process"
local service_manager <const> = require "spec.service_manager"
local subprocess <const> = require "spec.subprocess"
local systemd <const> = require "ahost.systemd"

local is <const> = command_line.is

local SERVICE <const> = [[
local systemd <const> = require "ahost.systemd"
local Service = { options = { fail = { type = "boolean" } } }
function Service:start(ctx)
  if self.config.fail then error "it cannot" end
  systemd.status "half\nway"
  ctx:on_close(function() systemd.status "closing" end)
end
return Service
]]

-- Answers the first line of each connection, at each of its addresses.
local SERVER <const> = [[
local net <const> = require "ahost.net"
local Server = { options = { addresses = { type = "list", of = { type = "address" } } } }
function Server:start()
  for i, address in ipairs(self.config.addresses) do
    assert(net.serve(address, function(stream)
      assert(stream:write(i, ": ", assert(stream:read_line()), "\n"))
    end))
  end
  print "started"
  io.stdout:flush()
end
return Server
]]

local function new(files)
  local at <const> = command_line.new(files)
  service_manager.install(at)
  return at
end

-- Starts `ahost` with passed sockets.
local function start_with(at, sockets, words)
  return subprocess.start(at:script(
    ("exec perl pass.pl %s -- $ahost %s"):format(sockets, words)))
end

local function ask(address, line)
  local stream <close> = assert(net.connect(address))
  assert(stream:write(line, "\n"))
  return stream:read_line()
end

describe("under systemd", function()
  it("an application tells of its life", function()
    local at <close> = new {
      ["app.yaml"] = "component: {type: ./service.lua}",
      ["service.lua"] = SERVICE,
    }
    for _, socket in ipairs { at.directory .. "/notify", "@ahost-" .. process.pid } do
      local heard <close> = service_manager.hear(at, socket)
      local running <close> = subprocess.start(at:script(
        ("NOTIFY_SOCKET=%s exec $ahost run app.yaml"):format(socket)))
      assert.equal("STATUS=starting", heard:read_line())
      assert.equal("STATUS=half way", heard:read_line())
      assert.matches("^MAINPID=%d+|READY=1|STATUS=running$", heard:read_line())
      running:signal "TERM"
      assert.equal("STATUS=stopping|STOPPING=1", heard:read_line())
      assert.equal("STATUS=closing", heard:read_line())
      assert.equal(0, running:finish().status)
    end
  end)

  it("one that cannot start is never ready", function()
    local at <close> = new {
      ["app.yaml"] = "component: {type: ./service.lua, fail: true}",
      ["service.lua"] = SERVICE,
    }
    local heard <close> = service_manager.hear(at, at.directory .. "/notify")
    local result <const> = at:shell("NOTIFY_SOCKET=$PWD/notify $ahost run app.yaml")
    assert.equal(1, result.status)
    assert.equal("STATUS=starting", heard:read_line())
    assert.equal("STATUS=stopping|STOPPING=1", heard:read_line())
  end)

  it("signs of life come twice as often as they are expected", function()
    local at <close> = new {
      ["app.yaml"] = "component: {type: ./service.lua}",
      ["service.lua"] = SERVICE,
    }
    local heard <close> = service_manager.hear(at, at.directory .. "/notify")
    local running <close> = subprocess.start(at:script(
      "export WATCHDOG_USEC=20000 WATCHDOG_PID=$$ NOTIFY_SOCKET=$PWD/notify; "
      .. "exec $ahost run app.yaml"))
    repeat local text <const> = heard:read_line() until text == "WATCHDOG=1"
    repeat local text <const> = heard:read_line() until text == "WATCHDOG=1"
    running:signal "TERM"
    assert.equal(0, running:finish().status)
  end)

  it("a manager that is not there disturbs nobody", function()
    local at <close> = new {
      ["app.yaml"] = "component: {type: ./service.lua, fail: false}\ncommands: {}",
      ["command.lua"] = "local C = {}\nfunction C:run() return 5 end\nreturn C",
    }
    local result <const> = at:shell(
      "NOTIFY_SOCKET=$PWD/none $ahost run --set component.type=./command.lua")
    assert.equal(5, result.status)
    assert.matches("WARNING ahost.systemd: notify unix:", result.err, 1, true)
    for _, name in ipairs { "", "vsock:2:1", "relative", "/" .. ("x"):rep(200) } do
      result.status = at:shell(("NOTIFY_SOCKET=%s $ahost run --set "
        .. "component.type=./command.lua"):format(name)).status
      assert.equal(5, result.status)
    end
  end)

  it("programs that are started do not inherit what is not meant for them", function()
    local at <close> = new {
      ["app.yaml"] = "component: {type: ./child.lua}",
      ["child.lua"] = "local C = {}\nfunction C:run()\n"
        .. "  os.execute 'env | grep -E \"^(LISTEN|NOTIFY|WATCHDOG)_\"; "
        .. "ls -l /proc/self/fd | grep -c socket'\nend\nreturn C",
    }
    is(at:shell("WATCHDOG_USEC=1000000 NOTIFY_SOCKET=$PWD/none perl pass.pl "
      .. "$PWD/a=a $PWD/b=b -- $ahost run app.yaml 2>/dev/null"), 0, "0\n")
  end)

  it("a script may do the same", function()
    local at <close> = new {
      ["script.lua"] = [[
        local systemd <const> = require "ahost.systemd"
        assert(systemd.is_notified() and systemd.watchdog() == 1.5)
        assert(systemd.reloading())
        assert(systemd.ready "as before")
        assert(systemd.stopping())
        assert(systemd.notify { FDSTORE = 1, EXTEND_TIMEOUT_USEC = 5 })
        assert(os.getenv "NOTIFY_SOCKET" == nil)
      ]],
    }
    local heard <close> = service_manager.hear(at, at.directory .. "/notify")
    is(at:shell("WATCHDOG_USEC=1500000 NOTIFY_SOCKET=$PWD/notify $ahost script.lua"), 0)
    assert.matches("^MONOTONIC_USEC=%d+|RELOADING=1$", heard:read_line())
    assert.matches("^MAINPID=%d+|READY=1|STATUS=as before$", heard:read_line())
    assert.equal("STOPPING=1", heard:read_line())
    assert.equal("EXTEND_TIMEOUT_USEC=5|FDSTORE=1", heard:read_line())
  end)
end)

describe("without systemd", function()
  it("nobody is told", function()
    assert.is_false(systemd.is_notified())
    assert.is_false(systemd.status "fine")
    assert.is_nil(systemd.watchdog())
    assert.same({}, systemd.sockets())
  end)
end)

describe("a socket that was passed", function()
  local function app(addresses)
    return {
      ["app.yaml"] = ("component: {type: ./server.lua, addresses: [%s]}")
        :format(addresses),
      ["server.lua"] = SERVER,
    }
  end

  it("is listened on by its name or its number", function()
    local at <close> = new(app "'fd:web', 'fd:4', 'fd:local', '127.0.0.1:0'")
    local path <const> = at.directory .. "/socket"
    local running <close> = start_with(at,
      ("port=web port=other %s=local"):format(path), "run app.yaml")
    local first <const>, second <const> = running:read_line(), running:read_line()
    assert.equal("started", running:read_line())
    assert.equal("1: hello", ask("127.0.0.1:" .. first, "hello"))
    assert.equal("2: hello", ask("127.0.0.1:" .. second, "hello"))
    assert.equal("3: hello", ask("unix:" .. path, "hello"))
    running:signal "TERM"
    assert.equal(0, running:finish().status)
    assert(os.execute("test -S " .. subprocess.quote(path)), "it is not ours to remove")
  end)

  it("takes connections that came before the program", function()
    local at <close> = new(app "'fd:web'")
    local running <close> = start_with(at, "port=web", "run app.yaml")
    assert.equal("1: early", ask("127.0.0.1:" .. running:read_line(), "early"))
  end)

  it("is one of several of its name", function()
    local at <close> = new(app "'fd:web', 'fd:web'")
    local running <close> = start_with(at, "port=web port=web", "run app.yaml")
    local first <const>, second <const> = running:read_line(), running:read_line()
    assert.equal("1: hello", ask("127.0.0.1:" .. first, "hello"))
    assert.equal("2: hello", ask("127.0.0.1:" .. second, "hello"))
  end)

  it("is used by one listener at a time, and again after it", function()
    local at <close> = new {
      ["script.lua"] = [[
        local net <const> = require "ahost.net"
        local listener = assert(net.listen "fd:web")
        local _, err = net.listen "fd:3"
        print(err)
        for _ = 1, 3 do
          local address <const> = listener:address()
          local client = assert(net.connect(address))
          local stream = assert(listener:accept())
          stream:write "x"
          listener:close()
          assert(client:read() == "x")
          listener = assert(net.serve("fd:web", function(s) s:write "y" end))
          client = assert(net.connect(address))
          assert(client:read() == "y")
          listener:close()
          listener = assert(net.listen "fd:3")
        end
        listener:close()
      ]],
    }
    local result <const> = at:shell("perl pass.pl port=web -- $ahost script.lua")
    assert.matches("^%d+\nlisten on fd:3: address already in use %(EADDRINUSE%)\n$",
      result.out)
    assert.equal(0, result.status, result.err)
  end)

  it("must be there, listen, and be for this process", function()
    local at <close> = new {
      ["script.lua"] = [[
        local net <const> = require "ahost.net"
        for i, address in ipairs { "fd:web", "fd:3", "fd:5", "fd:0", "fd:plain" } do
          local listener, err = net.listen(address)
          print(err or "fine")
          if listener then listener:close() end
        end
      ]],
    }
    local none <const> = "%s: the program was started with no such socket (LISTEN_FDS) "
      .. "(NOTFOUND)\n"
    local function missing(...)
      local text = ""
      for _, address in ipairs { ... } do
        text = text .. none:format("listen on " .. address)
      end
      return text
    end
    local all <const> = missing("fd:web", "fd:3", "fd:5", "fd:0", "fd:plain")
    is(at:run "script.lua", 0, all)
    is(at:shell "FOREIGN=1 perl pass.pl $PWD/a=web -- $ahost script.lua", 0, all)
    is(at:shell "perl pass.pl $PWD/b=web plain=plain -- $ahost script.lua", 0,
      "fine\nfine\n" .. missing("fd:5", "fd:0")
      .. "listen on fd:plain: this is no stream socket that listens (EINVAL)\n")
    is(at:shell "perl pass.pl $PWD/c=web -- env LISTEN_FDS=9x $ahost script.lua", 0, all)
    is(at:shell "perl pass.pl $PWD/d=web -- env LISTEN_FDS=-1 $ahost script.lua", 0, all)
    is(at:shell("perl pass.pl $PWD/e=web -- env LISTEN_FDNAMES= $ahost script.lua"), 0,
      missing "fd:web" .. "fine\n" .. missing("fd:5", "fd:0", "fd:plain"))
  end)

  it("is only for those who listen", function()
    assert.error_matches(function() net.connect "fd:web" end, "can only be listened on")
    assert.error_matches(function() net.udp "fd:web" end, "over the network only")
    for _, name in ipairs { "", "a b", "a:b", ("x"):rep(300) } do
      assert.error_matches(function() net.listen("fd:" .. name) end, "bad address")
    end
  end)

  it("stays one of a daemon", function()
    local at <close> = new(app "'fd:web'")
    at:write("daemon.yaml", "daemon: {pidfile: app.pid}")
    local result <const> = at:shell(
      "perl pass.pl port=web -- $ahost -d run app.yaml daemon.yaml")
    assert.equal(0, result.status, result.err)
    assert.equal("1: hello", ask("127.0.0.1:" .. result.out:match "%d+", "hello"))
    is(at:run "-k run app.yaml daemon.yaml", 0)
  end)
end)
