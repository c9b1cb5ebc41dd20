-- ahost: the modules of the host, each loaded on its first use.

return setmetatable({}, {
  __index = function(modules, name)
    local module = require("ahost." .. name)
    modules[name] = module
    return module
  end,
})
