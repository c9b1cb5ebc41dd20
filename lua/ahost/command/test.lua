-- ahost test: runs busted specs inside the host.

local places <const> = require "ahost.config.places"
local search <const> = require "ahost.command.search"

local test <const> = {
  summary = "run busted specs inside a host",
  raw = true, -- the options are busted's
}

local HELP <const> = [[
usage: ahost test [options] [PATH ...]

Runs the specs in PATH ("spec"), which may wait. Modules of the application are found
beside its configuration: the one of `ahost -c FILE`, or in the default places.
The exit status is 0 when all tests have passed.

options:
  --timeout SECONDS     limit of each test and setup (30; 0: none)
  -o, --output=HANDLER  how results are shown: TAP, json, junit...
  -t, --tags=TAGS       run tests with these #tags only
  --filter=PATTERN      run tests whose names match this Lua pattern only
  -l, --list            list the tests instead of running them
and the others of busted
]]

function test.main(common, words)
  for _, word in ipairs(words) do
    if word == "--help" or word == "-h" then
      io.write(HELP)
      return 0
    end
  end
  search.beside(common.files[1] or places.find())
  require "ahost.test"(table.unpack(words))
  return 0 -- the host knows of worse
end

return test
