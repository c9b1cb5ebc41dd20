-- ahost.net: connections and listeners. What needs no lookup of names is done in C at
-- once; here is the policy for names.

local core <const> = require "ahost.net.core"
local errors <const> = require "ahost.error"
local sync <const> = require "ahost.sync"
local task <const> = require "ahost.task"
local time <const> = require "ahost.time"

local net <const> = { resolve = core.resolve, udp = core.udp }

-- Seconds that an attempt to connect gets before the next address is tried beside it
-- (RFC 8305), and between attempts on a Unix socket whose backlog is full.
local HEAD_START <const> = 0.25
local BACKLOG_PAUSE <const> = 0.01

--- Splits "name:port" or {host=, port=}; only called for what has a name.
local function split(address)
  if type(address) == "table" then return address.host, address.port end
  return address:match("^(.*):(%d+)$")
end

--- The addresses of a name, IPv6 and IPv4 in turn.
local function interleave(addresses)
  local kinds, mixed = { {}, {} }, {}
  for _, address in ipairs(addresses) do
    local kind = (address:sub(1, 1) == "[") == (addresses[1]:sub(1, 1) == "[") and 1 or 2
    table.insert(kinds[kind], address)
  end
  for i = 1, #addresses do
    mixed[#mixed + 1] = kinds[1][i]
    mixed[#mixed + 1] = kinds[2][i]
  end
  return mixed
end

--- A copy of the options of net.connect, and the deadline that its timeout means.
local function read_options(opts)
  local copied <const> = {}
  for name, value in pairs(opts or {}) do copied[name] = value end
  local timeout <const> = copied.timeout
  if timeout and not (type(timeout) == "number" and timeout >= 0) then
    error("option 'timeout': seconds >= 0 are expected, got " .. tostring(timeout), 3)
  end
  return copied, timeout and time.now() + timeout
end

--- Seconds left until a deadline, or nil when there is none.
local function left(deadline)
  return deadline and math.max(deadline - time.now(), 0)
end

--- The error of a connection that took too long.
local function late(err) return errors.new("TIMEDOUT", "timed out", { op = err.op }) end

--- Runs core.connect, again while the backlog of a Unix socket is full.
local function attempt(address, opts, deadline)
  while true do
    opts.timeout = left(deadline)
    local stream, err = core.connect(address, opts)
    if stream or err.code ~= "EAGAIN" then return stream, err end
    if opts.timeout == 0 then return nil, late(err) end
    task.sleep(math.min(BACKLOG_PAUSE, left(deadline) or BACKLOG_PAUSE))
  end
end

--- Tries several addresses: each gets a head start before the next one is tried beside
--- it, and the first that answers wins.
local function connect_first(addresses, opts, deadline)
  local results <const> = sync.queue(#addresses)
  local attempts, failed, first_err = {}, 0, nil
  local _ <close> = setmetatable({}, {
    __close = function()
      for _, running in ipairs(attempts) do running:cancel() end
      results:close()
      for result in results.try_get, results do -- won as well, but later
        if result.stream then result.stream:close() end
      end
    end,
  })
  local function start(address)
    attempts[#attempts + 1] = task.spawn("connect", function()
      local stream, err = attempt(address, opts, deadline)
      local taken = results:try_put({ stream = stream, err = err })
      if stream and not taken then stream:close() end
    end)
  end
  while failed < #addresses do
    local following = addresses[#attempts + 1]
    if following then start(following) end
    local result = results:get(addresses[#attempts + 1] and HEAD_START or nil)
    if result and result.stream then return result.stream end
    if result then failed, first_err = failed + 1, first_err or result.err end
  end
  return nil, first_err
end

--- Looks the host of an address up.
local function look_up(address, deadline)
  local host, port = split(address)
  local options <const> = { port = tonumber(port), timeout = left(deadline) }
  local addresses, err = core.resolve(host, options)
  return addresses and interleave(addresses), err
end

-- With TLS: lua/ahost/tls.lua is loaded by who uses it.
local function tls_of(opts) return opts and opts.tls and require "ahost.tls" end

--- The host that an address stands for, or nil for a Unix socket.
local function host_of(address)
  local host
  if type(address) == "table" then
    if address.path then return nil end
    host = address.host or ""
  elseif type(address) == "string" and address:sub(1, 5) ~= "unix:" then
    host = address:match("^%[(.*)%]:%d+$") or address:match("^(.*):%d+$")
  end
  return host == "" and "localhost" or host
end

--- Opens a connection in plain text. -> stream | nil, err
local function connect_plainly(address, opts, deadline)
  local stream, err = attempt(address, opts, deadline)
  if stream or err.code ~= "EAI_NONAME" then return stream, err end
  local addresses, lookup_err = look_up(address, deadline)
  if not addresses then return nil, lookup_err end
  return connect_first(addresses, opts, deadline)
end

--- The same with TLS: what is wrong with its options is told before anything begins.
local function connect_securely(address, opts, deadline)
  local handshake, reason = tls_of(opts).client_handshake(opts.tls, host_of(address))
  if not handshake then return nil, reason end
  local stream, err = connect_plainly(address, opts, deadline)
  if not stream then return nil, err end
  local ok, failure = handshake(stream, left(deadline))
  if ok then return stream end
  failure.op = "connect " .. tostring(stream:peer() or host_of(address))
  stream:close()
  return nil, failure
end

--- Opens a connection.
--- Waits. Raises on an address that is none, and on a local one that is a name.
---@param address ahost.Address    without a host: loopback
---@param opts? {timeout: number?, local_address: ahost.Address?, tls: ahost.net.Tls?}
---  timeout: seconds for the whole; tls: true or options, for an encrypted connection
---@return ahost.Stream? stream    belongs to the current context
---@return ahost.Error? err        code ECONNREFUSED, TIMEDOUT, EAI_NONAME...; with TLS
---  CERTIFICATE and TLS, where err.reason tells more; CONFIG, NOTFOUND
function net.connect(address, opts)
  local deadline
  opts, deadline = read_options(opts)
  if opts.tls then return connect_securely(address, opts, deadline) end
  return connect_plainly(address, opts, deadline)
end

--- Calls open(address) for each address of a name until one succeeds.
local function open_first(address, open)
  local addresses, err = look_up(address)
  local opened
  for _, candidate in ipairs(addresses or {}) do
    opened, err = open(candidate)
    if opened then break end
  end
  return opened, err
end

--- Listens for connections, to be taken one by one.
--- Waits only while a name is looked up. In a worker (`workers:`) the socket is the
--- supervisor's, which is asked for it on the spot: it goes on listening when the worker
--- has closed it or has ended, and `reuseport` has no effect.
---@param address ahost.Address    port 0 asks for any; ":8080" is all interfaces
---@param opts? {backlog: integer?, reuseport: boolean?, mode: integer?,
---  tls: ahost.net.Tls?}    tls: options of a server. The handshake of a connection goes
---  on by itself: reads and writes wait for it and tell of its failure
---@return ahost.Listener? listener    belongs to the current context
---@return ahost.Error? err            code EADDRINUSE, EACCES; NOTFOUND for "fd:name"...
function net.listen(address, opts)
  if tls_of(opts) then
    local context, reason = tls_of(opts).context(opts.tls, true)
    if not context then return nil, reason end
    opts = read_options(opts)
    opts.tls_settings = context.settings
  end
  local listener, err = core.listen(address, opts)
  if listener or err.code ~= "EAI_NONAME" then return listener, err end
  return open_first(address, function(candidate) return core.listen(candidate, opts) end)
end

-- A handler of connections that makes their handshakes first.
local function after_handshake(handler, handshake)
  return function(stream)
    local ok, err = handshake(stream)
    if not ok then error(err, 0) end
    return handler(stream)
  end
end

--- Listens for connections and runs handler(stream) for each, in a task and a context
--- of its own: the stream is closed when the handler ends. A handler that raises ends
--- its connection only; errors of the world are logged at debug, others at error.
---@param address ahost.Address
---@param handler fun(stream: ahost.Stream)
---@param opts? {limit: integer?, backlog: integer?, reuseport: boolean?, mode: integer?,
---  tls: ahost.net.Tls?}    limit: connections at once; more wait in the backlog; tls:
---  options of a server, the handler is called when the handshake is made
---@return ahost.Server? server    belongs to the current context; keeps a script running
---@return ahost.Error? err        code EADDRINUSE, EACCES...
function net.serve(address, handler, opts)
  if tls_of(opts) then
    local handshake, reason = tls_of(opts).server_handshake(opts.tls)
    if not handshake then return nil, reason end
    handler = after_handshake(handler, handshake)
  end
  local server, err = core.serve(address, handler, opts)
  if server or err.code ~= "EAI_NONAME" then return server, err end
  return open_first(address, function(candidate)
    return core.serve(candidate, handler, opts)
  end)
end

return net
