-- The reference for `lookup`: a method that looks in a plain table and then in
-- those of its parents. LEVELS is how far up the resource is. An operation is
-- one call.
local count <const> = tonumber((...) or 5000000)
local levels <const> = tonumber(select(2, ...) or 0)

local Context <const> = {}
Context.__index = Context

function Context.get(self, key)
  repeat
    local value = self.resources[key]
    if value ~= nil then
      return value
    end
    self = self.parent
  until not self
  return nil
end

local function child(parent)
  return setmetatable({ parent = parent, resources = { other = true } }, Context)
end

local mailer <const> = { name = "the mailer" }
local ctx = child(nil)
ctx.resources.mailer = mailer
for _ = 1, levels do
  ctx = child(ctx)
end

local function run(n)
  for _ = 1, n do
    assert(ctx:get("mailer") == mailer)
  end
end

run(count // 10)
local began <const> = os.clock()
run(count)
print(("operations=%d\nseconds=%.6f"):format(count, os.clock() - began))
