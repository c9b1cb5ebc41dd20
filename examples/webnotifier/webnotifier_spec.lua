local net <const> = require "ahost.net"
local subprocess <const> = require "spec.subprocess"
local task <const> = require "ahost.task"
local testing <const> = require "ahost.testing"
local tutorial <const> = require "spec.tutorial"

local FOLDER <const> = "examples/webnotifier"
local MODULES <const> = { "diff", "webpage" }

-- A site whose page, status and headers the test changes as it likes. `answer`, if set,
-- is all that it sends; an empty one makes it silent.
local function start_site(address)
  local site <const> = { text = "one\n", status = "200 OK", headers = "", requests = {} }
  site.server = assert(net.serve(address or "127.0.0.1:0", function(stream)
    local request <const> = stream:read_until("\r\n\r\n")
    table.insert(site.requests, request)
    if site.answer == "" then return stream:read() end
    stream:write(site.answer or ("HTTP/1.0 %s\r\n%s\r\n%s"):format(site.status,
      site.headers, site.text))
  end))
  site.address = site.server:address()
  return site
end

-- Starts the application for a site. -> app, events of differences
local function start(address, ...)
  local url <const> = ("components.detector.url=http://%s/news"):format(address)
  local app <const> = testing.host {
    files = FOLDER .. "/webnotifier.yaml",
    set = { url, "tick_period=1d", ... },
  }
  return app, app:require("webnotifier.differ").differences:events()
end

describe("the webnotifier example", function()
  local path <const> = package.path
  setup(function() package.path = FOLDER .. "/?.lua;" .. path end)
  teardown(function()
    package.path = path
    for _, name in ipairs(MODULES) do package.loaded[name] = nil end
  end)

  it("is what its tutorial shows", function()
    tutorial.check_code(FOLDER,
      { "detector.lua", "differ.lua", "notifier.lua", "webnotifier.yaml" },
      { "webpage.lua", "diff.lua", "webnotifier_spec.lua" })
  end)

  it("does what its tutorial says", function()
    local directory <const> = testing.directory()
    local address <const> = tutorial.free_address()
    tutorial.play(FOLDER, function(command)
      return (command:gsub("/tmp", directory.path):gsub("site%.lua %S+", "%0 " .. address)
        :gsub("webnotifier%.yaml",
          "%0 --set components.detector.url=http://" .. address .. "/"))
    end)
  end)

  it("tells what has changed, as text and as HTML", function()
    local site <const>, _ <close> = start_site(), testing.clock()
    local output <close> = testing.capture()
    local _, events <const> = start(site.address)
    site.text = "two & <three>\n"
    local event <const> = events()
    assert.equal("http://" .. site.address .. "/news", event.url)
    assert.equal("- one\n+ two & <three>", event.text)
    assert.equal("<pre>\n<del>one</del>\n<ins>two &amp; &lt;three&gt;</ins>\n</pre>",
      event.html)
    assert.truthy(output.output:find("news\n\n- one\n+ two & <three>\n\n", 1, true))
  end)

  it("looks once in a delay, and is silent when nothing has changed", function()
    local site <const>, clock <close> = start_site(), testing.clock()
    local output <close> = testing.capture()
    start(site.address)
    clock:advance(150)
    assert.equal(3, #site.requests)
    site.text = "\r\none\r\n\r\n"
    clock:advance(60)
    assert.equal(4, #site.requests)
    assert.is_nil((output:find "Change"))
  end)

  it("does not get again what the site says is the same", function()
    local site <const>, clock <close> = start_site(), testing.clock()
    local _ <close> = testing.capture()
    site.headers = 'ETag: "1"\r\nLast-Modified: Sat, 21 Nov 2026 08:00:00 GMT\r\n'
    local _, events <const> = start(site.address)
    assert.is_nil((site.requests[1]:find "If%-"))
    site.answer = "HTTP/1.0 304 Not Modified\r\n\r\n"
    clock:advance(60)
    assert.truthy(site.requests[2]:find('\r\nIf-None-Match: "1"', 1, true))
    assert.truthy(site.requests[2]:find("\r\nIf-Modified-Since: Sat, 21 Nov", 1, true))
    site.answer, site.headers, site.text = nil, "", "two\n"
    assert.equal("- one\n+ two", events().text)
    clock:advance(60)
    assert.is_nil((site.requests[#site.requests]:find "If%-"))
  end)

  -- What a site may answer, and what the log says of it then.
  local bad <const> = {
    { "another status", "HTTP/1.1 503 Busy\r\n\r\n", "status 503 Busy (HTTP)" },
    { "something else than HTTP", "220 mail.example.com\r\n", "this is not HTTP" },
    { "half an answer", "HTTP/1.0 200 OK\r\nDate", "the answer is not complete" },
    {
      "less than it has promised",
      "HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\none\n", "(EOF)",
    },
    {
      "too much",
      "HTTP/1.0 200 OK\r\nContent-Length: 9999999\r\n\r\n", "the page is too long",
    },
    {
      "headers without end",
      "HTTP/1.0 200 OK\r\n" .. ("A: b\r\n"):rep(200), "too many headers",
    },
    { "a line without end", "HTTP/1.0 " .. ("x"):rep(20000), "(TOOLONG)" },
    { "nothing at all", "", "(TIMEDOUT)" },
  }
  for _, case in ipairs(bad) do
    it("logs a site that answers " .. case[1] .. ", and goes on", function()
      local site <const>, _ <close> = start_site(), testing.clock()
      local output <close> = testing.capture()
      local _, events <const> = start(site.address)
      site.answer = case[2]
      while not output:find { level = "warning" } do task.sleep(1) end
      local text <const> = output:find({ level = "warning" }).text
      assert.truthy(text:find(case[3], 1, true), text)
      site.answer, site.text = nil, "two\n"
      assert.equal("- one\n+ two", events().text)
    end)
  end

  it("starts without the site, and waits for it", function()
    local address <const> = tutorial.free_address()
    local _ <close> = testing.clock()
    local output <close> = testing.capture()
    local _, events <const> = start(address)
    assert.truthy(output:find { level = "warning", text = "%(ECONNREFUSED%)$" })
    local site <const> = start_site(address)
    while #site.requests == 0 do task.sleep(1) end
    site.text = "two\n"
    assert.equal("- one\n+ two", events().text)
  end)

  it("appends messages to a file, as HTML if that is wanted", function()
    local site <const>, _ <close> = start_site(), testing.clock()
    local directory <const> = testing.directory()
    local _, events <const> = start(site.address,
      ("components.notifier.file=%s/mail"):format(directory.path),
      "components.notifier.html=true")
    site.text = "two\n"
    events()
    assert.equal(([[
Subject: Watching http://%s/news

You will hear when it changes.

Subject: Change of http://%s/news

<pre>
<del>one</del>
<ins>two</ins>
</pre>

]]):format(site.address, site.address), directory:read "mail")
  end)

  it("goes on when the file cannot be written to", function()
    local site <const>, _ <close> = start_site(), testing.clock()
    local output <close> = testing.capture()
    local app <const> = start(site.address, "components.notifier.file=/nonexistent/mail")
    assert.truthy(output:find "the message is lost: /nonexistent/mail: No such file")
    assert.equal(0, app:stop())
  end)

  it("cuts long differences short", function()
    local site <const>, _ <close> = start_site(), testing.clock()
    local _ <close> = testing.capture()
    local _, events <const> = start(site.address, "components.differ.max_lines=2")
    site.text = "1\n2\n3\n4\n"
    assert.equal("- one\n+ 1\n(3 more lines)", events().text)
  end)

  it("refuses addresses that it cannot get a page from", function()
    local result <const> = subprocess.shell("$ahost run " .. FOLDER
      .. "/webnotifier.yaml --set components.detector.url=https://example.com/")
    assert.same({ 2, "" }, { result.status, result.out })
    assert.truthy(result.err:find("detector.url: must be like http://host/path", 1, true))
  end)

  it("finds the lines that differ, and no more", function()
    local diff <const> = require "diff"
    local function changes(old, new)
      local list <const> = {}
      for i, change in ipairs(diff.lines(old, new)) do
        list[i] = change.sign .. change.line
      end
      return table.concat(list, " ")
    end
    assert.equal("", changes("", ""))
    assert.equal("", changes("a\nb", "a\r\nb\n\n"))
    assert.equal("+a", changes("", "a"))
    assert.equal("-a", changes("a\nb\n", "b\n"))
    assert.equal("-b +x", changes("a\nb\nc\n", "a\nx\nc\n"))
    assert.equal("-a +a", changes("a\nb\nc\n", "b\nc\na\n"))
    assert.equal("-b +x +y", changes("a\nb\nc\nd\n", "a\nc\nx\ny\nd\n"))
    assert.equal("+a", changes("a\na\n", "a\na\na\n"))
  end)

  it("compares long texts in parts only, and still turns one into the other", function()
    local diff <const> = require "diff"
    local function text(step)
      local lines <const> = {}
      for i = 1, 600 do lines[i] = i * step end
      return table.concat(lines, "\n")
    end
    assert.equal(1200, #diff.lines(text(2), text(3)))
  end)
end)
