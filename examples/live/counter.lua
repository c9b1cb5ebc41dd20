-- A counter that is never wrong, whatever is reloaded: a newer generation of it goes on
-- exactly where this one stands.
local Counter <const> = {}

function Counter:add()
  self.count = self.count + 1
  return self.count
end

function Counter:start(ctx)
  self.count = 0
  ctx:publish("counter", self, { doc = "how many have been greeted" })
end

-- The old generation is asked for it in the turn of the loop in which the new one
-- takes its place ...
function Counter:save() return { count = self.count } end

-- ... and the new one gets it in the same turn.
function Counter:restore(saved) self.count = saved.count end

return Counter
