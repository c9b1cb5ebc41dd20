local context <const> = require "ahost.context"
local log <const> = require "ahost.log"
local net <const> = require "ahost.net"
local process <const> = require "ahost.process"
local subprocess <const> = require "spec.subprocess"
local task <const> = require "ahost.task"
local testing <const> = require "ahost.testing"

local function exists(path)
  local ok, _, code = os.rename(path, path)
  return ok ~= nil or code ~= 2
end

describe("testing.directory", function()
  it("is a directory that goes with its context", function()
    local path
    context.scope(function()
      local directory <const> = testing.directory()
      path = directory.path
      assert.equal(path, tostring(directory))
      assert.equal(path .. "/x", directory .. "/x")
      assert.is_true(exists(path))
      directory:write("one", "1")
      directory:write("below/and/below/two", "2")
      os.execute("ln -s /etc " .. path .. "/link")
    end)
    assert.is_false(exists(path))
    assert.is_true(exists("/etc"))
  end)

  it("writes and reads files", function()
    local directory <const> = testing.directory()
    local path <const> = directory:write("a.txt", "one\r\n\0two")
    assert.equal(directory .. "/a.txt", path)
    assert.equal("one\r\n\0two", directory:read("a.txt"))
    directory:write("a.txt", "")
    assert.equal("", directory:read("a.txt"))
    directory:write("b/c.txt", "deep")
    directory:write("b/d.txt", "too")
    assert.equal("deep", directory:read("b/c.txt"))
    local text, message = directory:read("nothing")
    assert.is_nil(text)
    assert.matches("No such file", message)
    assert.has_error(function() directory:write("a.txt/b", "") end)
  end)

  it("is another one each time", function()
    assert.not_equal(testing.directory().path, testing.directory().path)
  end)

  it("can be removed before", function()
    local directory
    do
      local closed <close> = testing.directory()
      directory = closed
      closed:write("one", "1")
    end
    assert.is_false(exists(directory.path))
    directory:close()
  end)
end)

describe("testing.program", function()
  it("runs this program", function()
    local directory <const> = testing.directory()
    directory:write("script.lua", [[
      print(...)
      print(io.read("a"))
      io.stderr:write("complaint")
      require("ahost.host").stop(7)]])
    assert.same({ status = 7, output = "one\ttwo\nthree\n", errors = "complaint" },
      testing.program { "script.lua", "one", "two", input = "three",
        directory = directory })
    assert.matches("^ahost %d", testing.program { "--version" }.output)
  end)

  it("runs any other, beside other tasks and each other", function()
    local runs = {}
    for i = 1, 5 do
      runs[i] = task.spawn(testing.program,
        { command = "sh", "-c", "sleep 0.01; echo $0", tostring(i) })
    end
    for i = 1, 5 do assert.equal(i .. "\n", runs[i]:join().output) end
  end)

  it("tells of process signals", function()
    assert.equal(128 + 9, testing.program { command = "sh", "-c", "kill -9 $$" }.status)
  end)

  it("tells what cannot be run", function()
    local result, err = testing.program { command = "/no/such/program" }
    assert.is_nil(result)
    assert.equal("ENOENT", err.code)
    assert.matches("run /no/such/program", tostring(err), 1, true)
    assert.equal("ENOENT",
      select(2, testing.program { command = "true", directory = "/no/such" }).code)
    assert.has_error(function() testing.program { {} } end)
  end)

  it("kills it with the task", function()
    local directory <const> = testing.directory()
    local running <const> = task.spawn(testing.program,
      { command = "sh", "-c", "echo $$ >pid; exec sleep 100", directory = directory })
    local pid
    repeat
      task.sleep(0.001)
      pid = tonumber((directory:read("pid")))
    until pid
    running:cancel()
    running:join()
    assert.equal("cancelled", running:status())
    assert.is_nil(io.open("/proc/" .. pid .. "/stat"))
  end)

  it("is waited for by a virtual clock", function()
    local clock <close> = testing.clock()
    local result <const> = assert(task.timeout(0.001, testing.program,
      { command = "sleep", "0.05" }))
    assert.equal(0, result.status)
    assert.equal(0, clock:now())
    local running <const> = task.spawn(testing.program, { command = "sleep", "100" })
    task.yield()
    clock:advance(10)
    assert.equal(10, clock:now())
    running:cancel()
    running:join()
  end)
end)

describe("testing.free_port", function()
  it("is a port that can be listened on", function()
    local port <const> = testing.free_port()
    local listener <close> = assert(net.listen("127.0.0.1:" .. port))
    assert.equal("127.0.0.1:" .. port, listener:address())
  end)
end)

describe("testing.capture", function()
  it("keeps what is written, in order", function()
    local capture <const> = testing.capture()
    print("one", 1)
    io.write("two\n")
    process.stdout:write("three", { "\n", "four" }, "\n")
    io.stdout:flush()
    os.execute("echo five")
    io.stdout:write("six\n")
    io.stderr:write("oh\n")
    process.stderr:write("dear\n")
    assert.equal("oh\ndear\n", capture.errors)
    local output <const> = "one\t1\ntwo\nthree\nfour\nfive\nsix\n"
    assert.equal(output, capture.output)
    print("seven")
    capture:close()
    assert.equal(output .. "seven\n", capture.output)
    assert.is_nil(capture.unknown)
  end)

  it("keeps what is logged, and from going elsewhere", function()
    local capture <const> = testing.capture()
    log.get("a.b"):warning("attempt %d of %d", 1, 3)
    log.get("a.b"):error("given up")
    log.get("a.c"):error("the same")
    assert.equal("", capture.errors)
    assert.equal(3, #capture.records)
    assert.equal("given up", capture:find { level = "error" }.text)
    assert.equal("the same", capture:find { level = "error", logger = "a.c" }.text)
    assert.equal("attempt 1 of 3", capture:find { text = "^attempt %d" }.text)
    assert.is_nil(capture:find { level = "error", text = "attempt" })
    assert.is_nil(capture:find { logger = "a" })
    capture:close()
    assert.equal(3, #capture.records)
  end)

  it("finds patterns everywhere", function()
    local capture <close> = testing.capture()
    print("the output")
    io.stderr:write("the errors")
    log.get("x"):error("the record")
    assert.equal("output", capture:find "out%a+")
    assert.equal("errors", capture:find "err%a+")
    assert.equal("record", capture:find "rec%a+")
    assert.is_nil(capture:find "nothing")
  end)

  it("ends with its context", function()
    local capture
    context.scope(function()
      capture = testing.capture()
      print("inside")
      context.current():on_close(function() print("at the end") end)
    end)
    local other <const> = testing.capture()
    print("after")
    assert.equal("inside\nat the end\n", capture.output)
    assert.equal("after\n", other.output)
  end)

  it("is one at a time", function()
    local capture <close> = testing.capture()
    local ok, message = pcall(testing.capture)
    capture:close()
    capture:close()
    assert.is_false(ok)
    assert.matches("there is a capture already", message)
    testing.capture():close()
  end)

  it("leaves the streams of the process as they were", function()
    local result <const> = subprocess.shell [[
      cat >$0.lua <<'END'
        local process, testing = require "ahost.process", require "ahost.testing"
        print "before"
        local capture = testing.capture()
        print "inside"
        process.stdout:write("inside\n")
        process.stdout:close()
        assert(not process.stdout:write("late"))
        capture:close()
        print "after"
        process.stdout:write("stream\n")
        process.stderr:write("errors\n")
        require("ahost.host").stop()
END
      $ahost $0.lua]]
    assert.equal("before\nafter\nstream", (result.out:gsub("\n$", "")))
    assert.equal("errors\n", result.err)
  end)

  it("of much, and of zeros, has it all", function()
    local capture <const> = testing.capture()
    local text <const> = ("0123456789\n\0"):rep(100000)
    io.write(text)
    capture:close()
    assert.is_true(capture.output == text)
  end)
end)
