-- Old generations that have ended are to be collected as garbage. When one is not, it is
-- told what holds it: else an application that is often reloaded grows.

local holders <const> = require "ahost.reload.holders"
local sync <const> = require "ahost.sync"
local time <const> = require "ahost.time"

local reachability <const> = {}

-- Most of what is garbage is gone after so many collections.
local COLLECTIONS <const> = 3

--- Seconds after which an old generation that is still there is looked into.
reachability.patience = 10

-- ---- collections ---------------------------------------------------------------------

local collections = 0
local collected <const> = sync.event()
local is_counting = false

-- Each collection finds the object before as garbage, and makes another.
local function count()
  setmetatable({}, {
    __gc = function()
      collections = collections + 1
      collected:set()
      if is_counting then count() end
    end,
  })
end

local function start_counting()
  if is_counting then return end
  is_counting = true
  count()
end

-- ---- expectations --------------------------------------------------------------------

local function report(app, expected)
  local way <const> = holders.find(expected.ref.instance, { expected })
  app.log:warning("generation %d of %s has ended, but is not collected: it is held by %s",
    expected.number, expected.name, way or "something that was not found")
end

-- Keeps those that are neither gone nor late. -> the late ones
local function sift(list)
  local late <const>, kept <const> = {}, {}
  for _, expected in ipairs(list) do
    local is_late <const> = collections - expected.since >= COLLECTIONS
      and time.now() - expected.ended >= reachability.patience
    if expected.ref.instance ~= nil then
      table.insert(is_late and late or kept, expected)
    end
  end
  table.move(kept, 1, math.max(#list, #kept), 1, list)
  return late
end

-- A full collection decides, for what is about to end holds things for a moment.
local function look_into(app, late)
  collectgarbage()
  for _, expected in ipairs(late) do
    if expected.ref.instance ~= nil then report(app, expected) end
  end
end

local function watch(app)
  start_counting()
  while #app.ended > 0 do
    collected:wait()
    collected:clear()
    local late <const> = sift(app.ended)
    if #late > 0 then look_into(app, late) end
  end
  is_counting = false
end

--- An old generation has ended: from now on nothing should hold it.
---@param app ahost.Application
---@param old ahost.OldGeneration
function reachability.expect_end(app, old)
  local expected <const> = {
    name = old.name,
    number = old.number,
    ref = setmetatable({ instance = old.instance }, { __mode = "v" }),
    since = collections,
    ended = time.now(),
  }
  old.instance = nil
  app.ended = app.ended or {}
  table.insert(app.ended, expected)
  if #app.ended == 1 then app.outer:spawn("ended generations", watch, app) end
end

return reachability
