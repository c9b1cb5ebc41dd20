-- ahost.command.arguments: words of a command line, taken apart into options and the
-- rest.

local spelling <const> = require "ahost.spelling"

local arguments <const> = {}

---@class ahost.command.Option
---@field key string         under which it is found
---@field short? string      "s" is -s
---@field long? string       "service" is --service
---@field value? string      what stands behind it, in words; nil: nothing does
---@field optional? string   what it is when nothing stands behind it in the same word
---@field repeated? boolean  each adds to a list; else the last one counts
---@field doc string

---@param options ahost.command.Option[]
local function find(options, field, name)
  for _, option in ipairs(options) do
    if option[field] == name then return option end
  end
end

local function long_names(options)
  local names = {}
  for _, option in ipairs(options) do
    if option.long then names[#names + 1] = "--" .. option.long end
  end
  return names
end

local Parsing <const> = {}
Parsing.__index = Parsing

function Parsing:next_word()
  self.at = self.at + 1
  return self.words[self.at]
end

-- `inline` is what stood in the same word. -> true | nil, message
function Parsing:take(option, shown, inline)
  local value = true
  if option.value then
    value = inline or option.optional or self:next_word()
    if not value then
      return nil, ("%s takes a value: %s %s"):format(shown, shown, option.value)
    end
  elseif inline then
    return nil, ("%s takes no value"):format(shown)
  end
  local args <const> = self.args
  if option.repeated then
    table.insert(args[option.key], value)
  else
    args[option.key] = value
  end
  return true
end

function Parsing:take_long(word)
  local name, inline = word:match("^%-%-([^=]*)=?(.*)$")
  local option <const> = find(self.options, "long", name)
  if not option then
    local names <const> = long_names(self.options)
    return nil, ("unknown option '--%s' %s"):format(name,
      spelling.hint("--" .. name, names))
  end
  return self:take(option, "--" .. name, word:find("=", 1, true) and inline or nil)
end

-- "-vs NAME", "-sNAME"
function Parsing:take_short(word)
  local at = 2
  while at <= #word do
    local letter <const> = word:sub(at, at)
    local option <const> = find(self.options, "short", letter)
    if not option then return nil, ("unknown option '-%s'"):format(letter) end
    at = at + 1
    local inline
    if option.value and at <= #word then
      inline, at = word:sub(at), #word + 1
    end
    local ok, message = self:take(option, "-" .. letter, inline)
    if not ok then return nil, message end
  end
  return true
end

-- Takes all that is left as it is.
function Parsing:take_rest(from)
  table.move(self.words, from, #self.words, #self.args + 1, self.args)
  self.at = #self.words
  return true
end

function Parsing:take_word(word)
  if word == "--" then return self:take_rest(self.at + 1) end
  if word:find("^%-%-.") then return self:take_long(word) end
  if word:find("^%-.") then return self:take_short(word) end
  if self.head then return self:take_rest(self.at) end
  table.insert(self.args, word)
  return true
end

--- Takes words apart. Options may stand between the other words; `--` ends them.
---@param options ahost.command.Option[]
---@param words string[]
---@param head? boolean    only up to the first word that is no option
---@return table? args     what is no option by place, options by their keys: a text,
---  true, or a list of texts (empty when there are none)
---@return string? message
function arguments.parse(options, words, head)
  local args <const> = {}
  for _, option in ipairs(options) do
    if option.repeated then args[option.key] = {} end
  end
  local parsing <const> = setmetatable(
    { options = options, words = words, at = 0, args = args, head = head }, Parsing)
  for word in parsing.next_word, parsing do
    local ok, message = parsing:take_word(word)
    if not ok then return nil, message end
  end
  return args
end

-- "-s, --service NAME"
local function left_column(option)
  local short <const> = option.short and "-" .. option.short
  local long <const> = option.long and "--" .. option.long
  local names <const> = short and long and short .. ", " .. long
    or short or "    " .. long
  if not option.value then return names end
  return option.optional and ("%s[=%s]"):format(names, option.value)
    or names .. " " .. option.value
end

--- The options in two columns, as a help shows them.
---@param options ahost.command.Option[]
---@return string lines
function arguments.help(options)
  local width = 0
  for _, option in ipairs(options) do width = math.max(width, #left_column(option)) end
  local lines <const> = {}
  for _, option in ipairs(options) do
    lines[#lines + 1] = ("  %-" .. width .. "s  %s\n"):format(left_column(option),
      option.doc)
  end
  return table.concat(lines)
end

return arguments
