-- What specs need to build programs against the installed library: `cmake --install` of
-- the build under test into a temporary prefix, and shell scripts that use it.

local subprocess <const> = require "spec.subprocess"

local installed <const> = {}

local BUILD <const> = subprocess.ahost:match "^(.*)/[^/]*$"

-- One entry of the build's CMakeCache.txt, or nil.
local function cached(name)
  local file <close> = io.open(BUILD .. "/CMakeCache.txt")
  return file and file:read("a"):match("\n" .. name .. ":%u+=([^\n]*)")
end

-- Why nothing can be built against this build; nil when it can.
local function find_missing()
  local sanitizer, stress = cached "AHOST_SANITIZE", cached "AHOST_GC_STRESS"
  if not sanitizer then return "needs a build directory" end
  if sanitizer ~= "" or stress ~= "OFF" then return "needs a plain build" end
end

installed.missing = find_missing()

--- The directory of the build under test, and the sanitizer that is in it: "address",
--- "thread", "" for none, nil where there is no such directory.
installed.build = BUILD
installed.sanitizer = cached "AHOST_SANITIZE"

--- `it` for tests that need an installation, or `pending` with the reason. A second
--- argument names a module of pkg-config that has to be there.
---@param it fun(name: string, body: function)
---@param pending fun(name: string)
---@return fun(name: string, body: function, package?: string)
function installed.tests(it, pending)
  return function(name, body, package)
    local missing = installed.missing
    if not missing and package
        and subprocess.shell("pkg-config --exists " .. package).status ~= 0 then
      missing = "needs " .. package
    end
    if missing then return pending(("%s (%s)"):format(name, missing)) end
    return it(name, body)
  end
end

local Installed <const> = {}
Installed.__index = Installed
Installed.__name = "installed.Installed"

-- Programs are compiled as strictly as they may be.
local SETUP <const> = [[
set -e
prefix=%s/prefix; root=$PWD; build=%s
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
export PATH=$prefix/bin:$PATH LD_LIBRARY_PATH=$prefix/lib
export CFLAGS='-std=c11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Werror'
cd %s/work
]]

--- Installs the build under test into a temporary directory.
---@return table at  to be closed; `at.prefix` is where it is
function installed.new()
  local directory <const>, remove <const> = subprocess.directory()
  local at <const> = setmetatable(
    { directory = directory, prefix = directory .. "/prefix", remove = remove },
    Installed)
  local result <const> = subprocess.shell(([[
    mkdir %s/work && cmake --install %s --prefix %s/prefix]]):format(
    directory, subprocess.quote(BUILD), directory))
  if result.status ~= 0 then
    remove()
    error(result.out .. result.err)
  end
  return at
end

-- `$prefix` is the installation, `$root` the repository; the working directory is one
-- of its own.
function Installed:script(script)
  return SETUP:format(self.directory, subprocess.quote(BUILD), self.directory) .. script
end

--- Runs a shell script, up to its first command that fails.
---@param script string
---@return {status: integer, out: string, err: string}
function Installed:shell(script)
  return subprocess.shell(self:script(script))
end

--- Runs a shell script that has to succeed and to print nothing on standard error.
---@param script string
---@return string out
function Installed:run(script)
  local result <const> = self:shell(script)
  if result.status ~= 0 or result.err ~= "" then
    error(("status %d\n%s%s"):format(result.status, result.out, result.err), 2)
  end
  return result.out
end

--- Compiles a program of the repository against the shared library.
---@param path string  of the C file; the program gets its name
---@param package? string  of pkg-config: "ahost", which is the default, or "ahost-lua"
---@param flags? string
function Installed:compile(path, package, flags)
  self:run(("cc $CFLAGS -o %s $root/%s $(pkg-config --cflags --libs %s) %s"):format(
    path:match "([^/]*)%.c$", path, package or "ahost", flags or ""))
end

function Installed:close()
  self.remove()
end

Installed.__close = Installed.close

return installed
