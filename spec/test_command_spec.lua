local subprocess <const> = require "spec.subprocess"

describe("ahost test", function()
  local directory, remove

  setup(function() directory, remove = subprocess.directory() end)
  teardown(function() remove() end)

  -- Runs one spec file of the given text.
  local function run_spec(text, options)
    subprocess.write(directory .. "/one_spec.lua", "local task = require 'ahost.task'\n"
      .. "local context = require 'ahost.context'\n" .. text)
    return subprocess.shell(("cd %s && $ahost test %s one_spec.lua")
      :format(directory, options or ""))
  end

  local function assert_sum(result, sum)
    if not result.out:find(sum, 1, true) then
      error(("expected %s, got\n%s%s"):format(sum, result.out, result.err), 2)
    end
  end

  local function assert_has(text, part)
    if not text:find(part, 1, true) then
      error(("expected %q in\n%s"):format(part, text), 2)
    end
  end

  it("lets specs wait everywhere", function()
    local result = run_spec [[
      describe("waiting", function()
        local log = {}
        local function wait(name)
          return function() task.sleep(0) log[#log + 1] = name end
        end
        task.sleep(0)
        setup(wait "setup") teardown(wait "teardown")
        lazy_setup(wait "lazy_setup") lazy_teardown(wait "lazy_teardown")
        before_each(wait "before") after_each(wait "after")
        it("in a test", function()
          finally(wait "finally")
          local ok = pcall(function() task.sleep(0) error("caught") end)
          assert.is_false(ok)
          assert.has_error(function() task.sleep(0) error("expected") end, "expected")
          local close = {__close = function() task.sleep(0) end}
          local closed <close> = setmetatable({}, close)
        end)
        it("after it", function()
          assert.same({"setup", "lazy_setup", "before", "finally", "after", "before"},
            log)
        end)
      end)]]
    assert.equal("", result.err)
    assert.equal(0, result.status)
    assert_sum(result, "2 successes / 0 failures / 0 errors / 0 pending : ")
  end)

  it("tells failures and errors by its status and busted's sum", function()
    local result = run_spec [[
      it("passes", function() end)
      it("fails", function()
        assert.equal(1, 2)
      end)
      it("raises", function() task.sleep(0) error("boom") end)
      it("raises an object", function()
        error(require("ahost.error").new("ECODE", "text"))
      end)
      pending("is not written")]]
    assert.equal(1, result.status)
    assert_sum(result, "1 success / 1 failure / 2 errors / 1 pending : ")
    assert_has(result.out, "one_spec.lua:5: Expected objects to be equal")
    assert_has(result.out, "one_spec.lua:7: boom")
    assert_has(result.out, "text (ECODE)")
  end)

  it("has no colours in a file", function()
    local result = run_spec [[it("fails", function() assert.equal(1, 2) end)]]
    assert.is_nil(result.out:find("\27", 1, true))
  end)

  it("passes busted's options on", function()
    local result = run_spec([[
      it("is named", function() end)
      it("not #me", function() end)]], "-o TAP --exclude-tags=me")
    assert_has(result.out, "ok 1 - is named")
    assert_has(result.out, "1..1")
    assert.equal(0, result.status)
    assert.equal("2.1.1\n", subprocess.shell("$ahost test --version").out)
    assert.equal(1, subprocess.shell("$ahost test --no-such-option").status)
  end)

  it("runs spec by default, and several paths", function()
    local script = [[cd %s && mkdir -p spec more
      echo 'it("a", function() end)' >spec/a_spec.lua
      echo 'it("b", function() end) it("c", function() end)' >more/b_spec.lua
      echo 'error("not a spec")' >spec/b.lua
      $ahost test %s; status=$?; exit $status]]
    assert_sum(subprocess.shell(script:format(directory, "")), "1 success /")
    assert_sum(subprocess.shell(script:format(directory, "more spec")), "3 successes /")
    assert_sum(subprocess.shell(script:format(directory, "more spec/a_spec.lua")), "3 ")
  end)

  it("fails when there is nothing to run", function()
    local result = subprocess.shell("cd " .. directory .. " && $ahost test nowhere")
    assert.equal(1, result.status)
    assert_has(result.out, "nowhere")
  end)

  it("says when busted is not installed", function()
    local result = subprocess.shell("LUA_PATH_5_4=/nowhere/?.lua $ahost test")
    assert.equal(2, result.status)
    assert_has(result.err, "busted is not installed (apt-get install lua-busted)")
  end)

  it("fails a test whose task fails", function()
    local result = run_spec [[
      it("while it waits", function()
        task.spawn(function() error("first boom") end)
        task.sleep(1000)
      end)
      it("while it ends", function() task.spawn(function() error("second boom") end) end)
      it("in a context below", function()
        context.new():spawn(function() error("third boom") end)
        task.sleep(1000)
      end)
      it("but not the next", function() task.sleep(0) end)]]
    assert.equal(1, result.status)
    assert_sum(result, "1 success / 0 failures / 3 errors / 0 pending")
    for _, which in ipairs { "first", "second", "third" } do
      assert_has(result.out, which .. " boom")
    end
    assert.is_nil(result.out:find("CANCELLED", 1, true))
  end)

  it("keeps what it has to say of the test itself", function()
    local result = run_spec [[
      it("does both", function()
        task.spawn(function() error("of the task") end)
        error("of the test")
      end)]]
    assert_sum(result, "0 successes / 0 failures / 1 error /")
    assert_has(result.out, "of the test")
  end)

  it("ends at the end of a test what the test has begun", function()
    local result = run_spec [[
      local log = {}
      it("leaves much behind", function()
        context.current():on_close(function() task.sleep(0) log[#log + 1] = "closed" end)
        task.spawn(function()
          local on_end <close> = setmetatable({}, {__close = function()
            log[#log + 1] = "cancelled"
          end})
          task.sleep(1000)
        end)
      end)
      it("finds it gone", function() assert.same({"cancelled", "closed"}, log) end)]]
    assert.equal("", result.err)
    assert_sum(result, "2 successes / 0 failures / 0 errors /")
  end)

  it("keeps what a block has begun until the end of the block", function()
    local result = run_spec [[
      for _, name in ipairs {"setup", "lazy_setup"} do
        local log = {}
        describe("with " .. name, function()
          local server
          _ENV[name](function() server = task.spawn(function()
            local on_end <close> = setmetatable({}, {__close = function()
              log[#log + 1] = "ended"
            end})
            task.sleep(1000)
          end) end)
          local each
          before_each(function() each = task.spawn(task.sleep, 1000) end)
          after_each(function()
            assert(each:status() == "running")
            task.yield()
          end)
          for i = 1, 2 do
            it("has it in test " .. i, function()
              assert.equal("running", server:status())
              assert.equal("running", each:status())
              assert.same({}, log)
            end)
          end
        end)
        it("and then no more", function() assert.same({"ended"}, log) end)
      end]]
    assert.equal("", result.err)
    assert_sum(result, "6 successes / 0 failures / 0 errors /")
  end)

  it("reports a task of a setup that fails, and skips what depends on it", function()
    local result = run_spec [[
      describe("broken", function()
        setup(function()
          task.spawn(function() task.sleep(0) error("server died") end)
        end)
        it("is interrupted", function() task.sleep(1000) end)
        it("is not run", function() print("not reached") end)
      end)
      it("goes on elsewhere", function() task.sleep(0) end)]]
    assert.equal(1, result.status)
    assert_has(result.out, "server died")
    assert_sum(result, "1 success / 0 failures / 2 errors /")
    assert.is_nil(result.out:find("not reached", 1, true))
  end)

  it("reports a failed task of a before_each", function()
    local result = run_spec [[
      describe("broken", function()
        before_each(function() task.spawn(function() task.sleep(0) error("died") end) end)
        it("is interrupted", function() task.sleep(1000) end)
      end)]]
    assert.equal(1, result.status)
    assert_has(result.out, "one_spec.lua:4: died")
  end)

  it("ends what takes too long, and says where it waits", function()
    local result = run_spec([[
      describe("slow", function()
        it("test", function()
          task.sleep(1000)
        end)
        it("task", function()
          task.spawn(task.sleep, 1000):join()
        end)
        it("that swallows", function()
          pcall(task.sleep, 1000)
          pcall(task.sleep, 1000)
          task.sleep(1000)
        end)
        it("but not this", function() task.sleep(0) end)
      end)
      describe("slow setup", function()
        setup(function() task.sleep(1000) end)
        it("is not run", function() print("not reached") end)
      end)
      describe("slow cleanup", function()
        after_each(function() task.sleep(1000) end)
        it("is run", function() end)
      end)]], "--timeout 0.05")
    assert.equal(1, result.status)
    assert_sum(result, "2 successes / 0 failures / 5 errors /")
    assert_has(result.out, "one_spec.lua:5: timed out after 0.05 s, waiting here")
    assert_has(result.out, "one_spec.lua:8: timed out after 0.05 s, waiting here")
    assert_has(result.out, "one_spec.lua:13: timed out after 0.05 s, waiting here")
    assert_has(result.out, "one_spec.lua:18: timed out after 0.05 s, waiting here")
    assert.is_nil(result.out:find("not reached", 1, true))
    assert.equal(2, run_spec("", "--timeout=never").status)
  end)

  it("lets cleanups wait after a failure and a timeout", function()
    local result = run_spec([[
      describe("cleaned up", function()
        after_each(function() task.sleep(0) print("cleaned") end)
        it("late", function()
          finally(function() task.sleep(0) print("finally") end)
          task.sleep(1000)
        end)
        it("failed", function() task.spawn(error, "boom") task.sleep(1000) end)
      end)]], "--timeout=0.05")
    local _, cleaned = result.out:gsub("cleaned\n", "")
    assert.equal(2, cleaned)
    assert_has(result.out, "finally\n")
    assert_sum(result, "0 successes / 0 failures / 2 errors /")
  end)

  it("reports at once what nothing can wake any more, and goes on", function()
    for _, options in ipairs { "", "--timeout 0" } do
      local result = run_spec([[
        local sync = require "ahost.sync"
        describe("a deadlock", function()
          it("of tasks", function()
            local me = task.current()
            task.spawn(function() me:join() end):join()
          end)
          it("that is swallowed", function()
            pcall(sync.event().wait, sync.event())
            sync.event():wait()
          end)
        end)
        describe("of a cleanup", function()
          after_each(function()
            sync.event():wait()
          end)
          it("is that of the block", function() task.sleep(0) end)
        end)
        it("is run all the same", function() task.sleep(0.01) end)]], options)
      assert.equal(1, result.status)
      for _, line in ipairs { 7, 11, 16 } do
        assert_has(result.out, "one_spec.lua:" .. line
          .. ": nothing is left that could wake it, waiting here")
      end
      assert_sum(result, "2 successes / 0 failures / 3 errors /")
    end
  end)

  it("survives the resetting of modules between files", function()
    local result = subprocess.shell(([[cd %s && rm -rf two && mkdir two
      for i in 1 2 3; do cat >two/${i}_spec.lua <<'END'
        assert(package.loaded["ahost.json"] == nil)
        local task, json = require "ahost.task", require "ahost.json"
        local context = require "ahost.context"
        leaked = leaked and error("a global was left") or true
        it("works", function()
          assert.same({1, 2}, json.decode("[1,2]"))
          local child = task.spawn("named", function() task.sleep(0) return 7 end)
          assert.equal(7, child:join())
          assert.equal("open", context.current():state())
        end)
END
      done
      $ahost test two]]):format(directory))
    assert.equal("", result.err)
    assert_sum(result, "3 successes / 0 failures / 0 errors /")
  end)

  it("turns os.exit in a test into an error of that test", function()
    local result = run_spec [[
      it("exits", function() os.exit(3) end)
      it("does not", function() end)]]
    assert.equal(1, result.status)
    assert_sum(result, "1 success / 0 failures / 1 error /")
    assert_has(result.out, "os.exit(3) was called")
  end)

  it("ends with what is done so far on a process signal", function()
    local result = run_spec [[
      it("passes", function() end)
      it("is interrupted", function()
        os.execute("kill -TERM $PPID")
        task.sleep(1000)
      end)
      it("is not run", function() print("not reached") end)]]
    assert.equal(1, result.status)
    assert_sum(result, "1 success / 0 failures / 1 error /")
    assert.is_nil(result.out:find("not reached", 1, true))
  end)

  it("fails when something failed outside the tests", function()
    local result = run_spec [[
      it("leaves a task that cannot end well", function()
        task.spawn(function()
          local _ <close> = setmetatable({}, {__close = function() error("lost") end})
          task.sleep(1000)
        end)
        task.yield()
      end)]]
    assert.equal(1, result.status)
    assert_has(result.err, "lost")
    assert_has(result.err, "something failed outside the tests")
  end)
end)
