local config <const> = require "ahost.config"
local configuration <const> = require "spec.configuration"
local json <const> = require "ahost.json"

-- What config.edit says is wrong, in a directory of its own.
local function refused(files, names, path, value)
  local at <close> = configuration.new(files)
  local paths = {}
  for i, name in ipairs(names) do paths[i] = at:path(name) end
  local changed, err = config.edit(paths, path, value)
  assert.is_nil(changed)
  assert.equal("CONFIG", err.code)
  for name, text in pairs(files) do assert.equal(text, at:read(name)) end
  return at:relative(err.message)
end

describe("config.edit", function()
  it("changes a value in place, and keeps the rest", function()
    local at <close> = configuration.new {
      ["a.yaml"] = "# the web\ncomponent:\n  port: 80  # not 8080\n\n  host: 'x'\n",
    }
    assert.equal(at:path "a.yaml", config.edit(at:path "a.yaml", "component.port", 81))
    assert.equal("# the web\ncomponent:\n  port: 81  # not 8080\n\n  host: 'x'\n",
      at:read "a.yaml")
  end)

  it("changes the last file that has the key", function()
    local at <close> = configuration.new {
      ["a.yaml"] = "x: {y: 1}\nz: 1\n",
      ["b.yaml"] = "x.y: 2\n",
      ["c.yml"] = "other: 3\n",
    }
    local files <const> = { at:path "a.yaml", at:path "b.yaml", at:path "c.yml" }
    assert.equal(files[2], config.edit(files, "x.y", "new"))
    assert.equal("x.y: new\n", at:read "b.yaml")
    assert.equal(files[1], config.edit(files, { "z" }, { 1, { a = true } }))
    assert.same({ x = { y = "new" }, z = { 1, { a = true } }, other = 3 },
      config.load(files, { env = {} }))
  end)

  it("adds what no file has to the last one", function()
    local at <close> = configuration.new { ["a.yaml"] = "x: 1\n", ["b.yaml"] = "" }
    local files <const> = { at:path "a.yaml", at:path "b.yaml" }
    assert.equal(files[2], config.edit(files, "logging.loggers.a\\.b.level", json.null))
    assert.same({ x = 1, logging = { loggers = { ["a.b"] = { level = json.null } } } },
      config.load(files, { env = {} }))
  end)

  it("passes by Lua files that do not have the key", function()
    local at <close> = configuration.new {
      ["a.yaml"] = "x: 1\n",
      ["b.lua"] = "return { y = 1 }",
    }
    local files <const> = { at:path "a.yaml", at:path "b.lua" }
    assert.equal(files[1], config.edit(files, "x", 2))
    assert.equal("x: 2\n", at:read "a.yaml")
  end)

  it("cannot change Lua files", function()
    local files <const> = { ["a.yaml"] = "x: 1\n", ["b.lua"] = "return { x = 1 }" }
    local message <const> = "b.lua: cannot be edited; only YAML files can"
    assert.equal(message, refused(files, { "a.yaml", "b.lua" }, "x", 2))
    assert.equal(message, refused(files, { "a.yaml", "b.lua" }, "y", 2))
  end)

  it("tells what is wrong with a file", function()
    assert.equal("no.yaml: cannot be read: No such file or directory",
      refused({}, { "no.yaml" }, "x", 2))
    assert.matches("^a%.yaml:%d+:%d+: ",
      refused({ ["a.yaml"] = "a: [1" }, { "a.yaml" }, "x", 2))
    assert.equal("b.lua:1: bad",
      refused({ ["b.lua"] = "error 'bad'" }, { "b.lua" }, "x", 2))
  end)

  it("tells what cannot be changed safely", function()
    assert.matches("^a%.yaml", refused({ ["a.yaml"] = "x: 5\n" }, { "a.yaml" }, "x.y", 2))
    assert.matches("^a%.yaml", refused({ ["a.yaml"] = "a: &a {b: 1}\nx: *a\n" },
      { "a.yaml" }, "x.b", 2))
  end)

  it("raises on misuse", function()
    assert.has_error(function() config.edit({}, "a", 1) end, "config.edit: no file")
    local at <close> = configuration.new { ["a.yaml"] = "a: 1\n" }
    assert.has_error(function() config.edit(at:path "a.yaml", "a", print) end)
    assert.equal("a: 1\n", at:read "a.yaml")
  end)
end)
