-- The tables that the benchmark of merging takes: what a YAML file of 1 MiB holds,
-- 2,300 components with some options each, in two versions that differ in values and
-- in one option.
local COUNT <const> = 2300

local function component(i, version)
  return {
    type = "module." .. i % 17 .. ":Component",
    address = ("127.0.0.1:%d"):format(10000 + i * version),
    timeout = 1.5 * version,
    enabled = i % 2 == 0,
    ["option_" .. version] = "a text of some length that stands for what people write",
    limits = { connections = i, line = 65536, queue = version },
    tags = { "one", "two", "three" },
    routes = {
      { path = "/index/" .. i, handler = "module:index", methods = { "GET", "HEAD" } },
      { path = "/items/" .. i, handler = "module:items", methods = { "GET", "POST" } },
    },
  }
end

return function(version)
  local components = {}
  for i = 1, COUNT do
    components[("component_%d"):format(i)] = component(i, version)
  end
  local loggers = { ["a.b"] = { level = "info" } }
  return { components = components, logging = { loggers = loggers } }
end
