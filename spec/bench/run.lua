-- Runs the benchmarks: each job on our side and on the reference's, in turn, and
-- the ratio of the medians.
--
--   lua5.4 spec/bench/run.lua [--quick] [--json FILE] [--list] [PATTERN ...]
--
-- A PATTERN is a Lua pattern that a row's name has to contain. The environment:
-- AHOST (build/release/ahost), BENCH_BIN (the directory of the C programs,
-- build/release), LUA (lua5.4).
--
-- The status is 0 when every row ran, kept promise or not; 1 when one did not.

local directory <const> = arg[0]:match("^(.*)/[^/]*$") or "."
local rows <const> = dofile(directory .. "/rows.lua")

local names <const> = {
  AHOST = os.getenv "AHOST" or "build/release/ahost",
  BIN = os.getenv "BENCH_BIN" or "build/release",
  LUA = os.getenv "LUA" or "lua5.4",
  DIR = directory,
}

local FILES <const> = "ulimit -n $(ulimit -Hn) 2>/dev/null; "
local PATIENCE <const> = 10 -- seconds for a server to start, and to stop

-- Processes

-- -> all output of a shell command; raises if it is late, fails or says nothing
local function capture(command, seconds)
  local errors <const> = os.tmpname()
  local pipe <const> = io.popen(
    ("%sexec timeout -k 5 %d %s 2>%s"):format(FILES, seconds, command, errors))
  local output <const> = pipe:read("a")
  local ok, _, status = pipe:close()
  local file <const> = io.open(errors)
  local complaint <const> = file:read("a"):sub(-600)
  file:close()
  os.remove(errors)
  if not ok then
    error(("status %d of: %s\n%s"):format(status, command, complaint), 0)
  end
  return output
end

-- -> { key = number } of the key=value lines that a program prints
local function measure(command, seconds)
  local values <const> = {}
  for key, value in capture(command, seconds):gmatch "([%w_]+)=([%d.e+-]+)" do
    values[key] = tonumber(value)
  end
  return values
end

local function read_file(path)
  local file <const> = io.open(path)
  if not file then
    return nil
  end
  local text <const> = file:read("a")
  file:close()
  return text
end

local function nap()
  os.execute "sleep 0.05"
end

-- A child that has ended stays a zombie until its pipe is closed.
local function is_alive(pid)
  local stat <const> = read_file(("/proc/%d/stat"):format(pid))
  local state <const> = stat and stat:match "^%d+ %b() (%a)"
  return state ~= nil and state ~= "Z"
end

local Server <const> = {}
Server.__index = Server

function Server:__close()
  os.execute(("kill -TERM %d 2>/dev/null"):format(self.pid))
  for i = 1, PATIENCE * 20 do
    if not is_alive(self.pid) then
      break
    elseif i == PATIENCE * 20 then
      os.execute(("kill -KILL %d 2>/dev/null"):format(self.pid))
    end
    nap()
  end
  self.pipe:close()
  os.remove(self.output)
  os.remove(self.errors)
end

-- -> a server that is ready, with its pid, host and port; closed by going out of
-- scope. A server says that it is ready by printing its address.
local function start_server(command)
  local output <const>, errors <const> = os.tmpname(), os.tmpname()
  local pipe <const> = io.popen(
    ("%secho $$; exec %s >%s 2>%s"):format(FILES, command, output, errors))
  local server <const> = setmetatable(
    { pipe = pipe, pid = tonumber(pipe:read "l"), output = output, errors = errors },
    Server)
  for _ = 1, PATIENCE * 20 do
    server.host, server.port = (read_file(output) or ""):match "^([%d.]+):(%d+)\n"
    if server.host then
      return server
    elseif not is_alive(server.pid) then
      break
    end
    nap()
  end
  local complaint <const> = (read_file(errors) or ""):sub(-600)
  Server.__close(server)
  error(("no address from: %s\n%s"):format(command, complaint), 0)
end

-- With two cores or more the server, or the program, has the first to itself and
-- the load comes from the second.
local function pinned_commands()
  local pipe <const> = io.popen "nproc"
  local cores <const> = tonumber(pipe:read "l")
  pipe:close()
  if cores and cores > 1 then
    return "taskset -c 0 ", "taskset -c 1 "
  end
  return "", ""
end

local on_first <const>, on_second <const> = pinned_commands()

-- Measuring one side once: (row, command, options) -> sample. A sample's `value`
-- is what is shown; `cost` is what an operation costs, in CPU time, if known.

local kinds <const> = {}

function kinds.load(row, command, options)
  local server <close> = start_server(on_first .. command)
  local result <const> = measure(("%s%s/%s %s %s %s %g %g %d"):format(on_second,
    names.BIN, row.client or "bench_load", server.host, server.port, row.load,
    options.warm_up, options.seconds, server.pid), 60)
  return {
    value = result.rate,
    cost = result.server_cpu / result.messages,
    busy = result.server_cpu / result.seconds,
  }
end

function kinds.program(_, command)
  local result <const> = measure(on_first .. command, 300)
  return {
    value = result.operations / result.seconds,
    cost = result.cpu and result.cpu / result.operations,
  }
end

function kinds.memory(row, command)
  local server <close> = start_server(on_first .. command)
  local result <const> = measure(("%s%s/bench_idle_memory %s %s %d %d"):format(on_second,
    names.BIN, server.host, server.port, row.connections, server.pid), 120)
  return { value = result.bytes }
end

function kinds.startup(_, command, options)
  local result <const> = measure(("%s%s/bench_startup %d %s"):format(on_first, names.BIN,
    options.starts, command), 120)
  return { value = result.seconds * 1000, least = result.least * 1000 }
end

function kinds.delay(_, command)
  return { value = measure(on_first .. command, 60).milliseconds }
end

-- Rows

local function expand(row, command, options)
  local count <const> = row.count and row.count // (options.quick and 10 or 1)
  return (command:gsub("%${(%w+)}", function(name)
    return name == "count" and tostring(count) or names[name]
  end))
end

-- -> the median of one field of the samples, nil if they do not have it
local function median(samples, field)
  local values <const> = {}
  for i, sample in ipairs(samples) do
    values[i] = sample[field]
  end
  if #values == 0 then
    return nil
  end
  table.sort(values)
  return values[(#values + 1) // 2]
end

-- -> true, false, or nil where nothing was promised
local function is_kept(row, result)
  if row.at_least then
    return result.ratio >= row.at_least
  elseif row.at_most then
    return result.ratio <= row.at_most
  elseif row.at_most_ours then
    return result.ours <= row.at_most_ours
  end
  return nil
end

-- -> the least and the greatest ratio of two neighbouring samples
local function spread(ours, reference)
  local least, greatest = math.huge, 0
  for i = 1, #ours do
    local ratio <const> = ours[i].value / reference[i].value
    least, greatest = math.min(least, ratio), math.max(greatest, ratio)
  end
  return least, greatest
end

local function run_row(row, options)
  local ours <const>, reference <const> = {}, {}
  for i = 1, options.repeats do
    reference[i] = kinds[row.kind](row, expand(row, row.reference, options), options)
    ours[i] = kinds[row.kind](row, expand(row, row.ours, options), options)
  end
  local result <const> = {
    ours = median(ours, "value"),
    reference = median(reference, "value"),
    busy_ours = median(ours, "busy"),
    busy_reference = median(reference, "busy"),
    least_ours = median(ours, "least"),
    least_reference = median(reference, "least"),
  }
  result.ratio = result.ours / result.reference
  result.ratio_least, result.ratio_greatest = spread(ours, reference)
  local cost <const> = median(ours, "cost")
  if cost then
    result.cpu_ratio = median(reference, "cost") / cost
  end
  result.kept = is_kept(row, result)
  return result
end

-- Printing

-- 1234567.8 -> "1,234,568"; three digits at least
local function show_number(value)
  if value < 100 then
    return ("%.3g"):format(value)
  end
  local digits <const> = ("%.0f"):format(value)
  return (digits:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", ""))
end

local function show_promise(row)
  if row.at_least then
    return (">= %g"):format(row.at_least)
  elseif row.at_most then
    return ("<= %g"):format(row.at_most)
  elseif row.at_most_ours then
    return ("<= %s%s"):format(show_number(row.at_most_ours), row.unit)
  end
  return "-"
end

local LINE <const> = "%-40s %14s %14s %7s %10s %-5s %s"

local function print_line(...)
  io.write((LINE:format(...):gsub(" +$", "")), "\n")
end

local function print_row(row, result)
  local notes <const> = {
    ("%.2f to %.2f"):format(result.ratio_least, result.ratio_greatest),
  }
  if result.cpu_ratio then
    notes[#notes + 1] = ("by CPU %.2f"):format(result.cpu_ratio)
  end
  if result.busy_ours then
    notes[#notes + 1] = ("busy %.0f%%, %.0f%%"):format(100 * result.busy_ours,
      100 * result.busy_reference)
  end
  if result.least_ours then
    notes[#notes + 1] = ("least %.2f, %.2f"):format(result.least_ours,
      result.least_reference)
  end
  local kept <const> = result.kept == nil and "-" or result.kept and "yes" or "NO"
  print_line(row.job, show_number(result.ours) .. row.unit,
    show_number(result.reference) .. row.unit, ("%.2f"):format(result.ratio),
    show_promise(row), kept, table.concat(notes, "; "))
end

local function print_error(row, message)
  print_line(row.job, "error", "", "", show_promise(row), "error", "")
  io.stderr:write(row.name, ": ", tostring(message), "\n")
end

-- -> the JSON of strings, numbers, booleans and tables of them
local function to_json(value)
  if type(value) == "string" then
    return '"' .. value:gsub('[%c"\\]', function(c)
      return ("\\u%04x"):format(c:byte())
    end) .. '"'
  elseif type(value) ~= "table" then
    return math.type(value) == "float" and ("%.9g"):format(value) or tostring(value)
  end
  local parts <const> = {}
  if #value > 0 then
    for i, item in ipairs(value) do
      parts[i] = to_json(item)
    end
    return "[" .. table.concat(parts, ",\n ") .. "]"
  end
  for key, item in pairs(value) do
    parts[#parts + 1] = to_json(key) .. ": " .. to_json(item)
  end
  table.sort(parts)
  return "{" .. table.concat(parts, ", ") .. "}"
end

-- The command

local function parse_arguments()
  local options <const> = { patterns = {} }
  local i = 1
  while arg[i] do
    if arg[i] == "--json" and arg[i + 1] then
      i = i + 1
      options.json = arg[i]
    elseif arg[i] == "--quick" or arg[i] == "--list" then
      options[arg[i]:sub(3)] = true
    elseif arg[i]:sub(1, 1) == "-" then
      io.stderr:write("usage: run.lua [--quick] [--json FILE] [--list] [PATTERN ...]\n")
      os.exit(2)
    else
      table.insert(options.patterns, arg[i])
    end
    i = i + 1
  end
  options.repeats = options.quick and 3 or 7
  options.warm_up = options.quick and 0.2 or 0.5
  options.seconds = options.quick and 0.5 or 1
  options.starts = options.quick and 20 or 100
  return options
end

local function is_chosen(row, patterns)
  for _, pattern in ipairs(patterns) do
    if row.name:find(pattern) then
      return true
    end
  end
  return #patterns == 0
end

local function main()
  local options <const> = parse_arguments()
  local report <const> = {}
  local failed, chosen = 0, 0
  if not options.list then
    print_line("job", "ours", "reference", "ratio", "promise", "kept", "")
  end
  for _, row in ipairs(rows) do
    if not is_chosen(row, options.patterns) then
      goto continue
    end
    chosen = chosen + 1
    if options.list then
      io.write(("%-16s %s\n"):format(row.name, row.job))
      goto continue
    end
    do
      local ok, result = pcall(run_row, row, options)
      if ok then
        print_row(row, result)
      else
        failed = failed + 1
        print_error(row, result)
        result = { error = tostring(result) }
      end
      io.stdout:flush()
      result.name, result.job, result.promise = row.name, row.job, show_promise(row)
      report[#report + 1] = result
    end
    ::continue::
  end
  if options.json and not options.list then
    local file <const> = assert(io.open(options.json, "w"))
    file:write(to_json(report), "\n")
    file:close()
  end
  if chosen == 0 then
    io.stderr:write("no row has such a name\n")
  end
  return failed == 0 and chosen > 0
end

os.exit(main(), true)
