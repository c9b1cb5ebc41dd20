-- Open files.

local context <const> = require "ahost.context"
local fs <const> = require "ahost.fs"
local task <const> = require "ahost.task"
local subprocess <const> = require "spec.subprocess"
local gc_stress <const> = require "spec.gc_stress"

local directory, remove

before_each(function() directory, remove = subprocess.directory() end)
after_each(function() remove() end)

local function path(name) return directory .. "/" .. name end

local function shell(script)
  assert(os.execute("cd " .. directory .. " && " .. script))
end

--- An open file with these contents.
local function opened(contents, mode)
  assert(fs.write(path "a", contents))
  return assert(fs.open(path "a", mode))
end

local function fails_as(code, text, result, err)
  assert.is_nil(result)
  assert.equal(code, err.code)
  assert.equal(text, (tostring(err):gsub(directory, "DIR")))
end

local function descriptors()
  return #fs.list("/proc/self/fd")
end

-- Closing by others than `file:close` is not waited for.
local function wait_for_descriptors(expected)
  for _ = 1, 500 do
    if descriptors() <= expected then break end
    task.sleep(0.01)
  end
  assert.equal(expected, descriptors())
end

describe("fs.open", function()
  it("knows the modes of the C library", function()
    subprocess.write(path "a", "old")
    local file = assert(fs.open(path "a"))
    fails_as("EBADF", "write DIR/a: bad file descriptor (EBADF)", file:write("x"))
    file:close()
    file = assert(fs.open(path "a", "r+"))
    assert.is_true(file:write("x"))
    assert.equal("ld", file:read())
    file:close()
    file = assert(fs.open(path "a", "a"))
    assert.is_true(file:write("end"))
    file:close()
    assert.equal("xldend", fs.read(path "a"))
    file = assert(fs.open(path "a", "w"))
    fails_as("EBADF", "read DIR/a: bad file descriptor (EBADF)", file:read())
    file:close()
    assert.equal("", fs.read(path "a"))
    fails_as("EEXIST", "open DIR/a: file already exists (EEXIST)",
      fs.open(path "a", "wx"))
    file = assert(fs.open(path "b", "w+xb", "600"))
    assert.equal(tonumber("600", 8), file:stat().mode)
    file:close()
    assert.error_matches(function() fs.open(path "a", "rx") end, "a mode is")
    assert.error_matches(function() fs.open(path "a", "read") end, "a mode is")
  end)

  it("says what is wrong", function()
    fails_as("ENOENT", "open DIR/no: no such file or directory (ENOENT)",
      fs.open(path "no"))
    fails_as("EISDIR", "open DIR: illegal operation on a directory (EISDIR)",
      fs.open(directory))
  end)

  it("leaves nothing open when it is cancelled", function()
    subprocess.write(path "a", "")
    local before <const> = descriptors()
    for i = 1, gc_stress() and 10 or 200 do
      local opening <const> = task.spawn(function()
        local _ <close> = assert(fs.open(path "a"))
      end)
      for _ = 1, i % 5 do task.yield() end
      opening:cancel()
      opening:join()
    end
    wait_for_descriptors(before)
  end)
end)

describe("reading a file", function()
  it("gives parts, then a plain nil", function()
    local file <close> = opened(("0123456789"):rep(20000))
    local parts <const> = {}
    for part in file:chunks(30000) do parts[#parts + 1] = part end
    assert.equal(("0123456789"):rep(20000), table.concat(parts))
    assert.same({ n = 1 }, table.pack(file:read()))
  end)

  it("gives what a growing file has got since", function()
    local file <close> = opened("one\n")
    assert.equal("one", file:read_line())
    assert.is_nil(file:read_line())
    assert(fs.write(path "a", "two\n", { append = true }))
    assert.equal("two", file:read_line())
  end)

  it("gives lines without their ends", function()
    local long <const> = ("x"):rep(60000)
    local file <close> = opened("one\n\r\n" .. long .. "\r\nlast")
    local lines <const> = {}
    for line in file:lines() do lines[#lines + 1] = line end
    assert.same({ "one", "", long, "last" }, lines)
  end)

  it("takes nothing of a line that is too long", function()
    local file <close> = opened("12345\nrest\n")
    fails_as("TOOLONG", "read_line DIR/a: too long (TOOLONG)", file:read_line(4))
    assert.equal("12345", file:read_line(5))
    local ok, err <const> = pcall(function()
      for _ in file:lines(3) do error("a line") end
    end)
    assert.is_false(ok)
    assert.equal("TOOLONG", err.code)
    assert.equal("rest\n", file:read_all())
    assert.equal("", file:read_all())
  end)

  it("finds delimiters wherever they are", function()
    local parts <const> = {}
    for i = 1, 300 do parts[i] = ("p"):rep(i * 7 % 1000) end
    local file <close> = opened(table.concat(parts, "<->") .. "<-")
    for i = 1, 299 do assert.equal(parts[i], file:read_until("<->", 1000)) end
    assert.equal(parts[300] .. "<-", file:read_until("<->", 1002))
    assert.is_nil(file:read_until("<->"))
  end)

  it("gives exactly so many bytes", function()
    local file <close> = opened(("x"):rep(200000))
    assert.equal(150000, #file:read_exactly(150000))
    assert.equal("", file:read_exactly(0))
    local data, err <const> = file:read_exactly(50001)
    assert.is_nil(data)
    assert.equal("EOF", err.code)
    assert.equal(50000, #err.partial)
    assert.same({ n = 1 }, table.pack(file:read_exactly(1)))
    assert.equal("", file:read_exactly(0))
  end)

  it("gives each of several tasks lines of its own", function()
    local lines <const> = {}
    for i = 1, 1000 do lines[i] = ("line %04d"):format(i) end
    local file <close> = opened(table.concat(lines, "\n") .. "\n")
    local got <const> = {}
    context.scope(function(ctx)
      for _ = 1, 10 do
        ctx:spawn(function()
          for line in file:lines() do got[#got + 1] = line end
        end)
      end
    end)
    table.sort(got)
    assert.same(lines, got)
  end)

  it("takes nothing when it is cancelled", function()
    shell "mkfifo f"
    local file <close> = assert(fs.open(path "f", "r+"))
    assert.is_true(file:write("half"))
    for _ = 1, 3 do
      local reading <const> = task.spawn(file.read_line, file)
      task.sleep(0.001)
      reading:cancel()
      reading:join()
    end
    assert.is_true(file:write(" a line\n"))
    assert.equal("half a line", file:read_line())
  end)

  it("at a place leaves the position alone", function()
    local file <close> = opened("0123456789")
    assert.equal("01", file:read(2))
    assert.equal("567", file:read_at(5, 3))
    assert.equal("89", file:read_at(8, 10))
    assert.same({ n = 1 }, table.pack(file:read_at(10, 1)))
    assert.equal("", file:read_at(10, 0))
    assert.equal("23456789", file:read())
    assert.error_matches(function() file:read_at(-1, 1) end, "an offset is 0 or more")
  end)

  it("raises for sizes that are none", function()
    local file <close> = opened("")
    assert.error_matches(function() file:read(0) end, "a size from 1 byte")
    assert.error_matches(function() file:read_until("") end, "a delimiter has")
    assert.error_matches(function() file:read_exactly() end, "number expected")
  end)
end)

describe("writing a file", function()
  it("takes strings and arrays of them", function()
    local file <close> = opened("", "w")
    assert.is_true(file:write("a", { "b", "c" }, 1))
    assert.is_true(file:flush())
    assert.equal("abc1", fs.read(path "a"))
    assert.is_true(file:sync())
    assert.error_matches(function() file:write() end, "value expected")
    assert.error_matches(function() file:write(nil) end, "string expected")
  end)

  it("goes on where reading stopped", function()
    local file <close> = opened("one\ntwo\nthree\n", "r+")
    assert.equal("one", file:read_line())
    assert.is_true(file:write("TWO"))
    assert.equal("", file:read_line())
    assert.equal(8, file:seek())
    assert.equal(14, file:seek("end"))
    assert.equal(8, file:seek("set", 8))
    assert.equal("three", file:read_line())
    assert.equal(12, file:seek("cur", -2))
    assert.is_true(file:truncate(3))
    assert.equal("one", fs.read(path "a"))
    assert.is_true(file:truncate())
    assert.equal(0, file:stat().size)
    fails_as("EINVAL", "seek DIR/a: invalid argument (EINVAL)", file:seek("set", -1))
  end)

  it("at a place leaves the position alone", function()
    local file <close> = opened("0123456789", "r+")
    assert.equal("0", file:read(1))
    assert.is_true(file:write_at(8, "a", "b"))
    assert.is_true(file:write("x"))
    assert.equal("0x234567ab", fs.read(path "a"))
  end)

  it("is done by several tasks in order", function()
    local file <close> = opened("", "w")
    local expected <const> = {}
    context.scope(function(ctx)
      for i = 1, 100 do
        expected[i] = ("%d\n"):format(i)
        ctx:spawn(function() assert(file:write(expected[i])) end)
      end
    end)
    assert.equal(table.concat(expected), fs.read(path "a"))
  end)

  it("tells of a full disk", function()
    local file <close> = assert(fs.open("/dev/full", "w"))
    fails_as("ENOSPC", "write /dev/full: no space left on device (ENOSPC)",
      file:write("x"))
  end)
end)

describe("a file", function()
  it("is closed once, and then does nothing", function()
    local before <const> = descriptors()
    local file <const> = opened("x", "r+")
    assert.equal("file (" .. path "a" .. ")", tostring(file))
    assert.is_true(file:close())
    assert.equal(before, descriptors())
    assert.is_true(file:close())
    assert.equal("file (" .. path "a" .. ", closed)", tostring(file))
    fails_as("CLOSED", "read DIR/a: closed (CLOSED)", file:read())
    fails_as("CLOSED", "write DIR/a: closed (CLOSED)", file:write("x"))
    fails_as("CLOSED", "read_at DIR/a: closed (CLOSED)", file:read_at(0, 1))
    fails_as("CLOSED", "seek DIR/a: closed (CLOSED)", file:seek())
    fails_as("CLOSED", "stat DIR/a: closed (CLOSED)", file:stat())
    local ok, err <const> = pcall(function() for _ in file:lines() do end end)
    assert.is_false(ok)
    assert.equal("CLOSED", err.code)
  end)

  it("wakes those who wait for it when it is closed", function()
    shell "mkfifo f"
    local before <const> = descriptors()
    local file <const> = assert(fs.open(path "f", "r+"))
    local codes <const> = {}
    context.scope(function(ctx)
      for i = 1, 5 do
        ctx:spawn(function() codes[i] = select(2, file:read()).code end)
      end
      task.yield()
      assert.is_true(file:close())
    end)
    assert.same({ "CLOSED", "CLOSED", "CLOSED", "CLOSED", "CLOSED" }, codes)
    assert.equal(before, descriptors())
  end)

  it("is closed by several at once", function()
    local file <const> = opened("")
    local closing <const> = {}
    for i = 1, 5 do closing[i] = function() return file:close() end end
    assert.same({ true, true, true, true, true }, task.all(closing))
  end)

  it("is closed although its task is cancelled", function()
    local before <const> = descriptors()
    local file <const> = opened("")
    local one <const> = task.spawn(function()
      pcall(task.sleep, 10)
      file:close()
    end)
    task.yield()
    one:cancel()
    one:join()
    fails_as("CLOSED", "read DIR/a: closed (CLOSED)", file:read())
    file:close()
    assert.equal(before, descriptors())
  end)

  it("goes with its context", function()
    local before <const> = descriptors()
    local files <const> = {}
    context.scope(function()
      for i = 1, 50 do files[i] = assert(fs.open(path(i), "w")) end
    end)
    fails_as("CLOSED", "write DIR/1: closed (CLOSED)", files[1]:write("x"))
    wait_for_descriptors(before)
  end)

  it("goes with its context while threads are at it", function()
    shell "mkfifo f"
    local before <const> = descriptors()
    for _ = 1, gc_stress() and 3 or 20 do
      context.scope(function(ctx)
        local file <const> = assert(fs.open(path "f", "r+"))
        ctx:spawn(function() file:read() end)
        ctx:spawn(function() file:read() end)
        for _ = 1, 3 do task.yield() end
        ctx:close()
      end)
    end
    wait_for_descriptors(before)
  end)

  it("is closed by the garbage collector", function()
    local before <const> = descriptors()
    context.scope(function(ctx)
      ctx:spawn(function()
        for i = 1, 50 do assert(fs.open(path(i), "w")) end
      end):join()
      collectgarbage()
      collectgarbage()
      wait_for_descriptors(before)
    end)
  end)

  it("that nobody closes is closed at the end of a script", function()
    subprocess.write(path "script.lua", ([[
      local fs = require "ahost.fs"
      file = assert(fs.open("%s/out", "w"))
      assert(file:write("done"))
      print(io.open("%s/out"):read("a"))
    ]]):format(directory, directory))
    assert.same({ status = 0, out = "done\n", err = "" },
      subprocess.shell("$ahost " .. path "script.lua"))
  end)

  it("can be read by a thousand at once", function()
    local count <const> = gc_stress() and 50 or 500
    local sums <const> = {}
    context.scope(function(ctx)
      for i = 1, count do
        ctx:spawn(function()
          local file <close> = assert(fs.open(path(i), "w+"))
          for j = 1, 5 do assert(file:write(j, "\n")) end
          assert(file:seek("set"))
          local sum = 0
          for line in file:lines() do sum = sum + line end
          sums[i] = sum
        end)
      end
    end)
    for i = 1, count do assert.equal(15, sums[i]) end
  end)
end)
