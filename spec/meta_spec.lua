-- Holds the annotations in lua/meta against the modules that they describe.

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read("a")
end

local function list(directory)
  local pipe <close> = assert(io.popen("ls " .. directory))
  local names = {}
  for line in pipe:lines() do names[#names + 1] = line:match "^(.*)%.lua$" end
  return names
end

-- What a meta file declares. -> { [owner] = { [function] = true } }, where the
-- owner is the name of a local table; and the name of the module's own
local function declared(text)
  local owners = {}
  for owner in text:gmatch "\nlocal ([%a_]+) = {}\n" do owners[owner] = {} end
  for owner, name in text:gmatch "\nfunction ([%w_]+)[.:]([%w_]+)%(" do
    assert(owners[owner], "no local table " .. owner)[name] = true
  end
  return owners, text:match "\nreturn ([%w_]+)\n$"
end

local function is_c(fn)
  return type(fn) == "function" and debug.getinfo(fn, "S").what == "C"
end

-- The C functions of a table.
local function implemented(functions)
  local names = {}
  for name, fn in pairs(functions) do
    if is_c(fn) then names[name] = true end
  end
  return names
end

-- The table of methods of a metatable: its `__index`, or an upvalue of that.
local function methods_of(metatable)
  local index = rawget(metatable, "__index")
  if type(index) == "table" then return index end
  for i = 1, 10 do
    local _, value = debug.getupvalue(index, i)
    if type(value) == "table" then return value end
  end
end

-- The methods of the type that a class in annotations is about: "ahost.task" is
-- Task, "ahost.net.udp" is UdpSocket.
local function methods_of_class(class)
  local best, longest = nil, 0
  for _, metatable in pairs(debug.getregistry()) do
    local name = type(metatable) == "table" and rawget(metatable, "__index")
      and rawget(metatable, "__name") -- some types have no methods
    local last = type(name) == "string" and name:match "^ahost%..-([^.]+)$" or ""
    if #last > longest and class:lower():sub(1, #last) == last then
      best, longest = metatable, #last
    end
  end
  return methods_of(assert(best, "no type " .. class))
end

describe("the annotations of", function()
  -- A type that is made when it is first needed.
  setup(function() require("ahost.net").udp("127.0.0.1:0"):close() end)

  for _, name in ipairs(list "lua/meta") do
    local text = read("lua/meta/" .. name .. ".lua")

    it("ahost." .. name .. " name what C implements, and nothing else", function()
      local module = require("ahost." .. name)
      assert.equal("---@meta ahost." .. name, text:match "^[^\n]*")
      local owners, own = declared(text)
      assert.same(implemented(module), owners[own])
      owners[own] = nil
      for class, functions in pairs(owners) do
        if next(functions) then
          assert.same(implemented(methods_of_class(class)), functions, class)
        end
      end
    end)
  end

  it("every module with C functions exist", function()
    local known = {}
    for _, name in ipairs(list "lua/meta") do known[name] = true end
    for line in read("host/modules.h"):gmatch 'X%("ahost%.([%w_.]+)"' do
      local name = line:gsub("%.core$", "")
      if not name:find(".", 1, true) then assert.is_true(known[name], name) end
    end
  end)
end)
