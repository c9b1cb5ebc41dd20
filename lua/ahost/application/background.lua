-- The options of the top-level key `daemon`: what `ahost -d` makes of the process.

local background <const> = {}

local LARGEST_ID <const> = 0xFFFFFFFE -- the next one means "as it is"

local function check_id(value)
  if math.type(value) == "integer" then
    return value >= 0 and value <= LARGEST_ID, "must be a name or a number from 0"
  end
  return type(value) == "string" and value ~= "" and not value:find "[\0:\n]",
    "must be a name or a number"
end

-- YAML would read 027 as the decimal number, so digits alone are refused.
local function check_umask(value)
  return value:find "^0?[0-7]?[0-7]?[0-7]$" ~= nil,
    'must be octal digits, as in "027"'
end

local function check_path(value)
  return not value:find "\0", "must not contain a zero byte"
end

background.fields = {
  pidfile = {
    type = "string",
    min = 1,
    check = check_path,
    doc = "says which process it is, while that holds a lock on it",
  },
  uid = { type = "any", check = check_id, doc = "the user to become, a name or number" },
  gid = { type = "any", check = check_id, doc = "the group to become (the user's)" },
  groups = {
    type = "list",
    max = 64,
    of = { type = "any", check = check_id },
    doc = "supplementary groups (the user's)",
  },
  working_dir = {
    type = "string",
    min = 1,
    check = check_path,
    doc = "where to go to (stays)",
  },
  umask = {
    type = "string",
    check = check_umask,
    doc = "permissions that new files do not get, in quotes: \"027\" (stays)",
  },
}

return background
