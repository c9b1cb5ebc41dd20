-- Whether the host under test collects all garbage before each resume, so that
-- specs of large numbers take smaller ones.

local task <const> = require "ahost.task"

return function()
  local weak <const> = setmetatable({ {} }, { __mode = "v" })
  task.yield()
  return weak[1] == nil
end
