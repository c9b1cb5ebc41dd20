-- Adds a command: `ahost ctl live.yaml total`.
local Total <const> = {}

function Total:start(ctx)
  self.counter = ctx:request "counter"
  ctx:require("control"):command("total", function()
    return ("%d greeted"):format(self.counter.count)
  end)
end

-- There is a new counter.
function Total:rebind(key, value) self[key] = value end

return Total
