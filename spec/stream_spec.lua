-- Reading from streams; writing and closing have specs of their own.

local context <const> = require "ahost.context"
local net <const> = require "ahost.net"
local task <const> = require "ahost.task"
local stream_pair <const> = require "spec.stream_pair"

local with_pair <const>, trickle <const> = stream_pair.with, stream_pair.trickle

--- How a text arrives: the name of the case and the parts.
local function arrivals(text)
  return {
    ["at once"] = { text },
    ["byte by byte"] = stream_pair.bytes(text),
    ["in two halves"] = { text:sub(1, #text // 2), text:sub(#text // 2 + 1) },
  }
end

--- Sends the text in every way, then the end, and lets fn(stream, how) read it.
local function each_arrival(text, fn)
  for how, parts in pairs(arrivals(text)) do
    with_pair(function(a, b)
      local sending <const> = task.spawn(function()
        trickle(a, parts)
        a:shutdown()
      end)
      fn(b, how)
      sending:join()
    end)
  end
end

--- The code of the error of a call that failed.
local function code_of(result, err)
  assert.is_nil(result)
  return err and err.code
end

--- A text of all byte values.
local function all_bytes()
  local bytes = {}
  for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
  return table.concat(bytes)
end

describe("stream:read", function()
  it("gives what there is, then a plain nil", function()
    each_arrival("hello, world", function(stream, how)
      local got = {}
      while true do
        local data, err = stream:read()
        assert.is_nil(err)
        if not data then break end
        assert.is_true(#data > 0)
        got[#got + 1] = data
      end
      assert.equal("hello, world", table.concat(got), how)
      assert.same({ n = 1 }, table.pack(stream:read()))
    end)
  end)

  it("takes no more than asked for", function()
    each_arrival("abcdefg", function(stream, how)
      local got = {}
      for data in function() return stream:read(3) end do
        assert.is_true(#data <= 3)
        got[#got + 1] = data
      end
      assert.equal("abcdefg", table.concat(got), how)
    end)
  end)

  it("waits for one byte only", function()
    with_pair(function(a, b)
      local reading <const> = task.spawn(b.read, b, 1000)
      task.sleep(0)
      a:write("x")
      assert.equal("x", (reading:join()))
    end)
  end)

  it("gives up when its time is up, and what comes later is not lost", function()
    with_pair(function(a, b)
      for i = 1, 5 do
        assert.equal("TIMEDOUT", code_of(b:read(10, 0.001)))
        assert.equal("TIMEDOUT", code_of(b:read(nil, 0)))
        a:write("datum ", i)
        assert.equal("datum " .. i, (b:read_exactly(7)))
      end
    end)
  end)

  it("loses nothing to timeouts that race with the data", function()
    with_pair(function(a, b)
      task.spawn(function()
        for i = 1, 300 do trickle(a, { ("%04d"):format(i) }) end
        a:shutdown()
      end)
      local got = {}
      while true do
        local data, err = b:read(3, 0)
        if data then
          got[#got + 1] = data
        elseif not err then
          break
        else
          assert.equal("TIMEDOUT", err.code)
        end
      end
      local text <const> = table.concat(got)
      assert.equal(1200, #text)
      for i = 1, 300 do assert.equal(i, tonumber(text:sub(4 * i - 3, 4 * i))) end
    end)
  end)

  it("gives the timeout of the stream to each call without one", function()
    with_pair(function(a, b)
      assert.is_nil(b.timeout)
      b.timeout = 0.001
      assert.equal(0.001, b.timeout)
      assert.equal("TIMEDOUT", code_of(b:read()))
      assert.equal("TIMEDOUT", code_of(b:read_line()))
      assert.equal("TIMEDOUT", code_of(b:read_exactly(1)))
      assert.equal("TIMEDOUT", code_of(b:read_until("x")))
      assert.equal("TIMEDOUT", code_of(b:read_all()))
      assert.has_error(function() b:lines()(b) end)
      task.spawn(function()
        task.sleep(0.02)
        a:write("late")
      end)
      assert.equal("late", (b:read(4, 60)))
      b.timeout = nil
      assert.is_nil(b.timeout)
      task.spawn(function()
        task.sleep(0.02)
        a:write("later")
      end)
      assert.equal("later", (b:read()))
    end)
  end)

  it("keeps the timeout of a call that came after many without waiting", function()
    with_pair(function(a, b)
      for n = 1, 300 do
        a:write(("x"):rep(n))
        assert(b:read_exactly(n))
        for _ = 1, n do b:read_exactly(0) end
        assert.equal("TIMEDOUT", code_of(b:read(1, 0)))
      end
    end)
  end)

  it("raises on what is no size or timeout", function()
    with_pair(function(_, b)
      for _, max in ipairs({ 0, -1, 1.5, 1 << 31, "many", {} }) do
        assert.has_error(function() b:read(max) end)
      end
      for _, timeout in ipairs({ -1, 0 / 0, "soon", {} }) do
        assert.has_error(function() b:read(1, timeout) end)
        assert.has_error(function() b.timeout = timeout end)
      end
      assert.error_matches(function() b.timout = 1 end, "only timeout")
      assert.has_error(function() b.read({}) end)
      assert.has_error(function() b.read(io.stdout) end)
      assert.is_nil(b.nothing)
    end)
  end)

  it("carries every byte", function()
    local text <const> = all_bytes():rep(40)
    local cases <const> = { whole = { text }, bytes = stream_pair.bytes(all_bytes()) }
    for how, parts in pairs(cases) do
      with_pair(function(a, b)
        trickle(a, parts)
        a:shutdown()
        assert.equal(table.concat(parts), (b:read_all()), how)
      end)
    end
  end)

  it("stops taking in what nobody reads", function()
    with_pair(function(a, b)
      local data <const> = ("x"):rep(16384)
      a.timeout = 0.1
      assert(a:write("first\n"))
      assert.equal("first", (b:read_line()))
      local ok, err
      repeat ok, err = a:write(data) until not ok
      assert.equal("TIMEDOUT", err.code)
      a.timeout = nil
      a:shutdown()
      local got = 0
      for chunk in b:chunks() do got = got + #chunk end
      assert.equal(0, got % 16384)
      assert.is_true(got > 65536)
    end)
  end)
end)

describe("stream:read_exactly", function()
  it("gives as many bytes", function()
    each_arrival("abcdefghij", function(stream, how)
      assert.equal("abc", (stream:read_exactly(3)), how)
      assert.equal("", (stream:read_exactly(0)), how)
      assert.equal("defghij", (stream:read_exactly(7)), how)
      assert.same({ n = 1 }, table.pack(stream:read_exactly(1)))
      assert.equal("", (stream:read_exactly(0)))
    end)
  end)

  it("gives large frames", function()
    with_pair(function(a, b)
      local frame <const> = all_bytes():rep(4000)
      local writing <const> = task.spawn(function()
        for _ = 1, 3 do assert(a:write("<", frame, ">")) end
      end)
      for _ = 1, 3 do
        assert.equal("<", (b:read_exactly(1)))
        assert.is_true(frame == b:read_exactly(#frame))
        assert.equal(">", (b:read_exactly(1)))
      end
      writing:join()
    end)
  end)

  it("tells what there was before a premature end", function()
    each_arrival("abc", function(stream, how)
      local data, err = stream:read_exactly(4)
      assert.is_nil(data, how)
      assert.equal("EOF", err.code)
      assert.equal("abc", err.partial)
      assert.matches("read_exactly", tostring(err))
      assert.same({ n = 1 }, table.pack(stream:read_exactly(4)))
    end)
  end)

  it("leaves what has come by a timeout for the next", function()
    with_pair(function(a, b)
      trickle(a, { "ab" })
      assert.equal("TIMEDOUT", code_of(b:read_exactly(4, 0)))
      trickle(a, { "c" })
      assert.equal("TIMEDOUT", code_of(b:read_exactly(4, 0.001)))
      trickle(a, { "d" })
      assert.equal("abcd", (b:read_exactly(4)))
    end)
  end)

  it("raises on what is no size", function()
    with_pair(function(_, b)
      for _, size in ipairs({ -1, 0.5, 1 << 31, "x" }) do
        assert.has_error(function() b:read_exactly(size) end)
      end
      assert.has_error(function() b:read_exactly() end)
    end)
  end)
end)

describe("stream:read_line", function()
  it("gives lines without their ends, and the unfinished rest", function()
    each_arrival("one\ntwo\r\n\n\r\nthr\ree\n\rfour\r\r\nlast", function(stream, how)
      local got = {}
      for line in function() return stream:read_line() end do got[#got + 1] = line end
      assert.same({ "one", "two", "", "", "thr\ree", "\rfour\r", "last" }, got, how)
      assert.same({ n = 1 }, table.pack(stream:read_line()))
    end)
  end)

  it("gives nothing after the last end", function()
    each_arrival("one\n", function(stream)
      assert.equal("one", (stream:read_line()))
      assert.same({ n = 1 }, table.pack(stream:read_line()))
    end)
  end)

  it("does not take the \\r of an unfinished line for its end", function()
    each_arrival("one\r", function(stream)
      assert.equal("one\r", (stream:read_line()))
    end)
  end)

  it("takes NULs for what they are", function()
    each_arrival("a\0b\n\0\n", function(stream)
      assert.equal("a\0b", (stream:read_line()))
      assert.equal("\0", (stream:read_line()))
    end)
  end)

  for _, ending in ipairs({ "\n", "\r\n" }) do
    local shown <const> = ending == "\n" and "\\n" or "\\r\\n"

    it("takes a line as long as the limit, before " .. shown, function()
      each_arrival("12345" .. ending .. "next\n", function(stream, how)
        assert.equal("12345", (stream:read_line(5)), how)
        assert.equal("next", (stream:read_line(5)), how)
      end)
    end)

    it("refuses a line a byte longer, before " .. shown, function()
      each_arrival("123456" .. ending .. "next\n", function(stream, how)
        assert.equal("TOOLONG", code_of(stream:read_line(5)), how)
        assert.equal("TOOLONG", code_of(stream:read_line(5)), how)
        assert.equal("123456", (stream:read_line(6)), how) -- nothing was lost
        assert.equal("next", (stream:read_line(5)), how)
      end)
    end)
  end

  it("refuses a line that never ends as soon as it is too long", function()
    with_pair(function(a, b)
      a:write("123456")
      assert.equal("TOOLONG", code_of(b:read_line(5)))
      assert.equal("12", (b:read(2)))
    end)
    with_pair(function(a, b)
      a:write(("x"):rep(65537))
      assert.equal("TOOLONG", code_of(b:read_line()))
    end)
  end)

  it("refuses an unfinished rest that is too long", function()
    each_arrival("12345\r", function(stream, how)
      assert.equal("TOOLONG", code_of(stream:read_line(5)), how)
      assert.equal("12345\r", (stream:read_line(6)), how)
    end)
    each_arrival("12345", function(stream, how)
      assert.equal("12345", (stream:read_line(5)), how)
    end)
  end)

  it("finds ends behind much that has been looked at", function()
    with_pair(function(a, b)
      local line <const> = ("x"):rep(60000)
      local reading <const> = task.spawn(b.read_line, b)
      for i = 1, 60000, 1000 do trickle(a, { line:sub(i, i + 999) }) end
      trickle(a, { "\n" })
      assert.equal(line, (reading:join()))
    end)
  end)
end)

describe("stream:read_until", function()
  it("strips the delimiter, and gives the rest at the end", function()
    each_arrival("one--two----three-", function(stream, how)
      for _, expected in ipairs({ "one", "two", "", "three-" }) do
        assert.equal(expected, (stream:read_until("--")), how)
      end
      assert.same({ n = 1 }, table.pack(stream:read_until("--")))
    end)
  end)

  it("finds a delimiter that begins like itself", function()
    each_arrival("xaaab--aab", function(stream, how)
      assert.equal("xa", (stream:read_until("aab")), how)
      assert.equal("--", (stream:read_until("aab")), how)
    end)
  end)

  it("takes delimiters with NULs, and long ones", function()
    local long <const> = ("="):rep(1000) .. "\0"
    each_arrival("a\0\0b" .. long .. "c", function(stream, how)
      assert.equal("a", (stream:read_until("\0\0")), how)
      assert.equal("b", (stream:read_until(long)), how)
      assert.equal("c", (stream:read_until(long)), how)
    end)
  end)

  it("takes as much as the limit before the delimiter, and no more", function()
    for _, delimiter in ipairs({ ";", "--", "--boundary--" }) do
      each_arrival("12345" .. delimiter .. "x", function(stream, how)
        assert.equal("12345", (stream:read_until(delimiter, 5)), how)
      end)
      each_arrival("123456" .. delimiter .. "x", function(stream, how)
        assert.equal("TOOLONG", code_of(stream:read_until(delimiter, 5)), how)
        assert.equal("123456", (stream:read_until(delimiter, 6)), how)
      end)
    end
    each_arrival("12345--bound", function(stream, how)
      assert.equal("TOOLONG", code_of(stream:read_until("--boundary--", 5)), how)
    end)
  end)

  it("may have another delimiter after a timeout", function()
    with_pair(function(a, b)
      trickle(a, { "a,b;c" })
      assert.equal("TIMEDOUT", code_of(b:read_until("!", nil, 0.001)))
      assert.equal("a", (b:read_until(",")))
      assert.equal("b", (b:read_until(";")))
    end)
  end)

  it("raises on what is no delimiter", function()
    with_pair(function(_, b)
      for _, delimiter in ipairs({ "", ("x"):rep(65536), {} }) do
        assert.has_error(function() b:read_until(delimiter) end)
      end
    end)
  end)
end)

describe("stream:read_all", function()
  it("gives everything up to the end, then nothing more", function()
    each_arrival("all of it", function(stream, how)
      assert.equal("all of it", (stream:read_all()), how)
      assert.equal("", (stream:read_all()), how)
      assert.same({ n = 1 }, table.pack(stream:read()))
    end)
  end)

  it("is limited", function()
    each_arrival("12345", function(stream, how)
      assert.equal("12345", (stream:read_all(5)), how)
    end)
    each_arrival("123456", function(stream, how)
      assert.equal("TOOLONG", code_of(stream:read_all(5)), how)
      assert.equal("123456", (stream:read_all(6)), how)
    end)
  end)

  it("takes megabytes", function()
    with_pair(function(a, b)
      local text <const> = all_bytes():rep(16384)
      task.spawn(function()
        assert(a:write(text))
        a:shutdown()
      end)
      assert.is_true(text == b:read_all())
    end)
  end)
end)

describe("the iterators of a stream", function()
  it("go over lines", function()
    each_arrival("a\nb\r\nc", function(stream, how)
      local got = {}
      for line in stream:lines() do got[#got + 1] = line end
      assert.same({ "a", "b", "c" }, got, how)
    end)
  end)

  it("go over chunks", function()
    each_arrival("abcdef", function(stream, how)
      local got = {}
      for chunk in stream:chunks(2) do
        assert.is_true(#chunk <= 2)
        got[#got + 1] = chunk
      end
      assert.equal("abcdef", table.concat(got), how)
    end)
  end)

  it("can be left, and reading goes on behind", function()
    each_arrival("a\nb\nc\nrest", function(stream)
      for line in stream:lines() do
        if line == "a" then break end
      end
      for line in stream:lines() do
        assert.equal("b", line)
        if line then break end
      end
      assert.equal("c", (stream:read_line()))
      for chunk in stream:chunks(1) do
        assert.equal("r", chunk)
        if chunk then break end
      end
      assert.equal("est", (stream:read_all()))
    end)
  end)

  it("raise what went wrong", function()
    with_pair(function(a, b)
      a:write("fine\nnot so fine\n")
      local got = {}
      local ok, err = pcall(function()
        for line in b:lines(5) do got[#got + 1] = line end
      end)
      assert.is_false(ok)
      assert.equal("TOOLONG", err.code)
      assert.same({ "fine" }, got)
      assert.equal("not so fine", (b:read_line()))
      b.timeout = 0.001
      ok, err = pcall(b:chunks(), b)
      assert.is_false(ok)
      assert.equal("TIMEDOUT", err.code)
      b:close()
      ok, err = pcall(b:lines(), b)
      assert.is_false(ok)
      assert.equal("CLOSED", err.code)
    end)
  end)

  it("raise on what is no limit", function()
    with_pair(function(_, b)
      assert.has_error(function() b:lines(0) end)
      assert.has_error(function() b:chunks(-1) end)
      assert.has_error(function() b.lines({}) end)
    end)
  end)
end)

describe("a second reader", function()
  it("raises, and the first reads on", function()
    with_pair(function(a, b)
      local reading <const> = task.spawn(b.read_line, b)
      task.yield()
      for _, method in ipairs({ "read", "read_line", "read_all" }) do
        assert.error_matches(function() b[method](b) end, "another task is reading")
      end
      a:write("for the first\n")
      assert.equal("for the first", (reading:join()))
    end)
  end)

  it("raises also while the first has data but not had its turn", function()
    with_pair(function(a, b)
      local outcomes = {}
      local function try(name, ...)
        outcomes[name] = table.pack(pcall(...))
      end
      a:write("abc\ndef\n")
      local first
      local second <const> = task.spawn(function()
        task.sleep(0.05)
        -- both are ready now; this one first
        try("second", b.read_exactly, b, 2)
      end)
      first = task.spawn(function()
        for _ = 1, 200 do b:read_exactly(0) end -- out of credit
        try("first", b.read_line, b)
      end)
      first:join()
      second:join()
      assert.same({ true, "abc", n = 2 }, outcomes.first)
      assert.same({ true, "de", n = 2 }, outcomes.second)
    end)
  end)

  it("does not change what the first, already woken, asked for", function()
    with_pair(function(a, b)
      local asked = false
      local nosy <const> = task.spawn(function()
        while not asked do
          task.yield()
          local ok, data = pcall(b.read, b, 1, 0)
          assert.is_true(not ok or data == nil, data)
        end
      end)
      local reading <const> = task.spawn(function()
        local got = {}
        for i = 1, 50 do got[i] = b:read_line() end
        asked = true
        return got
      end)
      task.yield()
      for i = 1, 50 do
        a:write("line ", i, "\n")
        a:flush()
        task.sleep(0)
      end
      local got <const> = reading:join()
      nosy:join()
      for i = 1, 50 do assert.equal("line " .. i, got[i]) end
    end)
  end)

  it("may follow one that was cancelled, or late", function()
    with_pair(function(a, b)
      local reading <const> = task.spawn(b.read_line, b)
      task.yield()
      trickle(a, { "kept " })
      reading:cancel()
      assert.equal("kept ", (b:read()))
      assert.equal("CANCELLED", select(2, reading:join()).code)
      assert.is_nil(task.timeout(0, function() b:read_line() end))
      a:write("line\n")
      assert.equal("line", (b:read_line()))
    end)
  end)

  it("gets all that a reader did not take that was cancelled as data came", function()
    with_pair(function(a, b)
      local got = {}
      for i = 1, 100 do
        local reading <const> = task.spawn(b.read_line, b)
        task.yield()
        a:write(i, "\n")
        a:flush()
        if i % 2 == 0 then task.sleep(0) end
        reading:cancel()
        got[#got + 1] = reading:join()
      end
      a:shutdown()
      for line in b:lines() do got[#got + 1] = line end
      assert.equal(100, #got)
      for i, line in ipairs(got) do assert.equal(i, tonumber(line)) end
    end)
  end)
end)

describe("a stream", function()
  it("knows both addresses", function()
    for _, address in ipairs({ "127.0.0.1:0", "[::1]:0" }) do
      with_pair(function(a, b)
        assert.equal(a:address(), b:peer())
        assert.equal(b:address(), a:peer())
        assert.matches("^stream: .*%(socket%)$", tostring(a))
        a:close()
        assert.equal("CLOSED", code_of(a:address()))
        assert.equal("CLOSED", code_of(a:peer()))
        assert.matches("closed%)$", tostring(a))
      end, address)
    end
  end)

  it("that nobody refers to any more is closed", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local function lose() assert(net.connect(listener:address())):write("lost") end
    lose()
    local peer <close> = assert(listener:accept())
    local reading <const> = task.spawn(peer.read_all, peer)
    task.yield()
    collectgarbage()
    collectgarbage()
    assert.equal("lost", (reading:join()))
  end)

  it("stays while a task reads from it", function()
    with_pair(function(a, b)
      local reading
      do
        local listener <close> = assert(net.listen("127.0.0.1:0"))
        reading = task.spawn(function()
          return assert(net.connect(listener:address())):read_line()
        end)
        local peer <const> = assert(listener:accept())
        task.yield()
        collectgarbage()
        collectgarbage()
        peer:write("still there\n")
        peer:flush()
        assert.equal("still there", (reading:join()))
        peer:close()
      end
      a:close()
      assert.same({ n = 1 }, table.pack(b:read()))
    end)
  end)

  it("cannot be waited for outside of tasks", function()
    with_pair(function(a, b)
      assert.error_matches(function()
        table.sort({ 1, 2, 3 }, function() return b:read() end)
      end, "cannot wait here")
      a:write("x")
      assert.equal("x", (b:read()))
    end)
  end)

  it("reads through a coroutine of the script", function()
    with_pair(function(a, b)
      local words <const> = coroutine.wrap(function()
        for line in b:lines() do
          for word in line:gmatch("%w+") do coroutine.yield(word) end
        end
      end)
      task.spawn(function()
        trickle(a, { "one tw", "o\nthr", "ee\n" })
        a:shutdown()
      end)
      local got = {}
      for word in words do got[#got + 1] = word end
      assert.same({ "one", "two", "three" }, got)
    end)
  end)

  it("lets other tasks run while data are plenty", function()
    with_pair(function(a, b)
      local turns = 0
      local counting <close> = context.new()
      counting:spawn(function()
        while true do
          turns = turns + 1
          task.yield()
        end
      end)
      a:write(("x\n"):rep(30000))
      a:flush()
      local before <const> = turns
      for _ = 1, 30000 do assert.equal("x", (b:read_line())) end
      assert.is_true(turns - before >= 100)
    end)
  end)
end)
