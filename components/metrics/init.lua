-- components/metrics: serves the metrics of the application to who collects them, as
-- OpenMetrics by a minimum of HTTP: one request a connection.

local errors <const> = require "ahost.error"
local metrics <const> = require "ahost.metrics"
local net <const> = require "ahost.net"
local task <const> = require "ahost.task"

local LONGEST_LINE <const> = 8192
local MOST_HEADERS <const> = 100

local Metrics <const> = {
  doc = "serves the metrics of the application by HTTP",
  options = {
    address = {
      type = "address",
      required = true,
      doc = "where to listen; port 0 asks for any",
    },
    limit = {
      type = "integer",
      min = 1,
      default = 10,
      doc = "connections at once; more wait in the backlog",
    },
    timeout = {
      type = "duration",
      min = 0.001,
      default = 10,
      doc = "how long one request may take",
    },
  },
}

local REASONS <const> = {
  [200] = "OK",
  [400] = "Bad Request",
  [404] = "Not Found",
  [405] = "Method Not Allowed",
  [431] = "Request Header Fields Too Large",
}

-- Reads the next line. -> line | nil, status | nil when there is no more
local function read_line(stream)
  local line, err = stream:read_line(LONGEST_LINE)
  if line then return line end
  if errors.is(err, "TOOLONG") then return nil, 431 end
end

local function skip_headers(stream)
  for _ = 0, MOST_HEADERS do
    local line, status = read_line(stream)
    if not line then return nil, status end
    if line == "" then return true end
  end
  return nil, 431
end

-- What a whole request asks for. -> the status of the answer | nil: the peer is gone
local function read_request(stream)
  local line, status = read_line(stream)
  if not line then return status end
  local method <const>, path <const> = line:match "^(%u+) (/[^%s?]*)%S* HTTP/1%.%d$"
  if not method then return 400 end
  local complete, problem = skip_headers(stream)
  if not complete then return problem end
  if path ~= "/metrics" then return 404 end
  return method == "GET" and 200 or 405
end

local function answer(stream, status, registry)
  local body, kind = REASONS[status] .. "\n", "text/plain; charset=utf-8"
  if status == 200 then
    body, kind = registry:render "openmetrics", metrics.content_types.openmetrics
  end
  local head <const> = ("HTTP/1.0 %d %s\r\n%sContent-Type: %s\r\nContent-Length: %d\r\n"
    .. "Connection: close\r\n\r\n"):format(status, REASONS[status],
    status == 405 and "Allow: GET\r\n" or "", kind, #body)
  assert(stream:write(head, body))
  assert(stream:flush())
end

function Metrics:start(ctx)
  local registry <const> = ctx:require "metrics"
  local timeout <const> = self.config.timeout
  local function serve(stream)
    local status <const> = read_request(stream)
    if status then answer(stream, status, registry) end
  end
  local server = assert(net.serve(self.config.address, function(stream)
    task.timeout(timeout, serve, stream)
  end, { limit = self.config.limit }))
  ctx:publish("metrics.server", server, { doc = "listens on " .. server:address() })
  self.log:info("listening on %s", server:address())
end

return Metrics
