-- `components`: COMPONENTS tables with two checked options each and a coroutine that
-- enters one in a table of resources. An operation is one component.
local count <const> = tonumber((...) or 20)
local components <const> = tonumber(select(2, ...) or 1000)

local Member <const> = {}
Member.__index = Member

function Member:start(resources)
  resources["member/" .. self.config.name] = self
end

local function configuration()
  local members = {}
  for i = 1, components do
    local name <const> = "m" .. i
    members[name] = { type = "member", port = i, name = name }
  end
  return members
end

local function check(values)
  local port <const> = values.port or 80
  assert(math.type(port) == "integer" and port >= 1)
  assert(type(values.name) == "string")
  return { port = port, name = values.name }
end

local function run_once()
  local members <const> = configuration()
  local began <const> = os.clock()
  local resources <const> = {}
  for name, values in pairs(members) do
    local member <const> = setmetatable({ name = name, config = check(values) }, Member)
    assert(coroutine.resume(coroutine.create(member.start), member, resources))
  end
  local seconds <const> = os.clock() - began
  assert(resources["member/m" .. components])
  return seconds
end

run_once()
local seconds = 0
for _ = 1, count do seconds = seconds + run_once() end
print(("operations=%d\nseconds=%.6f"):format(count * components, seconds))
