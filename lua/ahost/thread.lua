-- ahost.thread: Lua functions in threads of their own, beside the loop. Calls and
-- channels are C; here is what pools are made of and how they end.

local context <const> = require "ahost.context"
local core <const> = require "ahost.thread.core"
local runtime <const> = require "ahost.component.runtime"
local worker <const> = require "ahost.host.worker"

local thread <const> = { channel = core.channel, cancelled = core.cancelled }

local MAX_QUEUE <const> = 1000
local MAX_SIZE <const> = 1024

-- Of the time to close a pool: until running calls are asked to end, and from then
-- until they are given up. The rest is for whatever else its context has to do.
local PATIENCE <const>, NOTICE <const> = 0.7, 0.2

local Pool <const> = core.Pool.__index

---Closes the pool: calls that have not begun fail with code CLOSED, running ones are
---waited for, then asked to end, and finally logged and abandoned. Waits. Idempotent.
---Also when a `<close>` variable goes out of scope, and when the pool's context ends.
---@param timeout? number    seconds for all that (the host's `stop_timeout`)
function Pool:close(timeout)
  local seconds <const> = timeout or runtime.stop_timeout()
  core.shut(self)
  if not core.drain(self, seconds * PATIENCE) then
    core.cancel(self)
    core.drain(self, seconds * NOTICE)
  end
  core.release(self)
end

core.Pool.__close = function(pool) pool:close() end

-- The pools of each context that has some. A pool is not kept by its context, so that
-- one that is forgotten is collected.
local pools <const> = setmetatable({}, { __mode = "k" })

-- Closes them together: they share the time there is.
local function close_all(set)
  for _, pool in pairs(set) do
    core.shut(pool)
  end
  for _, pool in pairs(set) do
    pool:close()
  end
end

local function own(ctx, pool)
  local set = pools[ctx]
  if not set then
    set = setmetatable({}, { __mode = "v" })
    pools[ctx] = set
    ctx:on_close(function() close_all(set) end)
  end
  set[{}] = pool
end

-- An integer among the options.
local function integer(options, name, default, min, max)
  local value <const> = options[name]
  if value == nil then return default end
  if math.type(value) ~= "integer" or value < min or value > max then
    error(("thread.pool: %s must be an integer from %d to %d"):format(name, min, max), 4)
  end
  return value
end

local KNOWN <const> = {
  size = true, name = true, max_queue = true, memory_limit = true, interruptible = true,
}

local function make(ctx, options)
  for name in pairs(options) do
    if not KNOWN[name] then
      error(("thread.pool: there is no option '%s'"):format(tostring(name)), 3)
    end
  end
  local name <const> = options.name or "threads"
  if type(name) ~= "string" then error("thread.pool: name must be a string", 3) end
  local pool <const> = core.pool(ctx, name,
    integer(options, "size", worker.parallelism(), 1, MAX_SIZE),
    integer(options, "max_queue", MAX_QUEUE, 1, math.maxinteger),
    integer(options, "memory_limit", 0, 1, math.maxinteger),
    options.interruptible ~= false)
  own(ctx, pool)
  return pool
end

---@class ahost.thread.PoolOptions
---@field size? integer             threads at most, as many as there are processors
---@field name? string              in messages, and of the threads ("threads")
---@field max_queue? integer        calls that wait for a thread (1000); further callers
---                                 wait for a place in the queue
---@field memory_limit? integer     bytes for the Lua state of each thread (a share of the
---                                 host's limit, if it has one)
---@field interruptible? boolean    code without end can be cancelled (true). Without
---                                 it pure Lua code runs up to twice as fast, and a
---                                 cancelled call ends only in operations of channels

---Makes a pool of threads, which belongs to the current context. Threads start when
---there are calls for them and end when there have been none for a while.
---@param options? integer|ahost.thread.PoolOptions    the size, or all options
---@return ahost.ThreadPool
function thread.pool(options)
  if options == nil then options = {} end
  if type(options) == "number" then options = { size = options } end
  if type(options) ~= "table" then
    error("thread.pool: a number of threads or a table of options expected, got "
      .. type(options), 2)
  end
  return make(context.current(), options)
end

-- The pool of thread.call: the whole program's, made when it is first needed, as large
-- as `max_threads` says.
local default

local function default_pool()
  if default then return default end
  local ctx = context.current()
  while ctx.parent do
    ctx = ctx.parent
  end
  local size <const> = math.min(core.default_size(), MAX_SIZE)
  default = make(ctx, { name = "default", size = size })
  return default
end

thread.call = core.caller(default_pool)

return thread
