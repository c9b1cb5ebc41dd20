-- The difference of two texts, line by line.
local diff <const> = {}

local MOST <const> = 250000 -- pairs of lines that are compared

local function split(text)
  local lines <const> = {}
  for line in text:gmatch("[^\r\n]+") do lines[#lines + 1] = line end
  return lines
end

-- How many lines two texts have in common from the `i`th and `j`th on, for all of them.
local function common_lengths(old, new, first, old_last, new_last)
  local lengths <const> = {}
  lengths[old_last + 1] = {}
  for i = old_last, first, -1 do
    local row <const>, below <const> = {}, lengths[i + 1]
    for j = new_last, first, -1 do
      if old[i] == new[j] then
        row[j] = (below[j + 1] or 0) + 1
      else
        row[j] = math.max(below[j] or 0, row[j + 1] or 0)
      end
    end
    lengths[i] = row
  end
  return lengths
end

-- Leaves out what is the same at both ends. -> the first and the last that differ
local function bounds(old, new)
  local first, old_last, new_last = 1, #old, #new
  while first <= old_last and first <= new_last and old[first] == new[first] do
    first = first + 1
  end
  while old_last >= first and new_last >= first and old[old_last] == new[new_last] do
    old_last, new_last = old_last - 1, new_last - 1
  end
  return first, old_last, new_last
end

---The lines that were removed and added, in order.
---@param old string
---@param new string
---@return {sign: "-"|"+", line: string}[]
function diff.lines(old, new)
  old, new = split(old), split(new)
  local i, old_last, new_last = bounds(old, new)
  local j, changes = i, {}
  local small <const> = (old_last - i + 1) * (new_last - i + 1) <= MOST
  local lengths <const> = small and common_lengths(old, new, i, old_last, new_last)
  while i <= old_last or j <= new_last do
    if small and i <= old_last and j <= new_last and old[i] == new[j] then
      i, j = i + 1, j + 1
    elseif i <= old_last and (not small or j > new_last
          or (lengths[i + 1][j] or 0) >= (lengths[i][j + 1] or 0)) then
      changes[#changes + 1] = { sign = "-", line = old[i] }
      i = i + 1
    else
      changes[#changes + 1] = { sign = "+", line = new[j] }
      j = j + 1
    end
  end
  return changes
end

return diff
