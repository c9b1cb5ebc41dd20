-- Adds numbers: a client sends "2+2+3" and gets "7". What uses these functions, and
-- where, is in addition.yaml.
local context <const> = require "ahost.context"

local addition <const> = {}

-- "2+2+3" -> 7 | nil
local function sum(line)
  local total = 0
  for number in (line .. "+"):gmatch("([^+]*)%+") do
    local value <const> = math.tointeger(tonumber(number))
    if not value then return nil end
    total = total + value
  end
  return total
end

-- A handler of `servers:` is called for each connection.
function addition.serve(stream)
  local bus <const> = context.current():require "bus"
  for line in stream:lines(1000) do
    local total <const> = sum(line)
    assert(stream:write(total and ("%d"):format(total) or "not a sum", "\n"))
    bus:publish(total and "addition.done" or "addition.refused", line, total)
  end
end

local done, refused = 0, 0

-- A function of `listen:` is called with the message and what was published with it.
function addition.count_done() done = done + 1 end

function addition.count_refused(_, line)
  refused = refused + 1
  print(("refused: %q"):format(line))
  io.stdout:flush()
end

function addition.announce()
  local server <const> = context.current():require "server/addition"
  print("listening on " .. server:address())
  io.stdout:flush()
end

local function tell(what)
  print(("%s: %d sums, %d refused"):format(what, done, refused))
  io.stdout:flush()
end

-- A function of `schedules:` is called with an event.
function addition.report(event) tell(event.name) end

function addition.farewell() tell "the end" end

return addition
