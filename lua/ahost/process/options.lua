-- ahost.process.options: what process.spawn and process.run are told, checked and
-- completed. Mistakes are raised where the caller of those stands.

local core <const> = require "ahost.process.core"
local spelling <const> = require "ahost.spelling"

local options <const> = {}

-- What only this needs is not left in the module.
local descriptor <const>, find_user <const>, find_group <const> =
  core.descriptor, core.user, core.group

-- Raises where the first function that is not of ahost.process stands.
local function fail(form, ...)
  local level = 2
  local function is_ours()
    local info <const> = debug.getinfo(level + 2, "S")
    return info and info.source:find("ahost/process", 1, true)
  end
  while is_ours() do level = level + 1 end
  error(form:format(...), level + 1)
end

local SPAWN <const> = {
  "stdin", "stdout", "stderr", "cwd", "env", "clear_env", "group", "uid", "gid",
  "stop_timeout",
}
local RUN <const> = table.move({ "timeout", "limit" }, 1, 2, #SPAWN + 1,
  table.move(SPAWN, 1, #SPAWN, 1, {}))

local REDIRECTIONS <const> = { pipe = true, inherit = true, null = true, stdout = true }

-- ---- values --------------------------------------------------------------------------

local function check_text(what, value)
  if type(value) == "number" then value = tostring(value) end
  if type(value) ~= "string" then
    fail("%s: a string expected, got %s", what, type(value))
  elseif value:find("\0", 1, true) then
    fail("%s: a string without zero bytes expected", what)
  end
  return value
end

local function check_type(name, value, expected)
  if value ~= nil and type(value) ~= expected then
    fail("option '%s': a %s expected, got %s", name, expected, type(value))
  end
  return value
end

local function check_seconds(name, value)
  if check_type(name, value, "number") and not (value >= 0 and value < math.huge) then
    fail("option '%s': seconds >= 0 expected, got %s", name, value)
  end
  return value
end

-- The words of the command: those of the array.
local function read_words(given)
  local words <const> = {}
  for i = 1, #given do
    words[i] = check_text(i == 1 and "the command"
      or ("argument %d of the command"):format(i - 1), given[i])
  end
  if not words[1] or words[1] == "" then
    fail('a command is expected first, as in {"ls", "-l"}')
  end
  return words
end

local function check_names(given, words, names)
  for key in pairs(given) do
    if math.type(key) == "integer" then
      if not words[key] then fail("argument %d of the command is missing", #words) end
    else
      local known
      for _, name in ipairs(names) do known = known or name == key end
      if not known then
        local near <const> = type(key) == "string" and spelling.nearest(key, names)
        fail("unknown option '%s'%s", tostring(key),
          near and (" (did you mean '%s'?)"):format(near) or "")
      end
    end
  end
end

-- ---- the environment -----------------------------------------------------------------

-- What the variable is to be: a string, or nil to have none.
local function read_variable(name, value)
  if type(name) ~= "string" or name == "" or name:find("[=\0]") then
    fail("option 'env': '%s' is no name of an environment variable", tostring(name))
  end
  if value == false then return nil end
  return check_text(("option 'env': %s"):format(name), value)
end

-- The array of "NAME=value", or nil for that of this process.
local function read_environment(given, clear)
  if not given and not clear then return nil end
  local variables <const>, entries <const> = {}, {}
  for name, value in pairs(clear and {} or core.env) do variables[name] = value end
  for name, value in pairs(given or {}) do
    variables[name] = read_variable(name, value)
  end
  for name, value in pairs(variables) do entries[#entries + 1] = name .. "=" .. value end
  return entries
end

-- ---- users ---------------------------------------------------------------------------

local function is_number(id)
  return math.type(id) == "integer" and id >= 0 and id < 0xFFFFFFFF
end

-- -> uid or nil, and the user's own group
local function read_user(given)
  if given == nil then return end
  if not is_number(given) and type(given) ~= "string" then
    fail("option 'uid': a number or the name of a user expected, got %s", tostring(given))
  end
  local uid, gid = find_user(given)
  if not uid and type(given) == "string" then
    fail("option 'uid': there is no user '%s'", given)
  end
  return uid or given, gid
end

local function read_group(given, fallback)
  if given == nil then return fallback end
  if is_number(given) then return given end
  if type(given) ~= "string" then
    fail("option 'gid': a number or the name of a group expected, got %s",
      tostring(given))
  end
  return find_group(given) or fail("option 'gid': there is no group '%s'", given)
end

-- ---- standard streams ----------------------------------------------------------------

local function read_stream(name, value, default)
  if value == nil then return default end
  if type(value) == "userdata" then
    local number <const>, problem <const> = descriptor(value)
    if not number then fail("option '%s': %s", name, problem) end
    return value
  end
  if not REDIRECTIONS[value] or value == "stdout" and name ~= "stderr" then
    fail("option '%s': 'pipe', 'inherit', 'null'%s, a stream or a file expected, got %s",
      name, name == "stderr" and ", 'stdout'" or "",
      type(value) == "string" and "'" .. value .. "'" or type(value))
  end
  return value
end

-- ---- all -----------------------------------------------------------------------------

local function check_table(given)
  if type(given) == "table" then return end
  fail('a table is expected, as in {"ls", "-l"}, or {"sh", "-c", "ls | wc"} for the '
    .. "shell; got %s", type(given))
end

local function read(given, names)
  check_table(given)
  local words <const> = read_words(given)
  check_names(given, words, names)
  check_type("group", given.group, "boolean")
  local uid <const>, primary <const> = read_user(given.uid)
  return {
    words = words,
    env = read_environment(check_type("env", given.env, "table"),
      check_type("clear_env", given.clear_env, "boolean")),
    cwd = given.cwd ~= nil and check_text("option 'cwd'", given.cwd) or nil,
    group = given.group,
    uid = uid,
    gid = read_group(given.gid, primary),
    stop_timeout = check_seconds("stop_timeout", given.stop_timeout),
    stdin = given.stdin,
    stdout = read_stream("stdout", given.stdout, "pipe"),
    stderr = read_stream("stderr", given.stderr, "pipe"),
  }
end

--- Those of process.spawn, with nothing left out.
function options.of_spawn(given)
  local o <const> = read(given, SPAWN)
  o.stdin = read_stream("stdin", o.stdin, "pipe")
  return o
end

--- Those of process.run. A string for standard input moves to `input`.
function options.of_run(given)
  local o <const> = read(given, RUN)
  o.timeout = check_seconds("timeout", given.timeout)
  o.limit = given.limit
  if o.limit ~= nil and not (math.type(o.limit) == "integer" and o.limit >= 0) then
    fail("option 'limit': a number of bytes expected, got %s", tostring(o.limit))
  end
  if type(o.stdin) == "string" then
    o.input, o.stdin = o.stdin, "pipe"
  else
    o.stdin = read_stream("stdin", o.stdin, "null")
  end
  return o
end

return options
