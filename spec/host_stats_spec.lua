local host <const> = require "ahost.host"
local log <const> = require "ahost.log"
local net <const> = require "ahost.net"
local task <const> = require "ahost.task"
local time <const> = require "ahost.time"

local function sum(counts)
  local total = 0
  for _, n in ipairs(counts) do total = total + n end
  return total
end

-- Hogs the loop for a turn of its own.
local function hog(seconds)
  task.sleep(0)
  local started <const> = os.clock()
  while os.clock() - started < seconds do end
  task.sleep(0)
end

describe("host.stats", function()
  it("tells how long the turns of the loop lasted", function()
    host.stats(true)
    local before <const> = host.stats().lag
    hog(0.03)
    local after <const> = host.stats().lag
    assert.is_true(after.longest >= 0.03)
    assert.is_true(after.total - before.total >= 0.03)
    assert.is_true(after.turns > before.turns)
    assert.equal(#after.bounds + 1, #after.counts)
    assert.equal(after.turns, sum(after.counts))
    local longer = 0
    for i = #after.counts, 1, -1 do
      if (after.bounds[i - 1] or 0) < 0.02 then break end
      longer = longer + after.counts[i] - before.counts[i]
    end
    assert.is_true(longer >= 1)
  end)

  it("looks for the longest turn anew when told so", function()
    hog(0.03)
    assert.is_true(host.stats(true).lag.longest >= 0.03)
    assert.equal(0, host.stats().lag.longest)
  end)

  it("counts no time that the loop waits", function()
    local before <const>, began <const> = host.stats().lag, time.now()
    task.sleep(0.2)
    local after <const> = host.stats().lag
    -- However long the machine had other things to do.
    local took <const> = time.now() - began
    assert.is_true(after.total - before.total <= took - 0.15)
  end)

  it("counts the connections of servers while they are open", function()
    local before <const> = host.stats().connections
    local server <close> = assert(net.serve("127.0.0.1:0", function(stream)
      stream:read_line()
      stream:read_line()
    end))
    local one <close> = assert(net.connect(server:address()))
    local two <close> = assert(net.connect(server:address()))
    while server:count() < 2 do task.yield() end
    assert.equal(before + 2, host.stats().connections)
    one:close()
    while server:count() > 1 do task.yield() end
    assert.equal(before + 1, host.stats().connections)
    assert.is_nil((two:read(1, 0.01)))
    server:close()
    assert.equal(before, host.stats().connections)
  end)

  it("counts records by their level, those that pass", function()
    local _ <close> = log.capture { passes = false }
    local before <const> = host.stats().log
    local logger <const> = log.get "spec.stats"
    log.set_level("spec.stats", "warning")
    finally(function() log.set_level("spec.stats", nil) end)
    logger:notice "not written"
    logger:warning "one"
    logger:error "two"
    logger:error "three"
    local after <const> = host.stats().log
    assert.equal(before.notice, after.notice)
    assert.equal(before.warning + 1, after.warning)
    assert.equal(before.error + 2, after.error)
    assert.equal(0, after.critical - before.critical)
  end)
end)
