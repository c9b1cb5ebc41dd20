-- ahost.reload: replaces components by newer generations of themselves while they serve.
--
-- What has changed is compiled and started beside what serves, takes its place in one
-- turn of the loop, and what it replaces ends with its connections. When anything goes
-- wrong before that turn, nothing has happened.

local context <const> = require "ahost.context"
local drain <const> = require "ahost.reload.drain"
local errors <const> = require "ahost.error"
local loading <const> = require "ahost.reload.loading"
local plans <const> = require "ahost.reload.plan"
local process <const> = require "ahost.process"
local runtime <const> = require "ahost.component.runtime"
local schema <const> = require "ahost.application.schema"
local sync <const> = require "ahost.sync"
local time <const> = require "ahost.time"
local transaction <const> = require "ahost.reload.transaction"
local tree <const> = require "ahost.component.tree"

local reload <const> = {}

local MOST_ATTEMPTS <const> = 5

---@class ahost.ReloadReport
---@field ok boolean
---@field err? string       what went wrong as a whole
---@field ms number         milliseconds that it took, to the commit
---@field configuration boolean    whether another one is in effect now
---@field components table<string, ahost.ReloadedComponent>   by path; "" is the root

---@class ahost.ReloadedComponent
---@field ok boolean
---@field what "reloaded"|"added"|"removed"|"rebound"|"kept"   "kept": it serves as before
---@field err? string       why it is
---@field why? string       what made it part of the reload
---@field generation? integer
---@field ms? number        milliseconds that its start took

-- ---- the report ----------------------------------------------------------------------

local function milliseconds(seconds) return seconds and seconds * 1000 end

local function describe_done(plan, done, components)
  for _, node in ipairs(done.fresh) do
    local old <const> = plan:predecessor(node)
    components[node.path] = {
      ok = true,
      what = old and "reloaded" or "added",
      why = plan.reasons[node.path],
      generation = node.generation,
      ms = milliseconds(done.seconds[node.path]),
    }
  end
  for node in next, plan.outgoing do
    if not components[node.path] then
      components[node.path] = { ok = true, what = "removed" }
    end
  end
  for node, keys in next, plan.rebinds do
    components[node.path] = {
      ok = true,
      what = "rebound",
      why = ("it holds '%s'"):format(keys[1]),
      generation = node.generation,
    }
  end
end

-- Those of several problems that are about a component.
local function problems_of(err, path)
  local name <const> = path == "" and "the root component" or path
  local found <const> = {}
  for _, problem in ipairs(err.errors or {}) do
    local first <const>, last <const> = problem:find(name, 1, true)
    local before <const> = first and problem:sub(1, first - 1)
    local is_name <const> = first and (before == "" or before:find ": $")
    if is_name and problem:find("^[:.]", last + 1) then
      found[#found + 1] = problem
    end
  end
  return #found > 0 and table.concat(found, "\n") or nil
end

-- What was to be replaced is kept; the one whose fault it is says why, all of them when
-- it is nobody's.
local function describe_failed(plan, err, culprit, components)
  local is_explained = false
  for path, why in next, plan.reasons do
    local is_culprit <const> = culprit ~= nil and culprit.path == path
    components[path] = {
      ok = false,
      what = "kept",
      why = why,
      err = is_culprit and err.message or problems_of(err, path),
      generation = plan.present[path].generation,
    }
    is_explained = is_explained or components[path].err ~= nil
  end
  if culprit and not components[culprit.path] then
    components[culprit.path] = { ok = false, what = "kept", err = err.message }
  elseif not is_explained then
    for _, component in next, components do component.err = err.message end
  end
end

local function log_report(app, report, quiet)
  local log <const> = app.log
  if not report.ok then
    return log[quiet and "debug" or "error"](log, "not reloaded: %s", report.err)
  end
  local names <const> = {}
  for path, component in next, report.components do
    names[#names + 1] = ("%s (%s)"):format(path == "" and "the root component" or path,
      component.what)
  end
  table.sort(names)
  local level <const> = quiet and "debug" or "notice"
  if #names == 0 and report.configuration then
    log[level](log, "reloaded the configuration, which concerns no component")
  elseif #names == 0 then
    log:info "reload: nothing has changed"
  else
    log[level](log, "reloaded in %.1f ms: %s", report.ms, table.concat(names, ", "))
  end
end

-- ---- one reload ----------------------------------------------------------------------

-- The configuration as it is now. -> values, keys | nil, err
local function read(app)
  if not app.source then return app.config, app.keys end
  local values, err = app.source.load()
  if not values then return nil, err end
  local keys, wrong = schema.check(values)
  if not keys then return nil, wrong end
  return values, keys
end

-- -> true | nil, err, and what is known of it
local function attempt(app, asked, force)
  local values, keys = read(app)
  if not values then return nil, keys end
  if app.ctx:state() ~= "open" then
    return nil, errors.new("FAILED", "the application ends")
  end
  local done
  local stage <const> = runtime.stage(app.ctx)
  local _ <close> = setmetatable({}, {
    __close = function()
      if not (done and done.committed) then stage:close() end
    end,
  })
  local plan, err, partial = loading.run(app, stage, plans.new, app, values, keys, asked)
  if not plan then return nil, err, partial end
  if plan:is_empty() then return true, nil, plan end
  drain.make_room(app, plan.outgoing, force)
  local ok, failure
  ok, failure, done = transaction.run(app, plan, stage)
  return ok, failure, plan, done
end

-- Components that fail and are started again meanwhile make it necessary to begin anew.
local function attempt_often(app, asked, force)
  local result
  for _ = 1, MOST_ATTEMPTS do
    result = table.pack(attempt(app, asked, force))
    if not errors.is(result[2], "EAGAIN") then break end
  end
  return table.unpack(result, 1, result.n)
end

-- -> report
local function refusal(message)
  return { ok = false, err = message, ms = 0, configuration = false, components = {} }
end

-- Tells who waits for the end of reloads.
local function tell_of(app)
  app.bus:publish("app.reloading", true)
  return setmetatable({}, { __close = function()
    app.bus:publish("app.reloading", false)
  end })
end

-- What has been read for nothing: what is wrong may be mended there.
local function files_missed(plan)
  local paths <const> = {}
  for node in plan:each() do
    for path in next, node.code and node.code.files or {} do paths[#paths + 1] = path end
  end
  return paths
end

-- -> report
local function run(app, asked, opts)
  local _ <close> = tell_of(app)
  local since <const>, components <const> = time.now(), {}
  local ok, err, plan, done = attempt_often(app, asked, opts.force or false)
  app.missed = not ok and plan and files_missed(plan) or nil
  local report <const> = {
    ok = ok or false,
    err = err and err.message,
    ms = milliseconds(time.now() - since),
    configuration = done ~= nil and ok == true and plan.config_changed,
    components = components,
  }
  if not ok and plan then
    describe_failed(plan, err, done and done.culprit, components)
  elseif done then
    describe_done(plan, done, components)
  end
  log_report(app, report, opts.quiet)
  if ok and done then app.bus:publish("app.reload", report) end
  return report
end

local function trace(err)
  return errors.is(err, "CANCELLED") and err or debug.traceback(tostring(err), 2)
end

--- Reloads what has changed: components whose files or configuration are others by now,
--- and who depends on them. Waits until the new ones serve, or it has failed; one reload
--- at a time.
---@param app ahost.Application
---@param asked? string    the path of a component, "" for the root: it, with all below
---  it, is reloaded, whatever has changed
---@param opts? {force: boolean?, quiet: boolean?}    `force`: old generations make room
---  at once; `quiet`: who asks tells of it, the log does as `debug`
---@return ahost.ReloadReport
function reload.run(app, asked, opts)
  if not app.running:is_set() then
    return refusal "the application has not started yet"
  elseif runtime.staged(context.current()) then
    return refusal "a component that is being started cannot reload others"
  elseif app.stopping:is_set() then
    return refusal "the application ends"
  end
  app.reloading = app.reloading or sync.lock()
  local report
  -- What is started belongs to the application, not to who has asked.
  app.outer:spawn("reload", function()
    local _ <close> = app.reloading:acquire()
    local ok, result = xpcall(run, trace, app, asked, opts or {})
    if errors.is(result, "CANCELLED") then error(result, 0) end
    report = ok and result or refusal(result)
    if not ok then log_report(app, report) end
  end):join()
  return report or refusal "the application ends"
end

--- The files that components have read, and their configurations', with those that a
--- failed reload has read last.
---@param app ahost.Application
---@return string[] paths    absolute
function reload.files(app)
  local seen <const>, list <const> = {}, {}
  local directory <const> = (process.cwd() or ""):gsub("/*$", "/")
  local function add(path)
    if path:sub(1, 1) ~= "/" then path = directory .. path:gsub("^%./", "") end
    if not seen[path] then
      seen[path] = true
      list[#list + 1] = path
    end
  end
  for _, root in ipairs(app:roots()) do
    for node in tree.each(root) do
      for path in next, node.code.files do add(path) end
    end
  end
  for path in next, app.wiring.files do add(path) end
  for _, path in ipairs(app.missed or {}) do add(path) end
  for _, path in ipairs(app.source and app.source.files() or {}) do add(path) end
  table.sort(list)
  return list
end

return reload
