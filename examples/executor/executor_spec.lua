local subprocess <const> = require "spec.subprocess"
local tutorial <const> = require "spec.tutorial"

local FOLDER <const> = "examples/executor"

describe("the executor example", function()
  it("is what its tutorial shows", function()
    tutorial.check_code(FOLDER, { "hello.lua", "shutdown.lua" })
  end)

  it("does what its tutorial says", function()
    tutorial.play(FOLDER, function(command) return command end)
  end)

  it("says what the tutorial quotes of a local in a thread", function()
    local directory <const>, remove <const> = subprocess.directory()
    local _ <close> = setmetatable({}, { __close = remove })
    local file <close> = assert(io.open(FOLDER .. "/hello.lua"))
    local text <const> = file:read("a"):gsub("local function", "local call = 1\n%0", 1)
      :gsub("return \"hello", "return call .. \"hello", 1)
    subprocess.write(directory .. "/hello.lua", text)
    local result <const> = subprocess.shell("$ahost " .. directory .. "/hello.lua")
    assert.equal(1, result.status)
    assert.truthy(result.err:find("fn uses the local 'call' of its surroundings, which a "
      .. "thread cannot see; pass it as an argument", 1, true))
  end)
end)
