local subprocess <const> = require "spec.subprocess"
local tutorial <const> = require "spec.tutorial"

local FOLDER <const> = "examples/live"
local FILES <const> = { "greeter.lua", "counter.lua", "journal.lua", "total.lua",
  "live.yaml" }

-- A copy that can be changed, on addresses where nobody listens. -> directory, a function
-- that changes commands in the same way
local function copy()
  local directory <const>, remove <const> = subprocess.directory()
  finally(remove)
  local addresses <const> = {
    ["64106"] = tutorial.free_address():match "%d+$",
    ["64107"] = tutorial.free_address():match "%d+$",
  }
  local function adapt(text)
    return (text:gsub("%f[%d]6410[67]%f[%D]", addresses)
      :gsub("/tmp/greeted", directory .. "/greeted"))
  end
  assert(os.execute(("mkdir -p %s/%s"):format(directory, FOLDER)))
  for _, name in ipairs(FILES) do
    local path <const> = ("%s/%s"):format(FOLDER, name)
    local file <close> = assert(io.open(path))
    subprocess.write(("%s/%s"):format(directory, path), adapt(file:read "a"))
  end
  return directory, adapt
end

describe("the live example", function()
  it("is what its tutorial shows", function() tutorial.check_code(FOLDER, FILES) end)

  it("does what its tutorial says", function()
    local directory <const>, adapt <const> = copy()
    tutorial.play(FOLDER, adapt, directory)
  end)
end)
