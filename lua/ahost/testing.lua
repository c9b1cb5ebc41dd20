-- ahost.testing: what specs need besides busted: an application, a clock in their hands,
-- a directory of their own, what was written, a free port.

local context <const> = require "ahost.context"
local core <const> = require "ahost.testing.core"
local net <const> = require "ahost.net"

local testing <const> = { clock = core.clock }

-- Applications --------------------------------------------------------------------------

testing.host = require "ahost.testing.host"

-- Directories ---------------------------------------------------------------------------

---A temporary directory. `tostring` gives its path, as does `..` with a string.
---@class ahost.testing.Directory
---@field path string
local Directory <const> = { __name = "ahost.testing.Directory" }
Directory.__index = Directory

function Directory:__tostring()
  return self.path
end

function Directory.__concat(a, b)
  return tostring(a) .. tostring(b)
end

---Writes a file; directories on its way are made.
---@param name string    relative to the directory
---@param text string
---@return string path    of the file
function Directory:write(name, text)
  local path <const> = self.path .. "/" .. name
  for at in path:gmatch("()/", #self.path + 2) do
    assert(core.make_directory(path:sub(1, at - 1)))
  end
  local file <close> = assert(io.open(path, "wb"))
  assert(file:write(text))
  return path
end

---@param name string    relative to the directory
---@return string? text    nil when there is no such file
---@return string? message
function Directory:read(name)
  local file <close>, message = io.open(self.path .. "/" .. name, "rb")
  if not file then return nil, message end
  return file:read("a")
end

---Removes the directory with all that is in it; idempotent.
function Directory:close()
  assert(core.remove_tree(self.path))
end

function Directory:__close()
  self:close()
end

---Makes a temporary directory, which is removed with all that is in it when the current
---context ends.
---@return ahost.testing.Directory directory
function testing.directory()
  local directory <const> =
    setmetatable({ path = assert(core.temporary_directory()) }, Directory)
  context.current():on_close(function() directory:close() end)
  return directory
end

-- Ports ---------------------------------------------------------------------------------

---A TCP port of the loopback interface that nobody listened on just now. Somebody may
---take it meanwhile: listen on port 0 and ask for the address wherever that is possible.
---@return integer port
function testing.free_port()
  local listener <close> = assert(net.listen("127.0.0.1:0"))
  return math.tointeger(listener:address():match(":(%d+)$"))
end

return testing
