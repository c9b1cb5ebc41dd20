-- Keeps programs running: starts each again when it ends, after a pause that grows.
local process <const> = require "ahost.process"
local task <const> = require "ahost.task"
local time <const> = require "ahost.time"

local Supervisor <const> = {
  options = {
    programs = {
      type = "list",
      required = true,
      doc = "what to keep running, in the order of the start",
      of = {
        type = "map",
        fields = {
          name = { type = "string", required = true },
          command = { type = "string", required = true, doc = "for the shell" },
        },
      },
    },
    pause = { type = "duration", default = "100ms", doc = "before the first restart" },
    longest = { type = "duration", default = "10s", doc = "pause" },
    stable = { type = "duration", default = "5s", doc = "after which it is short again" },
  },
}

-- ---- one program ---------------------------------------------------------------------

local Program <const> = {}
Program.__index = Program

-- Hands on what a program writes, line by line.
local function show(name, stream)
  for line in stream:lines() do print(name .. ": " .. line) end
end

function Program:run_once()
  local child <close>, err <const> = process.spawn {
    "sh", "-c", self.command, stdin = "null", stderr = "stdout", group = true,
  }
  if not child then return tostring(err) end
  self.pid, self.state = child.pid, "running"
  show(self.name, child.stdout)
  local how <const> = child:wait()
  self.pid = nil
  return how.signal and "signal " .. how.signal or "status " .. how.status
end

-- Keeps it running until the task is cancelled.
function Program:keep(settings)
  local pause = settings.pause
  while true do
    local began <const> = time.now()
    local why <const> = self:run_once()
    if time.now() - began >= settings.stable then pause = settings.pause end
    self.state = ("waiting after %s"):format(why)
    print(("%s: ended with %s, starts again in %g s"):format(self.name, why, pause))
    task.sleep(pause)
    pause = math.min(pause * 2, settings.longest)
    self.restarts = self.restarts + 1
  end
end

-- ---- the component -------------------------------------------------------------------

function Supervisor:start(ctx)
  self.programs = {}
  for i, given in ipairs(self.config.programs) do
    local program <const> = setmetatable({
      name = given.name, command = given.command, state = "starting", restarts = 0,
    }, Program)
    self.programs[i] = program
    local home <const> = ctx:child()
    home:on_close(function() print(program.name .. ": stopped") end)
    home:spawn(program.name, program.keep, program, self.config)
  end
  ctx:require("control"):command("programs", function() return self:status() end)
end

---How the programs are, in the order of the start.
---@return {name: string, state: string, restarts: integer, pid?: integer}[]
function Supervisor:status()
  local list <const> = {}
  for i, program in ipairs(self.programs) do
    list[i] = {
      name = program.name, state = program.state, restarts = program.restarts,
      pid = program.pid,
    }
  end
  return list
end

return Supervisor
