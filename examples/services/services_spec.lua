local net <const> = require "ahost.net"
local task <const> = require "ahost.task"
local testing <const> = require "ahost.testing"
local tutorial <const> = require "spec.tutorial"

local FOLDER <const> = "examples/services"

-- An application of the service and some more components, which stays.
local function start(components, timeout)
  components.health = { type = FOLDER .. "/health.lua", timeout = timeout }
  return testing.host { config = { components = components } }
end

-- A component that registers a check under its alias.
local function checked_by(check)
  package.loaded["spec.checked"] = {
    start = function(self, ctx) ctx:request("health"):register(self.name, check) end,
  }
  finally(function() package.loaded["spec.checked"] = nil end)
  return { type = "spec.checked" }
end

describe("the services example", function()
  it("is what its tutorial shows", function()
    tutorial.check_code(FOLDER,
      { "health.lua", "disk.lua", "upstream.lua", "report.lua", "services.yaml" })
  end)

  it("does what its tutorial says", function()
    local set <const> = " --set component.components.database.address="
      .. tutorial.free_address()
    tutorial.play(FOLDER, function(command)
      return (command:gsub("services%.yaml", "%0" .. set))
    end)
  end)

  it("ends with status 0 when everything is well", function()
    local server <close> = assert(net.serve("127.0.0.1:0", function() end))
    local directory <const> = testing.directory()
    local output <close> = testing.capture()
    local app <const> = testing.host {
      files = FOLDER .. "/services.yaml",
      set = {
        "component.components.database.address=" .. server:address(),
        "component.components.cache.directory=" .. directory,
        "component.components.data.directory=" .. directory,
      },
    }
    assert.equal(0, app:wait())
    assert.equal("cache      ok\ndata       ok\ndatabase   ok\n", output.output)
    assert.is_nil(directory:read ".health")
  end)

  it("tells of checks that raise, that say no, and that take too long", function()
    local clock <close> = testing.clock()
    local app <const> = start({ a = checked_by(function() task.sleep(10) end) }, "3s")
    local health <const> = app:require "health"
    health:register("b", function() error("broken", 0) end)
    health:register("c", function() return false end)
    local results <const> = health:run()
    assert.truthy(results.a:find("TIMEDOUT", 1, true))
    assert.same({ "broken", "not well" }, { results.b, results.c })
    assert.equal(3, clock:now())
  end)

  it("forgets the checks of components that have ended", function()
    local app <const> = start { a = checked_by(function() return true end) }
    local health <const> = app:require "health"
    assert.same({ a = "ok" }, health:run())
    app:instance("a")._node.ctx:close()
    assert.same({}, health:run())
  end)

  it("refuses a second check of the same name", function()
    local app <const> = start { a = checked_by(function() return true end) }
    assert.error_matches(function() app:require("health"):register("a", print) end,
      "there is a check 'a' already")
  end)
end)
