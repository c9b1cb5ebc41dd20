-- Changes one value in a YAML text and leaves all else as it was written: comments,
-- order, indentation, quotes. What was changed is checked by reading the result.

local core <const> = require "ahost.yaml.core"
local errors <const> = require "ahost.error"
local join <const> = require "ahost.config.path".join
local json <const> = require "ahost.json"
local paths <const> = require "ahost.yaml.paths"
local yaml <const> = require "ahost.yaml"

local BOM <const> = "\xEF\xBB\xBF"
local DECODE <const> = { tags = true }

local edit = {}

local function check_path(path, name)
  if type(path) ~= "table" or #path == 0 then
    error(name .. ": the path must be a list of keys", 3)
  end
  local keys = {}
  for i, key in ipairs(path) do
    if type(key) ~= "string" and math.type(key) ~= "integer" then
      error(name .. ": a key must be a string or an integer, got " .. type(key), 3)
    end
    keys[i] = tostring(key)
  end
  return keys
end

--
-- The text
--

-- The byte at which the character with that number (from 0) begins.
local function byte_of(text, index)
  return utf8.offset(text, index + 1)
end

local function first_byte(doc, node)
  return byte_of(doc.text, node.first)
end

-- The byte behind a node. Of the line ends behind a literal or folded block, which
-- may be part of it, none counts.
local function end_byte(doc, node)
  local past <const> = byte_of(doc.text, node.last)
  if node.block then
    local first <const> = first_byte(doc, node)
    return first - 1 + doc.text:sub(first, past - 1):match "^.*%S()"
  elseif #node == 0 or node.flow then
    return past
  end
  return end_byte(doc, node[#node])
end

-- The same, with what belongs to such a block.
local function whole_end_byte(doc, node)
  local last = node
  while #last > 0 and not last.flow do
    last = last[#last]
  end
  local first <const>, past <const> = first_byte(doc, last), byte_of(doc.text, last.last)
  local keeps <const> = doc.text:sub(first, past - 1):match "^[^\r\n]-[|>]%d?%+"
  return last.block and keeps and past or end_byte(doc, last)
end

-- The end of the line: where its line end begins.
local function line_end(doc, from)
  return doc.text:find("\r?\n", from) or #doc.text + 1
end

-- The text with what is from `first` to before `past` replaced.
local function splice(doc, first, past, text)
  text = text:gsub("\n", doc.line_end)
  return doc.text:sub(1, first - 1) .. text .. doc.text:sub(past)
end

-- Moves all lines but the first to the right.
local function pad(text, columns)
  return (text:gsub("\n([^\n])", "\n" .. (" "):rep(columns) .. "%1"))
end

local function comment_of(text)
  return text:match "^[ \t]*(#[^\r\n]*)"
end

-- How far the maps of the file are indented within each other.
local function step_of(node)
  for i = 1, #node do
    local child <const> = node[i]
    local step = node.kind == "mapping" and child.kind == "mapping" and not child.flow
      and not child.tag and not child.anchor and child.column - node.column
    if not step or step < 2 or step > 9 then
      step = step_of(child)
    end
    if step then
      return step
    end
  end
  return nil
end

-- A value behind the colon of a key, or behind the dash of an item: " 1", "\n  a: 1".
local function after_colon(doc, value)
  return yaml.encode({ k = value }, { indent = doc.step }):sub(3, -2)
end

local function after_dash(doc, value)
  return yaml.encode(json.array { value }, { indent = doc.step }):sub(2, -2)
end

local function in_line(value)
  return yaml.encode(value, { flow = true })
end

--
-- Changes
--

-- The new block in the place of the old one; nil if it cannot be there. (A list may
-- be as far left as its key, a map may not.)
local function replace_block(doc, spot, value)
  local node <const> = spot.node
  local block <const> = yaml.encode(value, { indent = doc.step }):sub(1, -2)
  local fits <const> = node.column > spot.key.column
    or node.kind == "sequence" and block:find "^%- "
  if not fits or node.tag or node.anchor then
    return nil
  end
  return splice(doc, first_byte(doc, node), end_byte(doc, node), pad(block, node.column))
end

-- The value behind a colon that is not within brackets or braces.
local function replace_behind_colon(doc, spot, colon, value)
  local first <const>, past <const> = first_byte(doc, spot.node), end_byte(doc, spot.node)
  local head <const> = doc.text:sub(colon, first - 1)
  local rest <const> = doc.text:sub(past, line_end(doc, past) - 1)
  local text = pad(after_colon(doc, value), spot.key.column)
  local is_block <const>, below <const> = text:sub(1, 1) == "\n", head:find "\n"
  local changed <const> = is_block and below and replace_block(doc, spot, value)
  if changed then
    return changed
  end
  local comment = comment_of(head)
  if is_block then
    comment = comment or comment_of(rest)
    return splice(doc, colon, past + #rest, (comment and " " .. comment or "") .. text)
  elseif text:find "\n" and (comment or comment_of(rest)) then
    text = " " .. in_line(value)
  end
  if below then
    return splice(doc, colon, past, text .. (comment and " " .. comment or ""))
  elseif first == past then
    return splice(doc, colon, past, text)
  end
  return splice(doc, first, past, text:sub(2))
end

local function replace_item(doc, node, value)
  local first <const>, past <const> = first_byte(doc, node), end_byte(doc, node)
  local empty <const> = first == past
  local text = pad(after_dash(doc, value), node.column - (empty and 1 or 2))
  if text:find "\n" and comment_of(doc.text:sub(past)) then
    text = " " .. in_line(value)
  end
  return splice(doc, first, past, empty and text or text:sub(2))
end

-- The string in quotes like those that are there; nil if that needs escapes.
local function in_quotes(node, value)
  if type(value) ~= "string" or not node.quote or in_line(value):sub(1, 2):find '^"' then
    return nil
  elseif node.quote == "'" then
    return "'" .. value:gsub("'", "''") .. "'"
  end
  return '"' .. value:gsub('[\\"]', "\\%0") .. '"'
end

local function replace(doc, spot, value)
  local node <const>, key <const> = spot.node, spot.key
  local quoted <const> = in_quotes(node, value)
  if quoted then
    return splice(doc, first_byte(doc, node), end_byte(doc, node), quoted)
  end
  local key_end <const> = key and end_byte(doc, key)
  local colon <const> = key and doc.text:match("^%s*:()", key_end)
  if key and not colon then -- as in {a, b}
    return splice(doc, key_end, key_end, ": " .. in_line(value))
  elseif spot.flow or node.flow and paths.is_table(value) then
    local first <const> = first_byte(doc, node)
    local gap <const> = first == colon and " " or ""
    return splice(doc, first, end_byte(doc, node), gap .. in_line(value))
  elseif key then
    return replace_behind_colon(doc, spot, colon, value)
  end
  return replace_item(doc, node, value)
end

-- Begins a line behind a node.
local function add_line(doc, node, column, text)
  local past = whole_end_byte(doc, node)
  local indented <const> = (" "):rep(column) .. pad(text, column)
  if past > 1 and doc.text:sub(past - 1, past - 1) == "\n" then
    return splice(doc, past, past, indented .. "\n")
  end
  past = line_end(doc, past)
  return splice(doc, past, past, "\n" .. indented)
end

-- Adds behind the last node of a collection, in brackets or braces.
local function add_in_line(doc, node, text)
  local last <const> = node[#node]
  if last then
    local past <const> = end_byte(doc, last)
    return splice(doc, past, past, ", " .. text)
  end
  local past <const> = end_byte(doc, node) - 1
  return splice(doc, past, past, text)
end

-- The value within maps for the keys of the path from `i` on.
local function nest(path, i, value)
  for k = #path, i, -1 do
    value = { [path[k]] = value }
  end
  return value
end

local function add_pair(doc, spot, path, value)
  local node <const> = spot.node
  local pair = nest(path, spot.done + 1, value)
  if spot.dotted then
    pair = { [join(table.move(path, spot.done + 1, #path, 1, {}))] = value }
  end
  if node.flow then
    return add_in_line(doc, node, in_line(pair):sub(2, -2)), pair
  end
  local text <const> = yaml.encode(pair, { indent = doc.step }):sub(1, -2)
  return add_line(doc, node, node[1].column, text), pair
end

local function add_item(doc, node, value)
  if node.flow then
    return add_in_line(doc, node, in_line(value))
  end
  local text <const> = "-" .. after_dash(doc, value)
  return add_line(doc, node, node.column, text)
end

-- Changes the text. -> text, the keys of what is changed, its new value
local function change(doc, spot, path, value)
  local trail <const>, kind <const> = spot.trail, spot.node.kind
  if spot.done == #path then
    return replace(doc, spot, value), trail, value
  elseif kind == "mapping" then
    local text <const>, pair <const> = add_pair(doc, spot, path, value)
    local key <const>, inner <const> = next(pair)
    trail[#trail + 1] = key
    return text, trail, inner
  elseif kind == "sequence" then
    trail[#trail + 1] = #spot.node + 1
    return add_item(doc, spot.node, value), trail, value
  end
  local inner <const> = nest(path, spot.done + 1, value)
  return replace(doc, spot, inner), trail, inner
end

-- Of a text without a value, which may have comments.
local function append(doc, path, value)
  local tree <const> = nest(path, 1, value)
  local gap <const> = doc.text:find "[^\n]$" and "\n" or ""
  local past <const> = #doc.text + 1
  return splice(doc, past, past, gap .. yaml.encode(tree)), {}, tree
end

--
-- Checks
--

-- Whether two decoded values are the same.
local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return math.type(a) == math.type(b) and (a == b or a ~= a and b ~= b)
  elseif getmetatable(a) ~= getmetatable(b) then
    return false
  end
  for key, item in pairs(a) do
    if not same(item, b[key]) then
      return false
    end
  end
  for key in pairs(b) do
    if a[key] == nil then
      return false
    end
  end
  return true
end

-- The decoded value with the new one at the end of the trail.
local function with(value, trail, i, new)
  if i > #trail then
    return new
  end
  value[trail[i]] = with(value[trail[i]], trail, i + 1, new)
  return value
end

local function comes_by_merge(value, spot, path)
  for _, key in ipairs(spot.trail) do
    value = value[key]
  end
  return spot.merged and paths.has(value, path, spot.done + 1)
end

local function fail(message)
  return nil, errors.new("CONFIG", message, { op = "yaml.edit" })
end

local function open(text)
  local root <const>, err <const> = core.outline(text)
  if err then
    return nil, err
  end
  return {
    text = text, root = root, step = root and step_of(root) or 2,
    line_end = text:find("\r\n", 1, true) and "\r\n" or "\n",
  }
end

local function set(text, path, value)
  local before <const>, bad <const> = yaml.decode(text, DECODE)
  if before == nil then
    return nil, bad
  end
  local bom <const> = text:sub(1, #BOM) == BOM and BOM or ""
  local doc <const>, err <const> = open(text:sub(#bom + 1))
  if not doc then
    return nil, err
  end
  local changed, trail, new
  local root <const> = doc.root
  if not root or paths.is_null(root) and root.first == root.last then
    changed, trail, new = append(doc, path, value)
  else
    local spot <const> = paths.find({ node = root, done = 0, trail = {} }, path)
    if spot.problem then
      return fail(spot.problem)
    elseif comes_by_merge(before, spot, path) then
      return fail(paths.show(path) .. " comes through a merge key")
    elseif spot.done == 0 and paths.is_null(root) then
      return fail "the file holds an explicit null"
    end
    changed, trail, new = change(doc, spot, path, value)
  end
  changed = bom .. changed
  local after <const> = yaml.decode(changed, DECODE)
  new = yaml.decode(in_line(new), DECODE)
  if after == nil or not same(after, with(before, trail, 1, new)) then
    return fail(paths.show(path) .. " cannot be changed without changing something else")
  end
  return changed
end

---Changes one value in a YAML text; everything else stays as it is written. A key of
---the file may spell several keys of the path with dots: `a.b.c: v`. A missing key is
---added at the end of the deepest map that is there, with the maps between; a list
---takes one more item behind its last. What the change would do to other values (by
---an alias, a merge key, an anchor) is refused, and the result is read again to make
---sure. Raises for a value that YAML cannot hold, as `yaml.encode` does.
---@param text string
---@param path (string|integer)[]    keys of maps and numbers of list items, from 1
---@param value any
---@return string? text
---@return ahost.Error? err    code SYNTAX for a bad text, else CONFIG
function edit.set(text, path, value)
  path = check_path(path, "edit.set")
  in_line(value)
  return set(text, path, value)
end

---Whether there is a value at the path, by an alias or a merge key too.
---@param text string
---@param path (string|integer)[]    as for set
---@return boolean? found
---@return ahost.Error? err    code SYNTAX for a bad text
function edit.has(text, path)
  path = check_path(path, "edit.has")
  local value <const>, err <const> = yaml.decode(text, DECODE)
  if value == nil then
    return nil, err
  end
  return paths.has(value, path, 1)
end

return edit
