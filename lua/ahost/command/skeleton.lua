-- ahost.command.skeleton: the files of a new application, in which @name@ stands for its
-- name and @Name@ for that of its component.

local skeleton <const> = {}

skeleton["ahost.yaml"] = [[
# The configuration of @name@: `ahost run` runs it, `ahost check` checks it, and
# `ahost check --help-all` tells what else can be configured.
component:
  type: ./@name@.lua
  address: 127.0.0.1:8000
]]

skeleton["@name@.lua"] = [[
-- @name@: answers each line with a greeting.

local net <const> = require "ahost.net"

local @Name@ <const> = {
  doc = "answers each line with a greeting",
  options = {
    address = { type = "address", required = true, doc = "where to listen" },
    greeting = { type = "string", default = "Hello", doc = "the first word" },
  },
}

-- Each connection has a task of its own, so that this may wait for the next line.
local function answer(stream, greeting)
  for line in stream:lines() do
    assert(stream:write(greeting, ", ", line, "!\n"))
  end
end

function @Name@:start(ctx)
  local server = assert(net.serve(self.config.address, function(stream)
    answer(stream, self.config.greeting)
  end))
  ctx:publish("@name@.address", server:address())
  self.log:notice("listening on %s", server:address())
end

return @Name@
]]

skeleton["spec/@name@_spec.lua"] = [[
local net <const> = require "ahost.net"
local testing <const> = require "ahost.testing"

describe("@name@", function()
  it("answers each line with a greeting", function()
    local app <close> = testing.host {
      files = "ahost.yaml",
      set = { "component.address=127.0.0.1:0", "component.greeting=Good morning" },
    }
    local stream <close> = assert(net.connect(app:require "@name@.address"))
    assert(stream:write("world\n"))
    assert.equal("Good morning, world!", stream:read_line())
  end)
end)
]]

skeleton["README.md"] = [[
# @name@

Answers each line that a TCP client sends with a greeting. It runs on ahost:

```
ahost run       # ahost.yaml says what
ahost check     # says what is wrong with it
ahost test      # runs the specs in spec/
```

While it runs, `nc 127.0.0.1 8000` talks to it.

| file | what it is |
|---|---|
| ahost.yaml | the configuration |
| @name@.lua | the component |
| spec/@name@_spec.lua | its spec, for busted |
]]

skeleton[".luacheckrc"] = [[
std = "lua54"
files["spec"] = { std = "+busted" }
]]

return skeleton
