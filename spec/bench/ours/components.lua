-- `components`: applications of COMPONENTS components, each with two options and a
-- resource that it publishes, from the configuration to the end of the start. An
-- operation is one component.
local application <const> = require "ahost.application"
local task <const> = require "ahost.task"

local count <const> = tonumber((...) or 20)
local components <const> = tonumber(select(2, ...) or 1000)

package.loaded.member = {
  options = {
    port = { type = "integer", min = 1, default = 80 },
    name = { type = "string" },
  },
  start = function(self, ctx) ctx:publish("member/" .. self.config.name, self) end,
}

local function configuration()
  local members = {}
  for i = 1, components do
    local name <const> = "m" .. i
    members[name] = { type = "member", port = i, name = name }
  end
  return { components = members }
end

-- -> seconds from the configuration to the end of the start
local function run_once()
  local values <const> = configuration()
  local began <const> = os.clock()
  local app <const> = assert(application.new(values))
  local run <const> = task.spawn(function() app:run() end)
  app.running:wait()
  local seconds <const> = os.clock() - began
  assert(app.ctx:get("member/m" .. components))
  app:stop(0)
  run:join()
  return seconds
end

run_once()
local seconds = 0
for _ = 1, count do seconds = seconds + run_once() end
print(("operations=%d\nseconds=%.6f"):format(count * components, seconds))
