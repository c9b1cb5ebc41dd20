-- components/tls: certificates for other components, which are loaded again when the
-- application is told to (SIGHUP).

local errors <const> = require "ahost.error"
local loadable <const> = require "ahost.loadable"
local tls <const> = require "ahost.tls"

local opened <const>, reason <const> = loadable.open("tls", tls.needs)
if not opened then error(reason, 0) end

local FILES <const> = { "cert", "key", "ca" }
local CLIENT_ONLY <const> = { "verify" }
local SERVER_ONLY <const> = { "client_certificates" }

local Tls <const> = {
  doc = "certificates for servers and clients, loaded again on SIGHUP",
  options = {
    role = {
      type = "enum",
      values = { "server", "client" },
      default = "server",
      doc = "which side of connections it is for",
    },
    cert = { type = "string", doc = "file of the certificate and its chain, PEM" },
    key = { type = "string", doc = "file of its key, PEM" },
    password = { type = "string", secret = true, doc = "of the key" },
    ca = {
      type = "string",
      doc = "file of the authorities to trust, PEM (those of the system)",
    },
    verify = { type = "boolean", doc = "clients: check the server's certificate (true)" },
    client_certificates = {
      type = "enum",
      values = { "none", "optional", "required" },
      doc = "servers: whether clients have to show one (none)",
    },
    alpn = {
      type = "list",
      of = { type = "string" },
      doc = "application protocols, the best first",
    },
    min_version = {
      type = "enum",
      values = { "1.0", "1.1", "1.2", "1.3" },
      doc = "the oldest version of TLS to speak (1.2)",
    },
    handshake_timeout = {
      type = "duration",
      doc = "how long a handshake may take (10s)",
    },
  },
}

-- The configuration as options of ahost.tls.
local function options_of(component)
  local options <const> = {}
  for name, value in pairs(component.config) do options[name] = value end
  for _, name in ipairs(FILES) do
    local path <const> = options[name]
    if path and path:sub(1, 1) ~= "/" then
      options[name] = (component:directory_of(name) or ".") .. "/" .. path
    end
  end
  options.role = nil
  return options
end

local function refuse(component, names, role)
  for _, name in ipairs(names) do
    if component.config[name] ~= nil then
      error(errors.new("CONFIG", "it is for a " .. role .. " only", { option = name }))
    end
  end
end

function Tls:init()
  local is_server <const> = self.config.role == "server"
  refuse(self, is_server and CLIENT_ONLY or SERVER_ONLY,
    is_server and "client" or "server")
end

function Tls:start(ctx)
  local make <const> = self.config.role == "server" and tls.server or tls.client
  local certificates <const> = assert(make(options_of(self)))
  ctx:publish("tls.context", certificates, { doc = "for the option tls of connections" })
  local bus <const> = ctx:get "bus"
  if not bus then return end
  bus:subscribe("app.hup", function()
    local ok, err = certificates:reload()
    if ok then
      self.log:info("certificates loaded again")
    else
      self.log:error("certificates not loaded again: %s", err.message)
    end
  end)
end

return Tls
