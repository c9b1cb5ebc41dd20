local net <const> = require "ahost.net"
local subprocess <const> = require "spec.subprocess"
local tutorial <const> = require "spec.tutorial"

local FOLDER <const> = "examples/upper"
local SCRIPT <const> = FOLDER .. "/upper.lua"

local function read_file(path)
  local file <close> = assert(io.open(path))
  return file:read("a")
end

-- Starts the server, or another script like it, on a free port.
local function start(script)
  local server = subprocess.start(("exec $ahost %s 127.0.0.1:0"):format(script or SCRIPT))
  return server, server:read_line():match("^listening on (.*)$")
end

-- Connections that have been served at least once.
local function connect(address, count)
  local streams <const> = {}
  for i = 1, count do
    streams[i] = assert(net.connect(address))
    streams[i]:write("hello\n")
    assert.equal("HELLO", streams[i]:read_line())
  end
  return streams
end

local function count(text, pattern)
  return select(2, text:gsub(pattern, ""))
end

describe("the upper example", function()
  it("is what its tutorial shows", function()
    tutorial.check_code(FOLDER, { "upper.lua" })
  end)

  it("does what its tutorial says", function()
    local address <const> = tutorial.free_address()
    tutorial.play(FOLDER, function(command)
      return (command:gsub("upper%.lua", "%0 " .. address)
        :gsub("127.0.0.1 64101", (address:gsub(":", " "))))
    end)
  end)

  it("reports each drop of its end, and counts what is too much", function()
    local server <close>, address = start()
    local streams <const> = connect(address, 120)
    server:signal("INT")
    for _, stream in ipairs(streams) do assert.is_nil((stream:read())) end
    local result <const> = server:finish()
    assert.equal(0, result.status)
    assert.equal(120, count(result.out, "drops: cancelled"))
    assert.equal(100, count(result.out, "notified: "))
    assert.truthy(result.out:find("the end: 0 notifications under way, 20 lost\n$"))
  end)

  it("reports a drop while it serves", function()
    local server <close>, address = start()
    local stream <const> = connect(address, 1)[1]
    stream:write(("x"):rep(100000)) -- a line that is too long
    assert.is_nil((stream:read()))
    stream:close(0)
    assert.truthy(server:read_line():find("drops: read_line: too long %(TOOLONG%)"))
    assert.truthy(server:read_line():find("^notified: "))
    server:signal("INT")
    assert.equal(0, server:finish().status)
  end)

  it("finishes its notifications even when it is stopped twice", function()
    local server <close>, address = start()
    local streams <const> = connect(address, 2)
    server:signal("TERM")
    for _, stream in ipairs(streams) do assert.is_nil((stream:read())) end
    server:signal("INT")
    local result <const> = server:finish()
    assert.equal(0, result.status)
    assert.equal(2, count(result.out, "notified: "))
    assert.truthy(result.out:find("the end: 0 notifications under way, 0 lost\n$"))
  end)

  it("loses notifications in the connection's context, as the tutorial says", function()
    local directory <const>, remove <const> = subprocess.directory()
    local _ <close> = setmetatable({}, { __close = remove })
    local text, replaced = read_file(SCRIPT):gsub(
      'notifications:spawn%("notification", task%.shield, notify, peer%)',
      "task.spawn(notify, peer)")
    assert.equal(1, replaced)
    subprocess.write(directory .. "/lost.lua", text)
    local server <close>, address = start(directory .. "/lost.lua")
    local streams <const> = connect(address, 2)
    server:signal("INT")
    for _, stream in ipairs(streams) do assert.is_nil((stream:read())) end
    local result <const> = server:finish()
    assert.equal(0, count(result.out, "notified: "))
    assert.truthy(result.out:find("the end: 2 notifications under way, 0 lost\n$"))
  end)
end)
