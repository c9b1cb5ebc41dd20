-- ahost.options.url: what a URL must look like to be worth a try.

local core <const> = require "ahost.net.core"

local url <const> = {}

local LONGEST <const> = 8192 -- bytes

local function has_bad_escape(text)
  for after in text:gmatch("%%()") do
    if not text:find("^%x%x", after) then return true end
  end
  return false
end

-- "host", "host:port", "[::1]" or "[::1]:port" -> what is wrong, or nil
local function host_problem(text)
  local host, colon, port = text:match("^(%[[^%]]*%])(:?)(.*)$")
  if not host then host, colon, port = text:match("^([^:]*)(:?)(.*)$") end
  if host == "" then return "the host is missing" end
  if colon == "" and port ~= "" then return "behind the ']' a ':' is expected" end
  if colon == ":" and port == "" then return "the port is missing" end
  if port == "0" then return "the port must be from 1 to 65535" end
  local _, problem = core.check_address(host .. ":" .. (port == "" and "1" or port))
  return problem
end

--- Checks `scheme://[user[:password]@]host[:port][/path][?query][#fragment]`.
---@param text string
---@return true? ok
---@return string? problem  without the text itself, which may hold a password
function url.check(text)
  if #text > LONGEST then return nil, ("it has more than %d bytes"):format(LONGEST) end
  local scheme, rest = text:match("^(%a[%w+.-]*)://(.*)$")
  if not scheme then return nil, "it does not begin with a scheme, as in http://" end
  if text:find("[%c%s<>\"{}|\\^`]") then
    return nil, "it has a character that must be written as a % and two digits"
  end
  if has_bad_escape(text) then
    return nil, "a % is not followed by two hexadecimal digits"
  end
  local problem = host_problem(rest:match("^[^/?#]*"):match("[^@]*$"))
  return not problem or nil, problem
end

-- What stands before a password: in a URL, and in what was meant to be one.
local BEFORE <const> = "^([^/?#]*//[^/?#@:]*:)[^/?#]*@"
local BEFORE_ANY <const> = { "^([^@:]*:/+[^@:]*:).*@", "^([^@:]*:/*).*@" }

--- The URL without its password; of a text that is none, without all that could be one.
---@param text string
---@return string
function url.mask(text)
  if #text > LONGEST then return "********" end
  for _, pattern in ipairs(url.check(text) and { BEFORE } or BEFORE_ANY) do
    local masked, count = text:gsub(pattern, "%1********@")
    if count > 0 then return masked end
  end
  return text
end

return url
