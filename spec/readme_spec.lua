local net <const> = require "ahost.net"
local subprocess <const> = require "spec.subprocess"
local tutorial <const> = require "spec.tutorial"

local function read_file(path)
  local file <close> = assert(io.open(path))
  return file:read("a")
end

local function readmes()
  local result <const> = subprocess.shell(
    "find . -name build -prune -o -name '*.md' -print")
  return result.out:gmatch("[^\n]+")
end

describe("README.md", function()
  it("shows an example that works", function()
    local directory <const>, remove <const> = subprocess.directory()
    local _ <close> = setmetatable({}, { __close = remove })
    local blocks <const> = tutorial.blocks("README.md", "lua")
    subprocess.write(directory .. "/chat.lua", table.concat(blocks[1].lines, "\n"))
    local server <close> = subprocess.start(
      ("exec $ahost %s/chat.lua 127.0.0.1:0"):format(directory))
    local address <const> = server:read_line():match("^listening on (.*)$")
    local first, second = assert(net.connect(address)), assert(net.connect(address))
    local text
    repeat -- until the server has got to know the second
      first:write("hello\n")
      text = second:read_line(nil, 0.01)
    until text
    assert.equal(first:address() .. " hello", text)
    second:write("good morning\n")
    assert.equal(second:address() .. " good morning", first:read_line())
    server:signal("INT")
    assert.same({ status = 0, out = "" }, server:finish())
  end)

  it("and the others link to what exists", function()
    for path in readmes() do
      local folder <const> = path:match("^(.*)/")
      for link in read_file(path):gmatch("%]%(([^)#]+)[^)]*%)") do
        if not link:find("^https?:") then
          local file <close> = io.open(folder .. "/" .. link)
          assert.truthy(file, path .. " links to " .. link)
        end
      end
    end
  end)

  it("shows an application of components that works", function()
    local directory <const>, remove <const> = subprocess.directory()
    local _ <close> = setmetatable({}, { __close = remove })
    local greeter <const> = tutorial.blocks("README.md", "lua")[2].lines
    local values <const> = tutorial.blocks("README.md", "yaml")[1].lines
    subprocess.write(directory .. "/greeter.lua", table.concat(greeter, "\n"))
    subprocess.write(directory .. "/greeter.yaml", table.concat(values, "\n"))
    local checked <const> =
      subprocess.shell(("$ahost check %s/greeter.yaml"):format(directory))
    assert.equal("", checked.err)
    assert.equal(0, checked.status)
  end)

  it("names modules that exist, and all of them", function()
    local text <const> = read_file("README.md")
    for name in text:gmatch("`(ahost%.%l+)`") do
      if name ~= "ahost.h" then assert.truthy(require(name)) end
    end
    local names <const> = {}
    for module in read_file("host/modules.h"):gmatch('X%("(ahost%.[%l.]+)"') do
      local name <const> = module:gsub("%.core$", "")
      if not name:find("%..*%.") then names[name] = true end
    end
    for name in pairs(names) do
      assert.truthy(text:find("`" .. name .. "`", 1, true), name .. " is missing")
    end
  end)
end)
