-- ahost.testing: what specs need besides busted: an application, a clock in their hands,
-- what was written and logged, a directory of their own, a free port.

local context <const> = require "ahost.context"
local core <const> = require "ahost.testing.core"
local errors <const> = require "ahost.error"
local log <const> = require "ahost.log"
local net <const> = require "ahost.net"
local process <const> = require "ahost.process"

local testing <const> = { clock = core.clock }

-- Applications --------------------------------------------------------------------------

testing.host = require "ahost.testing.host"

-- Output --------------------------------------------------------------------------------

-- Stands for process.stdout or process.stderr, whose stream would go past a capture: it
-- writes to the file of the C library instead, which keeps the order.
local Output <const> = { __name = "ahost.testing.Output" }
Output.__index = Output

local function closed(op)
  return nil, errors.new("CLOSED", "closed", { op = op })
end

function Output:write(...)
  if self.closed then return closed("write") end
  for _, data in ipairs { ... } do
    self.file:write(type(data) == "table" and table.concat(data) or data)
  end
  return true
end

function Output:flush()
  if self.closed then return closed("flush") end
  return true
end

function Output:close()
  self.closed = true
end

Output.shutdown = Output.close

function Output:__close()
  self:close()
end

-- One of the two ways out of the process, kept in memory.
local Redirection <const> = {}
Redirection.__index = Redirection

local function redirect(number, name)
  local capture <const> = assert(core.capture(number))
  rawset(process, name, setmetatable({ file = io[name] }, Output))
  return setmetatable({ capture = capture, name = name }, Redirection)
end

function Redirection:read()
  return self.text or self.capture:read()
end

function Redirection:close()
  self.text = self.capture:read()
  self.capture:close()
  rawset(process, self.name, nil)
end

---What was written and logged while it was open.
---@class ahost.testing.Capture
---@field output string             the standard output so far
---@field errors string             the standard errors so far
---@field records ahost.LogRecord[] what was logged so far, oldest first
local Capture <const> = { __name = "ahost.testing.Capture" }
local open_capture -- the one that is open, or nil

local methods <const> = {}

function Capture:__index(name)
  local parts <const> = rawget(self, "parts")
  if name == "output" then return parts.output:read() end
  if name == "errors" then return parts.errors:read() end
  if name == "records" then return parts.log.records end
  return methods[name]
end

local function is_like(record, wanted)
  return (not wanted.level or wanted.level == record.level)
    and (not wanted.logger or wanted.logger == record.logger)
    and (not wanted.text or record.text:find(wanted.text) ~= nil)
end

---Looks for something.
---@param wanted string|{level: string?, logger: string?, text: string?}  a Lua pattern
---  for the output, the errors and the texts of the records; or a record with this level,
---  this logger and a text that this pattern matches
---@return string|ahost.LogRecord|nil found  the whole match, or the first such record
function methods:find(wanted)
  if type(wanted) == "table" then
    for _, record in ipairs(self.records) do
      if is_like(record, wanted) then return record end
    end
    return nil
  end
  local texts <const> = { self.output, self.errors }
  for _, record in ipairs(self.records) do texts[#texts + 1] = record.text end
  for _, text in ipairs(texts) do
    local first, last = text:find(wanted)
    if first then return text:sub(first, last) end
  end
end

---Lets output and records go their way again; what there is stays. Idempotent.
function methods:close()
  if open_capture ~= self then return end
  open_capture = nil
  for _, part in pairs(self.parts) do part:close() end
end

function Capture:__close()
  self:close()
end

---Keeps what is written to the standard output and the standard errors, by `print`,
---`io.write`, `process.stdout` and child processes alike, and what is logged, until it is
---closed or the current context ends. Meanwhile nothing of it goes elsewhere. There is
---one at a time: a second raises.
---
---A stream that was taken from `process.stdout` before goes on where it went. What is
---printed has a buffer, as ever: who starts child processes calls `io.stdout:flush()`
---first.
---@return ahost.testing.Capture capture
function testing.capture()
  if open_capture then error("there is a capture already", 2) end
  local self <const> = setmetatable({ parts = {} }, Capture)
  open_capture = self
  context.current():on_close(function() self:close() end)
  self.parts.log = log.capture { passes = false }
  self.parts.output = redirect(1, "stdout")
  self.parts.errors = redirect(2, "stderr")
  return self
end

-- Directories ---------------------------------------------------------------------------

---A temporary directory. `tostring` gives its path, as does `..` with a string.
---@class ahost.testing.Directory
---@field path string
local Directory <const> = { __name = "ahost.testing.Directory" }
Directory.__index = Directory

function Directory:__tostring()
  return self.path
end

function Directory.__concat(a, b)
  return tostring(a) .. tostring(b)
end

---Writes a file; directories on its way are made.
---@param name string    relative to the directory
---@param text string
---@return string path    of the file
function Directory:write(name, text)
  local path <const> = self.path .. "/" .. name
  for at in path:gmatch("()/", #self.path + 2) do
    assert(core.make_directory(path:sub(1, at - 1)))
  end
  local file <close> = assert(io.open(path, "wb"))
  assert(file:write(text))
  return path
end

---@param name string    relative to the directory
---@return string? text    nil when there is no such file
---@return string? message
function Directory:read(name)
  local file <close>, message = io.open(self.path .. "/" .. name, "rb")
  if not file then return nil, message end
  return file:read("a")
end

---Removes the directory with all that is in it; idempotent.
function Directory:close()
  assert(core.remove_tree(self.path))
end

function Directory:__close()
  self:close()
end

---Makes a temporary directory, which is removed with all that is in it when the current
---context ends.
---@return ahost.testing.Directory directory
function testing.directory()
  local directory <const> =
    setmetatable({ path = assert(core.temporary_directory()) }, Directory)
  context.current():on_close(function() directory:close() end)
  return directory
end

-- Programs ------------------------------------------------------------------------------

---@class ahost.testing.Program
---@field [integer] string     the arguments
---@field command? string      a path, or a name that is looked up in PATH (this program,
---                            which is `ahost` in its specs)
---@field input? string        what it reads from its standard input (nothing)
---@field directory? string    where it runs (the current one)

---Runs a program to its end. Waits; who is cancelled or late kills it. A virtual clock
---stands still meanwhile.
---@param options ahost.testing.Program
---@return {status: integer, output: string, errors: string}? result  a status above 128
---  is 128 and the number of the process signal that ended it
---@return ahost.Error? err    of the start: ENOENT, EACCES...
function testing.program(options)
  local files <close> = testing.directory()
  local words <const> = { options.command or "/proc/self/exe", table.unpack(options) }
  local paths <const> = {
    files:write("input", options.input or ""), files .. "/output", files .. "/errors",
  }
  local cwd <const> = options.directory and tostring(options.directory)
  local status, err = core.program(words, paths, cwd)
  if not status then return nil, err end
  return { status = status, output = files:read("output"), errors = files:read("errors") }
end

-- Ports ---------------------------------------------------------------------------------

---A TCP port of the loopback interface that nobody listened on just now. Somebody may
---take it meanwhile: listen on port 0 and ask for the address wherever that is possible.
---@return integer port
function testing.free_port()
  local listener <close> = assert(net.listen("127.0.0.1:0"))
  return math.tointeger(listener:address():match(":(%d+)$"))
end

return testing
