-- ahost.command.watching: reloads when a file is saved, for `ahost run --watch` and
-- `ahost --watch SCRIPT`, and says on standard error what came of it.

local fs <const> = require "ahost.fs"
local json <const> = require "ahost.json"
local log <const> = require "ahost.log"
local reload <const> = require "ahost.reload"
local reloading <const> = require "ahost.command.reloading"
local supervisor_reload <const> = require "ahost.command.supervisor_reload"
local task <const> = require "ahost.task"
local time <const> = require "ahost.time"
local watch <const> = require "ahost.command.watch"

local logger <const> = log.get "ahost.watch"

local watching <const> = {}

-- ---- telling -------------------------------------------------------------------------

local RECENT <const> = 5 -- seconds; what was saved longer ago was moved there just now

-- When the first of some files was saved. -> seconds of the monotonic clock
local function time_of(changed)
  local now <const>, wall <const> = time.now(), time.wall()
  local longest = 0
  for _, path in ipairs(changed) do
    local file <const> = fs.stat(path)
    local age <const> = file and wall - file.mtime or 0
    if age < RECENT then longest = math.max(longest, age) end
  end
  return now - longest
end

local function say(text) io.stderr:write(text) end

local function is_news(report)
  return not report.ok or report.configuration or next(report.components) ~= nil
end

-- A success takes one line.
local function tell(report, since, who)
  if not report.ok then
    say(who .. reloading.summary(report) .. "\n" .. reloading.failure(report.err))
  elseif is_news(report) then
    say(("%s%s (%.0f ms after the change)\n"):format(who, reloading.summary(report),
      (time.now() - since) * 1000))
  end
end

local function noted(files)
  logger:debug("watching %d files", #files)
  return files
end

-- What is saved between the start of the application and that of the watch is seen, too;
-- `try` says whether something was, as there are other files to be watched then. Waits.
local function begin(files, try)
  local current <const> = watch.changes(files, try)
  if try {} then
    current:cancel()
    watch.changes(files, try)
  end
  logger:debug "ready"
end

-- ---- one process ---------------------------------------------------------------------

--- Follows the files of an application until the current context ends. Does not wait.
---@param app ahost.Application    opened
function watching.application(app)
  local function try(changed)
    local since <const> = time_of(changed)
    local report <const> = app:reload(nil, { quiet = true })
    if not app.stopping:is_set() then tell(report, since, "") end
    return is_news(report)
  end
  task.spawn("watch", function()
    app.running:wait()
    if app.stopping:is_set() then return end
    begin(function() return noted(reload.files(app)) end, try)
  end)
end

-- ---- workers -------------------------------------------------------------------------

local REQUEST <const> = '{"command":"files"}'
local TIMEOUT <const> = 10 -- seconds that a worker has for its answer

-- -> the files of the first worker that knows them | nil
local function files_of(supervisor)
  for _, worker in ipairs(supervisor:living()) do
    local text <const> = worker.ready and supervisor:ask(worker, REQUEST, TIMEOUT)
    local reply <const> = text and json.decode(text)
    if reply and reply.ok then return reply.result end
  end
end

-- -> whether there is any news
local function tell_answers(answers, since)
  local news = false
  for _, answer in ipairs(answers) do
    local who <const> = ("worker %d: "):format(answer.worker)
    news = news or not answer.ok or is_news(answer.result)
    if answer.ok then
      tell(answer.result, since, who)
    else
      say(who .. reloading.failure(answer.error.message))
    end
  end
  return news
end

--- Follows the files of workers until the current context ends. Does not wait.
---@param supervisor table
function watching.supervisor(supervisor)
  local files = {}
  local function try(changed)
    local since <const> = time_of(changed)
    local result <const> = supervisor_reload.run(supervisor, { quiet = true })
    if not result or supervisor.stopping:is_set() then return false end
    return tell_answers(result.workers, since)
  end
  task.spawn("watch", function()
    supervisor.running:wait()
    begin(function()
      files = files_of(supervisor) or files
      return noted(files)
    end, try)
  end)
end

return watching
