-- ahost test: runs busted specs inside the host.

local places <const> = require "ahost.config.places"
local search <const> = require "ahost.command.search"

local test <const> = {
  summary = "run busted specs inside a host",
  raw = true, -- the options are busted's
}

local HELP <const> = [[
usage: ahost test [--timeout SECONDS] [option ...] [PATH ...]

Runs the specs in PATH ("spec"), which may wait. --timeout limits each test and setup
(30; 0: no limit). Modules of the application are found beside its configuration, the
one of `ahost -c FILE` or in the default places. The other options are busted's:

]]

function test.main(common, words)
  for _, word in ipairs(words) do
    if word == "--help" or word == "-h" then io.write(HELP) end
  end
  search.beside(common.files[1] or places.find())
  require "ahost.test"(table.unpack(words))
  return 0 -- the host knows of worse
end

return test
