-- Numbers in expositions.

local number <const> = {}

--- The shortest text that reads as the same finite number, without needless digits.
---@param value number
---@return string
function number.text(value)
  if math.type(value) == "integer" then return tostring(value) end
  for digits = 15, 16 do
    local text <const> = ("%." .. digits .. "g"):format(value)
    if tonumber(text) == value then return text end
  end
  return ("%.17g"):format(value)
end

--- The same in OpenMetrics, which has infinities, too.
---@param value number
---@return string
function number.sample(value)
  if value ~= value then return "NaN" end
  if value == math.huge then return "+Inf" end
  if value == -math.huge then return "-Inf" end
  return number.text(value)
end

--- The bound of a bucket as OpenMetrics writes it: always as a float, "10.0", "1e+06".
---@param bound number
---@return string
function number.bound(bound)
  local text <const> = number.sample(bound)
  if not text:find "^-?%d+$" then return text end
  if math.abs(bound) < 1e6 then return text .. ".0" end
  local sign <const>, first <const>, rest <const> = text:match "^(-?)(%d)(%d*)$"
  local fraction <const> = rest:gsub("0+$", "")
  return ("%s%s%se+%02d"):format(sign, first, fraction ~= "" and "." .. fraction or "",
    #rest)
end

return number
