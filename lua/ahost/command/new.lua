-- ahost new: writes a small application to begin with.

local errors <const> = require "ahost.error"
local files <const> = require "ahost.config.files"
local skeleton <const> = require "ahost.command.skeleton"
local system <const> = require "ahost.testing.core"
local value <const> = require "ahost.config.value"

local new <const> = {
  summary = "write a small application to begin with",
  usage = "NAME [DIRECTORY]",
  doc = [[
NAME is that of the application: letters, digits and underscores. DIRECTORY is where
its files go (NAME); it may exist, but must be empty.]],
}

-- The hidden ones, too, but "." and "..".
local ANY <const> = { "*", ".[!.]*", "..?*" }

local function is_empty(directory)
  local plain <const> = directory:gsub("[*?%[\\]", "\\%0")
  for _, pattern in ipairs(ANY) do
    if #(files.glob(plain .. "/" .. pattern) or {}) > 0 then return false end
  end
  return true
end

local function fill(text, name)
  local replacements <const> = {
    ["@name@"] = name,
    ["@Name@"] = name:gsub("^%l", string.upper),
  }
  return (text:gsub("@[Nn]ame@", replacements))
end

-- Makes the directories on the way to a file.
local function make_directories(path)
  for at in path:gmatch("()/", 2) do
    local ok, err = system.make_directory(path:sub(1, at - 1))
    if not ok then return nil, tostring(err) end
  end
  return true
end

-- -> true | nil, message
local function write(path, text)
  local ok, err = make_directories(path)
  if not ok then return nil, err end
  local file <close>, problem = io.open(path, "wb")
  if not file then return nil, problem end
  local written, wrong = file:write(text)
  if not written then return nil, path .. ": " .. wrong end
  return true
end

local function check(args)
  local name <const> = args[1]
  local directory <const> = (args[2] or name or ""):gsub("(.)/+$", "%1")
  if not name then return nil, errors.new("USAGE", "a NAME is needed") end
  if #args > 2 then
    return nil, errors.new("USAGE", ("'%s' is one word too many"):format(args[3]))
  elseif not name:find("^[%a_][%w_]*$") then
    return nil, errors.new("USAGE",
      ("'%s' is no name: letters, digits and underscores, no digit first"):format(name))
  elseif not is_empty(directory) then
    return nil, errors.new("USAGE", ("the directory %s is not empty"):format(directory))
  end
  return directory
end

function new.main(args)
  local directory, wrong = check(args)
  if not directory then return nil, wrong end
  local texts <const> = {}
  for path, text in next, skeleton do texts[fill(path, args[1])] = fill(text, args[1]) end
  for _, path in ipairs(value.sorted_keys(texts)) do
    local target <const> = directory .. "/" .. path
    local ok, problem = write(target, texts[path])
    if not ok then
      io.stderr:write("ahost new: " .. problem .. "\n")
      return 1
    end
    print("wrote " .. target)
  end
  print(("\nnext:\n  cd %s\n  ahost test\n  ahost run"):format(directory))
  return 0
end

return new
