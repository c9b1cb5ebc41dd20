-- What may stand under `logging:` in a configuration, in the short form and in the one
-- of dictConfig.

local sinks <const> = require "ahost.log.sinks"

local schema <const> = {}

local FACILITIES <const> = { "kern", "user", "mail", "daemon", "auth", "syslog", "lpr",
  "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock", "local0",
  "local1", "local2", "local3", "local4", "local5", "local6", "local7" }

--- The number of a facility of syslog.
---@type table<string, integer>
schema.facilities = {}
for i, name in ipairs(FACILITIES) do schema.facilities[name] = i - 1 end

local DEFAULT_PORT <const> = "514"

local function level(doc)
  return {
    type = "enum",
    values = { "debug", "info", "notice", "warning", "error", "critical" },
    doc = doc,
  }
end

-- ---- values --------------------------------------------------------------------------

local function check_pattern(pattern)
  local rest <const> = sinks.pattern_fault(pattern)
  if not rest then return true end
  return nil, ("'%s' is none of %%(asctime)s %%(levelname)s %%(levelno)d %%(name)s "
    .. "%%(struct_data)s %%(message)s %%(process)d %%(hostname)s %%(app)s and %%%%")
    :format(rest:match "^%%%b()%-?%d*%a?" or rest:sub(1, 10))
end

local function check_word(text)
  if text:find "^[!-~]+$" and not text:find '[]="]' then return true end
  return nil, 'must be of printable ASCII characters, without spaces and = ] "'
end

-- "host:514", "[::1]" -> host, port
local function split_host(text)
  local host, port = text:match "^%[([%x:.]+)%]:?(%d*)$"
  if not host then host, port = text:match "^([^:/%[%]]+):?(%d*)$" end
  if not host then return nil end
  return host, port ~= "" and port or DEFAULT_PORT
end

--- Takes the address of a syslog server apart.
---@param address string    "udp://host:514", "tcp://host", "unix:///dev/log", "/dev/log",
---  "unix-stream:///run/log"
---@return {transport: string, host: string, port: string?}? parts   `host` is the path of
---  a Unix socket
---@return string? problem
function schema.syslog_address(address)
  if address:find "^/" then address = "unix://" .. address end
  local transport, rest = address:match "^([%w-]+)://(.*)$"
  if transport == "unix" or transport == "unix-stream" then
    if not rest:find "^/." then return nil, "the path of a Unix socket begins with /" end
    if #rest > 107 then return nil, "the path of a Unix socket has at most 107 bytes" end
    return { transport = transport, host = rest }
  elseif transport == "udp" or transport == "tcp" then
    local host, port = split_host(rest)
    if not host then return nil, "must be " .. transport .. "://HOST:PORT" end
    if tonumber(port) > 65535 or tonumber(port) == 0 then
      return nil, "a port is from 1 to 65535"
    end
    return { transport = transport, host = host, port = port }
  end
  return nil, "must be udp://HOST:PORT, tcp://HOST:PORT, unix:///PATH or "
    .. "unix-stream:///PATH"
end

local function check_address(address)
  local parts, problem = schema.syslog_address(address)
  return parts ~= nil, problem
end

-- ---- handlers ------------------------------------------------------------------------

local function union(...)
  local all <const> = {}
  for _, fields in ipairs { ... } do
    for name, spec in pairs(fields) do all[name] = spec end
  end
  return all
end

local HANDLER <const> = {
  level = level "records below it are left out here",
  queue = {
    type = "integer",
    min = 1,
    max = 10000000,
    doc = "how many records may wait to be written (10000)",
  },
  queue_size = { type = "size", min = 1024, doc = "how much they may take (4 MiB)" },
}

local TEXT <const> = {
  format = {
    type = "string",
    check = check_pattern,
    doc = "how a record looks: %(asctime)s %(levelname)s %(name)s "
      .. "%(struct_data)s%(message)s",
  },
  datefmt = {
    type = "string",
    max = 100,
    doc = "how time looks: strftime, %f are microseconds (%d-%b-%Y %H:%M:%S.%f)",
  },
  utc = { type = "boolean", doc = "UTC in place of local time" },
  sd_id = {
    type = "string",
    check = check_word,
    max = 32,
    doc = "the name of structured data (sd)",
  },
}

local CONSOLE <const> = {
  colours = {
    type = "enum",
    values = { "auto", "always", "never" },
    default = "auto",
    doc = "of levels; auto: on a terminal, unless NO_COLOR is set",
  },
}

local ROTATION <const> = {
  backup_count = {
    type = "integer",
    min = 0,
    max = 1000,
    default = 3,
    doc = "how many old files are kept, as FILE.1 and so on",
  },
  rotate_every = {
    type = "duration",
    min = 1,
    doc = "a new file every so often; days begin at midnight",
  },
  backup_max_size = {
    type = "size",
    min = 1,
    doc = "a new file when it would be larger",
  },
}

local PATH <const> = { type = "string", min = 1, doc = "the file" }

local FILE <const> = union(ROTATION, { path = PATH })

local SYSLOG <const> = {
  address = {
    type = "string",
    default = "unix:///dev/log",
    check = check_address,
    doc = "udp://HOST:PORT, tcp://HOST:PORT, unix:///PATH or unix-stream:///PATH",
  },
  format = {
    type = "enum",
    values = { "rfc5424", "rfc3164" },
    doc = "rfc3164 on Unix sockets, else rfc5424",
  },
  facility = { type = "enum", values = FACILITIES, default = "local0",
    doc = "of all messages" },
  app_name = {
    type = "string",
    check = check_word,
    max = 48,
    default = "ahost",
    doc = "the name of the program",
  },
  host_name = { type = "string", check = check_word, max = 255, doc = "of this machine" },
  sd_id = TEXT.sd_id,
  max_length = {
    type = "size",
    min = 480,
    max = 65000,
    default = 8192,
    doc = "of a message; longer ones are cut",
  },
  framing = {
    type = "enum",
    values = { "octets", "newlines" },
    default = "octets",
    doc = "on streams: octet counting of RFC 6587, or messages ended by newlines",
  },
}

local JSON <const> = union(ROTATION, {
  path = PATH,
  stderr = { type = "boolean", doc = "standard error in place of a file" },
})

--- The options of handlers in the short form, by class.
schema.short = {
  console = union(HANDLER, TEXT, CONSOLE),
  file = union(HANDLER, TEXT, FILE),
  syslog = union(HANDLER, SYSLOG),
  json = union(HANDLER, JSON),
}

local CLASS <const> = {
  class = {
    type = "enum",
    values = { "console", "file", "syslog", "json" },
    required = true,
    doc = "what the handler is",
  },
}

local FORMATTER <const> = { formatter = { type = "string", doc = "one of `formatters`" } }

--- The options of handlers in the form of dictConfig, by class.
schema.full = {
  console = union(CLASS, HANDLER, CONSOLE, FORMATTER),
  file = union(CLASS, HANDLER, FILE, FORMATTER),
  syslog = union(CLASS, HANDLER, SYSLOG),
  json = union(CLASS, HANDLER, JSON),
}

--- Of a handler whose class is not known.
schema.class = CLASS

-- ---- the whole -----------------------------------------------------------------------

local HANDLERS <const> = {
  type = "list",
  of = { type = "string" },
  doc = "where records go: some of `handlers`",
}

local function must_be_false(value)
  if not value then return true end
  return nil, "must be false: loggers that are not named here go on as those above them"
end

--- What may stand under `logging`.
schema.fields = {
  level = level "the lowest level of all records (notice)",
  levels = {
    type = "map",
    of = level(),
    doc = "the lowest levels of records by the names of loggers",
  },
  console = { type = "map", fields = schema.short.console, doc = "standard error" },
  file = { type = "map", fields = schema.short.file, doc = "a file" },
  syslog = { type = "map", fields = schema.short.syslog, doc = "a syslog server" },
  json = { type = "map", fields = schema.short.json, doc = "JSON lines" },
  version = {
    type = "integer",
    min = 1,
    max = 1,
    doc = "of the form with formatters and handlers, that of dictConfig",
  },
  formatters = {
    type = "map",
    of = { type = "map", fields = TEXT },
    doc = "how records look, by name",
  },
  handlers = {
    type = "map",
    of = { type = "map" },
    doc = "where records can go, by name",
  },
  loggers = {
    type = "map",
    of = {
      type = "map",
      fields = {
        level = level "the lowest level of its records",
        handlers = HANDLERS,
        propagate = {
          type = "boolean",
          default = true,
          doc = "records go to the handlers of what is above, too",
        },
      },
    },
    doc = "levels and handlers by the names of loggers",
  },
  root = {
    type = "map",
    fields = { level = level "the lowest level of all records", handlers = HANDLERS },
    doc = "what is above all loggers",
  },
  disable_existing_loggers = {
    type = "boolean",
    check = must_be_false,
    doc = "false",
  },
}

return schema
