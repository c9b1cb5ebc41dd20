-- Reads files as a whole.

local file = {}

-- No configuration is larger; what is, is a device or a mistake.
file.MAX_SIZE = 16 * 1024 * 1024

---@param name string
---@return string? text
---@return string? reason   "No such file or directory"
function file.read(name)
  if name:find("\0", 1, true) then
    return nil, "a path cannot hold a zero byte"
  end
  local handle, problem = io.open(name, "rb")
  if not handle then
    return nil, problem:sub(#name + 3)
  end
  local text, reason = handle:read(file.MAX_SIZE + 1)
  handle:close()
  if text and #text > file.MAX_SIZE then
    return nil, "it is larger than 16 MiB"
  end
  return text or not reason and "" or nil, reason
end

---Notes that what is loaded depends on a file.
---@param load table        `read`: a list, if anybody wants to know
---@param name string
function file.note(load, name)
  if load.read then
    table.insert(load.read, name)
  end
end

---@return string path      that a file (or, with nil, the program) means by `name`
function file.beside(name, of)
  local directory = of and of:match "^.*/"
  if directory and name:sub(1, 1) ~= "/" then
    return directory .. name
  end
  return name
end

return file
