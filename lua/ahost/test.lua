-- ahost.test: the command `ahost test`, which runs busted inside the host.

local host <const> = require "ahost.host"
local runtime <const> = require "ahost.component.runtime"
local wrap_safe <const> = require "ahost.testing.busted"

local DEFAULT_LIMIT <const> = 30 -- seconds that a body or a setup may take

-- What os.exit raises, as nothing may leave the process past the host.
local Exit <const> = {
  __tostring = function(exit) return "os.exit(" .. exit.status .. ") was called" end,
}

local function exit(status)
  if status == nil or status == true then status = 0 end
  status = math.tointeger(status) or 1
  error(setmetatable({ status = status }, Exit))
end

-- Takes our own option out of busted's. -> limit in seconds, or nil
local function take_limit(options)
  for i, option in ipairs(options) do
    local value = option:match("^%-%-timeout=(.*)$")
    if value or option == "--timeout" then
      table.remove(options, i)
      value = tonumber(value or table.remove(options, i))
      return value and value >= 0 and value or nil
    end
  end
  return DEFAULT_LIMIT
end

local function fail(message)
  io.stderr:write("ahost test: " .. message .. "\n")
  host.stop(2)
end

-- The runner looks at the function that calls it: that has to be Lua, with the
-- name that its messages are to begin with.
local function run_busted(options)
  arg = options -- luacheck: ignore
  os.exit = exit -- luacheck: ignore
  return assert(load("require 'busted.runner'({ standalone = false })", "@ahost test"))()
end

--- Runs specs with busted, as the command `ahost test`.
---@param ... string  busted's options and paths, and `--timeout SECONDS` (0: none)
return function(...)
  local options = { [0] = "ahost test", ... }
  local limit = take_limit(options)
  if not limit then return fail("--timeout needs a number of seconds") end
  if not package.searchpath("busted.runner", package.path) then
    return fail("busted is not installed (apt-get install lua-busted)")
  end
  runtime.watchdog { stall = 0 } -- tests may block, and have a limit of their own
  local core <const> = require "busted.core"
  package.loaded["busted.core"] = function()
    local busted = core()
    wrap_safe(busted, limit)
    return busted
  end
  local ok, err = xpcall(run_busted, function(err)
    return getmetatable(err) == Exit and err or debug.traceback(tostring(err))
  end, options)
  if not ok and getmetatable(err) ~= Exit then error(err, 0) end
  if host.exit_status ~= 0 then
    io.stderr:write("ahost test: something failed outside the tests, see the log\n")
  end
  host.stop(ok and 0 or err.status)
end
