-- ahost.pdict: dictionaries that survive the program, and its sudden death.
--
-- All keys and encoded values are in memory; the file is a journal of updates (host/
-- journal.c). An update is seen at once by whoever reads, and taken back should it prove
-- impossible to write it.

local core <const> = require "ahost.pdict.file"
local errors <const> = require "ahost.error"
local log <const> = require "ahost.log"
local sync <const> = require "ahost.sync"
local task <const> = require "ahost.task"

local pdict <const> = {}

local SYNC <const> = { always = true, interval = true, never = true }
local DEFAULT_INTERVAL <const> = 1
local MOST_PENDING <const> = 4 * 1024 * 1024 -- bytes; then updates wait for the disk
local LEAST_WASTE <const> = 1024 * 1024      -- bytes that are worth a compaction
local RECORD <const> = 64 * 1024             -- bytes of one record of a compaction
local PAUSE <const> = 1000                   -- records between turns of other tasks
local OVERHEAD <const> = 9                   -- bytes of an entry in a record

---@class ahost.Pdict
---@field path string
local Pdict <const> = {}
Pdict.__index = Pdict
Pdict.__name = "ahost.pdict"

-- ---- records -------------------------------------------------------------------------

-- A record is a row of entries, "S" with key and value or "D" with a key; each string
-- has its length before it.
local function entry(key, encoded)
  if encoded then return "S" .. string.pack("<s4s4", key, encoded) end
  return "D" .. string.pack("<s4", key)
end

-- Puts an encoded value, or nil, in its place. -> the one before
local function put(self, key, encoded)
  local old <const> = self.values[key]
  self.values[key] = encoded
  if old then self.live = self.live - #key - #old - OVERHEAD end
  if encoded then self.live = self.live + #key + #encoded + OVERHEAD end
  self.count = self.count + (encoded and 1 or 0) - (old and 1 or 0)
  return old
end

local function apply(self, record)
  local at = 1
  while at <= #record do
    local kind <const> = record:sub(at, at)
    local key, encoded
    key, at = string.unpack("<s4", record, at + 1)
    if kind == "S" then encoded, at = string.unpack("<s4", record, at) end
    put(self, key, encoded)
  end
end

-- Applies all records of a file. Waits now and then.
local function load_records(self, data)
  local at, n = 1, 0
  while at <= #data do
    local record
    record, at = string.unpack("<s4", data, at)
    apply(self, record)
    n = n + 1
    if n % PAUSE == 0 then task.yield() end
  end
end

-- ---- opening -------------------------------------------------------------------------

local function check_options(opts)
  for name in pairs(opts) do
    if name ~= "sync" and name ~= "interval" and name ~= "salvage" then
      error("unknown option '" .. tostring(name) .. "' (sync, interval, salvage)", 3)
    end
  end
  local policy <const> = opts.sync or "always"
  if not SYNC[policy] then error("sync is 'always', 'interval' or 'never'", 3) end
  local interval <const> = opts.interval or DEFAULT_INTERVAL
  if not math.type(interval) or interval <= 0 or interval ~= interval then
    error("interval is a positive number of seconds", 3)
  end
  return policy, interval
end

local function tell_of_losses(path, torn, damaged)
  local logger <const> = log.get "ahost.pdict"
  if torn > 0 then
    logger:warning("%s: the last update was cut off (%d bytes) and is dropped", path,
      torn)
  end
  if damaged > 0 then
    logger:error("%s: %d bytes were unreadable; the damaged file is kept as %s.damaged",
      path, damaged, path)
  end
end

--- Opens a dictionary, or makes one. It is closed with the current context, and nobody
--- else can open it until then: a component that has one is `exclusive`, for reloads.
--- Waits.
---
--- `sync` is when updates are on the disk: `always` before they return, `interval` some
--- seconds later at the latest, `never` when the system sees fit. With the last two an
--- update returns before it is written: the last ones may be lost by `kill -9`, and
--- those of the interval when the machine itself goes down.
---@param path string
---@param opts? {sync: string?, interval: number?, salvage: boolean?}   `interval`:
---  seconds (1); `salvage`: what is readable of a damaged file is taken
---@return ahost.Pdict? dict
---@return ahost.Error? err    code CONFLICT when another has it open
function pdict.open(path, opts)
  opts = opts or {}
  local policy, interval = check_options(opts)
  if type(path) ~= "string" or path == "" or path:find "[/\0]$" then
    error("a path of a file is needed", 2)
  end
  local journal, data, torn, damaged = core.open(path, policy, interval, opts.salvage)
  if not journal then
    data.op = "open " .. path
    return nil, data
  end
  local self <const> = setmetatable({
    path = path,
    policy = policy,
    journal = journal,
    values = {},
    count = 0,
    live = 0,     -- bytes that the file would have
    patience = LEAST_WASTE,
    undo = {},    -- by numbers of records: what they have replaced
    first = 1,    -- the oldest of them
    last = 0,
    gate = nil,   -- an event while updates have to wait
  }, Pdict)
  tell_of_losses(path, torn, damaged)
  load_records(self, data)
  return self
end

-- ---- failures ------------------------------------------------------------------------

-- Takes back what could not be written, newest first.
local function roll_back(self, written)
  for number = self.last, written + 1, -1 do
    local changes <const> = self.undo[number]
    for i = #changes, 1, -1 do put(self, changes[i].key, changes[i].old) end
    self.undo[number] = nil
  end
  self.last = written
end

-- Forgets what is written, and takes back what could not be. -> err of a failure that
-- nobody has been told of, or that is for ever
local function catch_up(self)
  local _, _, written, closed, failed = self.journal:state()
  for number = self.first, written do self.undo[number] = nil end
  self.first = math.max(self.first, written + 1)
  if not failed then return closed and errors.new("CLOSED", "closed") or nil end
  roll_back(self, written)
  local alive, err, told = self.journal:recover()
  if alive and told then return nil end
  if not alive then err.message = err.message .. "; it has to be opened again" end
  return err
end

local function failure(self, err)
  if not err.op then err.op = "update " .. self.path end
  return nil, err
end

-- ---- reading -------------------------------------------------------------------------

local function check_key(key, level)
  if type(key) ~= "string" then
    error("keys are strings, not " .. type(key), level + 1)
  end
end

local function check_readable(self)
  local err <const> = catch_up(self)
  if err and err.code == "CLOSED" then error("the dictionary is closed", 3) end
end

local function decoded(encoded)
  return encoded and core.decode(encoded)
end

--- The value of a key, a copy of its own. Does not wait. Raises when closed.
---@param key string
---@return any value    nil when there is none
function Pdict:get(key)
  check_key(key, 2)
  check_readable(self)
  return decoded(self.values[key])
end

--- The values of many keys, in their order. Does not wait. Raises when closed.
---@param ... string
---@return any ...
function Pdict:load(...)
  check_readable(self)
  local keys <const> = table.pack(...)
  local values <const> = {}
  for i = 1, keys.n do
    check_key(keys[i], 2)
    values[i] = decoded(self.values[keys[i]])
  end
  return table.unpack(values, 1, keys.n)
end

--- All keys, sorted. Does not wait. Raises when closed.
---@return string[]
function Pdict:keys()
  check_readable(self)
  local keys <const> = {}
  for key in pairs(self.values) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

--- Iterates over keys and values in the order of the keys that there are now; those that
--- have been deleted when it is their turn are left out.
---@return fun(): string?, any
function Pdict:pairs()
  local keys <const>, i = self:keys(), 0
  return function()
    repeat
      i = i + 1
      local encoded <const> = self.values[keys[i] or ""]
      if encoded and keys[i] then return keys[i], core.decode(encoded) end
    until i > #keys
  end
end

Pdict.__pairs = Pdict.pairs

function Pdict:__len() return self.count end

-- ---- updates -------------------------------------------------------------------------

-- Writes the file anew when so much of it is old. What does not work out is tried again
-- when the file has doubled.
local function limit_waste(self)
  local size <const> = self.journal:state()
  if self.gate or size < self.patience or size < 4 * self.live then return end
  self.patience = LEAST_WASTE
  local ok, err = self:compact()
  if ok then return end
  self.patience = 2 * size
  log.get("ahost.pdict"):warning("compaction: %s", tostring(err))
end

-- Waits until the update is where the policy wants it, and there is room for the next.
local function wait_for(self, number)
  local journal <const> = self.journal
  if self.policy == "always" then return journal:wait(number) end
  local _, pending = journal:state()
  if pending > MOST_PENDING then return journal:wait(number) end
  return true
end

-- Makes changes, {key=, new= encoded or nil}, in this order and together.
local function commit(self, changes)
  while self.gate do self.gate:wait() end
  local err <const> = catch_up(self)
  if err then return failure(self, err) end
  if #changes == 0 then return true end
  local parts <const> = {}
  for i, change in ipairs(changes) do parts[i] = entry(change.key, change.new) end
  local number <const> = self.journal:append(table.concat(parts))
  for _, change in ipairs(changes) do change.old = put(self, change.key, change.new) end
  self.undo[number] = changes
  self.last = number
  local ok, why = wait_for(self, number)
  if not ok then
    catch_up(self)
    return failure(self, why)
  end
  limit_waste(self)
  return true
end

--- Gives a key a value: nil (which deletes it), booleans, numbers, strings, tables of
--- such. Waits, see open. Raises for anything else.
---@param key string
---@param value any
---@return boolean? ok
---@return ahost.Error? err    then the old value is still there
function Pdict:set(key, value)
  check_key(key, 2)
  if value == nil then return self:delete(key) end
  return commit(self, { { key = key, new = core.encode(value) } })
end

--- Deletes a key, if it is there. Waits, see open.
---@param key string
---@return boolean? ok
---@return ahost.Error? err
function Pdict:delete(key)
  check_key(key, 2)
  if not self.values[key] then return commit(self, {}) end
  return commit(self, { { key = key } })
end

--- Gives several keys their values: after a crash all of them have, or none. `delete`
--- lists keys to go with it. Waits, see open.
---@param values table<string, any>
---@param delete? string[]
---@return boolean? ok
---@return ahost.Error? err
function Pdict:update(values, delete)
  local changes <const> = {}
  for key, value in pairs(values) do
    check_key(key, 2)
    changes[#changes + 1] = { key = key, new = core.encode(value) }
  end
  for _, key in ipairs(delete or {}) do
    check_key(key, 2)
    changes[#changes + 1] = { key = key }
  end
  return commit(self, changes)
end

--- The value of a key; one that is not there is given the value first. Waits, see open.
---@param key string
---@param value any
---@return any value
---@return ahost.Error? err
function Pdict:setdefault(key, value)
  local there <const> = self:get(key)
  if there ~= nil then return there end
  local ok, err = self:set(key, value)
  if not ok then return nil, err end
  return self:get(key)
end

-- ---- the file ------------------------------------------------------------------------

--- Waits until everything is on the disk.
---@return boolean? ok
---@return ahost.Error? err
function Pdict:flush()
  local err <const> = catch_up(self)
  if err then return failure(self, err) end
  local ok, why = self.journal:flush()
  if ok then return true end
  catch_up(self)
  return failure(self, why)
end

-- The records of a new file.
local function snapshot(self)
  local records <const>, parts, size = {}, {}, 0
  for key, encoded in pairs(self.values) do
    parts[#parts + 1] = entry(key, encoded)
    size = size + #parts[#parts]
    if size > RECORD then
      records[#records + 1] = table.concat(parts)
      parts, size = {}, 0
    end
  end
  if #parts > 0 then records[#records + 1] = table.concat(parts) end
  return records
end

local function rewrite(self)
  local ok, err = self.journal:wait(self.last)
  if ok then err = catch_up(self) end
  if err then return nil, err end
  local records <const> = snapshot(self)
  return self.journal:rewrite(records)
end

--- Writes the file anew, without what is out of date; the old one stays until the new one
--- is on the disk. This is done of itself when three quarters are. Waits, and updates by
--- others wait with it.
---@return boolean? ok
---@return ahost.Error? err
function Pdict:compact()
  while self.gate do self.gate:wait() end
  local early <const> = catch_up(self)
  if early then return failure(self, early) end
  local gate <const> = sync.event()
  local _ <close> = setmetatable({}, { __close = function()
    self.gate = nil
    gate:set()
  end })
  self.gate = gate
  local ok, err = rewrite(self)
  if not ok then return failure(self, err) end
  return true
end

--- Has everything written and lets go of the file. Waits; does nothing twice.
---@return boolean? ok
---@return ahost.Error? err
function Pdict:close()
  local ok, err = self.journal:close()
  if not ok then return failure(self, err) end
  return true
end

function Pdict:__close() self:close() end

function Pdict:__tostring() return ("ahost.pdict: %s"):format(self.path) end

return pdict
