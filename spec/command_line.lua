-- What specs of the commands share: files in a directory of their own, in which `ahost`
-- is run.

local subprocess <const> = require "spec.subprocess"

local CommandLine <const> = {}
CommandLine.__index = CommandLine

---Writes files, by their names, in a directory of their own, which goes with the result.
---@param files table<string, string>
local function new(files)
  local directory, remove = subprocess.directory()
  local self = setmetatable({ directory = directory, remove = remove }, CommandLine)
  for name, text in pairs(files) do self:write(name, text) end
  return self
end

function CommandLine:__close() self.remove() end

function CommandLine:write(name, text)
  local path = self.directory .. "/" .. name
  os.execute("mkdir -p " .. subprocess.quote(path:match("^(.*)/")))
  subprocess.write(path, text)
end

function CommandLine:read(name)
  local file <close> = assert(io.open(self.directory .. "/" .. name, "rb"))
  return file:read("a")
end

-- What a script does in the directory, without a configuration from outside. Control
-- sockets are made there, too.
function CommandLine:script(script)
  local directory <const> = subprocess.quote(self.directory)
  return ("unset AHOST_CONFIG AHOST_SERVICE; export XDG_RUNTIME_DIR=%s; cd %s && %s")
    :format(directory, directory, script)
end

---Runs a shell script there, in which `$ahost` is the executable.
function CommandLine:shell(script) return subprocess.shell(self:script(script)) end

---Runs `ahost` with these words, quoted for the shell.
function CommandLine:run(words) return self:shell("$ahost " .. words) end

---Starts `ahost` with these words.
function CommandLine:start(words)
  return subprocess.start(self:script("exec $ahost " .. words))
end

---Holds a result against what it is to be, exactly.
---@param result {status: integer, out: string, err: string}
---@param status integer
---@param out? string
---@param err? string
local function is(result, status, out, err)
  local function show(status_, out_, err_)
    return ("status %s\n--out:\n%s--err:\n%s"):format(status_, out_, err_)
  end
  local got = show(result.status, result.out, result.err)
  local expected = show(status, out or "", err or "")
  if got ~= expected then error(("expected %s\ngot %s"):format(expected, got), 2) end
end

return { new = new, is = is }
