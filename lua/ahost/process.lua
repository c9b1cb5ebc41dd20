-- ahost.process: the process that the script runs in, and its child processes. What
-- needs C is in lua/meta/process.lua; here is what is made of it.

local context <const> = require "ahost.context"
local errors <const> = require "ahost.error"
local options <const> = require "ahost.process.options"
local process <const> = require "ahost.process.core"
local sync <const> = require "ahost.sync"

-- Bytes of each output of process.run, and seconds from TERM to KILL.
local LIMIT <const> = 64 * 1024 * 1024
local STOP_TIMEOUT <const> = 2

local spawn <const> = process.spawn
process.descriptor, process.user, process.group = nil, nil, nil -- those of the options

local function start(o)
  return spawn(o.words, o.env, o.cwd, o.group, o.uid, o.gid, o.stop_timeout, o.stdin,
    o.stdout, o.stderr)
end

-- ---- process.spawn -------------------------------------------------------------------

---@class ahost.ProcessOptions
---@field [integer] string     the program and its arguments; a program without "/" is
---                            looked for in the PATH of the child's environment, one
---                            with "/" from its working directory
---@field stdin? ahost.ProcessStream
---@field stdout? ahost.ProcessStream
---@field stderr? ahost.ProcessStream|"stdout"    "stdout": where stdout goes
---@field cwd? string          working directory (that of this process)
---@field env? table<string, string|number|false>    variables over those of this
---                            process, as that is what is wanted as a rule: a program
---                            without PATH and HOME seldom works; false removes one
---@field clear_env? boolean   has `env` alone, nothing of this process
---@field group? boolean       leads a session and process group of its own, which gets
---                            the signals and ends with it; so it has no terminal
---@field uid? integer|string  number or name of a user; its group too, unless `gid` says
---                            otherwise. There are no supplementary groups then
---@field gid? integer|string
---@field stop_timeout? number seconds from TERM to KILL when it is to end; that of the
---                            host at most, which is the default

---What a standard descriptor of a child is: "pipe", whose other end is a stream of the
---child object (the default); "inherit", ours; "null", /dev/null; a file of `io.open`;
---one of `process.stdin`, `stdout`, `stderr`; or any other stream on a descriptor, as
---that of another child: it becomes the child's, and is closed here.
---@alias ahost.ProcessStream "pipe"|"inherit"|"null"|ahost.Stream|file*

---Starts a program. The child belongs to the current context and ends with it: it gets
---TERM, and KILL after `stop_timeout`, and the context waits until it is gone; so does
---the end of the host. It does not keep the script running, a task that waits for it
---does. It inherits no other descriptors, ignores and blocks no process signals.
---
---Read the pipes, or have them be something else: a child that fills one waits.
---Raises for options that make no sense.
---@param opts ahost.ProcessOptions
---@return ahost.ChildProcess? child
---@return ahost.Error? err    code ENOENT, EACCES, EPERM, E2BIG, EMFILE, EAGAIN...
function process.spawn(opts)
  return start(options.of_spawn(opts))
end

-- ---- process.run ---------------------------------------------------------------------

local Run <const> = {}
Run.__index = Run

-- Ends the run: everything is done, or `err` keeps it from going on.
function Run:finish(err)
  self.err = self.err or err
  self.finished:set()
end

-- Does a part of the run in a task.
function Run:follow(fn, ...)
  self.left = self.left + 1
  table.insert(self.tasks, self.ctx:spawn(function(...)
    fn(self, ...)
    self.left = self.left - 1
    if self.left == 0 then self:finish() end
  end, ...))
end

-- A program that does not want to read all is none the worse for it.
local function feed(_, stream, input)
  if stream:write(input) then stream:shutdown() else stream:close(0) end
end

-- Gathers an output, up to `limit` bytes.
function Run:collect(name, stream)
  local chunks <const>, size = {}, 0
  self.output[name] = chunks
  while true do
    local chunk, err = stream:read()
    if not chunk then
      if err then self:finish(err) end
      return
    end
    size = size + #chunk
    if size > self.limit then
      chunks[#chunks + 1] = chunk:sub(1, #chunk - size + self.limit)
      local message <const> = ("%s is longer than %d bytes"):format(name, self.limit)
      self:finish(errors.new("TOOLONG", message, { op = self.op }))
      return
    end
    chunks[#chunks + 1] = chunk
  end
end

function Run:wait_for_end() self.result = self.child:wait() end

local function texts(output, into)
  for name, chunks in pairs(output) do into[name] = table.concat(chunks) end
  return into
end

function Run:run(ctx, o)
  local child <const>, err <const> = start(o)
  if not child then return nil, err end
  self.ctx, self.child = ctx, child
  if o.input then
    ctx:on_close(function() child.stdin:close(0) end) -- nobody reads the rest
    self:follow(feed, child.stdin, o.input)
  end
  for _, name in ipairs { "stdout", "stderr" } do
    if child[name] then self:follow(self.collect, name, child[name]) end
  end
  self:follow(self.wait_for_end)
  local ok <const>, late <const> = self.finished:wait(o.timeout)
  if not ok and not self.err then
    self.err = errors.new(late.code, late.message, { op = self.op })
  end
  for _, part in ipairs(self.tasks) do part:cancel() end
  if self.err then return nil, texts(self.output, self.err) end
  return texts(self.output, self.result)
end

---@class ahost.RunOptions: ahost.ProcessOptions
---@field stdin? string|ahost.ProcessStream   a string is what the program reads (nothing,
---                            as from /dev/null); `process.stdin` for ours
---@field timeout? number      seconds; then it is ended, with its group (none)
---@field limit? integer       bytes of each output (64 MiB)
---@field group? boolean       as that of `spawn`, but true unless it is set to false
---@field stop_timeout? number as that of `spawn`, but 2 seconds by default

---@class ahost.RunResult: ahost.ProcessEnd
---@field stdout? string       what the program wrote; nil when it was not to a pipe
---@field stderr? string

---Runs a program to its end and gathers what it writes. Waits, until its outputs have
---ended too: something that it leaves behind in the background may hold them open.
---
---A status other than 0 is no failure of this function. When it takes too long
---(TIMEDOUT), writes more than `limit` (TOOLONG), or the task is cancelled, it is ended
---together with its process group, and gone when this returns; `err.stdout` and
---`err.stderr` hold what it wrote until then. Raises for options that make no sense.
---@param opts ahost.RunOptions
---@return ahost.RunResult? result
---@return ahost.Error? err
function process.run(opts)
  local o <const> = options.of_run(opts)
  if o.group == nil then o.group = true end
  o.stop_timeout = o.stop_timeout or STOP_TIMEOUT
  local run <const> = setmetatable({
    op = "run " .. o.words[1],
    finished = sync.event(),
    limit = o.limit or LIMIT,
    output = {},
    tasks = {},
    left = 0, -- tasks that have not done their part
  }, Run)
  return context.scope(function(ctx) return run:run(ctx, o) end)
end

return process
