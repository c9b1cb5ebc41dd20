-- The sockets that a supervisor keeps for its workers: how long it listens.

local command_line <const> = require "spec.command_line"
local net <const> = require "ahost.net"
local task <const> = require "ahost.task"

-- Listens when it starts and at ALRM, stops at USR1.
local ECHO <const> = [[
local host <const> = require "ahost.host"
local net <const>, process <const> = require "ahost.net", require "ahost.process"
local Echo <const> = { options = { address = { type = "address" } } }
local function say(...)
  print(...)
  io.stdout:flush()
end
function Echo:start()
  local server
  local function listen()
    server = assert(net.serve(self.config.address, function(stream)
      stream:write(host.worker)
    end))
  end
  listen()
  process.signal("USR1"):connect(function()
    server:close()
    say("closed", host.worker)
  end)
  process.signal("ALRM"):connect(function()
    listen()
    say("listens", host.worker)
  end)
  say("up", host.worker, process.pid, server:address())
end
return Echo
]]

-- The next line of output that the pattern matches. -> captures
local function find_line(running, pattern)
  for line in function() return running:read_line() end do
    if line:find(pattern) then return line:match(pattern) end
  end
  error(("no line matches '%s'"):format(pattern), 2)
end

local function start(address, workers)
  local at <const> = command_line.new {
    ["app.yaml"] = ("workers: {count: %d, backoff: 0}\ncomponent:\n"):format(workers)
      .. "  type: ./echo.lua\n  address: " .. address .. "\n",
    ["echo.lua"] = ECHO,
  }
  local running <const> = at:start "run app.yaml"
  running.pids = {}
  for _ = 1, workers do
    local index, pid, name = find_line(running, "^up\t(%d+)\t(%d+)\t(.*)$")
    running.pids[tonumber(index)], running.address = tonumber(pid), name
  end
  return running
end

-- Has a worker do something, and waits until it has.
local function tell(running, worker, name, answer)
  os.execute(("kill -%s %d"):format(name, running.pids[worker]))
  find_line(running, ("^%s\t%d$"):format(answer, worker))
end

local function call(address)
  local stream <close>, err = net.connect(address)
  if not stream then return nil, err.code end
  return stream:read_all()
end

-- The supervisor hears of it a moment later.
local function until_refused(address, code)
  local answer, err
  repeat
    task.sleep(0.002)
    answer, err = call(address)
  until not answer or answer == ""
  if not answer then assert.equal(code or "ECONNREFUSED", err) end
end

local function free_address()
  local listener <close> = assert(net.listen "127.0.0.1:0")
  return listener:address()
end

describe("the socket of a worker", function()
  it("is closed when the worker has no use for it any more", function()
    local running <close> = start(free_address(), 1)
    local address <const> = running.address
    assert.equal("1", (call(address)))
    tell(running, 1, "USR1", "closed")
    until_refused(address)
    tell(running, 1, "ALRM", "listens")
    assert.equal("1", (call(address)))
  end)

  it("is not in the way of other workers when it is closed", function()
    local running <close> = start(free_address(), 2)
    tell(running, 1, "USR1", "closed")
    task.sleep(0.02)
    for _ = 1, 20 do assert.equal("2", (call(running.address))) end
  end)

  it("is shared, if it is one of Unix, until the last worker has closed it", function()
    local path <const> = os.tmpname()
    os.remove(path)
    local running <close> = start("unix:" .. path, 2)
    tell(running, 1, "USR1", "closed")
    assert.equal("2", (call(running.address)))
    tell(running, 2, "USR1", "closed")
    repeat task.sleep(0.002) until not os.execute("test -e " .. path)
    local _, code = call(running.address)
    assert.is_truthy(code == "ENOENT" or code == "ECONNREFUSED")
  end)

  it("stays open when the worker dies", function()
    local running <close> = start(free_address(), 1)
    os.execute("kill -KILL " .. running.pids[1])
    for _ = 1, 20 do assert.equal("1", (call(running.address))) end
  end)

  it("is handed on between generations, and given back with the last one", function()
    local at <const> = command_line.new {
      ["app.yaml"] = "workers: {count: 1}\ncomponent.type: ./generations.lua\n",
      ["generations.lua"] = [[
        local net <const>, pair <const> = require "ahost.net", require "pair"
        local process <const> = require "ahost.process"
        local task <const> = require "ahost.task"
        local function serve(ctx, name, address)
          return pair.inside(ctx, function()
            return assert(net.serve(address, function(stream) stream:write(name) end))
          end)
        end
        return { start = function()
          local app <const> = pair.application()
          local old <const> = pair.current(app)
          local address <const> = serve(old, "old", "127.0.0.1:0"):address()
          local new <const>, failed = pair.staged(app, old), pair.staged(app, old)
          serve(new, "new", "127.0.0.1:0")
          local fresh <const> = serve(failed, "failed", "127.0.0.1:0"):address()
          failed:close()
          pair.commit(old, new)
          old:close()
          local usr1 <const> = process.signal "USR1"
          task.spawn(function()
            usr1:wait()
            pair.commit(new)
          end)
          task.yield()
          print("up", process.pid, address, fresh)
          io.stdout:flush()
        end }]],
    }
    local source <close> = assert(io.open "spec/generation_pair.lua")
    at:write("pair.lua", source:read "a")
    local running <close> = at:start "run app.yaml"
    local pid <const>, address, fresh = find_line(running, "^up\t(%d+)\t(.*)\t(.*)$")
    assert.not_equal(address, fresh)
    assert.equal("new", (call(address)))
    until_refused(fresh)
    os.execute("kill -USR1 " .. pid)
    until_refused(address)
  end)
end)
