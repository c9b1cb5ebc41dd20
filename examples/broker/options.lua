-- Options of the command line, as `--name VALUE`.

---Reads options.
---@param usage string                  what to say when they cannot be read
---@param defaults table<string, any>   every option; a number takes a number
---@param ... string                    the arguments
---@return table<string, any>? options
---@return string? complaint
return function(usage, defaults, ...)
  local options <const>, arguments <const> = {}, { ... }
  for name, value in pairs(defaults) do options[name] = value end
  for i = 1, #arguments, 2 do
    local name, value = arguments[i]:match("^%-%-(%w+)$"), arguments[i + 1]
    local default <const> = defaults[name or ""]
    if math.type(default) then value = tonumber(value) end
    if default == nil or value == nil then return nil, usage end
    options[name] = value
  end
  return options
end
