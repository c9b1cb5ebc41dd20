-- `component_code`: the start of 1,000 components from one file of 50 lines. With `own`
-- each has its own globals and modules, so that it can be reloaded; with `shared` there
-- is one table for all of them, as if the program had loaded it. An operation is one
-- component.
local application <const> = require "ahost.application"
local task <const> = require "ahost.task"

local mode <const>, count <const> = ..., tonumber((select(2, ...) or 5))
local COMPONENTS <const> = 1000

local directory <const> = os.tmpname()
os.remove(directory)
assert(os.execute("mkdir " .. directory))

local function write(name, text)
  local file <close> = assert(io.open(directory .. "/" .. name, "w"))
  assert(file:write(text))
end

-- A component of 50 lines.
local function member_text()
  local lines <const> = {
    'local texts <const> = require "texts"',
    'local Member <const> = { options = { port = { type = "integer", default = 80 } } }',
    'function Member:start(ctx) ctx:publish("member/" .. self.name, self) end',
  }
  for i = 1, 15 do
    lines[#lines + 1] = ("function Member:method%d(value)\n"
      .. "  return texts.format(value, %d, self.config.port)\nend"):format(i, i)
  end
  lines[#lines + 1] = "\nreturn Member"
  return table.concat(lines, "\n")
end

local function configuration(component)
  local members <const> = {}
  for i = 1, COMPONENTS do members["m" .. i] = { type = component } end
  return { components = members }
end

local function bytes()
  collectgarbage()
  collectgarbage()
  return collectgarbage "count" * 1024
end

-- -> seconds from the configuration to the end of the start, bytes of a component
local function run_once(component)
  local values <const> = configuration(component)
  local before <const>, began <const> = bytes(), os.clock()
  local app <const> = assert(application.new(values))
  local run <const> = task.spawn(function() app:run() end)
  app.running:wait()
  local seconds <const> = os.clock() - began
  assert(not app.failure, app.failure)
  local size <const> = (bytes() - before) / COMPONENTS
  app:stop(0)
  run:join()
  return seconds, size
end

write("member.lua", member_text())
write("texts.lua", 'return { format = function(...) return ("%d %d %d"):format(...) end }'
  .. "\n")
package.path = directory .. "/?.lua;" .. package.path
local component = directory .. "/member.lua"
if mode == "shared" then
  component = "bench.member"
  package.loaded.texts = dofile(directory .. "/texts.lua")
  package.loaded[component] = dofile(directory .. "/member.lua")
end

run_once(component)
local seconds, size = 0, 0
for _ = 1, count do
  local more <const>, of_one <const> = run_once(component)
  seconds, size = seconds + more, of_one
end
os.execute("rm -r " .. directory)
print(("operations=%d\nseconds=%.6f\nbytes=%.0f"):format(count * COMPONENTS, seconds,
  size))
