-- ahost components: the components that come with ahost.

local errors <const> = require "ahost.error"
local options <const> = require "ahost.options"
local reference <const> = require "ahost.reference"
local runtime <const> = require "ahost.component.runtime"

local components <const> = {
  summary = "list the components that come with ahost",
  usage = "[NAME ...]",
  doc = "With names: those only. -v shows their options, too.",
}

---@return string[]
function components.names() return runtime.bundled() end

---@param name string
---@return table? component
---@return ahost.Error? err    why it is not there: the library that it needs is missing
function components.load(name) return reference.resolve("ahost.components." .. name) end

--- Writes what a component can be configured with.
---@param title string
---@param component table
---@param path string      put before the names of the options
function components.print_options(title, component, path)
  local doc <const> = type(component.doc) == "string" and " - " .. component.doc or ""
  io.write(title, doc, "\n")
  if component.options == nil then
    io.write("  it does not say what its options are\n")
    return
  end
  local ok, text = pcall(options.help, component.options, path)
  if not ok then
    io.write("  its options make no sense: ", text, "\n")
  else
    io.write(text == "" and "  it has no options\n" or text)
  end
end

local function print_component(name, width)
  local component, err = components.load(name)
  print(("%-" .. width .. "s  %s"):format(name,
    component and (component.doc or "") or "not built: " .. err.message))
end

-- What was asked for. -> names | nil, err
local function chosen(args)
  local known <const> = {}
  for _, name in ipairs(components.names()) do known[name] = true end
  for _, name in ipairs(args) do
    if not known[name] then
      return nil, errors.new("NOTFOUND", ("no component '%s' comes with ahost; there "
        .. "are %s"):format(name, table.concat(components.names(), ", ")))
    end
  end
  return #args > 0 and args or components.names()
end

function components.main(args)
  local names, err = chosen(args)
  if not names then return nil, err end
  local width = 0
  for _, name in ipairs(names) do width = math.max(width, #name) end
  for i, name in ipairs(names) do
    local component <const> = args.verbose and components.load(name)
    if component then
      if i > 1 then io.write("\n") end
      components.print_options(name, component, "")
    else
      print_component(name, width)
    end
  end
  return 0
end

return components
