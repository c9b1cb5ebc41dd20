-- Says good-bye, and is done.
--
--     ahost examples/hello/bye.lua [STATUS]
local host <const> = require "ahost.host"

local Bye <const> = {}

function Bye.run()
  print("Good-bye!")
  return tonumber(host.args[1])
end

return Bye
