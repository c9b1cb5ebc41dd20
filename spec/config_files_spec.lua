local configuration <const> = require "spec.configuration"
local errors <const> = require "ahost.error"
local files <const> = require "ahost.config.files"
local subprocess <const> = require "spec.subprocess"

local function shell(command, ...)
  local arguments = {}
  for i, argument in ipairs { ... } do arguments[i] = subprocess.quote(argument) end
  assert(os.execute(command:format(table.unpack(arguments))))
end

local function mode_of(path)
  local pipe <close> = assert(io.popen("stat -c %a " .. subprocess.quote(path)))
  return pipe:read "l"
end

local function names_in(directory)
  local pipe <close> = assert(io.popen("ls -A " .. subprocess.quote(directory)))
  return pipe:read("a")
end

local function code_of(value, err)
  assert.is_nil(value)
  assert.is_true(errors.is(err))
  return err.code
end

describe("glob", function()
  it("lists what matches, in the order of bytes", function()
    local at <close> = configuration.new { ["b.x"] = "", ["B.x"] = "", ["a.x"] = "",
      ["a.y"] = "", [".x"] = "", ["d/é.x"] = "" }
    assert.same({ at:path "B.x", at:path "a.x", at:path "b.x" },
      files.glob(at:path "*.x"))
    assert.same({ at:path "d/é.x" }, files.glob(at:path "[a-e]/?*.x"))
    assert.same({ at:path "a.x" }, files.glob(at:path "\\a.x"))
  end)

  it("finds nothing where nothing is", function()
    local at <close> = configuration.new { ["file"] = "" }
    assert.same({}, files.glob(at:path "*.x"))
    assert.same({}, files.glob(at:path "no/*.x"))
    assert.same({}, files.glob(at:path "file/*.x"))
    assert.same({}, files.glob "")
  end)

  it("tells of directories that cannot be read", function()
    local at <close> = configuration.new()
    shell("ln -s loop %s", at:path "loop")
    assert.equal("ELOOP", code_of(files.glob(at:path "loop/*")))
  end)

  it("raises on misuse", function()
    assert.has_error(function() files.glob() end)
    assert.has_error(function() files.glob("a\0b") end)
  end)
end)

describe("realpath", function()
  it("follows links and dots", function()
    local at <close> = configuration.new { ["d/file"] = "" }
    shell("ln -s d/file %s", at:path "link")
    local real <const> = files.realpath(at:path "d/file")
    assert.equal(real, files.realpath(at:path "link"))
    assert.equal(real, files.realpath(at:path "d/../d/./file"))
    assert.equal("/", real:sub(1, 1))
  end)

  it("fails where nothing is", function()
    assert.equal("ENOENT", code_of(files.realpath "/no/such/file"))
    assert.equal("ENAMETOOLONG", code_of(files.realpath(("x"):rep(10000))))
  end)
end)

describe("replace", function()
  it("puts other contents in a file, with its mode, and leaves nothing else", function()
    local at <close> = configuration.new { ["file"] = "old" }
    shell("chmod 640 %s", at:path "file")
    assert.is_true(files.replace(at:path "file", "new\0"))
    assert.equal("new\0", at:read "file")
    assert.equal("640", mode_of(at:path "file"))
    assert.equal("file\n", names_in(at.directory))
  end)

  it("follows links", function()
    local at <close> = configuration.new { ["d/file"] = "old" }
    shell("ln -s d/file %s", at:path "link")
    assert.is_true(files.replace(at:path "link", ("x"):rep(1000000)))
    assert.equal(1000000, #at:read "d/file")
    shell("test -L %s", at:path "link")
  end)

  it("fails, and leaves nothing, where there is no file", function()
    local at <close> = configuration.new { ["d/x"] = "" }
    assert.equal("ENOENT", code_of(files.replace(at:path "no", "")))
    assert.equal("EISDIR", code_of(files.replace(at:path "d", "")))
    assert.equal("d\n", names_in(at.directory))
  end)
end)
