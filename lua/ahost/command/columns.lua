-- ahost.command.columns: tables for people, their columns aligned.

local columns <const> = {}

-- What a terminal would take as a command of its own is not shown.
local function printable(value)
  local text <const> = tostring(value == nil and "" or value)
  return (text:gsub("%c", "?"))
end

local function width_of(text) return utf8.len(text) or #text end

local function widths_of(rows)
  local widths <const> = {}
  for _, row in ipairs(rows) do
    for i, text in ipairs(row) do
      widths[i] = math.max(widths[i] or 0, width_of(text))
    end
  end
  return widths
end

local function format_row(row, widths)
  local parts <const> = {}
  for i, text in ipairs(row) do
    parts[i] = text .. (" "):rep(widths[i] - width_of(text))
  end
  return (table.concat(parts, "  "):gsub(" +$", "")) .. "\n"
end

--- Rows of as many values each as there are titles, below these.
---@param titles string[]
---@param rows any[][]     nil shows as nothing
---@return string lines
function columns.format(titles, rows)
  local shown <const> = { titles }
  for _, row in ipairs(rows) do
    local texts <const> = {}
    for i = 1, #titles do texts[i] = printable(row[i]) end
    shown[#shown + 1] = texts
  end
  local widths <const>, lines <const> = widths_of(shown), {}
  for i, row in ipairs(shown) do lines[i] = format_row(row, widths) end
  return table.concat(lines)
end

return columns
