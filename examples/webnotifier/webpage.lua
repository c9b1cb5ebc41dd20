-- Gets a page by HTTP/1.0: one request per connection, no redirections, no TLS.
local errors <const> = require "ahost.error"
local net <const> = require "ahost.net"
local task <const> = require "ahost.task"

local webpage <const> = {}

local HEADERS <const> = 100  -- of an answer
local LINE <const> = 8192    -- bytes of one of them
local BODY <const> = 1 << 20 -- bytes of a page

-- "http://example.com:8080/news" -> "example.com:8080", "/news" | nil
local function split(url)
  local address, path = url:match("^http://([^/?#@%s]+)([^#%s]*)")
  if not address then return nil end
  if not address:find(":%d+$") then address = address .. ":80" end
  return address, path:sub(1, 1) == "/" and path or "/" .. path
end

---@param url string
---@return string? url
---@return string? problem
function webpage.check(url)
  if split(url) then return url end
  return nil, "must be like http://host/path"
end

-- Gives what a read has returned, or raises; the end comes too early here.
local function got(data, err)
  return data or error(err or errors.new("EOF", "the answer is not complete"), 0)
end

local function read_headers(stream)
  local headers <const> = {}
  for _ = 1, HEADERS do
    local line <const> = got(stream:read_line(LINE))
    if line == "" then return headers end
    local name <const>, value <const> = line:match("^([^:%s]+):%s*(.-)%s*$")
    if name then headers[name:lower()] = value end
  end
  error(errors.new("TOOLONG", "the answer has too many headers"), 0)
end

local function read_body(stream, headers)
  local length <const> = math.tointeger(tonumber(headers["content-length"]))
  if not length then return got(stream:read_all(BODY)) end
  if length > BODY then error(errors.new("TOOLONG", "the page is too long"), 0) end
  return length <= 0 and "" or got(stream:read_exactly(length))
end

local function read_answer(stream)
  local line <const> = got(stream:read_line(LINE))
  local status <const>, reason <const> = line:match("^HTTP/1%.%d (%d%d%d) ?(.*)$")
  if not status then error(errors.new("EPROTO", "this is not HTTP"), 0) end
  local headers <const> = read_headers(stream)
  return {
    status = math.tointeger(status),
    reason = reason,
    headers = headers,
    body = status == "304" and "" or read_body(stream, headers),
  }
end

local function exchange(address, path, headers)
  local stream <close> = assert(net.connect(address))
  stream:write("GET ", path, " HTTP/1.0\r\nHost: ", address, "\r\n")
  for name, value in pairs(headers) do stream:write(name, ": ", value, "\r\n") end
  stream:write("\r\n")
  return read_answer(stream)
end

-- What went wrong in the world is returned, what is wrong with the program is raised.
local function try(fn, ...)
  local ok, result = pcall(fn, ...)
  if ok then return result end
  if errors.is(result) and result.code ~= "CANCELLED" then return nil, result end
  error(result, 0)
end

---Gets a page. Waits. Raises when the address is none.
---@param url string
---@param opts? {headers: table<string, string>?, timeout: number?}   seconds, for all
---  of it (30)
---@return {status: integer, reason: string, headers: table, body: string}? answer
---  whatever its status; the names of headers are in lower case
---@return ahost.Error? err
function webpage.get(url, opts)
  local address <const>, path <const> = split(url)
  if not address then error("no http:// address: " .. url, 2) end
  local headers <const> = opts and opts.headers or {}
  return task.timeout(opts and opts.timeout or 30, try, exchange, address, path, headers)
end

return webpage
