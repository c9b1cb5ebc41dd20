local subprocess <const> = require "spec.subprocess"

local HEADER <const> = [[
local task, context = require "ahost.task", require "ahost.context"
local host = require "ahost.host"
io.stdout:setvbuf "no"
]]

describe("ahost SCRIPT", function()
  local directory, remove

  setup(function() directory, remove = subprocess.directory() end)
  teardown(function() remove() end)

  local function shell(script)
    return subprocess.shell("cd " .. directory .. "\n" .. script)
  end

  -- Runs a script of the given text with arguments written as in a shell.
  local function run(text, arguments)
    subprocess.write(directory .. "/app.lua", HEADER .. text)
    return shell("exec $ahost app.lua " .. (arguments or ""))
  end

  -- Runs a script in the background and shell commands beside it, which know
  -- its process as $pid and can `await TEXT` in what it writes.
  local function run_beside(text, commands)
    subprocess.write(directory .. "/app.lua", HEADER .. text)
    return shell([[
      await() {
        for i in $(seq 500); do
          grep -qs "$1" app.out app.err && return
          sleep 0.01
        done
        echo "$1 was not written" >&2
      }
      rm -f go app.out app.err
      $ahost app.lua >app.out 2>app.err & pid=$!
      ]] .. commands .. [[

      wait $pid; status=$?
      cat app.out; cat app.err >&2
      exit $status]])
  end

  local function assert_has(text, part)
    if not text:find(part, 1, true) then
      error(("expected %q in\n%s"):format(part, text), 2)
    end
  end

  local function assert_clean(result, out)
    assert.equal("", result.err)
    assert.equal(out, result.out)
    assert.equal(0, result.status)
  end

  describe("runs", function()
    it("the body as the main task", function()
      assert_clean(run [[
        assert(task.current())
        task.sleep(0)
        print(context.current():state())]], "open\n")
    end)

    it("with its arguments", function()
      assert_clean(run([[
        print(select("#", ...), ...)
        print(#host.args, host.args[1], host.args[3])]], [["a b" '' -v]]),
        "3\ta b\t\t-v\n3\ta b\t-v\n")
    end)

    it("modules beside the script", function()
      local result = shell [[mkdir -p sub/more
        echo 'return {name = ...}' >sub/one.lua
        echo 'return {name = ...}' >sub/more/init.lua
        echo 'print(require "one".name, require "more".name)' >sub/app.lua
        $ahost sub/app.lua]]
      assert_clean(result, "one\tmore\n")
    end)

    it("until all that it spawned has ended", function()
      assert_clean(run [[
        task.spawn(function()
          task.sleep(0.005)
          task.spawn(function() task.sleep(0.005) print "last" end)
          print "first"
        end)
        context.new():spawn(function() task.sleep(0.002) print "other context" end)
        context.current():on_close(function() task.sleep(0) print "closed" end)
        print "body"]], "body\nother context\nfirst\nlast\nclosed\n")
    end)

    it("from a file with a #! line, and an empty file", function()
      assert_clean(shell [[echo '#!/usr/bin/env ahost' >run.lua
        echo 'print "ran"' >>run.lua
        $ahost run.lua
        : >empty.lua
        $ahost empty.lua]], "ran\n")
    end)

    it("with standard descriptors closed", function()
      assert_clean(shell [[echo 'require "ahost.task".sleep(0) print "x"' >closed.lua
        $ahost closed.lua <&- || echo stdin
        $ahost closed.lua >&- || echo stdout
        $ahost closed.lua 2>&- || echo stderr
        $ahost closed.lua <&- >&- 2>&- || echo all]], "x\nx\n")
    end)

    it("on when its output goes to a pipe that nobody reads", function()
      local result = shell [[echo 'local t = require "ahost.task"
          for i = 1, 100 do io.write(("x"):rep(10000)) t.yield() end
          io.stderr:write "end"' >pipe.lua
        $ahost pipe.lua | true]]
      assert.equal("end", result.err)
    end)
  end)

  describe("ends with status", function()
    it("0, or what host.stop was given", function()
      assert.equal(0, run("").status)
      assert.equal(7, run("host.stop(7)").status)
      assert.equal(7, run("host.stop(7) task.sleep(1000)").status)
      assert.equal(9, run("host.stop(7) host.stop(9) host.stop(8)").status)
      assert.equal(3, run("host.stop(9) host.stop(3, true)").status)
      assert.equal(0, run("host.stop() task.sleep(1000)").status)
      assert.equal(127, run("task.spawn(host.stop, 127) task.sleep(1000)").status)
      assert.equal(1, run("host.stop(128)").status)
      assert.equal(1, run("host.stop(-1)").status)
      assert_clean(run("print(host.exit_status) host.stop(0)"), "0\n")
    end)

    it("1 and a traceback when the body raises", function()
      local result = run [[
        local function inner() task.yield() error("boom") end
        local function outer() inner() print "no tail call" end
        outer()]]
      assert.equal(1, result.status)
      assert_has(result.err, "ERROR ahost.task: main: app.lua:4: boom\nstack tra")
      assert_has(result.err, "app.lua:4: in upvalue 'inner'")
      assert_has(result.err, "app.lua:5: in local 'outer'")
    end)

    it("1 and a traceback when a task raises, whose rest is cancelled", function()
      local result = run [[
        context.current():on_close(function() print "closed" end)
        task.spawn("worker", function()
          task.yield()
          error("boom")
        end)
        task.sleep(1000)]]
      assert.equal(1, result.status)
      assert_has(result.err, "ERROR ahost.task: worker: app.lua:7: boom\nstack tra")
      assert_has(result.out, "closed")
    end)

    it("1 for an error of any type", function()
      assert_has(run("error({})").err, "main: table: 0x")
      assert_has(run("error(nil)").err, "main: nil")
      assert_has(run("error(42, 0)").err, "main: 42")
      assert_has(run [[error(setmetatable({}, {__tostring = function()
        return "text"
      end}))]].err, "main: text")
      assert_has(run("error(setmetatable({}, {__tostring = error}))").err, "ERROR")
      assert.equal(1, run("error(setmetatable({}, {__tostring = error}))").status)
      assert_has(run("error(require 'ahost.error'.new('ECODE', 'text'))").err,
        "main: text (ECODE)")
      assert_has(run("local function f() return 1 + f() end f()").err, "stack overflow")
    end)

    it("1 with the traceback of the error, not of one caught before", function()
      local result = run [[
        local function caught() error("caught") end
        pcall(task.shield, caught)
        pcall(task.timeout, 1, caught)
        pcall(context.scope, caught)
        pcall(coroutine.wrap(caught))
        coroutine.resume(coroutine.create(function() task.shield(caught) end))
        local function fatal() error("fatal") end
        fatal()]]
      assert_has(result.err, "main: app.lua:10: fatal\nstack traceback:")
      assert_has(result.err, "app.lua:10: in local 'fatal'")
      assert.is_nil(result.err:find("caught", 1, true))
    end)

    it("1 with the inmost traceback through scopes, timeouts and wraps", function()
      local result = run [[
        local function fatal() task.yield() error("fatal") end
        task.timeout(10, function()
          context.scope(function(ctx)
            ctx:spawn(function()
              local wrapped = coroutine.wrap(function() fatal() print "no tail call" end)
              task.shield(wrapped)
            end)
          end)
        end)]]
      assert.equal(1, result.status)
      assert_has(result.err, "app.lua:4: in upvalue 'fatal'")
    end)

    it("1 when a teardown callback raises", function()
      local result = run [[context.current():on_close(function() error("boom") end)]]
      assert.equal(1, result.status)
      assert_has(result.err, "a teardown callback failed: app.lua:4: boom")
    end)

    it("1 when a task raises while its context ends", function()
      local result = run [[
        task.spawn(function() pcall(task.sleep, 1000) error("boom") end)
        task.yield()
        host.stop()]]
      assert.equal(1, result.status)
      assert_has(result.err, "(while its context ends): app.lua:4: boom")
    end)

    it("1 when nothing can wake it any more, and says where it waits", function()
      local result = run [[
        local main = task.current()
        context.current():on_close(function() print "closed" end)
        task.spawn("circle", function() main:join() end):join()]]
      assert.equal(1, result.status)
      assert_has(result.err, "nothing is left that could wake the waiting tasks")
      assert_has(result.err, "main waits for ever: join at app.lua:6")
      assert_has(result.err, "circle waits for ever: join at app.lua:6")
      assert.equal("closed\n", result.out)
    end)

    it("2 when there is no script, or it is none", function()
      local function refused(arguments, message)
        local result = shell("$ahost " .. arguments)
        assert.equal(2, result.status)
        assert.equal("", result.out)
        assert_has(result.err, message)
      end
      refused("missing.lua", "missing.lua")
      refused(".", "cannot read .")
      refused("''", "cannot open")
      refused("", "usage: ahost")
      refused("--no-such-option app.lua", "no-such-option")
      subprocess.write(directory .. "/bad.lua", "x = = 1")
      refused("bad.lua", "bad.lua:1: unexpected symbol")
      subprocess.write(directory .. "/bytes.lua", "\27Lua\0\0\0")
      refused("bytes.lua", "bytes.lua")
    end)

    it("2 when the script cannot be read", function()
      subprocess.write(directory .. "/secret.lua", "")
      local result = shell [[chmod 0 secret.lua
        [ -r secret.lua ] && exit 2 # the superuser can read everything
        $ahost secret.lua]]
      assert.equal(2, result.status)
    end)

    it("0 after --help and --version", function()
      local help = shell "$ahost --help"
      assert.equal(0, help.status)
      assert_has(help.out, "usage: ahost")
      assert.equal(help.out, shell "$ahost -h".out)
      assert.matches("^ahost %d+%.%d+%.%d+\n$", shell "$ahost --version".out)
    end)
  end)

  describe("on a process signal", function()
    local SERVING <const> = [[
      context.current():on_close(function() task.sleep(0) print "closed" end)
      task.spawn("worker", function()
        local _ <close> = setmetatable({}, {__close = function()
          task.sleep(0)
          print "cancelled"
        end})
        print "ready"
        task.sleep(1000)
      end)]]

    it("ends a script that only listens, and runs until then", function()
      assert_clean(run_beside([[
        local listener <const> = require("ahost.net").listen("127.0.0.1:0")
        print("ready")
        io.stdout:flush()]], "await ready; kill -TERM $pid"), "ready\n")
    end)

    it("tears down and ends with status 0", function()
      for _, signal in ipairs { "INT", "TERM" } do
        assert_clean(run_beside(SERVING, "await ready; kill -" .. signal .. " $pid"),
          "ready\ncancelled\nclosed\n")
      end
    end)

    it("keeps the status that was chosen", function()
      local result = run_beside([[
        context.current():on_close(function() host.stop(5) end)
        print "ready"
        task.sleep(1000)]], "await ready; kill -TERM $pid")
      assert.equal(5, result.status)
    end)

    it("is stopped by one that comes before it waits", function()
      assert_clean(run_beside([[
        print "ready"
        repeat local file = io.open "go" until file
        task.sleep(1000)]], "await ready; kill -TERM $pid; touch go"), "ready\n")
    end)

    local STUBBORN <const> = [[
      task.spawn("worker", function()
        pcall(task.sleep, 1000)
        print "stubborn"
        task.shield(task.sleep, 1000)
      end)
      print "ready"]]

    it("says at the second what it still waits for, and ends at the third", function()
      local result = run_beside(STUBBORN, [[
        await ready; kill -INT $pid
        await stubborn; kill -INT $pid
        await "still waited for"; kill -INT $pid]])
      assert_has(result.err, "still stopping: 1 tasks left")
      assert_has(result.err, "worker is still waited for: sleep at app.lua:7")
      assert_has(result.err, "emergency exit")
      assert.equal(70, result.status)
    end)

    it("ends a loop that never waits at the third", function()
      local result = run_beside([[print "ready" while true do end]], [[
        await ready; kill -INT $pid
        sleep 0.05; kill -INT $pid
        sleep 0.05; kill -INT $pid]])
      assert.equal(70, result.status)
    end)
  end)
end)
