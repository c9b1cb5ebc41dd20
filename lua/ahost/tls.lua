-- ahost.tls: what TLS connections are made with. Streams, listeners and servers take
-- the same options as `tls`; here they are checked, and the files that they name read.

local core <const> = require "ahost.tls.core"
local errors <const> = require "ahost.error"
local loadable <const> = require "ahost.loadable"
local spelling <const> = require "ahost.spelling"

--- What it needs: OpenSSL.
---@class ahost.tls
---@field needs ahost.loadable.Needs
local tls <const> = {
  needs = { library = "OpenSSL (libssl)", package = "libssl3", build = "libssl-dev" },
}

local HANDSHAKE_TIMEOUT <const> = 10
local VERSIONS <const> = { ["1.0"] = 10, ["1.1"] = 11, ["1.2"] = 12, ["1.3"] = 13 }
local CLIENT_CERTIFICATES <const> = { none = 0, optional = 1, required = 2 }

-- The options and their types; those of one side only.
local OPTIONS <const> = {
  ca = "string table", cert = "string", key = "string", password = "string",
  alpn = "table", min_version = "string number",
  max_version = "string number", ciphers = "string",
  handshake_timeout = "number", allow_truncation = "boolean", context = "table",
  server = "boolean",
}
local CLIENT_OPTIONS <const> = {
  verify = "boolean", hostname = "string", session = "string",
}
local SERVER_OPTIONS <const> = {
  client_certificates = "string", certificates = "table",
}

--- A table of options is read once, when it is used first: what is changed in it later
--- has no effect, but for `hostname` and `session`, which are of each connection.
---@class ahost.tls.Options
---@field ca? string|string[]             trusted authorities: PEM, or a file of it; those
---  of the system if there are none
---@field cert? string                    its certificate and chain: PEM, or a file
---@field key? string                     its key: PEM, or a file
---@field password? string                of the key
---@field alpn? string[]                  application protocols, the best first
---@field min_version? string             "1.0" to "1.3" ("1.2")
---@field max_version? string             ("1.3")
---@field ciphers? string                 of TLS 1.2 and older, as OpenSSL names them
---@field handshake_timeout? number       seconds (10)
---@field allow_truncation? boolean       the end of a connection without close_notify is
---  an end like any other
---@field context? ahost.tls.Context      made before, in place of the options above
---@field server? boolean                 for starttls: this side is the server (false)
---@field verify? boolean                 clients: check the certificate (true)
---@field hostname? string                clients: whom the certificate must be for (the
---  host that is connected to)
---@field session? string                 clients: of a connection before, as its
---  stream:tls().session
---@field client_certificates? "none"|"optional"|"required"    servers ("none")
---@field certificates? table<string, {cert: string, key: string, password: string?}>
---  servers: further certificates by the name that is asked for, "a.org" or "*.a.org"

---Options made ready for use.
---@class ahost.tls.Context
---@field package settings userdata
---@field package options ahost.tls.Options
---@field package is_server boolean
local Context <const> = {}
Context.__index = Context
Context.__name = "ahost.tls.Context"

-- Checking ------------------------------------------------------------------------------

local function misuse(text, ...) error("option 'tls': " .. text:format(...), 0) end

local function names_of(is_server)
  local names = {}
  for _, set in ipairs { OPTIONS, is_server and SERVER_OPTIONS or CLIENT_OPTIONS } do
    for name in pairs(set) do names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

local function check_names(options, is_server)
  local others <const> = is_server and CLIENT_OPTIONS or SERVER_OPTIONS
  local own <const> = is_server and SERVER_OPTIONS or CLIENT_OPTIONS
  for name, value in pairs(options) do
    local kinds = OPTIONS[name] or own[name]
    if others[name] then
      misuse("'%s' is for %s only", name, is_server and "clients" or "servers")
    elseif not kinds then
      misuse("unknown option '%s' %s", tostring(name),
        spelling.hint(tostring(name), names_of(is_server)))
    elseif not (" " .. kinds .. " "):find(" " .. type(value) .. " ", 1, true) then
      misuse("'%s' must be a %s, not a %s", name, kinds:gsub(" ", " or "), type(value))
    end
  end
end

-- Raises on options that make no sense together.
local function check_sense(options, is_server)
  if (options.cert == nil) ~= (options.key == nil) then
    misuse("'cert' and 'key' belong together: '%s' is missing",
      options.cert and "key" or "cert")
  end
  if is_server and not options.cert and not next(options.certificates or {}) then
    misuse("a server needs 'cert' and 'key' (or 'certificates')")
  end
  local wanted <const> = options.client_certificates or "none"
  if not CLIENT_CERTIFICATES[wanted] then
    misuse("'client_certificates' must be none, optional or required, not '%s'", wanted)
  end
  if wanted ~= "none" and not options.ca then
    misuse("'client_certificates' needs 'ca', whose certificates clients are to show")
  end
  local timeout <const> = options.handshake_timeout or HANDSHAKE_TIMEOUT
  if timeout < 0 then misuse("'handshake_timeout' must be >= 0 seconds") end
end

local function version(options, option, default)
  local name <const> = tostring(options[option] or default)
  return VERSIONS[name]
    or misuse("'%s' must be 1.0, 1.1, 1.2 or 1.3, not %s", option, name)
end

-- -> the least and the greatest version
local function versions(options)
  local least <const> = version(options, "min_version", "1.2")
  local greatest <const> = version(options, "max_version", "1.3")
  if least > greatest then misuse("'min_version' is greater than 'max_version'") end
  return least, greatest
end

-- The protocols of ALPN as they are sent.
local function protocols(options)
  local parts = {}
  for i, name in ipairs(options.alpn or {}) do
    if type(name) ~= "string" or #name == 0 or #name > 255 then
      misuse("'alpn' must be a list of names of 1 to 255 bytes, not %s (the %d.)",
        tostring(name), i)
    end
    parts[i] = string.char(#name) .. name
  end
  return #parts > 0 and table.concat(parts) or nil
end

-- Reading -------------------------------------------------------------------------------

local function is_pem(text) return text:find("-----BEGIN ", 1, true) ~= nil end

-- Raises an error of the world, which `prepare` returns.
local function unreadable(name, reason)
  error(errors.new("CONFIG", ("option '%s': %s"):format(name, reason), { op = "tls" }), 0)
end

-- The PEM that an option is or names. -> text, name for messages
local function read(name, value)
  if is_pem(value) then return value, ("option '%s'"):format(name) end
  local file <close>, reason = io.open(value, "rb")
  local text = file and file:read("a")
  if not text then unreadable(name, reason or value .. ": it cannot be read") end
  return text, ("option '%s': %s"):format(name, value)
end

local function identity(host, prefix, options)
  local certificate, certificate_name = read(prefix .. "cert", options.cert)
  local key, key_name = read(prefix .. "key", options.key)
  return {
    host = host, certificate = certificate, key = key, password = options.password,
    certificate_name = certificate_name, key_name = key_name,
  }
end

-- The certificates of a server, in the order of their names behind the default one.
local function identities(options)
  local list, hosts = {}, {}
  if options.cert then list[1] = identity(nil, "", options) end
  for host in pairs(options.certificates or {}) do hosts[#hosts + 1] = host end
  table.sort(hosts)
  for _, host in ipairs(hosts) do
    local own = options.certificates[host]
    local prefix = ("certificates.%s."):format(host)
    if type(own) ~= "table" or type(own.cert) ~= "string"
      or type(own.key) ~= "string" then
      misuse("'certificates' must be tables {cert=, key=}, but that of '%s' is not", host)
    end
    list[#list + 1] = identity(host, prefix, own)
  end
  return list
end

local function authorities(options)
  if not options.ca then return nil end
  local texts, names = {}, {}
  for i, value in ipairs(type(options.ca) == "table" and options.ca or { options.ca }) do
    texts[i], names[i] = read("ca", value)
  end
  return table.concat(texts, "\n"), table.concat(names, ", ")
end

local function verify_level(options, is_server)
  if not is_server then return options.verify == false and 0 or 2 end
  return CLIENT_CERTIFICATES[options.client_certificates or "none"]
end

local engine
local function open_engine()
  local err
  if not engine then engine, err = loadable.open("tls", tls.needs) end
  if not engine then error(err, 0) end
  return engine
end

local function make_settings(options, is_server)
  local opened <const> = open_engine()
  local trusted, trusted_name = authorities(options)
  local least, greatest = versions(options)
  local settings, err = core.settings(opened, {
    server = is_server,
    verify_level = verify_level(options, is_server),
    authorities = trusted, authorities_name = trusted_name,
    min_version = least, max_version = greatest,
    ciphers = options.ciphers,
    protocols = protocols(options),
    identities = identities(options),
    allow_truncation = options.allow_truncation,
    handshake_timeout = options.handshake_timeout or HANDSHAKE_TIMEOUT,
  })
  return settings or error(err, 0)
end

-- -> settings | nil, err; raises misuse, at the place of the caller's caller
local function prepare(options, is_server)
  local ok, result = pcall(make_settings, options, is_server)
  if ok then return result end
  if errors.is(result) then return nil, result end
  error(result, 0)
end

-- Contexts ------------------------------------------------------------------------------

local function new_context(options, is_server)
  check_names(options, is_server)
  check_sense(options, is_server)
  local settings, err = prepare(options, is_server)
  if not settings then return nil, err end
  return setmetatable(
    { settings = settings, options = options, is_server = is_server }, Context)
end

--- Makes options of servers ready for use: for net.listen and net.serve, whose option
--- `tls` it can be, and to be reloaded. Does not wait. Raises on options that make no
--- sense.
---@param options ahost.tls.Options
---@return ahost.tls.Context? context
---@return ahost.Error? err    code CONFIG: a file that cannot be read or is none;
---  NOTFOUND: ahost was built without OpenSSL
function tls.server(options) return new_context(options, true) end

--- The same for clients: for net.connect.
---@param options? ahost.tls.Options
---@return ahost.tls.Context? context
---@return ahost.Error? err
function tls.client(options) return new_context(options or {}, false) end

--- Reads the files again. Connections made from now on get what is in them; those under
--- way keep what they have. When something is wrong nothing is changed.
---@return true? ok
---@return ahost.Error? err    code CONFIG
function Context:reload()
  local settings, err = prepare(self.options, self.is_server)
  if not settings then return nil, err end
  core.replace(self.settings, settings)
  return true
end

-- The context that an option is or names, in place of options.
local function given_context(option)
  if type(option) ~= "table" then return nil end
  return getmetatable(option) == Context and option or option.context
end

-- Contexts of options by their table: a table is read once.
local known <const> = { [true] = setmetatable({}, { __mode = "k" }),
  [false] = setmetatable({}, { __mode = "k" }) }

-- Contexts of clients that need no files but the system's, by what tells them apart.
local plain <const> = {}

-- What tells apart the contexts of options without files, or nil.
local function plain_key(options, is_server)
  if is_server or options.ca or options.cert then return nil end
  return ("%s %s %s %s %s %s %s"):format(options.verify, options.min_version,
    options.max_version, options.ciphers, options.handshake_timeout,
    options.allow_truncation, protocols(options))
end

--- The context that the option `tls` of a connection means. Raises on what is none.
---@param option true|ahost.tls.Options|ahost.tls.Context
---@param is_server boolean
---@return ahost.tls.Context? context
---@return ahost.Error? err
function tls.context(option, is_server)
  if option == true then option = {} end
  if type(option) ~= "table" then
    misuse("true or a table of options is expected, not a %s", type(option))
  end
  local context = given_context(option) or known[is_server][option]
  if not context then
    check_names(option, is_server)
    local key = plain_key(option, is_server)
    local err
    context = key and plain[key]
    if not context then context, err = new_context(option, is_server) end
    if not context then return nil, err end
    if key then plain[key] = context end
    known[is_server][option] = context
  end
  if getmetatable(context) ~= Context then
    misuse("'context' must be what ahost.tls.client or .server returns")
  elseif context.is_server ~= is_server then
    misuse("it is made for a %s", context.is_server and "server" or "client")
  end
  return context
end

-- Starting ------------------------------------------------------------------------------

local function is_address(host)
  return host:find(":", 1, true) ~= nil or host:match("^%d+%.%d+%.%d+%.%d+$") ~= nil
end

-- Whom a client expects: what its options say, or the host that it is connected to. A
-- context that was not given may have been made for other options that are like these.
local function expected(option, context, host)
  local given <const> = given_context(option)
  local hostname = type(option) == "table" and option.hostname
    or given and given.options.hostname or host
  if hostname then
    hostname = hostname:gsub("%%.*$", ""):gsub("%.$", "")
    if hostname == "" or #hostname > 255 or hostname:find("%z") then
      misuse("'hostname' must be the name or the IP address of the server")
    end
  elseif context.options.verify ~= false then
    misuse("'hostname' is needed: whom the certificate of the server must be for")
  end
  return hostname
end

--- What makes the handshake of a client on a stream; what is wrong with its options is
--- told at once.
---@param option true|ahost.tls.Options|ahost.tls.Context
---@param host? string    that the stream is connected to
---@return (fun(stream: ahost.Stream, timeout?: number): true?, ahost.Error?)? handshake
---  waits, for `timeout` seconds if they are less than those of the options
---@return ahost.Error? err
function tls.client_handshake(option, host)
  local context, err = tls.context(option, false)
  if not context then return nil, err end
  local hostname <const> = expected(option, context, host)
  local limit <const> = context.options.handshake_timeout or HANDSHAKE_TIMEOUT
  return function(stream, timeout)
    return core.start(stream, context.settings, {
      hostname = hostname,
      is_address = hostname and is_address(hostname),
      session = type(option) == "table" and option.session or nil,
      timeout = math.min(limit, timeout or limit),
    })
  end
end

--- The same for a server.
---@param option ahost.tls.Options|ahost.tls.Context
---@return (fun(stream: ahost.Stream): true?, ahost.Error?)? handshake
---@return ahost.Error? err
function tls.server_handshake(option)
  local context, err = tls.context(option, true)
  if not context then return nil, err end
  return function(stream)
    return core.start(stream, context.settings, {
      timeout = context.options.handshake_timeout or HANDSHAKE_TIMEOUT,
    })
  end
end

-- Which side the options of starttls are for.
local function is_for_server(option)
  local given <const> = given_context(option)
  if given then return given.is_server end
  return type(option) == "table" and option.server == true
end

--- stream:starttls: flushes, then makes the handshake. Waits.
---@param stream ahost.Stream
---@param option? true|ahost.tls.Options|ahost.tls.Context
---@return true? ok
---@return ahost.Error? err
function tls.start(stream, option)
  if option == nil then option = true end
  local prepare_side <const> = is_for_server(option) and tls.server_handshake
    or tls.client_handshake
  local handshake, reason = prepare_side(option)
  if not handshake then return nil, reason end
  local ok, err = stream:flush()
  if not ok then return nil, err end
  return handshake(stream)
end

return tls
