-- Closing streams: what is still delivered, who is woken, and when it is a reset.

local context <const> = require "ahost.context"
local net <const> = require "ahost.net"
local task <const> = require "ahost.task"
local subprocess <const> = require "spec.subprocess"
local stream_pair <const> = require "spec.stream_pair"

local with_pair <const> = stream_pair.with
local BIG <const> = ("0123456789abcdef"):rep(65536 * 8) -- 8 MiB: the kernel takes less

--- The code of the error of a call that failed.
local function code_of(result, err)
  assert.is_nil(result)
  return err and err.code
end

--- Each kind of socket: a name and an address to listen on.
local function each_kind(fn)
  fn("tcp", "127.0.0.1:0")
  fn("unix", "unix:@ahost-close-" .. tostring(fn):match("0x%x+"))
end

describe("stream:close", function()
  it("delivers all that is queued, however slowly the peer reads", function()
    each_kind(function(kind, address)
      with_pair(function(a, b)
        task.spawn(a.write, a, BIG)
        task.yield()
        a:close()
        local got = {}
        for chunk in b:chunks() do
          got[#got + 1] = chunk
          if #got < 20 then task.sleep(0.002) end
        end
        assert.is_true(table.concat(got) == BIG, kind)
      end, address)
    end)
  end)

  it("resets when its linger is over", function()
    with_pair(function(a, b)
      task.spawn(a.write, a, BIG)
      task.yield()
      a:close(0.01)
      task.sleep(0.05)
      local data, err = b:read_exactly(#BIG)
      assert.is_nil(data)
      assert.equal("ECONNRESET", err.code)
    end)
  end)

  it("wakes the reader and the writers", function()
    with_pair(function(a)
      local reading <const> = task.spawn(a.read_line, a)
      local writing <const> = task.spawn(a.write, a, BIG)
      local flushing <const> = task.spawn(a.flush, a)
      task.yield()
      a:close(0)
      assert.equal("CLOSED", select(2, reading:join()).code)
      assert.equal("CLOSED", select(2, writing:join()).code)
      assert.equal("CLOSED", select(2, flushing:join()).code)
    end)
  end)

  it("may come twice, and is CLOSED to every call", function()
    each_kind(function(_, address)
      with_pair(function(a)
        a:close()
        a:close()
        a:close(0)
        assert.equal("CLOSED", code_of(a:read()))
        assert.equal("CLOSED", code_of(a:read_line(5, 0)))
        assert.equal("CLOSED", code_of(a:read_exactly(0)))
        assert.equal("CLOSED", code_of(a:read_all()))
        assert.equal("CLOSED", code_of(a:write("x")))
        assert.equal("CLOSED", code_of(a:write(BIG)))
        assert.equal("CLOSED", code_of(a:write()))
        assert.equal("CLOSED", code_of(a:flush()))
        assert.equal("CLOSED", code_of(a:shutdown()))
        assert.has_error(function() a:write({}, false) end)
        task.sleep(0)
        assert.equal("CLOSED", code_of(a:read()))
        a.timeout = 1
        a:close()
      end, address)
    end)
  end)

  it("forgets what has arrived and was not read", function()
    with_pair(function(a, b)
      b:write("one\ntwo\n")
      assert.equal("one", (a:read_line()))
      a:close()
      assert.equal("CLOSED", code_of(a:read_line()))
    end)
  end)

  it("ends in the turn of a reader that data have woken", function()
    with_pair(function(a, b)
      local reading <const> = task.spawn(function()
        local line = a:read_line()
        a:close()
        return line
      end)
      b:write("one\ntwo\nthree\n")
      assert.equal("one", (reading:join()))
      assert.same({ n = 1 }, table.pack(b:read()))
    end)
  end)

  it("with unread input does not destroy the answer on its way", function()
    each_kind(function(kind, address)
      with_pair(function(a, b)
        b:write(("request "):rep(10000))
        b:flush()
        assert.equal("request", (a:read(7)))
        a:write("answer")
        a:close()
        task.sleep(0.01)
        assert.equal("answer", (b:read_all()), kind)
      end, address)
    end)
  end)

  it("with unread input does not destroy a large answer either", function()
    each_kind(function(kind, address)
      with_pair(function(a, b)
        b:write("request")
        b:flush()
        task.spawn(a.write, a, BIG)
        task.yield()
        a:close()
        task.sleep(0.01)
        assert.is_true(b:read_all() == BIG, kind)
      end, address)
    end)
  end)

  it("stops to wait for a peer that goes on sending", function()
    with_pair(function(a, b)
      b:write("x")
      b:flush()
      task.sleep(0.01)
      a:close(0.02)
      local ok, err
      repeat
        ok, err = b:write("more")
        task.sleep(0.001)
      until not ok
      assert.is_true(err.code == "EPIPE" or err.code == "ECONNRESET")
    end)
  end)

  it("after shutdown ends like any other", function()
    with_pair(function(a, b)
      a:write("x")
      a:shutdown()
      a:close()
      assert.equal("x", (b:read_all()))
    end)
  end)

  it("raises on what is no linger", function()
    with_pair(function(a)
      for _, linger in ipairs({ -1, 0 / 0, "long", {} }) do
        assert.has_error(function() a:close(linger) end)
      end
      assert.is_true(a:write("still open"))
    end)
  end)

  it("is what a <close> variable does", function()
    with_pair(function(a, b)
      do
        local closing <close> = a
        closing:write("x")
      end
      assert.equal("x", (b:read_all()))
      assert.equal("CLOSED", code_of(a:read()))
    end)
  end)
end)

describe("the end of a context", function()
  it("closes its streams, which still send", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local kept, peer
    context.scope(function()
      kept = assert(net.connect(listener:address()))
      kept:write("farewell")
    end)
    peer = assert(listener:accept())
    assert.equal("farewell", (peer:read_all()))
    assert.equal("CLOSED", code_of(kept:read()))
  end)

  it("wakes readers and writers of other contexts", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local ctx <const> = context.new()
    local stream
    ctx:spawn(function() stream = assert(net.connect(listener:address())) end):join()
    local reading <const> = task.spawn(stream.read, stream)
    local writing <const> = task.spawn(stream.write, stream, BIG)
    task.yield()
    ctx:close()
    assert.equal("CLOSED", select(2, reading:join()).code)
    assert.equal("CLOSED", select(2, writing:join()).code)
  end)

  it("lets a script end only when what it wrote has left", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local running <const> = assert(io.popen(subprocess.script([[
      local net <const> = require "ahost.net"
      local stream = assert(net.connect(...))
      stream.timeout = 0
      stream:write(("0123456789abcdef"):rep(65536 * 8))
      print("over")
    ]], listener:address())))
    local peer <close> = assert(listener:accept())
    local got = {}
    for chunk in peer:chunks() do
      got[#got + 1] = chunk
      if #got < 20 then task.sleep(0.002) end
    end
    assert.is_true(table.concat(got) == BIG)
    assert.equal("over\n", running:read("a"))
    assert.is_true(running:close())
  end)

  it("lets a script end with input unread, which does not destroy its answer", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local running <const> = assert(io.popen(subprocess.script([[
      local net <const> = require "ahost.net"
      local stream = assert(net.connect(...))
      assert(stream:read(1) == "r")
      stream:write("answer")
    ]], listener:address()) .. " 2>&1"))
    local peer <close> = assert(listener:accept())
    peer:write(("request"):rep(10000))
    assert.equal("answer", (peer:read_all()))
    peer:close()
    assert.equal("", running:read("a"))
    assert.is_true(running:close())
  end)
end)
