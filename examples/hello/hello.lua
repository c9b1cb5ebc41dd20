-- Greets somebody, and then runs until it is stopped.
--
--     ahost examples/hello/hello.lua
local Hello <const> = {
  options = {
    name = { type = "string", default = "world", doc = "who is greeted" },
  },
}

function Hello:start()
  print(("Hello %s!"):format(self.config.name))
  io.stdout:flush()
end

return Hello
