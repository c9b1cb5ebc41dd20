-- Whole files: read, written, replaced and copied.

local fs <const> = require "ahost.fs"
local task <const> = require "ahost.task"
local testing <const> = require "ahost.testing"
local subprocess <const> = require "spec.subprocess"
local gc_stress <const> = require "spec.gc_stress"

local directory, remove

before_each(function() directory, remove = subprocess.directory() end)
after_each(function() remove() end)

local function path(name) return directory .. "/" .. name end

local function shell(script)
  assert(os.execute("cd " .. directory .. " && " .. script))
end

local function fails_as(code, text, result, err)
  assert.is_nil(result)
  assert.equal(code, err.code)
  assert.equal(text, (tostring(err):gsub(directory, "DIR")))
end

local function names()
  local found <const> = {}
  for _, entry in ipairs(fs.list(directory)) do found[#found + 1] = entry.name end
  return found
end

local function octal(digits) return tonumber(digits, 8) end

-- A text of all bytes, and of a size that no buffer divides.
local function large()
  local bytes <const> = {}
  for i = 0, 255 do bytes[i + 1] = string.char(i) end
  return table.concat(bytes):rep(1200) .. "end"
end

-- Descriptors that the process has open.
local function descriptors()
  return #fs.list("/proc/self/fd")
end

describe("fs.read", function()
  it("gives the whole contents", function()
    subprocess.write(path "a", large())
    assert.equal(large(), fs.read(path "a"))
    subprocess.write(path "empty", "")
    assert.equal("", fs.read(path "empty"))
  end)

  it("gives what a file without a size has", function()
    assert.is_truthy(fs.read("/proc/self/status"):find("Threads:", 1, true))
    assert.equal("", fs.read("/dev/null"))
  end)

  it("takes no more than its limit", function()
    subprocess.write(path "a", "12345")
    assert.equal("12345", fs.read(path "a", 5))
    fails_as("TOOLONG",
      "read DIR/a: the file has more than 4 bytes (the limit) (TOOLONG)",
      fs.read(path "a", 4))
    fails_as("TOOLONG", "read /dev/zero: the file has more than 100000 bytes (the limit) "
      .. "(TOOLONG)", fs.read("/dev/zero", 100000))
    assert.error_matches(function() fs.read(path "a", -1) end, "number of bytes")
  end)

  it("says what is wrong", function()
    fails_as("ENOENT", "read DIR/a: no such file or directory (ENOENT)",
      fs.read(path "a"))
    fails_as("EISDIR", "read DIR: illegal operation on a directory (EISDIR)",
      fs.read(directory))
    subprocess.write(path "a", "")
    fails_as("ENOTDIR", "read DIR/a/b: not a directory (ENOTDIR)", fs.read(path "a/b"))
  end)

  it("waits for the writer of a pipe, and can be cancelled meanwhile", function()
    shell "mkfifo f g"
    local reading <const> = task.spawn(function() return fs.read(path "f") end)
    local vain <const> = task.spawn(function() return fs.read(path "g") end)
    assert.equal("hello", fs.read("/dev/null") .. "hello")
    shell "printf hello >f"
    assert.equal("hello", reading:join())
    vain:cancel()
    local _, err <const> = vain:join()
    assert.equal("CANCELLED", err.code)
  end)

  it("does many at once, and leaves no descriptor open", function()
    local before <const> = descriptors()
    local readings <const> = {}
    for i = 1, gc_stress() and 50 or 1000 do
      readings[i] = function()
        assert(fs.write(path("f" .. i), "contents " .. i))
        return fs.read(path("f" .. i))
      end
    end
    for i, result in ipairs(task.all(readings)) do
      assert.equal("contents " .. i, result)
    end
    assert.is_true(descriptors() <= before)
  end)

  it("can be cancelled at any moment", function()
    subprocess.write(path "a", large())
    local before <const> = descriptors()
    for i = 1, gc_stress() and 20 or 300 do
      local reading <const> = task.spawn(function() return fs.read(path "a") end)
      for _ = 1, i % 4 do task.yield() end
      reading:cancel()
      reading:join()
    end
    for _ = 1, 500 do -- until the threads are done
      if descriptors() <= before then break end
      task.sleep(0.01)
    end
    assert.is_true(descriptors() <= before)
  end)
end)

describe("fs.write", function()
  it("makes a file or empties the one there is", function()
    assert.is_true(fs.write(path "a", large()))
    assert.equal(large(), fs.read(path "a"))
    assert.is_true(fs.write(path "a", { "a", "b", 3 }))
    assert.equal("ab3", fs.read(path "a"))
    assert.is_true(fs.write(path "a", ""))
    assert.equal("", fs.read(path "a"))
  end)

  it("appends", function()
    assert.is_true(fs.write(path "a", "1\n", { append = true }))
    assert.is_true(fs.write(path "a", "2\n", { append = true }))
    assert.equal("1\n2\n", fs.read(path "a"))
  end)

  it("makes files with a mode, within the umask", function()
    assert.is_true(fs.write(path "a", "", { mode = "600" }))
    assert.equal(octal "600", fs.stat(path "a").mode)
  end)

  it("says what is wrong", function()
    fails_as("ENOENT", "write DIR/no/a: no such file or directory (ENOENT)",
      fs.write(path "no/a", "x"))
    fails_as("EISDIR", "write DIR: illegal operation on a directory (EISDIR)",
      fs.write(directory, "x"))
    fails_as("ENOSPC", "write /dev/full: no space left on device (ENOSPC)",
      fs.write("/dev/full", "x"))
  end)

  it("raises for what cannot be written", function()
    assert.error_matches(function() fs.write(path "a", nil) end, "string expected")
    assert.error_matches(function() fs.write(path "a", { "x", {} }) end,
      "item 2 of the data is no string but a table")
    assert.error_matches(function() fs.write(path "a", "x", { atomc = true }) end,
      "unknown option 'atomc'")
    assert.error_matches(function()
      fs.write(path "a", "x", { atomic = true, append = true })
    end, "replaced %(atomic%) or appended")
    assert.is_false(fs.exists(path "a"))
  end)

  it("keeps its data when its task is cancelled", function()
    local sixteen <const> = ("0123456789abcdef"):rep(65536)
    for i = 1, gc_stress() and 10 or 100 do
      local writing <const> = task.spawn(function()
        return fs.write(path "a", { sixteen, tostring(i) })
      end)
      for _ = 1, i % 3 do task.yield() end
      writing:cancel()
      writing:join()
      collectgarbage("step")
    end
    local text <const> = assert(fs.read(path "a"))
    assert.equal(text, (sixteen .. text:sub(#sixteen + 1)):sub(1, #text))
  end)
end)

describe("fs.write with atomic", function()
  it("replaces the file, and keeps its mode", function()
    assert.is_true(fs.write(path "a", "old"))
    assert.is_true(fs.chmod(path "a", "604"))
    local old <const> = fs.stat(path "a")
    assert.is_true(fs.write(path "a", "new", { atomic = true }))
    assert.equal("new", fs.read(path "a"))
    assert.equal(octal "604", fs.stat(path "a").mode)
    assert.not_equal(old.inode, fs.stat(path "a").inode)
    assert.is_true(fs.write(path "a", "newer", { atomic = true, mode = "640" }))
    assert.equal(octal "640", fs.stat(path "a").mode)
    assert.same({ "a" }, names())
  end)

  it("makes a file that is not there with the usual mode", function()
    assert.is_true(fs.write(path "plain", ""))
    assert.is_true(fs.write(path "atomic", "", { atomic = true }))
    assert.equal(fs.stat(path "plain").mode, fs.stat(path "atomic").mode)
  end)

  it("replaces what a link leads to, not the link", function()
    shell "mkdir d && echo old >d/a && ln -s d/a l && ln -s no m"
    assert.is_true(fs.write(path "l", "new", { atomic = true }))
    assert.equal("link", fs.lstat(path "l").type)
    assert.equal("new", fs.read(path "d/a"))
    assert.is_true(fs.write(path "m", "there", { atomic = true }))
    assert.equal("there", fs.read(path "no"))
    shell "ln -s loop loop"
    fails_as("ELOOP", "write DIR/loop: too many symbolic links encountered (ELOOP)",
      fs.write(path "loop", "x", { atomic = true }))
  end)

  it("takes names without a directory, and long ones", function()
    local name <const> = ("n"):rep(255)
    assert.is_true(fs.write(path(name), "x", { atomic = true }))
    assert.equal("x", fs.read(path(name)))
  end)

  it("replaces no directory, device or pipe", function()
    shell "mkdir d && mkfifo f"
    fails_as("EISDIR", "write DIR/d: illegal operation on a directory (EISDIR)",
      fs.write(path "d", "x", { atomic = true }))
    fails_as("EINVAL", "write DIR/f: invalid argument (EINVAL)",
      fs.write(path "f", "x", { atomic = true }))
    fails_as("EINVAL", "write /dev/null: invalid argument (EINVAL)",
      fs.write("/dev/null", "x", { atomic = true }))
    assert.same({ "d", "f" }, names())
  end)

  it("leaves the old contents and nothing else behind when it is cancelled", function()
    local old <const>, new <const> = ("old"):rep(100000), ("new"):rep(1000000)
    assert.is_true(fs.write(path "a", old))
    for i = 1, gc_stress() and 10 or 60 do
      local writing <const> = task.spawn(function()
        return fs.write(path "a", new, { atomic = true })
      end)
      for _ = 1, i % 5 do task.yield() end
      writing:cancel()
      writing:join()
      local text <const> = assert(fs.read(path "a"))
      assert.is_true(text == old or text == new)
    end
    for _ = 1, 500 do
      if #names() == 1 then break end
      task.sleep(0.01)
    end
    assert.same({ "a" }, names())
  end)
end)

describe("fs.copy", function()
  it("copies contents and mode", function()
    subprocess.write(path "a", large())
    assert.is_true(fs.chmod(path "a", "751"))
    assert.is_true(fs.copy(path "a", path "b"))
    assert.equal(large(), fs.read(path "b"))
    assert.equal(octal "751", fs.stat(path "b").mode)
    assert.is_true(fs.copy(path "a", path "c", { mode = "600" }))
    assert.equal(octal "600", fs.stat(path "c").mode)
  end)

  it("copies what has no size, and between file systems", function()
    assert.is_true(fs.copy("/proc/version", path "v"))
    assert.equal(fs.read("/proc/version"), fs.read(path "v"))
    subprocess.write(path "a", "")
    assert.is_true(fs.copy(path "a", path "b"))
    assert.equal(0, fs.stat(path "b").size)
    if not fs.exists("/dev/shm") then return end
    subprocess.write(path "a", large())
    local other <const> = assert(fs.temporary { directory = "/dev/shm" })
    assert.is_true(fs.copy(path "a", other, { overwrite = true }))
    assert.equal(large(), fs.read(other))
    assert(fs.remove(other))
  end)

  it("replaces only what it is told to", function()
    shell "echo a >a && echo b >b"
    fails_as("EEXIST", "copy DIR/a -> DIR/b: file already exists (EEXIST)",
      fs.copy(path "a", path "b"))
    assert.equal("b\n", fs.read(path "b"))
    assert.is_true(fs.copy(path "a", path "b", { overwrite = true }))
    assert.equal("a\n", fs.read(path "b"))
  end)

  it("spares a file that is to be copied onto itself", function()
    shell "echo a >a && ln -s a l"
    for _, name in ipairs { "a", "l" } do
      assert.equal("EINVAL", select(2, fs.copy(path "a", path(name),
        { overwrite = true })).code)
    end
    assert.equal("a\n", fs.read(path "a"))
    assert.same({ "a", "l" }, names())
  end)

  it("says what is wrong, and leaves nothing behind", function()
    shell "mkdir d && echo a >a"
    fails_as("ENOENT", "copy DIR/no -> DIR/b: no such file or directory (ENOENT)",
      fs.copy(path "no", path "b"))
    fails_as("EISDIR", "copy DIR/d -> DIR/b: illegal operation on a directory (EISDIR)",
      fs.copy(path "d", path "b"))
    fails_as("EISDIR", "copy DIR/a -> DIR/d: illegal operation on a directory (EISDIR)",
      fs.copy(path "a", path "d", { overwrite = true }))
    assert.same({ "a", "d" }, names())
  end)
end)

describe("a clock in the hands of a test", function()
  it("stands still while a thread is at a file", function()
    local clock <close> = testing.clock()
    local began <const> = clock:now()
    local sleeping <const> = task.spawn(function() task.sleep(60) return clock:now() end)
    for _ = 1, 20 do
      assert.is_true(fs.write(path "a", large()))
      assert.equal(large(), fs.read(path "a"))
    end
    assert.equal(began, clock:now())
    assert.equal(began + 60, sleeping:join())
  end)
end)

describe("the limit of memory", function()
  it("is one for what threads read, too", function()
    subprocess.write(path "script.lua", ([[
      local fs <const> = require "ahost.fs"
      local runtime <const> = require "ahost.component.runtime"
      runtime.limits { memory = 8 * 1024 * 1024 }
      local data, err = fs.read("%s/large")
      print(data and #data, err)
      data, err = fs.read("%s/small")
      print(#data, err)
    ]]):format(directory, directory))
    shell "truncate -s 20M large && truncate -s 100K small"
    local result <const> = subprocess.shell("$ahost " .. path "script.lua")
    assert.same({
      status = 0,
      out = ("nil\tread %s/large: not enough memory (ENOMEM)\n102400\tnil\n"):format(
        directory),
      err = "",
    }, result)
  end)
end)

describe("the threads for files", function()
  it("are no more than they may be, and have a name", function()
    subprocess.write(path "script.lua", ([[
      local context <const> = require "ahost.context"
      local fs <const> = require "ahost.fs"
      local runtime <const> = require "ahost.component.runtime"
      local function threads()
        local count = 0
        for _, thread in ipairs(fs.list "/proc/self/task") do
          local name = fs.read("/proc/self/task/" .. thread.name .. "/comm")
          if name == "ahost:fs\n" then count = count + 1 end
        end
        return count
      end
      local function work()
        context.scope(function(ctx)
          for i = 1, 100 do
            ctx:spawn(function() assert(fs.write("%s/" .. i, "x")) end)
          end
        end)
        return threads()
      end
      local most = work()
      print(most >= 1 and most <= 4)
      runtime.limits { threads = 1 }
      work()
      print(work())
    ]]):format(directory))
    assert.same({ status = 0, out = "true\n1\n", err = "" },
      subprocess.shell("$ahost " .. path "script.lua"))
  end)
end)

describe("a script that ends", function()
  it("abandons tasks whose files do not come to an end", function()
    shell "mkfifo f"
    subprocess.write(path "script.lua", ([[
      local fs, task <const> = require "ahost.fs", require "ahost.task"
      require("ahost.component.runtime").stop_timeout(0.1)
      local file <const> = assert(fs.open("%s/f", "r+"))
      for i = 1, 6 do
        task.spawn(function() task.shield(function() file:read_line() end) end)
        task.spawn(function() task.shield(function() fs.read("%s/f") end) end)
      end
      task.sleep(0.01)
      require("ahost.host").stop(3)
    ]]):format(directory, directory))
    local result <const> = subprocess.shell("$ahost " .. path "script.lua")
    assert.equal(3, result.status)
    assert.equal(12, select(2, result.err:gsub("is abandoned: read", "")))
    assert.is_nil(result.err:find("Sanitizer", 1, true))
  end)

  it("is not held up by a thread that waits for a pipe", function()
    shell "mkfifo f"
    subprocess.write(path "script.lua", ([[
      local fs, task <const> = require "ahost.fs", require "ahost.task"
      local one = task.spawn(function() fs.read("%s/f") end)
      task.yield()
      one:cancel()
    ]]):format(directory))
    assert.same({ status = 0, out = "", err = "" },
      subprocess.shell("$ahost " .. path "script.lua"))
  end)
end)
