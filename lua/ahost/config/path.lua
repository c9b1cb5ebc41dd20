-- Paths: "a.b.c" names c in b in a. A dot that belongs to a key is written `\.`,
-- a backslash before a dot or another backslash `\\`; elsewhere it stands for itself.

local value <const> = require "ahost.config.value"

local path = {}

-- For texts without a backslash.
local function split_plain(text)
  local parts, count = {}, 0
  for part in (text .. "."):gmatch "([^.]*)%." do
    count = count + 1
    parts[count] = part
  end
  return parts
end

---@param text string
---@return string[] keys    at least one; may be empty texts
function path.split(text)
  if type(text) ~= "string" then
    error(("a path is a string, got a %s"):format(type(text)), 2)
  elseif not text:find("\\", 1, true) then
    return split_plain(text)
  end
  local parts, part, at = {}, {}, 1
  while true do
    local stop = text:find("[.\\]", at)
    part[#part + 1] = text:sub(at, (stop or 0) - 1)
    if not stop then
      break
    elseif text:byte(stop) == 46 then
      parts[#parts + 1] = table.concat(part)
      part, at = {}, stop + 1
    else
      local escaped = text:match("^[.\\]", stop + 1)
      part[#part + 1] = escaped or "\\"
      at = stop + (escaped and 2 or 1)
    end
  end
  parts[#parts + 1] = table.concat(part)
  return parts
end

---@param keys (string|integer)[]
---@return string text      that `split` takes apart into the same keys
function path.join(keys)
  local parts = {}
  for i, key in ipairs(keys) do
    parts[i] = tostring(key):gsub("[.\\]", "\\%0")
  end
  return table.concat(parts, ".")
end

---One more key behind a path (nil for the root; "" is that of an empty key).
function path.append(prefix, key)
  local part = tostring(key):gsub("[.\\]", "\\%0")
  return not prefix and part or prefix .. "." .. part
end

---The key of a container that a part of a path means: in lists a place.
function path.key(container, part)
  if value.is_list(container) then
    return math.tointeger(tonumber(part:match "^[1-9]%d*$"))
  end
  return part
end

---@param root table
---@param keys string|string[]
---@return any value        nil if it is not there
---@return table? container that it stands in
---@return string|integer? key
function path.lookup(root, keys)
  keys = type(keys) == "table" and keys or path.split(keys)
  local at, container, key = root, nil, nil
  for _, part in ipairs(keys) do
    if not value.is_container(at) then
      return nil
    end
    container, key = at, path.key(at, tostring(part))
    at = key ~= nil and at[key]
    if key == nil or at == nil then
      return nil
    end
  end
  return at, container, key
end

return path
