-- ahost.command.edit: `ahost config -s KEY=VALUE`, which changes values in their files.

local config <const> = require "ahost.config"
local configuration <const> = require "ahost.command.configuration"
local errors <const> = require "ahost.error"
local masking <const> = require "ahost.command.masking"
local path <const> = require "ahost.config.path"
local value <const> = require "ahost.config.value"
local yaml <const> = require "ahost.yaml"

-- ---- what is to be changed -----------------------------------------------------------

---@class ahost.command.Change
---@field key string       as it was written
---@field keys string[]
---@field text string      "KEY=VALUE"
---@field value any        decoded; tags stay

-- -> change | nil, err
local function parse(text)
  local key, written = text:match("^(.-)=(.*)$")
  if not key or key == "" then
    return nil, errors.new("USAGE", ("-s takes KEY=VALUE, not '%s'"):format(text))
  end
  local v, err = yaml.decode(written, { name = "-s " .. key, tags = { "!env", "!file" } })
  if v == nil then return nil, errors.new("CONFIG", err.message) end
  return { key = key, keys = config.split(key), text = text, value = v }
end

local function parse_all(texts)
  local changes <const> = {}
  for i, text in ipairs(texts) do
    local change, err = parse(text)
    if not change then return nil, err end
    changes[i] = change
  end
  return changes
end

-- ---- checks --------------------------------------------------------------------------

-- What the files say, with overrides.
---@class ahost.command.State
---@field values? table
---@field shown table         values without secrets
---@field problems string[]

local function texts_of(err)
  local texts <const> = {}
  for i, problem in ipairs(err.errors or { err.message }) do
    texts[i] = type(problem) == "string" and problem or problem.message
  end
  return texts
end

---@return ahost.command.State
local function look(args, files, set)
  local values, err = config.load(files, { set = set, service = args.service })
  if not values then return { shown = {}, problems = texts_of(err) } end
  local app, wrong, partial = configuration.build(values, files)
  return {
    values = values,
    shown = args.secrets and values or masking.mask(values, app or partial),
    problems = wrong and texts_of(wrong) or {},
  }
end

-- The problems that were not there before.
local function new_problems(before, after)
  local known <const>, new <const> = {}, {}
  for _, text in ipairs(before.problems) do known[text] = true end
  for _, text in ipairs(after.problems) do
    if not known[text] then new[#new + 1] = text end
  end
  return new
end

-- Names the changes as they were given.
local function as_given(text, changes)
  for _, change in ipairs(changes) do
    local from, to = text:find("--set " .. change.key, 1, true)
    if from then
      return text:sub(1, from - 1) .. "-s " .. change.key .. text:sub(to + 1)
    end
  end
  return text
end

-- A copy of a container, in which the place that the keys from one on lead to is new. A
-- list has no place behind its next item: config.edit tells.
local function with(v, keys, from, new)
  if from > #keys then return new end
  local copy <const> = {}
  if value.is_container(v) then
    setmetatable(copy, getmetatable(v))
    for name, inner in next, v do copy[name] = inner end
  end
  local key <const> = path.key(copy, keys[from])
  if key == nil or math.type(key) and key > #copy + 1 then return copy end
  copy[key] = with(copy[key], keys, from + 1, new)
  return copy
end

-- The change as an override. Overrides replace lists as a whole.
local function override_of(change, values)
  local keys <const> = change.keys
  for i = 1, #keys - 1 do
    local above <const> = table.move(keys, 1, i, 1, {})
    local list <const> = config.lookup(values or {}, above)
    if value.is_list(list) then
      local new <const> = with(list, keys, i + 1, change.value)
      return config.join(above) .. "=" .. yaml.encode(new, { flow = true })
    end
  end
  return change.text
end

-- -> the state after the changes | nil, err: they are refused
local function try(args, files, changes, before)
  local set <const> = table.move(args.set, 1, #args.set, 1, {})
  for _, change in ipairs(changes) do
    set[#set + 1] = override_of(change, before.values)
  end
  local after <const> = look(args, files, set)
  local new <const> = new_problems(before, after)
  if #new == 0 then return after end
  for i, text in ipairs(new) do new[i] = as_given(text, changes) end
  return nil, errors.new("CONFIG", table.concat(new, "\n") .. "\nnothing was changed")
end

-- ---- telling -------------------------------------------------------------------------

local function show(state, keys)
  return yaml.encode(masking.lookup(state.shown, keys), { flow = true })
end

local function has(state, keys)
  return state.values and config.lookup(state.values, keys) ~= nil
end

local function tell(file, change, before, after)
  local new <const> = has(after, change.keys) and show(after, change.keys)
    or yaml.encode(change.value, { flow = true })
  if has(before, change.keys) then
    print(("%s: %s: %s -> %s"):format(file, change.key, show(before, change.keys), new))
  else
    print(("%s: %s: %s (new)"):format(file, change.key, new))
  end
end

-- Whether the files now say what they were to; something else may win over it.
local function is_effective(change, expected, now)
  local wanted <const> = expected.values and config.lookup(expected.values, change.keys)
  local got <const>, container, key
    = config.lookup(now.values or {}, change.keys)
  if wanted == nil or got == nil then return true end
  local encode <const> = yaml.encode
  if encode(wanted) == encode(got) then return true end
  io.stderr:write(("ahost config: %s is still %s: %s wins\n"):format(change.key,
    show(now, change.keys), config.origin(container, key) or "another file"))
  return false
end

-- ---- the whole -----------------------------------------------------------------------

--- Changes values in files. A change that makes the configuration invalid is refused;
--- what is wrong with it already may stay.
---@param args table        as parsed; `change` has what is to be changed
---@return integer? status
---@return ahost.Error? err
return function(args)
  local changes, wrong = parse_all(args.change)
  if not changes then return nil, wrong end
  local files <const> = configuration.files(args)
  if #files == 0 then return nil, configuration.missing() end
  local before <const> = look(args, files, args.set)
  local after, refused = try(args, files, changes, before)
  if not after then return nil, refused end
  for _, change in ipairs(changes) do
    local file, err = config.edit(files, change.keys, change.value)
    if not file then return nil, err end
    tell(file, change, before, after)
  end
  local now <const>, status = look(args, files, args.set), 0
  for _, change in ipairs(changes) do
    if not is_effective(change, after, now) then status = 1 end
  end
  return status
end
