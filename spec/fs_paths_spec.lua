-- What is done with the names of files.

local context <const> = require "ahost.context"
local fs <const> = require "ahost.fs"
local process <const> = require "ahost.process"
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

-- The code and the text of the error of a call that failed.
local function failure(result, err)
  assert.is_nil(result)
  return err.code, tostring(err)
end

local function fails_as(code, text, result, err)
  local got <const>, message <const> = failure(result, err)
  assert.equal(code, got)
  assert.equal(text, (message:gsub(directory, "DIR")))
end

local is_root <const> = process.env.USER == "root" or (function()
  local pipe <close> = io.popen "id -u"
  return pipe:read("n") == 0
end)()

describe("fs.stat", function()
  it("tells what a file is", function()
    shell "printf hello >a && chmod 640 a && touch -d @1000000000.5 a"
    local info <const> = assert(fs.stat(path "a"))
    assert.equal("file", info.type)
    assert.equal(5, info.size)
    assert.equal(tonumber("640", 8), info.mode)
    assert.equal(1000000000.5, info.mtime)
    assert.equal(1, info.links)
    for _, name in ipairs { "uid", "gid", "inode", "device" } do
      assert.equal("integer", math.type(info[name]))
    end
  end)

  it("knows all types and follows links", function()
    shell "mkdir d && ln -s d l && mkfifo f"
    local types <const> = { d = "directory", l = "directory", f = "fifo" }
    for name, type in pairs(types) do assert.equal(type, fs.stat(path(name)).type) end
    assert.equal("char", fs.stat("/dev/null").type)
    assert.equal("link", fs.lstat(path "l").type)
  end)

  it("says which file is missing", function()
    fails_as("ENOENT", "stat DIR/no: no such file or directory (ENOENT)",
      fs.stat(path "no"))
    fails_as("ENOENT", "lstat DIR/no: no such file or directory (ENOENT)",
      fs.lstat(path "no"))
  end)

  it("raises for what is no path", function()
    assert.error_matches(function() fs.stat("") end, "the path is empty")
    assert.error_matches(function() fs.stat("a\0b") end, "zero byte")
    assert.error_matches(function() fs.stat() end, "string expected")
    assert.error_matches(function() fs.stat({}) end, "string expected")
  end)

  it("cannot be used outside of tasks", function()
    assert.error_matches(function()
      table.sort({ 1, 2 }, function() fs.stat("/") return false end)
    end, "cannot wait here")
  end)
end)

describe("fs.exists", function()
  it("tells what is there", function()
    shell "touch a && ln -s no dangling"
    assert.is_true(fs.exists(path "a"))
    assert.is_true(fs.exists(directory))
    assert.is_false(fs.exists(path "no"))
    assert.is_false(fs.exists(path "a/b"))
    assert.is_false(fs.exists(path "dangling"))
  end)

  it("fails when it cannot be told", function()
    shell "ln -s loop loop"
    assert.equal("ELOOP", (failure(fs.exists(path "loop"))))
  end)
end)

describe("fs.list", function()
  it("names what is in a directory, in order", function()
    shell "mkdir d && touch c a .b && ln -s a l"
    assert.same({
      { name = ".b", type = "file" },
      { name = "a", type = "file" },
      { name = "c", type = "file" },
      { name = "d", type = "directory" },
      { name = "l", type = "link" },
    }, fs.list(directory))
    assert.same({}, fs.list(path "d"))
  end)

  it("lists many", function()
    shell "seq -f '%05g' 3000 | xargs touch"
    local entries <const> = assert(fs.list(directory))
    assert.equal(3000, #entries)
    for i, entry in ipairs(entries) do assert.equal(("%05d"):format(i), entry.name) end
  end)

  it("fails for a file", function()
    shell "touch a"
    fails_as("ENOTDIR", "list DIR/a: not a directory (ENOTDIR)", fs.list(path "a"))
  end)
end)

describe("fs.mkdir", function()
  it("makes a directory with a mode", function()
    assert.is_true(fs.mkdir(path "d", { mode = "700" }))
    assert.equal(tonumber("700", 8), fs.stat(path "d").mode)
    fails_as("EEXIST", "mkdir DIR/d: file already exists (EEXIST)", fs.mkdir(path "d"))
    fails_as("ENOENT", "mkdir DIR/x/y: no such file or directory (ENOENT)",
      fs.mkdir(path "x/y"))
  end)

  it("makes those above it", function()
    assert.is_true(fs.mkdir(path "a//b/c/", { parents = true }))
    assert.equal("directory", fs.stat(path "a/b/c").type)
    assert.is_true(fs.mkdir(path "a/b/c", { parents = true }))
    shell "touch a/f"
    assert.equal("EEXIST", (failure(fs.mkdir(path "a/f", { parents = true }))))
    assert.equal("ENOTDIR", (failure(fs.mkdir(path "a/f/g", { parents = true }))))
  end)

  it("raises for options that there are not, and modes that are none", function()
    assert.error_matches(function() fs.mkdir(path "d", { parent = true }) end,
      "unknown option 'parent'")
    assert.error_matches(function() fs.mkdir(path "d", { mode = "rwx" }) end,
      "option 'mode': a string of octal digits")
    assert.error_matches(function() fs.mkdir(path "d", { mode = 1e9 // 1 | 0 }) end,
      "option 'mode'")
  end)
end)

describe("fs.remove", function()
  it("removes files, links and empty directories", function()
    shell "touch a && ln -s a l && mkdir d e && touch e/f"
    assert.is_true(fs.remove(path "l"))
    assert.is_true(fs.exists(path "a"))
    assert.is_true(fs.remove(path "a"))
    assert.is_true(fs.remove(path "d"))
    fails_as("ENOTEMPTY", "remove DIR/e: directory not empty (ENOTEMPTY)",
      fs.remove(path "e"))
    fails_as("ENOENT", "remove DIR/a: no such file or directory (ENOENT)",
      fs.remove(path "a"))
  end)

  it("removes a tree, and nothing that links in it lead to", function()
    shell [[mkdir -p keep t/a/b/c t/d && touch keep/f t/a/x t/a/b/y t/.h &&
      ln -s ../keep t/link && ln -s ../../keep/f t/a/file]]
    assert.is_true(fs.remove(path "t", { recursive = true }))
    assert.is_false(fs.exists(path "t"))
    assert.is_true(fs.exists(path "keep/f"))
  end)

  it("removes a link to a directory, not the directory", function()
    shell "mkdir d && touch d/f && ln -s d l"
    assert.is_true(fs.remove(path "l", { recursive = true }))
    assert.is_true(fs.exists(path "d/f"))
  end)

  it("removes trees that are too deep to have a path", function()
    local chain <const> = ("/directory"):rep(100)
    assert(fs.mkdir(path "t"))
    for _ = 1, gc_stress() and 5 or 30 do
      assert(fs.mkdir(path "u" .. chain, { parents = true }))
      assert(fs.rename(path "t", path "u" .. chain .. "/t"))
      assert(fs.rename(path "u", path "t"))
    end
    assert.is_true(fs.remove(path "t", { recursive = true }))
    assert.is_false(fs.exists(path "t"))
  end)

  it("removes directories with many entries", function()
    shell "mkdir -p t/s && cd t && seq 2000 | xargs touch"
    shell "cd t/s && seq 300 | xargs mkdir"
    assert.is_true(fs.remove(path "t", { recursive = true }))
    assert.is_false(fs.exists(path "t"))
  end)

  it("does not begin what cannot end", function()
    shell "mkdir t && touch t/a"
    assert.equal("EINVAL", (failure(fs.remove(path "t/.", { recursive = true }))))
    assert.equal("EINVAL", (failure(fs.remove(path "t/../", { recursive = true }))))
    assert.equal("EBUSY", (failure(fs.remove("//", { recursive = true }))))
    assert.is_true(fs.exists(path "t/a"))
  end)

  it("says what may not be removed", function()
    if is_root then return end
    shell "mkdir -p t/a && touch t/a/b && chmod 500 t/a"
    assert.equal("EACCES", (failure(fs.remove(path "t", { recursive = true }))))
    shell "chmod 700 t/a"
  end)
end)

describe("fs.rename, symlink, readlink and chmod", function()
  it("do what they say", function()
    shell "touch a"
    assert.is_true(fs.rename(path "a", path "b"))
    assert.is_false(fs.exists(path "a"))
    assert.is_true(fs.symlink("b", path "l"))
    assert.equal("b", fs.readlink(path "l"))
    local long <const> = ("x"):rep(1000)
    assert.is_true(fs.symlink(long, path "long"))
    assert.equal(long, fs.readlink(path "long"))
    assert.is_true(fs.chmod(path "b", "4711"))
    assert.equal(tonumber("4711", 8), fs.stat(path "b").mode)
    assert.is_true(fs.chmod(path "b", tonumber("600", 8)))
    assert.equal(tonumber("600", 8), fs.stat(path "b").mode)
  end)

  it("name both paths when they fail", function()
    fails_as("ENOENT", "rename DIR/a -> DIR/b: no such file or directory (ENOENT)",
      fs.rename(path "a", path "b"))
    shell "touch a"
    fails_as("EINVAL", "readlink DIR/a: invalid argument (EINVAL)", fs.readlink(path "a"))
    fails_as("EEXIST", "symlink DIR/a -> x: file already exists (EEXIST)",
      fs.symlink("x", path "a"))
    assert.error_matches(function() fs.chmod(path "a", "999") end, "octal digits")
    assert.error_matches(function() fs.chmod(path "a") end, "octal digits")
  end)
end)

describe("fs.temporary", function()
  it("makes files and directories that go with the context", function()
    local file, folder
    context.scope(function()
      file = assert(fs.temporary { directory = directory, prefix = "p-" })
      folder = assert(fs.temporary { directory = directory, type = "directory" })
      assert.is_truthy(file:find(directory .. "/p-", 1, true))
      assert.equal(tonumber("600", 8), fs.stat(file).mode)
      assert.equal(tonumber("700", 8), fs.stat(folder).mode)
      assert(fs.mkdir(folder .. "/a/b", { parents = true }))
      assert(fs.remove(file)) -- earlier is fine
    end)
    assert.same({}, fs.list(directory))
  end)

  it("leaves nothing behind when it is cancelled", function()
    for _ = 1, gc_stress() and 10 or 100 do
      local one <const> = task.spawn(function()
        context.scope(function() fs.temporary { directory = directory } end)
      end)
      task.yield()
      one:cancel()
      one:join()
    end
    -- what threads were at ends after its task, and before what is asked for now
    for _ = 1, 200 do
      if #fs.list(directory) == 0 then break end
      task.sleep(0.01)
    end
    assert.same({}, fs.list(directory))
  end)

  it("raises for options that there are not", function()
    assert.error_matches(function() fs.temporary { dir = "x" } end,
      "unknown option 'dir'")
    assert.error_matches(function() fs.temporary { true } end, "unknown option '1'")
    assert.error_matches(function() fs.temporary "dir" end,
      "a table of options is expected, got string")
    assert.error_matches(function() fs.temporary { type = "socket" } end, "option 'type'")
    assert.error_matches(function() fs.temporary { prefix = "a/b" } end,
      "without slashes")
    assert.equal("ENOENT", (failure(fs.temporary { directory = path "no" })))
  end)
end)
