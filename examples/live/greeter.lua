-- Greets those who send their names.
local net <const> = require "ahost.net"

local GREETING <const> = "%s, %s! You are number %d.\n"

local Greeter <const> = {
  options = {
    address = { type = "address", default = "127.0.0.1:64106", doc = "where to listen" },
    word = { type = "string", default = "Hello", doc = "what to say" },
  },
}

function Greeter:start(ctx)
  local counter <const>, journal <const> = ctx:ref "counter", ctx:ref "journal"
  local server <const> = assert(net.serve(self.config.address, function(stream)
    for name in stream:lines(100) do
      local number <const> = counter:get():add()
      journal:get():note(name)
      assert(stream:write(GREETING:format(self.config.word, name, number)))
    end
  end))
  self.log:notice("listening on %s", server:address())
end

return Greeter
