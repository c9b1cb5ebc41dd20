local context <const> = require "ahost.context"
local net <const> = require "ahost.net"
local testing <const> = require "ahost.testing"

local function exists(path)
  local ok, _, code = os.rename(path, path)
  return ok ~= nil or code ~= 2
end

describe("testing.directory", function()
  it("is a directory that goes with its context", function()
    local path
    context.scope(function()
      local directory <const> = testing.directory()
      path = directory.path
      assert.equal(path, tostring(directory))
      assert.equal(path .. "/x", directory .. "/x")
      assert.is_true(exists(path))
      directory:write("one", "1")
      directory:write("below/and/below/two", "2")
      os.execute("ln -s /etc " .. path .. "/link")
    end)
    assert.is_false(exists(path))
    assert.is_true(exists("/etc"))
  end)

  it("writes and reads files", function()
    local directory <const> = testing.directory()
    local path <const> = directory:write("a.txt", "one\r\n\0two")
    assert.equal(directory .. "/a.txt", path)
    assert.equal("one\r\n\0two", directory:read("a.txt"))
    directory:write("a.txt", "")
    assert.equal("", directory:read("a.txt"))
    directory:write("b/c.txt", "deep")
    directory:write("b/d.txt", "too")
    assert.equal("deep", directory:read("b/c.txt"))
    local text, message = directory:read("nothing")
    assert.is_nil(text)
    assert.matches("No such file", message)
    assert.has_error(function() directory:write("a.txt/b", "") end)
  end)

  it("is another one each time", function()
    assert.not_equal(testing.directory().path, testing.directory().path)
  end)

  it("can be removed before", function()
    local directory
    do
      local closed <close> = testing.directory()
      directory = closed
      closed:write("one", "1")
    end
    assert.is_false(exists(directory.path))
    directory:close()
  end)
end)

describe("testing.free_port", function()
  it("is a port that can be listened on", function()
    local port <const> = testing.free_port()
    local listener <close> = assert(net.listen("127.0.0.1:" .. port))
    assert.equal("127.0.0.1:" .. port, listener:address())
  end)
end)
