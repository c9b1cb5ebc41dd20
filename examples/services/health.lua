-- A service: others register checks with it, it tells how all of them are.
local context <const> = require "ahost.context"
local task <const> = require "ahost.task"

local Health <const> = {
  options = {
    timeout = { type = "duration", default = "1s", doc = "how long a check may take" },
  },
}

-- ---- what the others see -------------------------------------------------------------

local Checks <const> = {}
Checks.__index = Checks

---Adds a check, for as long as the current context lives.
---@param name string
---@param check fun(): boolean?, any   may wait; true, or nil and what is wrong
function Checks:register(name, check)
  if self.by_name[name] then error("there is a check '" .. name .. "' already", 2) end
  self.by_name[name] = check
  context.current():on_close(function() self.by_name[name] = nil end)
end

-- -> "ok", or what is wrong
local function try(check, timeout)
  local well, ok, err = pcall(task.timeout, timeout, check)
  if not well then return tostring(ok) end
  return ok and "ok" or tostring(err or "not well")
end

---Runs all checks at the same time. Waits.
---@return table<string, string> results   "ok", or what is wrong, by name
function Checks:run()
  local results <const>, functions <const> = {}, {}
  for name, check in pairs(self.by_name) do
    functions[#functions + 1] = function() results[name] = try(check, self.timeout) end
  end
  task.all(functions)
  return results
end

-- ---- the component -------------------------------------------------------------------

function Health:start(ctx)
  local checks <const> = setmetatable({
    by_name = {},
    timeout = self.config.timeout,
  }, Checks)
  ctx:publish("health", checks, { doc = "how the parts of the application are" })
end

return Health
