local fs <const> = require "ahost.fs"
local subprocess <const> = require "spec.subprocess"
local tutorial <const> = require "spec.tutorial"

local FOLDER <const> = "examples/hasher"

local function run(arguments)
  return subprocess.shell("$ahost examples/hasher/hasher.lua " .. arguments)
end

describe("the hasher example", function()
  it("is what its tutorial shows", function()
    tutorial.check_code(FOLDER, { "hasher.lua" })
  end)

  it("does what its tutorial says", function()
    tutorial.play(FOLDER, function(command) return command end)
  end)

  it("shows its progress", function()
    local result <const> = run("--progress " .. FOLDER .. "/sample")
    assert.equal(0, result.status)
    assert.truthy(result.err:find("\r[" .. ("#"):rep(40) .. "] 3 of 3 files\n", 1, true))
  end)

  it("goes on when a file is missing, and says so by its status", function()
    local result <const> = run("no " .. FOLDER .. "/sample/a.txt")
    assert.same({
      status = 1,
      out = "af63dc4c8601ec8c  examples/hasher/sample/a.txt\n",
      err = "lstat no: no such file or directory (ENOENT)\n",
    }, result)
  end)

  it("goes round no links, and hashes many files", function()
    local directory <const> = assert(fs.temporary { type = "directory" })
    assert(fs.symlink(directory, directory .. "/loop"))
    for i = 1, 200 do assert(fs.write(("%s/%03d"):format(directory, i), "a")) end
    local result <const> = run(directory)
    assert.same({ 0, "" }, { result.status, result.err })
    local lines <const> = {}
    for i = 1, 200 do lines[i] = ("af63dc4c8601ec8c  %s/%03d\n"):format(directory, i) end
    assert.equal(table.concat(lines), result.out)
  end)
end)
