-- ahost.spelling: which name somebody may have meant.

local spelling <const> = {}

-- Names that differ by more than a third are other names.
local function tolerance(name) return math.max(1, #name // 3) end

-- The edits (a byte inserted, deleted, replaced, or two swapped) from `a` to `b`.
local function distance(a, b)
  local row, last, before = {}, {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    before, last, row = last, row, { [0] = i }
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      row[j] = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same and 0 or 1))
      local swapped = a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j)
      if swapped and i > 1 and j > 1 then
        row[j] = math.min(row[j], before[j - 2] + 1)
      end
    end
  end
  return row[#b]
end

--- The name that is nearest to a misspelt one.
---@param name string
---@param names string[]  in order of preference
---@return string?        nil if none is near
function spelling.nearest(name, names)
  local best, least = nil, tolerance(name) + 1
  for _, candidate in ipairs(names) do
    if math.abs(#candidate - #name) < least then
      local edits = distance(name:lower(), candidate:lower())
      if edits < least then best, least = candidate, edits end
    end
  end
  return best
end

--- Ends a message about an unknown name: `(did you mean "port"?)`, or all that is known.
---@param name string
---@param names string[]  what there is
---@return string
function spelling.hint(name, names)
  local nearest = spelling.nearest(name, names)
  if nearest then return ('(did you mean "%s"?)'):format(nearest) end
  if #names == 0 then return "(there are none)" end
  return ("(known are: %s)"):format(table.concat(names, ", "))
end

return spelling
