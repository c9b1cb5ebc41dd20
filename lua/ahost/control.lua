-- ahost.control: the control socket of an application, by which `ahost ctl` and scripts
-- look into it and steer it.
--
-- Each line of a connection is a request, an object of JSON, and is answered by one line:
--
--     {"command": "log", "level": "debug"}
--     {"ok": true, "result": {"logger": "", "level": "debug"}}
--     {"command": "lgo"}
--     {"ok": false, "error": {"code": "NOTFOUND", "message": "no command 'lgo' ..."}}

local built_in <const> = require "ahost.control.commands"
local context <const> = require "ahost.context"
local errors <const> = require "ahost.error"
local introspection <const> = require "ahost.control.introspection"
local json <const> = require "ahost.json"
local log <const> = require "ahost.log"
local net <const> = require "ahost.net"
local place <const> = require "ahost.control.place"
local runtime <const> = require "ahost.component.runtime"
local spelling <const> = require "ahost.spelling"
local time <const> = require "ahost.time"

local control <const> = {}

local LONGEST_LINE <const> = 65536
local CONNECTIONS <const> = 32 -- at once
local IDLE <const> = 300       -- seconds that a connection may be silent
local DEPTH <const> = 100      -- of a request
local MODE <const> = 384       -- 0600

---@class ahost.Control
---@field app ahost.Application
---@field name string         of the application
---@field path? string        of the socket, once it is open
---@field file? string        the first configuration file
local Control <const> = {}
Control.__index = Control
Control.__name = "ahost.control"

--- The control of an application, without a socket.
---@param app ahost.Application
---@return ahost.Control
function control.new(app)
  local commands <const> = {}
  for name, command in next, built_in do commands[name] = command end
  return setmetatable({
    app = app,
    name = "ahost",
    since = time.now(),
    log = log.get "ahost.control",
    commands = commands,
    coming = {},
  }, Control)
end

-- ---- commands ------------------------------------------------------------------------

-- Commands of components that have taken their places take the places of those before.
function Control:promote()
  for name, command in next, self.coming do
    if not runtime.staged(command.ctx) then
      self.coming[name], self.commands[name] = nil, command
    end
  end
end

-- Whether a name is another's who is to keep it.
function Control:is_taken(name, ctx)
  local owner <const> = self.commands[name]
  if not runtime.staged(ctx) then return owner ~= nil end
  return self.coming[name] ~= nil
    or owner ~= nil and not (owner.ctx and runtime.replaced(owner.ctx))
end

--- Adds a command, which goes with the current context. That of a component which is
--- being reloaded comes when it serves. Raises when the name is taken (code CONFLICT) or
--- none: letters, digits, dots, hyphens and underscores.
---@param name string
---@param fn fun(request: table): any, ahost.Error?    may wait; what it returns is the
---  result, plain data; `nil, err` and an error that it raises are told instead.
---  `request.arguments` has the words behind `ahost ctl NAME`
---@param doc? string    a line for `ahost ctl commands`
function Control:command(name, fn, doc)
  if type(name) ~= "string" or not name:find "^[%w_.-]+$" then
    error("the name of a command has letters, digits, dots, hyphens and underscores", 2)
  elseif type(fn) ~= "function" then
    error("bad argument #2 to 'command' (function expected, got " .. type(fn) .. ")", 2)
  end
  local ctx <const> = context.current()
  self:promote()
  if self:is_taken(name, ctx) then
    error(errors.new("CONFLICT", ("there is already a command '%s'"):format(name)), 2)
  end
  local command <const> = {
    doc = doc,
    ctx = ctx,
    run = function(_, request) return fn(request) end,
  }
  self[runtime.staged(ctx) and "coming" or "commands"][name] = command
  ctx:on_close(function()
    if self.commands[name] == command then self.commands[name] = nil end
    if self.coming[name] == command then self.coming[name] = nil end
  end)
end

-- ---- requests ------------------------------------------------------------------------

-- -> reply
local function refusal(err)
  local message <const> = err.op and err.op .. ": " .. err.message or err.message
  return { ok = false, error = { code = err.code, message = message } }
end

local function unknown(commands, name)
  local names <const> = {}
  for known in next, commands do names[#names + 1] = known end
  table.sort(names)
  return errors.new("NOTFOUND",
    ("no command '%s' %s"):format(name, spelling.hint(name, names)))
end

-- -> request | nil, err
local function parse(line)
  local request, err = json.decode(line, { max_depth = DEPTH })
  if err then return nil, err end
  if type(request) ~= "table" or type(request.command) ~= "string" then
    return nil, errors.new("EINVAL",
      'a request is an object: {"command": "status"}, for example')
  end
  for name, value in next, request do
    if value == json.null then request[name] = nil end
  end
  return request
end

-- A client that found the socket by a configuration may have found another's.
function Control:is_meant(request)
  local file <const> = request.file
  if file == nil or self.file == nil or file == self.file then return true end
  return nil, errors.new("CONFLICT", ("the application here is that of %s, not of %s; "
    .. "give each a name of its own: control.name"):format(self.file, tostring(file)))
end

-- Runs a command. What the world refuses is told to who asks, a mistake in the command
-- to the log as well. -> result | nil, err
function Control:run(command, request)
  local trace
  local ok, result, err = xpcall(command.run, function(raised)
    trace = debug.traceback(tostring(raised), 2)
    return raised
  end, self, request)
  if ok then return result, err end
  if errors.is(result, "CANCELLED") then error(result, 0) end
  if errors.is(result) then return nil, result end
  self.log:error("command %s: %s", request.command, trace)
  return nil, errors.new("FAILED", tostring(result))
end

-- -> reply
function Control:reply(line)
  local request, err = parse(line)
  if not request then return refusal(err) end
  self:promote()
  local command <const> = self.commands[request.command]
  if not command then return refusal(unknown(self.commands, request.command)) end
  local meant, other = self:is_meant(request)
  if not meant then return refusal(other) end
  local result, failure = self:run(command, request)
  if failure ~= nil then
    return refusal(errors.is(failure) and failure
      or errors.new("FAILED", tostring(failure)))
  end
  return { ok = true, result = result }
end

--- The answer to one line. May wait, as the command does.
---@param line string
---@return string answer    without the end of the line
function Control:answer(line)
  local reply <const> = self:reply(line)
  local ok, text = pcall(json.encode, reply)
  if ok then return text end
  return json.encode(refusal(errors.new("FAILED",
    "the answer cannot be told in JSON: " .. text)))
end

-- ---- connections ---------------------------------------------------------------------

-- Whether who has connected may command: the same user, or root.
function Control:admits(stream)
  local uid, pid = introspection.peer(stream)
  if not uid then return false end
  if uid == 0 or uid == introspection.user() then return true end
  self.log:warning("refused process %d of user %d", pid, uid)
  return false
end

local function write_refusal(stream, code, message)
  stream:write(json.encode(refusal(errors.new(code, message))), "\n")
end

function Control:serve(stream)
  stream.timeout = IDLE
  if not self:admits(stream) then
    return write_refusal(stream, "EPERM", "only the user of the program, and root, may")
  end
  while true do
    local line, err = stream:read_line(LONGEST_LINE)
    if errors.is(err, "TOOLONG") then
      return write_refusal(stream, "TOOLONG",
        ("a request has at most %d bytes"):format(LONGEST_LINE))
    elseif not line or not stream:write(self:answer(line), "\n") then
      return
    end
  end
end

-- -> true | nil, err
function Control:listen(path)
  local is_path, problem = place.check(path)
  if not is_path then return nil, errors.new("EINVAL", path .. ": " .. problem) end
  local server, err = net.serve("unix:" .. path, function(stream)
    return self:serve(stream)
  end, { mode = MODE, limit = CONNECTIONS })
  if not server then return nil, err end
  self.path = path
  return true
end

--- Opens the socket in the current context; a stale one is taken over. Without one the
--- application goes on, and says so, unless its configuration asks for it. Does not wait.
---@param where ahost.ControlPlace
---@return true? ok
---@return ahost.Error? err    when it was asked for
function Control:open(where)
  self.name, self.file = where.name, where.file
  local ok, err = self:listen(where.paths[1])
  if ok then return true end
  if where.is_given then
    return nil, errors.new("FAILED", "the control socket: " .. tostring(err))
  end
  self.log:warning("there is no control socket: %s (control.path may name another, "
    .. "control: false does without)", tostring(err))
  return true
end

return control
