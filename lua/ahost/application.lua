-- ahost.application: the life of an application, from its configuration to its exit
-- status.
--
--     app.init; components prepare and start; app.run; run of a command;
--     app.stop, cancellation, teardown; app.exit

local bus <const> = require "ahost.bus"
local changes <const> = require "ahost.reload.changes"
local code <const> = require "ahost.component.code"
local config <const> = require "ahost.config"
local context <const> = require "ahost.context"
local dependencies <const> = require "ahost.component.dependencies"
local control <const> = require "ahost.control"
local embedding <const> = require "ahost.embedding.host"
local errors <const> = require "ahost.error"
local json <const> = require "ahost.json"
local log <const> = require "ahost.log"
local metrics <const> = require "ahost.application.metrics"
local process <const> = require "ahost.process"
local reload <const> = require "ahost.reload"
local report <const> = require "ahost.component.report"
local runtime <const> = require "ahost.component.runtime"
local schema <const> = require "ahost.application.schema"
local starting <const> = require "ahost.component.starting"
local supervision <const> = require "ahost.component.supervision"
local sync <const> = require "ahost.sync"
local task <const> = require "ahost.task"
local ticks <const> = require "ahost.application.ticks"
local tree <const> = require "ahost.component.tree"
local wiring <const> = require "ahost.application.wiring"
local workers <const> = require "ahost.application.workers"

local application <const> = {}

---@class ahost.ApplicationOptions
---@field stops? boolean              it takes the host's requests to stop
---@field process_signals? boolean    HUP becomes app.hup
---@field supervised? boolean         somebody else says when HUP is to reload
---@field control? ahost.ControlPlace    where its control socket is to be
---@field broadcast? fun(message: string, ...: any): boolean    of its bus
---@field opened? fun(app: ahost.Application)    called in `app.outer` before app.init

---@class ahost.ApplicationSource    where the configuration is from
---@field load fun(): table?, ahost.Error?        reads it again
---@field apply fun(values: table, keys: table): true?, ahost.Error?   puts into effect
---  what of it is about the process: logging, limits
---@field files fun(): string[]                   that it was read from

---@class ahost.Application
---@field ctx ahost.Context        of the application: resources of its components
---@field outer ahost.Context      of what looks after them
---@field bus ahost.Bus
---@field config table             the effective configuration
---@field metrics ahost.metrics.Registry
---@field keys table               the top-level keys, checked
---@field wiring ahost.Code        what schedules, servers and listeners have loaded
---@field draining table<string, ahost.OldGeneration[]>   by the path of the component
---@field missed? string[]         the files that a failed reload has read
---@field restarts table<string, integer>    of components so far, by their path
---@field root? ahost.ComponentNode
---@field status integer           the exit status so far
---@field stopping ahost.Event     set when it is to end
---@field running ahost.Event      set when everything has started, or has not
local Application <const> = {}
Application.__index = Application
Application.__name = "ahost.application"

-- ---- making --------------------------------------------------------------------------

-- A null says as little as nothing.
local function section(values, name)
  local v <const> = values[name]
  if v ~= json.null then return v end
end

-- What the top-level keys say of the root. -> values, origin | nil
local function root_of(values, component)
  if section(values, "component") then
    return values.component, config.origin(values, "component")
  elseif section(values, "components") then
    return { type = "ahost.component.container", components = values.components },
      config.origin(values, "components")
  end
  return component and {}
end

local function check_roots(values)
  if not (section(values, "component") and section(values, "components")) then
    return true
  end
  local where <const> = config.origin(values, "components")
  return nil, errors.new("CONFIG",
    (where and where .. ": " or "") .. "components: give either this or component")
end

--- Checks a configuration as far as that is possible without starting anything:
--- modules are loaded and each component's `init` is called. May wait.
---@param values table     an effective configuration
---@param opts? {directory: string?, component: table?, code: ahost.Code?,
---  load_root: (fun(code: ahost.Code): table?, ahost.Error?)?,
---  source: ahost.ApplicationSource?}   `directory`: where relative files are that no
---  file names; `component`: the root, `code`: what it has loaded, `load_root`: loads it
---  again (it stays as it is); `source`: for reloads (the configuration stays as it is)
---@return ahost.Application? app
---@return ahost.Error? err   code CONFIG; `err.errors` has all that is wrong
---@return ahost.Application? partial   what could be built, to look at only
function application.new(values, opts)
  opts = opts or {}
  local checked, err = schema.check(values)
  -- With wrong keys it is only to find what else is wrong.
  local keys <const> = checked or assert(schema.check {})
  local ok, conflict = check_roots(values)
  if not ok then return nil, conflict end
  local app <const> = setmetatable({
    config = values,
    keys = keys,
    opts = opts,
    log = log.get "ahost.application",
    status = 0,
    start_timeout = keys.start_timeout,
    stop_timeout = keys.stop_timeout,
    source = opts.source,
    draining = {},
    stopping = sync.event(),
    running = sync.event(),
  }, Application)
  return app:build(err)
end

-- `wrong` is what is known to be wrong already.
function Application:build(wrong, plan)
  local opts <const>, problems <const> = self.opts, {}
  local function collect(result, err, partial)
    for _, problem in ipairs(err and (err.errors or { tostring(err) }) or {}) do
      problems[#problems + 1] = problem
    end
    return result or partial
  end
  collect(nil, wrong)
  local below <const> = {
    directory = opts.directory,
    defaults = config.literal(section(self.config, "defaults") or {}),
    component = opts.component,
    component_code = opts.code,
    load_root = opts.load_root,
    plan = plan,
  }
  local root, origin = root_of(self.config, opts.component)
  if root then
    below.at = origin
    self.root = collect(tree.build(root, below))
    below.component, below.component_code, below.load_root = nil, nil, nil
    below.at = nil
  end
  self.wiring = self.wiring or code.new()
  below.code = self.wiring
  local wired <const> = {
    schedules = section(self.config, "schedules"),
    servers = section(self.config, "servers"),
  }
  self.wired = collect(wiring.components(wired, below))
  self.listeners = collect(wiring.listeners(section(self.config, "listen"), below))
  collect(workers.check_root(self.config, self.root))
  if #problems == 0 then return self end
  local err <const> = errors.new("CONFIG", table.concat(problems, "\n"),
    { errors = problems })
  return nil, err, self
end

-- ---- reloading -----------------------------------------------------------------------

--- The application as a plan has it, to be adopted when all of it has started. May wait.
---@param plan ahost.ReloadPlan
---@return ahost.Application? draft
---@return ahost.Error? err    code CONFIG
function Application:build_again(plan)
  local ok, conflict = check_roots(plan.values)
  if not ok then return nil, conflict end
  local draft <const> = setmetatable({
    config = plan.values,
    keys = plan.keys,
    opts = self.opts,
    wiring = not plan.wiring_changed and self.wiring or nil,
  }, Application)
  draft.listens_anew = plan.wiring_changed
    or not changes.same(section(self.config, "listen"), section(plan.values, "listen"))
  return draft:build(nil, plan)
end

--- Puts what a configuration says about the process into effect.
---@param of ahost.Application    a draft; or the application itself, when that one's
---  comes to nothing
---@return true? ok
---@return ahost.Error? err
function Application:apply(of)
  if not self.source then return true end
  return self.source.apply(of.config, of.keys)
end

--- Becomes what the draft is. Does not wait.
---@param draft ahost.Application
function Application:adopt(draft)
  local before <const> = self.keys
  self.root, self.wired, self.wiring = draft.root, draft.wired, draft.wiring
  self.config, self.keys = draft.config, draft.keys
  self.start_timeout, self.stop_timeout = draft.keys.start_timeout,
    draft.keys.stop_timeout
  if self.opts.component then self.opts.component = self.root.component end
  if draft.listens_anew then self:listen_anew(draft.listeners) end
  if self.running:is_set() then metrics.adopt(self, before) end
  if self.ticks and self.keys.tick_period ~= before.tick_period then
    self.ticks:restart(self.keys.tick_period)
  end
end

--- Reloads what has changed, or a component: see ahost.reload. Waits for the commit.
---@param path? string    of a component; "" for the root
---@param opts? {force: boolean?, quiet: boolean?}
---@return ahost.ReloadReport
function Application:reload(path, opts) return reload.run(self, path, opts) end

-- ---- starting ------------------------------------------------------------------------

--- Called for each component that has started.
function Application:started(node)
  self.order[#self.order + 1] = node
  self.outer:spawn("supervisor of " .. (node.path == "" and "root" or node.path),
    supervision.watch, self, node)
  if node == self.root and self.running:is_set() then self:start_command() end
end

--- The components that are up, in the order of their starts.
---@return ahost.ComponentNode[]
function Application:started_nodes()
  local nodes <const>, seen <const> = {}, {}
  for _, node in ipairs(self.order) do
    if node.state == "started" and not node.ended and not seen[node] then
      seen[node] = true
      nodes[#nodes + 1] = node
    end
  end
  self.order = nodes
  return table.move(nodes, 1, #nodes, 1, {})
end

-- All that have a context, those that have started in the order of their starts.
function Application:living_nodes()
  local nodes <const>, seen <const> = {}, {}
  local function take(node)
    if seen[node] or not node.ctx or node.ctx:state() == "closed" then return end
    seen[node] = true
    nodes[#nodes + 1] = node
  end
  for _, node in ipairs(self.order) do take(node) end
  for _, root in ipairs(self:roots()) do
    for node in tree.each(root) do take(node) end
  end
  return nodes
end

-- The root, then the components of `schedules:` and `servers:`.
function Application:roots()
  local nodes <const> = { self.root }
  return table.move(self.wired, 1, #self.wired, #nodes + 1, nodes)
end

--- The instance of a component.
---@param path string    dotted aliases; "" for the root
---@return table? instance    nil when there is none
function Application:instance(path)
  for _, root in ipairs(self:roots()) do
    for node in tree.each(root) do
      if node.path == path then return node.instance end
    end
  end
end

-- Subscribes listeners of `listen:` in a context, whose resources they can use then. At
-- app.exit that of the application has ended.
function Application:listen(listeners)
  local places <const> = { inner = self.ctx:child(), outer = self.outer:child() }
  for _, listener in ipairs(listeners) do
    local ctx <const> = listener.message == "app.exit" and places.outer or places.inner
    runtime.within(ctx, self.bus.subscribe, self.bus, listener.message, listener.fn)
  end
  self.listeners, self.listening = listeners, places
end

-- The same in the place of those before, which end.
function Application:listen_anew(listeners)
  local before <const> = self.listening
  self:listen(listeners)
  for _, ctx in next, before do
    runtime.retire(ctx)
    self.outer:spawn("end of listeners", ctx.close, ctx)
  end
end

function Application:open(outer)
  self.outer = outer
  self.order = {}
  self.restarts = {}
  self.ctx = runtime.application(outer)
  self.bus = bus.new(self.broadcast)
  self.bus:subscribe("app.hup", log.rotate)
  self.ctx:publish("application", self)
  self.ctx:publish("bus", self.bus)
  self.ctx:publish("config", self.config)
  metrics.open(self)
  self.control = control.new(self)
  self.ctx:publish("control", self.control, { doc = "the control socket" })
  embedding.opened(self.ctx, self.bus)
  self.watch = runtime.watch(self.ctx)
  if self.log:enabled "debug" then
    self.ctx.published:connect(function(event)
      self.log:debug("published: %s", event.key)
    end)
  end
  self:listen(self.listeners)
end

-- -> whether everything has started
function Application:start()
  local nodes <const> = self:roots()
  local outcome <const> = starting.run(self, nodes, self.start_timeout)
  if outcome.what == "started" then return true end
  self:fail(report.describe(outcome, nodes, self.start_timeout))
  return false
end

-- ---- stopping ------------------------------------------------------------------------

--- Ends the application as a failure: its status is at least 1.
---@param message? string    logged as an error
function Application:fail(message)
  if message then self.log:error("%s", message) end
  self.failure = self.failure or message
  self:stop(1)
end

--- Asks the application to end. Does not wait.
---@param status? integer    the largest of several is kept (0)
function Application:stop(status)
  self.status = math.max(self.status, status or 0)
  self.stopping:set()
end

-- Each request of the host to stop is told to the bus, with its number.
function Application:take_stops()
  local stops <const> = runtime.stops(self.outer)
  if not stops then return end
  self.outer:spawn("requests to stop", function()
    while stops:wait() do
      if self.stopping:is_set() then self:tell_stop() end
      self.stopping:set()
    end
  end)
end

-- Tells of the stop. Subscribers may take their time, within stop_timeout.
function Application:tell_stop()
  self.stop_count = (self.stop_count or 0) + 1
  local limit <const> = self.stop_timeout
  local _, err = task.timeout(limit, self.bus.publish_wait, self.bus, "app.stop",
    self.stop_count)
  if errors.is(err, "TIMEDOUT") then
    self.log:error("subscribers of app.stop did not end within %.14g s", limit)
  end
end

--- Tells what has failed in the teardown of a context.
---@param err ahost.Error
function Application:log_teardown(err)
  for _, failure in ipairs(err.errors or { err }) do
    self.log:error("a teardown callback failed: %s", tostring(failure))
  end
end

-- Those who depend on others end before these.
function Application:arrange()
  local nodes <const>, contexts <const> = self:living_nodes(), {}
  for _, node in ipairs(dependencies.order(nodes, dependencies.dependants(nodes))) do
    contexts[#contexts + 1] = node.ctx
  end
  runtime.arrange(contexts)
end

-- What fails in the teardown is not lost: it is logged, and shows in the status.
function Application:tear_down()
  self:arrange()
  local ok, err = self.ctx:close()
  if not ok then self:log_teardown(err) end
  if not ok or runtime.failed_late(self.ctx) then self:stop(1) end
end

function Application:close()
  self.stopping:set()
  self.running:set()
  if self.ticks then self.ticks:close() end
  if self.flushes then self.flushes:close() end
  if self.told then self:tell_stop() end
  self:tear_down()
  self.bus:publish_wait("app.exit")
  self.outer:close()
end

-- ---- running -------------------------------------------------------------------------

--- The exit status that the result of a command stands for.
---@param result any
---@param logger ahost.Logger    hears what is no status
---@return integer status        1 for what is none
function application.exit_status(result, logger)
  if result == nil then return 0 end
  if math.type(result) ~= "integer" then
    logger:warning("run() must return an integer or nil, not a %s", type(result))
    return 1
  elseif result < 0 or result > 127 then
    logger:warning("exit status out of range: %d", result)
    return 1
  end
  return result
end

-- Calls `run` of the root component in a task of its context.
function Application:run_command()
  local node <const> = self.root
  if node.ctx:state() ~= "open" then return end -- it has ended already
  local result
  local call <const> = node.ctx:spawn("run", function()
    result = node.component.run(node.instance, node.ctx)
  end)
  call:join()
  if call:status() == "done" then self:stop(application.exit_status(result, self.log)) end
end

-- When everything has started, and again when the root has been restarted.
function Application:start_command()
  if self.root and self.root.component.run then
    self.outer:spawn("run", self.run_command, self)
  end
end

-- Who waits for the end of a reload is told, too, when there is none.
function Application:hang_up(supervised)
  self.bus:publish "app.hup"
  if supervised or not self.keys.reload.on_hup then
    self.bus:publish("app.reloading", true)
    self.bus:publish("app.reloading", false)
  elseif self.hang_ups < 2 then -- one that goes on, and one that sees what is new
    self.hang_ups = self.hang_ups + 1
    self:reload()
    self.hang_ups = self.hang_ups - 1
  end
end

function Application:hear_process_signals(supervised)
  self.hang_ups = 0
  process.signal("HUP"):connect(function() self:hang_up(supervised) end)
end

function Application:open_control(where)
  local ok, err = self.control:open(where)
  if not ok then self:fail(err.message) end
end

function Application:work()
  self.told = true
  self.bus:publish("app.init")
  if self.stopping:is_set() or not self:start() then return end
  self.bus:publish("app.run")
  self.ticks = ticks.start(self.bus, self.keys.tick_period)
  self.flushes = metrics.start(self)
  self.running:set()
  self:start_command()
  self.stopping:wait()
end

--- Runs the application until it is to stop. Waits; in a task. What was started is torn
--- down in any case.
---@param opts? ahost.ApplicationOptions
---@return integer status   for the program's exit
function Application:run(opts)
  opts = opts or {}
  self.broadcast = opts.broadcast
  context.scope(function(outer)
    self:open(outer)
    local _ <close> = setmetatable({}, { __close = function() self:close() end })
    if opts.stops then self:take_stops() end
    if opts.process_signals then self:hear_process_signals(opts.supervised) end
    if opts.control then self:open_control(opts.control) end
    if opts.opened then opts.opened(self) end
    self:work()
  end)
  return self.status
end

return application
