-- The protocol: a frame is a length of 4 bytes, big-endian, and as many bytes of data.
local errors <const> = require "ahost.error"

local frames <const> = {}

local HEAD <const> = 4
local LARGEST <const> = 65536 -- bytes of data that we take

---Makes the frame around some data, ready to be written.
---@param data string
---@return string frame
function frames.pack(data)
  return string.pack(">s4", data)
end

local function read(stream, size)
  local data, err = stream:read_exactly(size)
  return data or error(err or errors.new("EOF", "the end, in the middle of a frame"), 0)
end

---Iterates over the frames that arrive; each step may wait. It takes what there is,
---so that a hundred small frames cost one read, not two hundred.
---@param stream ahost.Stream
---@return fun(): string? iterator    gives the data; raises what goes wrong
function frames.incoming(stream)
  local buffer, at = "", 1 -- what was read, and where the next frame begins in it
  return function()
    if at > #buffer then
      local chunk, err = stream:read()
      if not chunk then return err and error(err, 0) end
      buffer, at = chunk, 1
    end
    if at + HEAD > #buffer + 1 then
      buffer, at = buffer:sub(at) .. read(stream, at + HEAD - #buffer - 1), 1
    end
    local size <const> = string.unpack(">I4", buffer, at)
    if size > LARGEST then error(errors.new("TOOLONG", "a frame of " .. size), 0) end
    local first <const>, last <const> = at + HEAD, at + HEAD + size - 1
    at = last + 1
    if last <= #buffer then return buffer:sub(first, last) end
    local start <const> = buffer:sub(first)
    return start .. read(stream, size - #start)
  end
end

return frames
