local context <const> = require "ahost.context"
local subprocess <const> = require "spec.subprocess"
local tutorial <const> = require "spec.tutorial"

local FOLDER <const> = "examples/pubsub"

-- Replaces what is in a text once. -> text
local function replace(text, old, new)
  local first <const>, last <const> = text:find(old, 1, true)
  return text:sub(1, first - 1) .. new .. text:sub(last + 1)
end

-- Runs the example with changes: what to replace, and what by.
local function run_changed(...)
  local file <close> = assert(io.open(FOLDER .. "/pubsub.lua"))
  local text = file:read("a")
  for _, change in ipairs { ... } do text = replace(text, change[1], change[2]) end
  local directory <const>, remove <const> = subprocess.directory()
  context.current():on_close(remove)
  subprocess.write(directory .. "/pubsub.lua", text)
  return subprocess.shell("$ahost " .. directory .. "/pubsub.lua")
end

describe("the pubsub example", function()
  it("is what its tutorial shows", function()
    tutorial.check_code(FOLDER, { "pubsub.lua" })
  end)

  it("does what its tutorial says", function()
    tutorial.play(FOLDER, function(command) return command end)
  end)

  it("cooks all the same when the till fails", function()
    local result <const> = run_changed { 'print(("till', 'error(("till' }
    assert.equal(0, result.status)
    assert.truthy(result.err:find("till: cafe.order: 2 x coffee", 1, true))
    assert.truthy(result.out:find("tea 1\nkitchen: coffee 1\nkitchen: coffee 2\n$"))
  end)

  it("misses in the kitchen what is published before it listens", function()
    local listen <const> = 'bus:subscriber("cafe.order", "cafe.closing")'
    local result <const> = run_changed(
      { "kitchen, " .. listen .. ")", "function() kitchen(" .. listen .. ") end)\n"
        .. 'bus:publish("cafe.order", "milk", 1)' })
    assert.same({ 0, "" }, { result.status, result.err })
    assert.truthy(result.out:find("till: cafe.order: 1 x milk", 1, true))
    assert.falsy(result.out:find("kitchen: milk", 1, true))
    assert.truthy(result.out:find("kitchen: coffee 2\n", 1, true))
  end)
end)
