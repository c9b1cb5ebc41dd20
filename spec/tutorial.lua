-- What the specs of the examples need to hold a tutorial, a README.md, against the
-- files that it is about.
--
-- Its `lua` and `yaml` blocks are excerpts, line for line. Its `console` blocks are
-- sessions: `$ ` begins a command, `^C` interrupts it, other lines are what it prints. A
-- block of `console NAME` happens in a terminal of that name, where a command may still
-- run from the block before; without a name, and at the end, commands end by themselves.
-- `> ` begins what is typed into the program that runs in a terminal.

local net <const> = require "ahost.net"
local subprocess <const> = require "spec.subprocess"

local tutorial <const> = {}

local function read_lines(path)
  local lines <const> = {}
  for line in io.lines(path) do lines[#lines + 1] = line end
  return lines
end

-- The fenced blocks of a Markdown file.
local function blocks_of(readme)
  local blocks, block = {}, nil
  for number, line in ipairs(read_lines(readme)) do
    local language, name = line:match("^```(%w*) ?(.*)$")
    if block and language then
      block = nil
    elseif language then
      block = { language = language, name = name, line = number, lines = {} }
      blocks[#blocks + 1] = block
    elseif block then
      block.lines[#block.lines + 1] = line
    end
  end
  return blocks
end

--- The fenced blocks of a Markdown file that are in some language; raises if there are
--- none.
---@param readme string
---@param language string
---@return {language: string, name: string, line: integer, lines: string[]}[]
function tutorial.blocks(readme, language)
  local chosen <const> = {}
  for _, block in ipairs(blocks_of(readme)) do
    if block.language == language then chosen[#chosen + 1] = block end
  end
  assert(#chosen > 0, "no " .. language .. " blocks in " .. readme)
  return chosen
end

-- Where `part` stands in `lines`, or nil.
local function find_lines(lines, part)
  for first = 1, #lines - #part + 1 do
    local i = 1
    while i <= #part and lines[first + i - 1] == part[i] do i = i + 1 end
    if i > #part then return first end
  end
end

-- The languages of files, by their endings. -> { language = true }
local function languages_of(texts)
  local languages <const> = {}
  for file in pairs(texts) do languages[file:match("%.(%l+)$")] = true end
  return languages
end

-- Marks the lines that a block shows. -> whether they are in a file
local function mark_shown(block, texts, shown)
  local found = false
  for file, lines in pairs(texts) do
    local first = find_lines(lines, block.lines)
    found = found or first
    for i = first or 1, first and first + #block.lines - 1 or 0 do
      shown[file][i] = true
    end
  end
  return found
end

--- Raises for the first block of the folder's README.md, in the language of one of the
--- files, that is in none of them, and for the first line of code that it does not show.
---@param folder string
---@param files string[]  the names of those that the tutorial shows in full
---@param others? string[]  and of those that it shows in part
function tutorial.check_code(folder, files, others)
  local texts, shown = {}, {}
  for _, list in ipairs { files, others or {} } do
    for _, file in ipairs(list) do
      texts[file], shown[file] = read_lines(folder .. "/" .. file), {}
    end
  end
  for language in pairs(languages_of(texts)) do
    for _, block in ipairs(tutorial.blocks(folder .. "/README.md", language)) do
      if not mark_shown(block, texts, shown) then
        error(("%s/README.md:%d: this is in no file"):format(folder, block.line), 2)
      end
    end
  end
  for _, file in ipairs(files) do
    for i, line in ipairs(texts[file]) do
      if not shown[file][i] and line:find("%S") and not line:find("^%-%-")
          and not line:find("^#") then
        error(("%s/%s:%d: the tutorial does not show this"):format(folder, file, i), 2)
      end
    end
  end
end

-- What differs from one run to the next: ports, the time that something takes, and how
-- wide the columns are that show it.
local function normal(text)
  return text and (text:gsub("127%.0%.0%.1:%d%d%d%d%d", "127.0.0.1:PORT")
    :gsub(" : [%d.e-]+ seconds$", " : N seconds")
    :gsub("%d[%d.]* ms", "N ms")
    :gsub("  +", "  "))
end

local Terminal <const> = {}
Terminal.__index = Terminal

local function new_terminal() return setmetatable({}, Terminal) end

local function fail(block, number, expected, got)
  error(("%s:%d: expected %q, got %q"):format(block.path, block.line + number, expected,
    tostring(got)), 0)
end

-- Programs of the terminal read what is typed from now on.
function Terminal:connect_keyboard()
  local directory, remove = subprocess.directory()
  self.pipe, self.remove = directory .. "/keyboard", remove
  assert(os.execute("mkfifo " .. self.pipe))
  self.keyboard = assert(io.open(self.pipe, "r+")) -- does not wait for a reader
end

function Terminal:start(script)
  if self.keyboard then script = ("exec <>%s\n%s"):format(self.pipe, script) end
  self.running = subprocess.start(script)
end

function Terminal:type(text)
  assert(self.keyboard:write(text, "\n"))
  assert(self.keyboard:flush())
end

function Terminal:__close()
  if self.running then self.running:__close() end
  if not self.keyboard then return end
  self.keyboard:close()
  self.remove()
end

-- What has run in the terminal has to end by itself, with nothing more to say.
function Terminal:finish(block, number)
  if not self.running then return end
  local rest = self.running:finish().out
  self.running = nil
  if rest ~= "" then fail(block, number, "nothing more", rest) end
end

function Terminal:play_line(block, number, line, script_of)
  local command = line:match("^%$ (.*)$")
  if command then
    self:finish(block, number)
    self:start(script_of(command))
  elseif line == "^C" then
    self.running:signal("INT")
  elseif line:sub(1, 2) == "> " then
    self:type(line:sub(3))
  else
    local got = self.running:read_line()
    if normal(got) ~= normal(line) then fail(block, number, line, got) end
  end
end

local function play_block(block, terminals, script_of)
  local terminal = terminals[block.name]
  local interrupted
  for number, line in ipairs(block.lines) do
    interrupted = line == "^C" or interrupted and line:sub(1, 2) ~= "$ "
    terminal:play_line(block, number, line, script_of)
  end
  if interrupted or block.name == "" then terminal:finish(block, #block.lines) end
end

-- The terminals of blocks, by name, to be closed.
local function terminals_of(blocks)
  local terminals <const> = setmetatable({}, {
    __close = function(terminals)
      for _, terminal in pairs(terminals) do terminal:__close() end
    end,
  })
  for _, block in ipairs(blocks) do
    local terminal <const> = terminals[block.name] or new_terminal()
    terminals[block.name] = terminal
    for _, line in ipairs(block.lines) do
      if line:sub(1, 2) == "> " and not terminal.keyboard then
        terminal:connect_keyboard()
      end
    end
  end
  return terminals
end

--- Does what the `console` blocks of the folder's README.md say, and raises when
--- something else comes of it. Blocks while processes run.
---@param folder string
---@param adapt fun(command: string): string  puts a free address into a command
---@param directory? string  in which it all happens, control sockets too
function tutorial.play(folder, adapt, directory)
  local place <const> = directory
    and ("cd %s; export XDG_RUNTIME_DIR=%s\n"):format(directory, directory) or ""
  local function script_of(command)
    command = adapt(command):gsub("build/release/ahost", '"$ahost"')
    return place .. (command:find("[|;]") and command or "exec " .. command)
  end
  local blocks <const> = tutorial.blocks(folder .. "/README.md", "console")
  local terminals <close> = terminals_of(blocks)
  for _, block in ipairs(blocks) do
    block.path = folder .. "/README.md"
    play_block(block, terminals, script_of)
  end
  local last <const> = { path = folder .. "/README.md", line = 0 }
  for _, terminal in pairs(terminals) do terminal:finish(last, 0) end
end

--- An address on which nobody listens.
function tutorial.free_address()
  local listener <close> = assert(net.listen("127.0.0.1:0"))
  return listener:address()
end

return tutorial
