-- What specs need to run `ahost` as a process of its own: a temporary
-- directory, and a shell command whose status, output and errors come back.

local subprocess <const> = {}

local function output_of(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("a")
  pipe:close()
  return (text:gsub("\n$", ""))
end

--- The executable under test: $AHOST, or the one that runs this spec.
subprocess.ahost = os.getenv("AHOST") or output_of("readlink /proc/$PPID/exe")

function subprocess.quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read("a")
end

--- Makes a temporary directory.
---@return string path
---@return function remove  removes it with all that is in it
function subprocess.directory()
  local path = output_of("mktemp -d")
  return path, function() os.execute("rm -rf " .. subprocess.quote(path)) end
end

function subprocess.write(path, text)
  local file <close> = assert(io.open(path, "wb"))
  assert(file:write(text))
end

-- Control sockets are made in the directory.
local function write_script(directory, script)
  subprocess.write(directory .. "/script", ("ahost=%s\nexport XDG_RUNTIME_DIR=%s\n"
    .. "export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1}\n%s"):format(
    subprocess.quote(subprocess.ahost), directory, script))
end

--- Runs a shell script, in which `$ahost` is the executable, to its end.
---@return {status: integer, out: string, err: string}  status is above 128 for a signal
function subprocess.shell(script)
  local directory <const>, remove <const> = subprocess.directory()
  write_script(directory, script)
  local ok, how, status = os.execute(
    ("timeout 60 sh @/script >@/out 2>@/err </dev/null"):gsub("@", directory))
  local result <const> = {
    status = ok and 0 or how == "signal" and 128 + status or status,
    out = read(directory .. "/out"),
    err = read(directory .. "/err"),
  }
  remove()
  return result
end

local Running <const> = {}
Running.__index = Running
Running.__name = "subprocess.Running"

--- Starts a shell script, in which `$ahost` is the executable, and does not wait for
--- it. It is ended after 30 seconds, or when it goes out of scope.
---@param script string
---@return table running
function subprocess.start(script)
  local directory <const>, remove <const> = subprocess.directory()
  write_script(directory, script)
  local pipe <const> = assert(io.popen(
    ("echo $$; exec timeout --foreground -k 10 30 sh %s/script 2>&1 </dev/null")
      :format(directory)))
  return setmetatable(
    { pipe = pipe, pid = pipe:read("n", "l"), remove = remove }, Running)
end

--- Blocks until the process has printed another line.
---@return string|nil line  nil at the end of its output
function Running:read_line()
  return self.pipe:read("l")
end

---@param name string  "INT", "TERM"
function Running:signal(name)
  os.execute(("kill -%s %d"):format(name, self.pid))
end

--- Blocks until the process has ended.
---@return {status: integer, out: string}  what it printed after the lines read
function Running:finish()
  local out <const> = self.pipe:read("a")
  local _, how, status = self.pipe:close()
  self.remove()
  self.pipe = nil
  return { status = how == "signal" and 128 + status or status, out = out }
end

function Running:__close()
  if not self.pipe then return end
  self:signal("TERM")
  self:finish()
end

--- The shell command that runs a Lua script by `ahost -v` with these arguments; the
--- file of the script goes when the command ends.
---@param source string
---@return string command
function subprocess.script(source, ...)
  local directory <const> = subprocess.directory()
  local file <const> = directory .. "/script.lua"
  local words <const> = { subprocess.quote(subprocess.ahost), "-v", file }
  for _, word in ipairs({ ... }) do words[#words + 1] = subprocess.quote(word) end
  subprocess.write(file, source)
  words[#words + 1] = "; status=$?; rm -r " .. directory .. "; exit $status"
  return table.concat(words, " ")
end

return subprocess
