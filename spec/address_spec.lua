-- Addresses as scripts write them, seen through the socket that they open.

local net <const> = require "ahost.net"

--- Opens a socket at the address and returns where it is.
local function bound(address)
  local socket <close> = assert(net.udp(address))
  return socket:address()
end

local function refused(address)
  local ok, message = pcall(net.udp, address)
  assert.is_false(ok)
  return message
end

describe("an address", function()
  it("is a host and a port", function()
    assert.matches("^127%.0%.0%.1:%d+$", bound("127.0.0.1:0"))
    local named = bound("localhost:0")
    assert.is_truthy(named:match("^127%.0%.0%.1:%d+$") or named:match("^%[::1%]:%d+$"))
  end)

  it("is an IPv6 address in brackets and a port", function()
    assert.matches("^%[::1%]:%d+$", bound("[::1]:0"))
    assert.matches("^%[::1%]:%d+$", bound("[0:0:0:0:0:0:0:1]:0"))
  end)

  it("without a host means all interfaces of both families", function()
    assert.matches("^%[::%]:%d+$", bound(":0"))
  end)

  it("is a table of the same parts", function()
    assert.matches("^127%.0%.0%.1:%d+$", bound({host = "127.0.0.1", port = 0}))
    assert.matches("^127%.0%.0%.1:%d+$", bound({host = "127.0.0.1", port = "0"}))
    assert.matches("^127%.0%.0%.1:%d+$", bound({host = "127.0.0.1", port = 0.0}))
    assert.matches("^%[::1%]:%d+$", bound({host = "::1", port = 0}))
    assert.matches("^%[::%]:%d+$", bound({port = 0}))
  end)

  it("names the interface of a link-local address", function()
    local _, err = net.udp("[fe80::1%nosuch]:0")
    assert.equal("ENODEV", err.code)
    assert.matches("fe80::1%%nosuch", tostring(err))
    _, err = net.udp("[fe80::1%1]:0")
    assert.equal("EADDRNOTAVAIL", err.code)
  end)

  it("keeps the port that is asked for", function()
    local port = bound("127.0.0.1:0"):match("%d+$")
    assert.equal("127.0.0.1:" .. port, bound("127.0.0.1:" .. port))
  end)

  local malformed <const> = {
    {"", "the port is missing"},
    {"localhost", "the port is missing"},
    {"127.0.0.1:", "the port is missing"},
    {"[::1]", "the port is missing"},
    {"127.0.0.1:70000", "the port must be from 0 to 65535"},
    {"127.0.0.1:65536", "the port must be from 0 to 65535"},
    {"127.0.0.1:99999999999999999999", "the port must be from 0 to 65535"},
    {"127.0.0.1:-1", "the port must be digits"},
    {"127.0.0.1:+1", "the port must be digits"},
    {"127.0.0.1: 80", "the port must be digits"},
    {"127.0.0.1:80 ", "the port must be digits"},
    {"127.0.0.1:http", "the port must be digits"},
    {"127.0.0.1:0x50", "the port must be digits"},
    {"127.0.0.1:80\0", "the port must be digits"},
    {"::1:80", "written in brackets"},
    {"::1", "written in brackets"},
    {"[::1", "the ']' is missing"},
    {"[::1]80", "a ':' and the port are expected"},
    {"[127.0.0.1]:80", "only an IPv6 address is written in brackets"},
    {"[]:80", "only an IPv6 address is written in brackets"},
    {"[::g]:80", "no IPv6 address"},
    {"[:::]:80", "no IPv6 address"},
    {"[" .. ("0"):rep(60) .. ":1]:80", "no IPv6 address"},
    {"[::1%]:80", "must name an interface"},
    {"[::1%an-interface-name-too-long]:80", "must name an interface"},
    {"127.1:80", "four decimal numbers"},
    {"256.0.0.1:80", "four decimal numbers"},
    {"1.2.3.4.5:80", "four decimal numbers"},
    {"010.0.0.1:80", "four decimal numbers"},
    {"2130706433:80", "four decimal numbers"},
    {"0x7f000001:80", "four decimal numbers"},
    {"127.0.0.0x1:80", "four decimal numbers"},
    {"my host:80", "a character that names do not have"},
    {"http://host:80", "written in brackets"},
    {"host/path:80", "a character that names do not have"},
    {"*:80", "a character that names do not have"},
    {"local\0host:80", "a zero byte"},
    {"a..b:80", "an empty label"},
    {".a:80", "an empty label"},
    {("a"):rep(256) .. ":80", "the host is too long"},
    {"unix:", "the path of the socket is missing"},
    {"unix:@", "the path of the socket is missing"},
    {"unix:/a\0b", "a zero byte"},
    {"unix:/" .. ("a"):rep(107), "the path is too long"},
    {"unix:@" .. ("a"):rep(108), "the path is too long"},
    {{}, "the port is missing"},
    {{host = "localhost"}, "the port is missing"},
    {{hostname = "localhost", port = 1}, "its fields are host and port, or path"},
    {{"localhost", 1}, "its fields are host and port, or path"},
    {{host = "localhost", port = 1.5}, "the port must be from 0 to 65535"},
    {{host = "localhost", port = -1}, "the port must be from 0 to 65535"},
    {{host = "localhost", port = 65536}, "the port must be from 0 to 65535"},
    {{host = "localhost", port = true}, "host and path must be strings"},
    {{host = 1, port = 1}, "host and path must be strings"},
    {{host = "[::1]", port = 1}, "no IPv6 address"},
    {{path = "/a", port = 1}, "it has a path as well"},
    {{path = ""}, "the path of the socket is missing"},
  }

  for _, case in ipairs(malformed) do
    local address, complaint = case[1], case[2]
    local shown = "table"
    if type(address) == "string" then shown = ("%q"):format(address:sub(1, 40)) end
    it("is refused: " .. shown .. ", " .. complaint, function()
      local message = refused(address)
      assert.matches("bad address", message, 1, true)
      assert.matches(complaint, message, 1, true)
    end)
  end

  it("is quoted in the complaint, in part when it is long", function()
    assert.matches("bad address 'localhost:x':", refused("localhost:x"), 1, true)
    assert.is_true(#refused(("x"):rep(100000)) < 500)
  end)

  it("is a string or a table", function()
    local complaint = "an address expected (a string or table), got number"
    assert.matches(complaint, refused(80), 1, true)
    assert.matches("got boolean", refused(true), 1, true)
  end)

  it("leaves no trace of the refused ones", function()
    for _ = 1, 1000 do pcall(net.udp, "127.0.0.1:70000") end
    assert.matches("^127", bound("127.0.0.1:0"))
  end)
end)
