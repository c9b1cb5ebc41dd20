local process <const> = require "ahost.process"
local task <const> = require "ahost.task"
local testing <const> = require "ahost.testing"
local tutorial <const> = require "spec.tutorial"

local FOLDER <const> = "examples/supervisor"

local function start(programs)
  return testing.host {
    component = dofile(FOLDER .. "/supervisor.lua"),
    options = { programs = programs, pause = "10ms", longest = "50ms" },
  }
end

-- Waits until a program is as it should be. -> its status
local function wait_for(app, i, is_right)
  for _ = 1, 1000 do
    local status <const> = app:instance():status()[i]
    if is_right(status) then return status end
    task.sleep(0.01)
  end
  error "it never came to that"
end

describe("the supervisor example", function()
  it("is what its tutorial shows", function()
    tutorial.check_code(FOLDER, { "supervisor.lua", "supervisor.yaml" })
  end)

  it("does what its tutorial says", function()
    tutorial.play(FOLDER, function(command) return command end)
  end)

  it("starts programs again when they end", function()
    local output <close> = testing.capture()
    local app <close> = start { { name = "a", command = "exit 3" } }
    wait_for(app, 1, function(status) return status.restarts >= 3 end)
    assert.truthy(output:find "a: ended with status 3, starts again in 0.01 s\n")
    assert.truthy(output:find "a: ended with status 3, starts again in 0.02 s\n")
  end)

  it("starts programs again when they are killed", function()
    local output <close> = testing.capture()
    local app <close> = start { { name = "a", command = "exec sleep 1000" } }
    local function is_running(status) return status.pid ~= nil end
    local pid <const> = wait_for(app, 1, is_running).pid
    process.run { "kill", "-KILL", tostring(pid) }
    wait_for(app, 1, function(status) return status.pid and status.pid ~= pid end)
    assert.truthy(output:find "a: ended with signal KILL")
  end)

  it("ends them in the opposite order", function()
    local output <close> = testing.capture()
    local pid
    do
      local app <close> = start {
        { name = "a", command = "exec sleep 1000" },
        { name = "b", command = "sleep 1000; true" },
      }
      pid = wait_for(app, 1, function(status) return status.pid end).pid
    end
    assert.truthy(output:find "b: stopped\na: stopped\n$")
    assert.not_equal(0, process.run({ "kill", "-0", tostring(pid) }).status)
  end)
end)
