-- A café whose parts know each other's messages only.
--
--     ahost examples/pubsub/pubsub.lua
local Cafe <const> = {}

local function till(message, what, count)
  print(("till: %s: %d x %s"):format(message, count, what))
end

-- Takes one message after the other, and its time.
local function kitchen(orders)
  for message, what, count in orders:messages() do
    if message == "cafe.closing" then return end
    for i = 1, count do print(("kitchen: %s %d"):format(what, i)) end
  end
end

function Cafe:start(ctx)
  local bus <const> = ctx:require "bus"
  bus:subscribe("cafe.order", till)
  self.cook = ctx:spawn("kitchen", kitchen, bus:subscriber("cafe.order", "cafe.closing"))
end

function Cafe:run(ctx)
  local bus <const> = ctx:require "bus"
  bus:publish("cafe.order", "tea", 1)
  print "door: the tea is ordered"
  bus:publish_later("cafe.order", "coffee", 2)
  print "door: the coffee will be"
  bus:publish_later("cafe.closing")
  self.cook:join()
end

return Cafe
