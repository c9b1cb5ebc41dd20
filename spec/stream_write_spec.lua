-- Writing to streams: order, gathering, back-pressure, failures.

local host <const> = require "ahost.host"
local task <const> = require "ahost.task"
local gc_stress <const> = require "spec.gc_stress"
local stream_pair <const> = require "spec.stream_pair"

local with_pair <const>, eventually <const> = stream_pair.with, stream_pair.eventually

--- The code of the error of a call that failed.
local function code_of(result, err)
  assert.is_nil(result)
  return err and err.code
end

--- The memory in use that is not Lua's.
local function buffers()
  local stats <const> = host.stats()
  return stats.memory - stats.lua_memory
end

--- Numbers that differ from run to run of none: a small generator of its own.
local function random(seed)
  return function(n)
    seed = (seed * 1103515245 + 12345) % 2147483648
    return seed // 65536 % n + 1
  end
end

--- A checksum of all that it has been given, in order (FNV-1a over words).
local function checksum()
  local hash, rest = 0xcbf29ce484222325, ""
  return function(data)
    rest = rest .. data
    local whole <const> = #rest // 8 * 8
    for i = 1, whole, 8 do hash = (hash ~ ("<i8"):unpack(rest, i)) * 0x100000001b3 end
    rest = rest:sub(whole + 1)
    return hash, rest
  end
end

--- Writes until the peer, which does not read, has let a write time out.
local function fill(stream)
  local data <const>, sent = ("x"):rep(10000), 0
  stream.timeout = 0.05
  while stream:write(data) do sent = sent + #data end
  stream.timeout = nil
  return sent + #data -- the last one is queued all the same
end

describe("stream:write", function()
  it("takes strings, numbers and arrays of them, in order", function()
    with_pair(function(a, b)
      assert.is_true(a:write("a", 1, { "b", 2, "c" }, 2.5, {}, "", { "" }, "d"))
      assert.is_true(a:write())
      assert.is_true(a:write(""))
      assert.is_true(a:write("\0"))
      assert.is_true(a:shutdown())
      assert.equal("a1b2c2.5d\0", (b:read_all()))
    end)
  end)

  it("writes nothing at all when an element is bad", function()
    with_pair(function(a, b)
      local refused <const> = { true, {}, print, { "x", true }, { {} }, { false }, b }
      for i, bad in ipairs(refused) do
        if i ~= 2 then
          local function call() a:write("lost", { "lost" }, bad) end
          assert.has_error(call, nil, "case " .. i)
        end
      end
      assert.has_error(function() a:write("lost", nil) end)
      assert.error_matches(function() a:write({ "x", {} }) end, "bad element 2 of")
      assert.has_error(function() a.write({}, "x") end)
      a:write(("x"):rep(20000), "y")
      assert.has_error(function() a:write(("lost"):rep(20000), false) end)
      a:shutdown()
      assert.equal(("x"):rep(20000) .. "y", (b:read_all()))
    end)
  end)

  it("does not ask metamethods what is in an array", function()
    with_pair(function(a, b)
      local calls = 0
      local array <const> = setmetatable({ "a", "b" }, {
        __len = function()
          calls = calls + 1
          return 1000
        end,
        __index = function() return "c" end,
      })
      assert.is_true(a:write(array))
      a:shutdown()
      assert.equal("ab", (b:read_all()))
      assert.equal(0, calls)
    end)
  end)

  it("keeps the order of small and large, copied or not", function()
    local next_random <const> = random(7)
    local sizes <const> = { 0, 1, 100, 479, 481, 8191, 8192, 8193, 16384, 65536, 100000 }
    with_pair(function(a, b)
      local parts = {}
      local reading <const> = task.spawn(b.read_all, b, 1 << 28)
      for round = 1, 150 do
        local values = {}
        for i = 1, next_random(12) do
          local size <const> = sizes[next_random(#sizes)]
          local part <const> = (string.char(next_random(256) - 1)):rep(size)
          values[i] = next_random(4) == 1 and { part, "," .. round } or part
          parts[#parts + 1] = part
          if type(values[i]) == "table" then parts[#parts + 1] = "," .. round end
        end
        assert(a:write(table.unpack(values)))
        if next_random(5) == 1 then task.sleep(0) end
      end
      a:shutdown()
      assert.is_true(table.concat(parts) == reading:join())
    end)
  end)

  it("leaves together with what is written in the same turn", function()
    with_pair(function(a, b)
      for i = 1, 100 do a:write(i, ";") end
      local expected = {}
      for i = 1, 100 do expected[i] = i .. ";" end
      assert.equal(table.concat(expected), (b:read()))
    end)
  end)

  it("leaves at once when 64 KiB have gathered", function()
    with_pair(function(a, b)
      local before <const> = buffers()
      for _ = 1, 64 do a:write({ ("x"):rep(1023) }) end
      assert.is_true(buffers() - before > 64 * 1023)
      a:write({ ("x"):rep(64) })
      assert.is_true(buffers() - before < 64 * 1023)
      assert.equal(65536, #b:read_exactly(65536))
    end)
  end)

  it("of many tasks is not mixed up within one call", function()
    with_pair(function(a, b)
      for i = 1, 20 do
        task.spawn(function()
          for _ = 1, 20 do
            assert(a:write(("%02d"):format(i), ("x"):rep(i * 500), { "-", i, "\n" }))
          end
        end)
      end
      for _ = 1, 400 do
        local i, data, again = b:read_line():match("^(%d%d)(x+)%-(%d+)$")
        assert.equal(tonumber(i), tonumber(again))
        assert.equal(tonumber(i) * 500, #data)
      end
    end)
  end)

  it("lets other tasks run, however fast the peer takes it", function()
    with_pair(function(a, b)
      local turns, stop = 0, false
      task.spawn(function()
        while not stop do
          turns = turns + 1
          task.yield()
        end
      end)
      task.spawn(function()
        while b:read() do end
      end)
      for _ = 1, 20000 do a:write("x") end
      assert.is_true(turns >= 100)
      stop = true
    end)
  end)
end)

describe("back-pressure", function()
  it("makes write wait, bounds memory, and goes on in order", function()
    with_pair(function(a, b)
      local total <const> = gc_stress() and 8 << 20 or 48 << 20
      local next_random <const> = random(3)
      local sent <const>, got <const> = checksum(), checksum()
      local written, taken, greatest, before = 0, 0, 0, buffers()
      local bytes <const> = {}
      for i = 1, 8192 do bytes[i] = string.char(next_random(256) - 1) end
      local text <const> = table.concat(bytes)
      local writing <const> = task.spawn(function()
        while written < total do
          local from <const> = next_random(4096)
          local part <const> = text:sub(from, from + next_random(4096))
          local data <const> = part:rep(next_random(8))
          written = written + #data
          sent(data)
          assert(a:write(data))
        end
        a:shutdown()
      end)
      local last -- nobody reads: the writer stops
      repeat
        last = written
        for _ = 1, 20 do task.sleep(0.001) end
      until written == last
      assert.is_true(written < total)
      assert.equal("running", writing:status())
      for chunk in b:chunks() do
        taken = taken + #chunk
        got(chunk)
        if taken < 1 << 20 then task.sleep(0.001) end
        greatest = math.max(greatest, buffers() - before)
      end
      writing:join()
      assert.equal(written, taken)
      assert.same({ sent("") }, { got("") })
      assert.is_true(greatest < 512 * 1024, greatest)
    end)
  end)

  it("lets a write time out, which sends its data all the same", function()
    with_pair(function(a, b)
      local sent <const> = fill(a)
      assert.equal("TIMEDOUT", code_of(a:flush(0.001)))
      a.timeout = 0
      assert.equal("TIMEDOUT", code_of(a:write("last")))
      a:shutdown()
      local text <const> = b:read_all(1 << 28)
      assert.equal(sent + 4, #text)
      assert.equal("last", text:sub(-4))
    end)
  end)

  it("wakes several writers, and flushers when all is gone", function()
    with_pair(function(a, b)
      local sent <const> = fill(a)
      local tasks = {}
      for i = 1, 5 do
        tasks[i] = task.spawn(a.write, a, ("y"):rep(1000))
        tasks[i + 5] = task.spawn(a.flush, a)
      end
      task.yield()
      for i = 1, 10 do assert.equal("running", tasks[i]:status()) end
      local got = 0
      while got < sent + 5000 do got = got + #b:read() end
      for i = 1, 10 do assert.is_true(tasks[i]:join()) end
    end)
  end)

  it("may be cancelled, and the data leave all the same", function()
    with_pair(function(a, b)
      local sent <const> = fill(a)
      local writing <const> = task.spawn(a.write, a, "cancelled")
      task.yield()
      writing:cancel()
      assert.equal("CANCELLED", select(2, writing:join()).code)
      a:shutdown()
      local text <const> = b:read_all(1 << 28)
      assert.equal(sent + 9, #text)
      assert.equal("cancelled", text:sub(-9))
    end)
  end)
end)

describe("stream:flush", function()
  it("returns at once when there is nothing to send", function()
    with_pair(function(a)
      assert.is_true(a:flush())
      assert.is_true(a:flush(0))
      assert.has_error(function() a:flush(-1) end)
    end)
  end)

  it("sends before it returns", function()
    with_pair(function(a, b)
      a:write("now")
      assert.is_true(a:flush())
      assert.equal("now", (b:read()))
    end)
  end)
end)

describe("stream:shutdown", function()
  it("ends one half only", function()
    with_pair(function(a, b)
      task.spawn(function()
        b:write((b:read_all()):upper())
        b:shutdown()
      end)
      a:write("half", "-closed")
      assert.is_true(a:shutdown())
      assert.equal("HALF-CLOSED", (a:read_all()))
    end)
  end)

  it("comes behind what is queued", function()
    with_pair(function(a, b)
      local sent <const> = fill(a)
      assert.is_true(a:shutdown())
      assert.equal(sent, #b:read_all(1 << 28))
    end)
  end)

  it("is the end of writing", function()
    with_pair(function(a)
      a:shutdown()
      assert.equal("EPIPE", code_of(a:write("x")))
      assert.equal("EPIPE", code_of(a:shutdown()))
      a:close()
      assert.equal("CLOSED", code_of(a:shutdown()))
    end)
  end)
end)

describe("a peer that has gone", function()
  --- A pair whose second end has reset the connection.
  local function with_reset(fn)
    with_pair(function(a, b)
      fill(b)
      b:close(0)
      fn(a)
    end)
  end

  it("is found by a reader that waits", function()
    with_pair(function(a, b)
      local reading <const> = task.spawn(a.read_exactly, a, 1 << 30)
      local writing <const> = task.spawn(b.write, b, ("x"):rep(20 << 20))
      task.yield()
      b:close(0)
      assert.equal("CLOSED", select(2, writing:join()).code)
      assert.equal("ECONNRESET", select(2, reading:join()).code)
      assert.equal("ECONNRESET", code_of(a:read_exactly(1 << 30)))
    end)
  end)

  it("is found by a writer that waits, and by the next calls", function()
    with_pair(function(a, b)
      fill(a)
      local writing <const> = task.spawn(a.write, a, ("x"):rep(100000))
      local flushing <const> = task.spawn(a.flush, a)
      task.yield()
      b:close(0)
      local codes <const> = { EPIPE = true, ECONNRESET = true }
      assert.is_true(codes[select(2, writing:join()).code])
      assert.is_true(codes[select(2, flushing:join()).code])
      assert.is_true(codes[code_of(a:write("x"))])
      assert.is_true(codes[code_of(a:flush())])
      assert.is_true(codes[code_of(a:shutdown())])
    end)
  end)

  it("is reported by a later write", function()
    with_reset(function(a)
      local err
      eventually(function()
        local ok
        ok, err = a:write("x")
        return not ok
      end)
      assert.is_true(err.code == "EPIPE" or err.code == "ECONNRESET")
    end)
  end)

  it("is reported by a read when a send in the background met it", function()
    with_pair(function(a, b)
      b:close()
      assert.same({ n = 1 }, table.pack(a:read()))
      a:write("to nobody") -- is answered with a reset
      a:flush()
      task.sleep(0.01)
      a:write("more")
      task.sleep(0.01)
      local codes <const> = { EPIPE = true, ECONNRESET = true }
      assert.is_true(codes[code_of(a:read())])
      assert.same({ n = 1 }, table.pack(a:read()))
    end)
  end)

  it("is still heard to the end after the failure of a write", function()
    with_pair(function(a, b)
      b:write("last words\n")
      b:close()
      a:write("x")
      a:flush()
      local code
      eventually(function()
        local ok, err = a:write("x")
        code = err and err.code
        a:flush()
        return not ok
      end)
      assert.is_true(code == "EPIPE" or code == "ECONNRESET")
      assert.equal("last words", (a:read_line()))
    end)
  end)
end)
