-- Holds what config/ has for systemd, OpenRC and logrotate against the tools that read
-- it, as far as this machine has them.

local command_line <const> = require "spec.command_line"
local subprocess <const> = require "spec.subprocess"

-- A test that needs a program.
local function with(program, name, body)
  if subprocess.shell("command -v " .. program).status == 0 then return it(name, body) end
  pending(("%s (needs %s)"):format(name, program))
end

-- What openrc-run does: reads the script, has its dependencies, starts and stops.
local OPENRC <const> = [[
ebegin() { echo "$1"; }
eend() { return "$1"; }
need() { :; }
use() { :; }
after() { :; }
checkpath() { [ "$1" = --directory ]; }
. config/openrc/ahost
depend
case $1 in
start) start_pre && $command $command_args ;;
stop) $command -k run $ahost_config --set "daemon.pidfile=$pidfile" ;;
*) $1 ;;
esac
]]

-- Of start-stop-daemon, only what the script asks for.
local START_STOP_DAEMON <const> = [[#!/bin/sh
[ "$1 $2 $3" = "--signal HUP --pidfile" ] && kill -HUP "$(cat "$4")"
]]

local SERVICE <const> = [[
local S = {}
function S:start(ctx)
  print "starting"
  ctx:require "bus":subscribe("app.hup", function() io.open("hup", "w"):close() end)
end
return S
]]

describe("config", function()
  it("has shell scripts that shells can read", function()
    local result <const> = subprocess.shell("for f in config/*.sh config/*/*.sh "
      .. "config/openrc/ahost; do sh -n $f || exit 1; done")
    assert.equal("", result.err)
    assert.equal(0, result.status)
  end)

  it("has an OpenRC script that starts, reloads and stops an application", function()
    local at <close> = command_line.new {
      ["shop.yaml"] = "component: {type: ./service.lua}",
      ["service.lua"] = SERVICE,
      ["openrc-run"] = OPENRC,
      ["start-stop-daemon"] = START_STOP_DAEMON,
    }
    local function rc(action)
      return subprocess.shell(([[
        directory=%s
        export RC_SVCNAME=ahost.shop ahost_config=$directory/shop.yaml
        export ahost_command=$ahost ahost_user=$(id -u) ahost_dir=$directory
        export PATH=$directory:$PATH
        chmod +x $directory/start-stop-daemon
        sed "s|/run/|$directory/|" config/openrc/ahost >$directory/script
        sed "s|config/openrc/ahost|$directory/script|" $directory/openrc-run \
          >$directory/rc
        sh $directory/rc %s]]):format(subprocess.quote(at.directory), action))
    end
    local name <const> = at.directory .. "/shop.yaml: fine\n"
    command_line.is(rc "check", 0, name)
    command_line.is(rc "start", 0, name .. "starting\n")
    command_line.is(rc "reload", 0, "Reloading ahost application shop\n")
    command_line.is(at:shell "until [ -e hup ]; do sleep 0.02; done", 0)
    command_line.is(rc "stop", 0)
    at:write("shop.yaml", "component: {type: ./nowhere.lua}")
    assert.equal(2, rc "start".status)
  end)

  with("systemd-analyze", "has units that systemd understands, with hardening", function()
    local at <close> = command_line.new {}
    local result <const> = subprocess.shell(([[
      for kind in service socket; do
        sed "s|/usr/local/bin/ahost|$ahost|" config/systemd/ahost@.$kind >%s/ahost@x.$kind
      done
      cd %s
      systemd-analyze verify ./ahost@x.service ./ahost@x.socket || exit 1
      systemd-analyze security --offline=yes --threshold=20 ./ahost@x.service >report \
        || { cat report; exit 1; }]]):gsub("%%s", at.directory))
    command_line.is(result, 0)
  end)

  with("systemd-socket-activate", "has sockets that systemd can pass", function()
    local at <close> = command_line.new {
      ["app.yaml"] = "component: {type: ./server.lua}",
      ["server.lua"] = [[
        local host <const>, net <const> = require "ahost.host", require "ahost.net"
        local Server = {}
        function Server:start()
          assert(net.serve("fd:web", function(stream)
            assert(stream:write "hello")
            stream:close()
            host.stop()
          end))
        end
        return Server
      ]],
    }
    local running <close> = subprocess.start(at:script(
      "exec systemd-socket-activate --fdname=web -l $PWD/web $ahost run app.yaml"))
    assert.matches("^Listening on ", running:read_line())
    local stream <close> = assert(require("ahost.net").connect("unix:" .. at.directory
      .. "/web"))
    assert.equal("hello", stream:read_all())
    assert.equal(0, running:finish().status)
  end)

  with("logrotate", "has an example that logrotate understands", function()
    local at <close> = command_line.new { ["log/shop/app.log"] = "text\n" }
    local result <const> = at:shell(([[
      sed "s|/var/log/ahost|$PWD/log|g; s|/run/|$PWD/|g" %s/config/logrotate/ahost >conf
      chmod 644 conf
      chmod 755 . log log/shop
      logrotate --force --state $PWD/state conf && ls log/shop]]):format(
        assert(require("ahost.process").cwd())))
    command_line.is(result, 0, "app.log.1\n")
  end)
end)
