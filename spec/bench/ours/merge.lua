-- `merge`: config.merge of two YAML files of 1 MiB, as they are decoded. An operation
-- is one merge.
local config <const> = require "ahost.config"
local yaml <const> = require "ahost.yaml"
local trees <const> = dofile(
  debug.getinfo(1, "S").source:match "^@(.*)ours/" .. "trees.lua")

local count <const> = tonumber((...) or 100)
local base <const> = assert(yaml.decode(yaml.encode(trees(1))))
local over <const> = assert(yaml.decode(yaml.encode(trees(2))))

local function run(n)
  for _ = 1, n do
    assert(config.merge(base, over).components.component_1.option_2)
  end
end

run(count // 10)
local began <const> = os.clock()
run(count)
print(("operations=%d\nseconds=%.6f"):format(count, os.clock() - began))
