local subprocess <const> = require "spec.subprocess"
local tutorial <const> = require "spec.tutorial"

local FOLDER <const> = "examples/cutlery"

local function run(script)
  return subprocess.shell("$ahost " .. script)
end

describe("the cutlery example", function()
  it("is what its tutorial shows", function()
    tutorial.check_code(FOLDER, { "race.lua", "queues.lua" }, { "lock.lua" })
  end)

  it("does what its tutorial says", function()
    tutorial.play(FOLDER, function(command) return command end)
  end)

  it("races only with the wait between reading and writing", function()
    local directory <const>, remove <const> = subprocess.directory()
    local _ <close> = setmetatable({}, { __close = remove })
    local file <close> = assert(io.open(FOLDER .. "/race.lua"))
    local text <const> = file:read("a")
    local wait <const> = text:match("\n  task%.yield%(%) %-%- [^\n]*")
    local without <const> = text:gsub(wait:gsub("%p", "%%%0"), "", 1)
    local variants <const> = {
      before = without:gsub("(stock, knives, forks%))", "%1" .. wait, 1),
      behind = without:gsub("(= new_knives, new_forks)", "%1" .. wait, 1),
      none = without,
    }
    for name, variant in pairs(variants) do
      assert.not_equal(text, variant)
      subprocess.write(directory .. "/" .. name .. ".lua", variant)
      assert.same({ status = 0, out = "knives: 100, forks: 100\n", err = "" },
        run(directory .. "/" .. name .. ".lua"))
    end
  end)
end)
