-- What specs of configuration share: files in a temporary directory, and loading
-- them with messages that do not name it.

local config <const> = require "ahost.config"
local subprocess <const> = require "spec.subprocess"

local Configuration <const> = {}
Configuration.__index = Configuration

---Writes files, by their names, in a directory of their own.
---@param files? table<string, string>
local function new(files)
  local directory, remove = subprocess.directory()
  local self = setmetatable({ directory = directory, remove = remove }, Configuration)
  for name, text in pairs(files or {}) do
    self:write(name, text)
  end
  return self
end

function Configuration:__close()
  self.remove()
end

function Configuration:path(name)
  return self.directory .. "/" .. name
end

function Configuration:write(name, text)
  local folder = name:match "^(.*)/"
  if folder then
    os.execute("mkdir -p " .. subprocess.quote(self:path(folder)))
  end
  subprocess.write(self:path(name), text)
end

function Configuration:read(name)
  local file <close> = assert(io.open(self:path(name), "rb"))
  return file:read("a")
end

---The text without the directory.
function Configuration:relative(text)
  local prefix = self.directory .. "/"
  local from, to = text:find(prefix, 1, true)
  while from do
    text = text:sub(1, from - 1) .. text:sub(to + 1)
    from, to = text:find(prefix, from, true)
  end
  return text
end

local function options_of(opts)
  opts = opts or {}
  opts.env = opts.env or {}
  return opts
end

-- Names are separated by spaces.
function Configuration:load(names, opts)
  local paths = {}
  for name in names:gmatch "%S+" do
    paths[#paths + 1] = self:path(name)
  end
  return config.load(paths, options_of(opts))
end

---The lines of the message about what is wrong.
function Configuration:problems(names, opts)
  local loaded, err = self:load(names, opts)
  assert(loaded == nil, "it is accepted")
  assert(err.code == "CONFIG", err.code)
  local lines = {}
  for i, one in ipairs(err.errors) do
    lines[i] = self:relative(one.message)
  end
  assert(self:relative(err.message) == table.concat(lines, "\n"), err.message)
  return lines
end

return { new = new }
