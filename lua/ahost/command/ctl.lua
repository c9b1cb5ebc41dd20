-- ahost ctl: looks into a running application and steers it, by its control socket.

local configuration <const> = require "ahost.command.configuration"
local columns <const> = require "ahost.command.columns"
local errors <const> = require "ahost.error"
local json <const> = require "ahost.json"
local net <const> = require "ahost.net"
local place <const> = require "ahost.control.place"
local quantity <const> = require "ahost.options.quantity"
local reloading <const> = require "ahost.command.reloading"
local schema <const> = require "ahost.application.schema"
local status <const> = require "ahost.command.status"

local LONGEST_ANSWER <const> = 67108864
local TIMEOUT <const> = 30 -- seconds

local ctl <const> = {
  summary = "look into a running application, or steer it",
  usage = "[FILE ... | --socket PATH] [--json] COMMAND [WORD ...]",
  doc = [=[
Speaks to the application that `ahost run` runs with the same files:

  ping                          whether it is there
  status [PART]                 components, listeners, resources, tasks
  commands                      all that it understands
  log [LEVEL [LOGGER]]          show or set the lowest level of log records;
                                inherit: that of the logger above
  metrics [FORMAT]              openmetrics, prometheus, json, influx
  reload [COMPONENT]            replace what has changed, or one component with all
                                below it, while it serves; --force: without waiting
                                for connections of generations before
  files                         the files that a reload looks at
  stop [STATUS]                 end it
  restart                       replace its workers one after the other

Words that end in .yaml, .yml or .lua are files. Components may add commands, which get
all words behind them.
The exit status is 0; 1 when it refuses or is not running; 2 for bad usage.]=],
  options = {
    { key = "socket", long = "socket", value = "PATH", doc = "the control socket" },
    {
      key = "worker",
      long = "worker",
      value = "N",
      doc = "ask this one of its workers, instead of all",
    },
    { key = "json", long = "json", doc = "write the answer as a line of JSON" },
    {
      key = "limit",
      long = "limit",
      value = "N",
      doc = "how many entries a status may have (1000)",
    },
    {
      key = "connections",
      long = "connections",
      doc = "have a status tell of each connection",
    },
    {
      key = "force",
      long = "force",
      doc = "have reload cut old connections when there are too many generations",
    },
    { key = "wait", long = "wait", doc = "have stop wait until it has ended" },
    {
      key = "timeout",
      long = "timeout",
      value = "DURATION",
      doc = "how long to wait (30s; reload: what it may take)",
    },
  },
}
table.move(configuration.options, 1, #configuration.options, #ctl.options + 1,
  ctl.options)

local function usage(message) return nil, errors.new("USAGE", message) end

-- ---- words ---------------------------------------------------------------------------

-- What the words behind a command of any application mean: their names, in order.
local WORDS <const> = {
  ping = {},
  commands = {},
  status = { "part" },
  log = { "level", "logger" },
  metrics = { "format" },
  reload = { "component" },
  files = {},
  stop = { "status" },
  restart = {},
}

local function is_file(word)
  return word:find "%.ya?ml$" ~= nil or word:find "%.lua$" ~= nil
end

-- Moves the files among the words to those of -c; behind a command that a component has
-- added they are its own. -> command, words behind it
local function take_words(args)
  local command
  local words <const> = {}
  for i, word in ipairs(args) do
    if is_file(word) and (not command or WORDS[command]) then
      table.insert(args.files, word)
    elseif command then
      words[#words + 1] = word
    else
      command = word
    end
    args[i] = nil
  end
  return command, words
end

-- -> integer | nil, err
local function integer(text, what)
  local value <const> = text:find "^%d+$" and math.tointeger(tonumber(text))
  if value then return value end
  return usage(("%s must be a number, not '%s'"):format(what, text))
end

local function add_status_options(request, args)
  request.connections = args.connections
  if not args.limit then return request end
  local limit, err = integer(args.limit, "--limit")
  request.limit = limit
  return limit and request, err
end

-- -> request | nil, err
local function make_request(command, words, args)
  local names <const> = WORDS[command]
  for _, word in ipairs { command, table.unpack(words) } do
    if not utf8.len(word) then return usage "words must be UTF-8" end
  end
  local request <const> = { command = command }
  if not names then
    request.arguments = json.array(words)
    return request
  end
  if #words > #names then
    return usage(("%s: one word too many: '%s'"):format(command, words[#names + 1]))
  end
  for i, word in ipairs(words) do request[names[i]] = word end
  if command == "status" then return add_status_options(request, args) end
  if command == "reload" then request.force = args.force end
  if command ~= "stop" or not request.status then return request end
  local code, err = integer(request.status, "the status")
  request.status = code
  return code and request, err
end

-- ---- the conversation ----------------------------------------------------------------

-- -> place, the top-level keys | nil, err
local function find_place(args)
  if args.socket then
    local is_path, problem = place.check(args.socket)
    if is_path then return { paths = { args.socket } }, assert(schema.check {}) end
    return usage(("--socket: '%s' %s"):format(args.socket, problem))
  end
  local values, files = configuration.load(args)
  if not values then return nil, files end
  local keys, err = schema.check(values)
  if not keys then return nil, err end
  local where <const> = configuration.control(values, keys, files, args)
  if where then return where, keys end
  return nil, errors.new("OFF", ("%s: its control socket is turned off"):format(
    configuration.name(files)))
end

-- Connects to the first socket that somebody listens on. -> stream | nil, err
local function connect(where, timeout)
  local problems <const> = {}
  for _, path in ipairs(where.paths) do
    local stream, err = net.connect("unix:" .. path, { timeout = timeout })
    if stream then return stream end
    problems[#problems + 1] = tostring(err)
  end
  return nil, errors.new("FAILED", "the application is not running, or cannot be "
    .. "reached: " .. table.concat(problems, "; "))
end

-- Waits until the application has ended: its socket goes last. -> true | nil, err
local function await_end(stream, line)
  local reply <const> = json.decode(line)
  if type(reply) ~= "table" or not reply.ok then return true end
  local _, err = stream:read_line()
  if not errors.is(err, "TIMEDOUT") then return true end
  return nil, errors.new("FAILED", ("it has not ended within %.14g s"):format(
    stream.timeout))
end

-- -> line | nil, err
local function ask(where, request, opts)
  local stream, err = connect(where, opts.timeout)
  if not stream then return nil, err end
  local _ <close> = stream
  stream.timeout = opts.timeout
  stream:write(json.encode(request), "\n")
  local line, problem = stream:read_line(LONGEST_ANSWER)
  if not line then
    return nil, errors.new("FAILED", problem and "no answer: " .. tostring(problem)
      or "the application closed the connection without an answer")
  end
  if not opts.wait then return line end
  local ended, late = await_end(stream, line)
  return ended and line, late
end

-- ---- answers -------------------------------------------------------------------------

local SHOW <const> = {}

function SHOW.ping(result)
  return ("%s: %s, process %d, ahost %s\n"):format(result.name, result.state, result.pid,
    result.version)
end

function SHOW.status(result, request) return status.format(result, request.part) end

function SHOW.commands(result)
  local rows <const> = {}
  for i, command in ipairs(result) do rows[i] = { command.name, command.doc } end
  return columns.format({ "COMMAND", "WHAT" }, rows)
end

function SHOW.log(result)
  return ("%s: %s\n"):format(result.logger == "" and "all loggers" or result.logger,
    result.level)
end

function SHOW.stop() return "" end

function SHOW.reload(report) return reloading.format(report) end

function SHOW.files(list) return table.concat(list, "\n") .. "\n" end

local show

-- What several workers answer.
local function show_workers(answers, request)
  local parts <const> = {}
  for _, answer in ipairs(answers) do
    parts[#parts + 1] = ("worker %d, process %d:\n"):format(answer.worker, answer.pid)
    parts[#parts + 1] = answer.ok and show(answer.result, request)
      or tostring(answer.error.message) .. "\n"
  end
  return table.concat(parts)
end

function show(result, request)
  if type(result) == "table" and type(result.workers) == "table" then
    return show_workers(result.workers, request)
  end
  local format <const> = SHOW[request.command]
  if format and result ~= nil then return format(result, request) end
  if result == nil or result == json.null then return "" end
  local text <const> = type(result) == "table" and json.encode(result, { pretty = true })
    or tostring(result)
  return text:sub(-1) == "\n" and text or text .. "\n"
end

-- Whether nobody has refused, or failed.
local function is_done(reply, request)
  local result <const> = reply.result
  if not reply.ok or type(result) ~= "table" then return reply.ok end
  for _, answer in ipairs(type(result.workers) == "table" and result.workers or {}) do
    if not is_done(answer, request) then return false end
  end
  return request.command ~= "reload" or result.ok ~= false
end

-- -> 1
local function fail(message)
  io.stderr:write("ahost ctl: " .. message .. "\n")
  return 1
end

-- -> status
local function tell(line, request, as_json)
  local reply <const>, err = json.decode(line)
  if type(reply) ~= "table" then
    return fail("the answer is no JSON: " .. tostring(err))
  end
  if as_json then
    io.write(line, "\n")
  elseif reply.ok then
    local is_fine <const> = request.command ~= "reload" or is_done(reply, request)
    local output <const> = is_fine and io.stdout or io.stderr
    output:write(show(reply.result, request))
  else
    return fail(tostring(reply.error and reply.error.message))
  end
  return is_done(reply, request) and 0 or 1
end

-- ---- the command ---------------------------------------------------------------------

-- What is left out is as long as the command may take. -> seconds, or nil | nil, err
local function timeout_of(args)
  if not args.timeout then return nil end
  local seconds <const> = quantity.duration(args.timeout)
  if seconds then return seconds end
  return usage(("--timeout: '%s' is no duration, as 30s"):format(args.timeout))
end

-- -> seconds, or nil: for ever
local function patience_of(command, keys)
  if command ~= "reload" then return TIMEOUT end
  local each <const> = reloading.patience(keys)
  local workers <const> = keys.workers and keys.workers.count or 1
  return each < math.huge and each * workers or nil
end

function ctl.main(args)
  local command <const>, words <const> = take_words(args)
  if not command then return usage "a command is missing: status, for example" end
  local request, bad = make_request(command, words, args)
  if not request then return nil, bad end
  local timeout, wrong = timeout_of(args)
  if wrong then return nil, wrong end
  local where, keys = find_place(args)
  if errors.is(keys, "OFF") then return fail(keys.message) end
  if not where then return nil, keys end
  request.file = where.file
  if args.worker then
    local worker, refused = integer(args.worker, "--worker")
    if not worker then return nil, refused end
    request.worker = worker
  end
  local line, failure = ask(where, request, {
    timeout = timeout or patience_of(command, keys),
    wait = args.wait and command == "stop",
  })
  if not line then return fail(failure.message) end
  return tell(line, request, args.json)
end

return ctl
