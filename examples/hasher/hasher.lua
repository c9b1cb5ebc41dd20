-- Check sums of files, eight at a time, with a progress bar.
local context <const> = require "ahost.context"
local fs <const> = require "ahost.fs"
local host <const> = require "ahost.host"
local sync <const> = require "ahost.sync"
local task <const> = require "ahost.task"

local WORKERS <const>, WIDTH <const> = 8, 40

-- FNV-1a with 64 bits: integers of Lua overflow as the algorithm wants it.
local function hash(file)
  local sum = 0xcbf29ce484222325
  for data in file:chunks() do
    for i = 1, #data do sum = (sum ~ data:byte(i)) * 0x100000001b3 end
  end
  return ("%016x"):format(sum)
end

local failed = false

local function fail(err)
  io.stderr:write(tostring(err), "\n")
  failed = true
end

local function collect(path, files)
  local info, err = fs.lstat(path)
  if not info then return fail(err) end
  if info.type == "file" then
    files[#files + 1] = path
  elseif info.type == "directory" then
    for _, entry in ipairs(assert(fs.list(path))) do
      collect(path .. "/" .. entry.name, files)
    end
  end
end

local function work(queue, sums, progress)
  for path in queue:items() do
    local file <close>, err = fs.open(path)
    if file then sums[path] = hash(file) else fail(err) end
    progress.done = progress.done + 1
  end
end

local function draw(progress)
  local filled <const> = WIDTH * progress.done // math.max(progress.total, 1)
  io.stderr:write(("\r[%s%s] %d of %d files"):format(("#"):rep(filled),
    (" "):rep(WIDTH - filled), progress.done, progress.total))
end

local function show(progress)
  while progress.done < progress.total do
    draw(progress)
    task.sleep(0.1)
  end
  draw(progress)
  io.stderr:write("\n")
end

local function hash_all(files, with_progress)
  local queue <const>, sums <const> = sync.queue(100), {}
  local progress <const> = { done = 0, total = #files }
  context.scope(function(ctx)
    for i = 1, WORKERS do ctx:spawn("worker " .. i, work, queue, sums, progress) end
    if with_progress then ctx:spawn("progress", show, progress) end
    for _, path in ipairs(files) do queue:put(path) end
    queue:close()
  end)
  return sums
end

local function is_terminal()
  local info <const> = fs.stat("/dev/stderr")
  return info ~= nil and info.type == "char"
end

local arguments <const>, files = { ... }, {}
local with_progress = is_terminal()
for _, argument in ipairs(arguments) do
  if argument == "--progress" then with_progress = true else collect(argument, files) end
end
local sums <const> = hash_all(files, with_progress)
for _, path in ipairs(files) do
  if sums[path] then print(sums[path] .. "  " .. path) end
end
if failed then host.stop(1) end
