-- The sockets that generations of components hand on to each other.

local net <const> = require "ahost.net"
local runtime <const> = require "ahost.component.runtime"
local task <const> = require "ahost.task"
local command_line <const> = require "spec.command_line"
local gc_stress <const> = require "spec.gc_stress"
local pair <const> = require "spec.generation_pair"
local service_manager <const> = require "spec.service_manager"
local stream_pair <const> = require "spec.stream_pair"
local subprocess <const> = require "spec.subprocess"

local commit <const>, inside <const> = pair.commit, pair.inside
local eventually <const> = stream_pair.eventually

local app, old, new

before_each(function()
  app = pair.application()
  old = pair.current(app)
  new = pair.staged(app, old)
end)

after_each(function()
  app:close()
  runtime.release_sockets()
end)

-- A server in the context that answers each connection with a name.
local function serve(ctx, name, address, opts)
  return inside(ctx, function()
    return net.serve(address or "127.0.0.1:0", function(stream)
      stream:write(name)
    end, opts)
  end)
end

local function listen(ctx, address, opts)
  return inside(ctx, function() return net.listen(address, opts) end)
end

local function who_answers(address)
  local stream <close> = assert(net.connect(address))
  return (stream:read_all())
end

local function code_of(result, err)
  assert.is_nil(result)
  return err.code
end

-- An address that was free a moment ago.
local function free_address()
  local listener <close> = assert(net.listen "127.0.0.1:0")
  return listener:address()
end

local function exists(path)
  return os.execute("test -e " .. path) == true
end

describe("a staged listen", function()
  it("takes over the socket of the component that it follows", function()
    local address <const> = free_address()
    assert(serve(old, "old", address))
    local follower <const> = assert(serve(new, "new", address))
    assert.equal(address, follower:address())
    assert.equal("old", who_answers(address))
    commit(old, new)
    assert.equal("new", who_answers(address))
    old:close()
    assert.equal("new", who_answers(address))
    new:close()
    assert.equal("ECONNREFUSED", code_of(net.connect(address)))
  end)

  it("takes over in either order of activation and retirement", function()
    local server <const> = assert(serve(old, "old"))
    local address <const> = server:address()
    assert(serve(new, "new"))
    runtime.activate(new)
    runtime.retire(old)
    assert.equal("CLOSED", code_of(server:address()))
    assert.equal("new", who_answers(address))
  end)

  it("has the connections that wait in the backlog at the commit", function()
    local first <const> = assert(listen(old, "127.0.0.1:0"))
    local address <const> = first:address()
    local second <const> = assert(listen(new, "127.0.0.1:0"))
    local waiting <close> = assert(net.connect(address))
    commit(old, new)
    local later <close> = assert(net.connect(address))
    for _, client in ipairs { waiting, later } do
      local stream <close> = assert(second:accept(5))
      assert.equal(client:address(), stream:peer())
    end
    assert.equal("CLOSED", code_of(first:accept()))
  end)

  it("wakes those who accept in the old one, and nobody in the new one", function()
    local first <const> = assert(listen(old, "127.0.0.1:0"))
    local address <const> = first:address()
    local second <const> = assert(listen(new, "127.0.0.1:0"))
    local waiter <const> = task.spawn(first.accept, first)
    local staged <const> = new:spawn(second.accept, second)
    task.yield()
    commit(old, new)
    assert.equal("CLOSED", code_of(waiter:join()))
    local client <close> = assert(net.connect(address))
    assert.equal(client:address(), staged:join():peer())
  end)

  it("keeps the ports of a component in the order that it asks for them", function()
    local addresses <const> = {}
    for i = 1, 3 do addresses[i] = assert(serve(old, "old " .. i)):address() end
    for i = 1, 3 do assert.equal(addresses[i], serve(new, "new " .. i):address()) end
    assert.not_equal(addresses[1], serve(new, "new 4"):address())
    commit(old, new)
    for i = 1, 3 do assert.equal("new " .. i, who_answers(addresses[i])) end
  end)

  it("does not take the ports of another component", function()
    local other <const> = pair.current(app, "other")
    runtime.replace(other, true)
    local server <const> = assert(serve(other, "other"))
    assert.not_equal(server:address(), serve(new, "new"):address())
  end)

  it("does not take what a connection listens on", function()
    local data
    local control <const> = inside(old, function()
      return net.serve("127.0.0.1:0", function(stream)
        data = assert(net.listen "127.0.0.1:0")
        stream:read_line()
      end)
    end)
    local stream <close> = assert(net.connect(control:address()))
    eventually(function() return data end)
    assert(serve(new, "new"))
    assert.not_equal(data:address(), serve(new, "new"):address())
    commit(old, new)
    local client <close> = assert(net.connect(data:address()))
    assert.is_truthy(data:accept(5))
    assert.is_truthy(client)
    stream:close()
  end)

  it("is refused the address of a component that stays", function()
    runtime.replace(old, false)
    local server <const> = assert(serve(old, "old"))
    assert.equal("EADDRINUSE", code_of(serve(new, "new", server:address())))
    assert.equal("old", who_answers(server:address()))
  end)

  it("is refused an address a second time", function()
    local address <const> = free_address()
    assert(serve(old, "old", address))
    assert(serve(new, "new", address))
    assert.equal("EADDRINUSE", code_of(serve(new, "new", address)))
    local another <const> = free_address()
    assert(serve(new, "new", another))
    assert.equal("EADDRINUSE", code_of(serve(new, "new", another)))
  end)

  it("of a new address is heard of by nobody before the commit", function()
    local address <const> = free_address()
    assert(serve(new, "new", address))
    assert.equal("ECONNREFUSED", code_of(net.connect(address)))
    assert(runtime.prepare_sockets())
    local waiting <close> = assert(net.connect(address))
    assert.equal("TIMEDOUT", code_of(waiting:read_line(nil, 0.01)))
    commit(old, new)
    assert.equal("new", (waiting:read_all()))
  end)

  it("finds out that an address is taken", function()
    local taken <close> = assert(net.listen "127.0.0.1:0")
    assert.equal("EADDRINUSE", code_of(serve(new, "new", taken:address())))
  end)

  it("whose address somebody else takes makes the commit fail", function()
    local address <const> = free_address()
    assert(serve(new, "new", address))
    -- as the kernel has it for sockets that do not listen yet
    local at <close> = command_line.new { ["thief.lua"] = ([[
      local listener <const> = assert(require("ahost.net").listen(%q))
      print "listens"
      io.stdout:flush()
      require("ahost.task").sleep(60)]]):format(address) }
    local thief <close> = subprocess.start(at:script "exec $ahost thief.lua")
    assert.equal("listens", thief:read_line())
    local ok, err = runtime.prepare_sockets()
    assert.is_nil(ok)
    assert.equal("EADDRINUSE", err.code)
    assert.is_truthy(tostring(err):find(address, 1, true))
  end)

  it("leaves everything as it was when it is given up", function()
    local server <const> = assert(serve(old, "old"))
    local fresh <const> = free_address()
    assert(serve(new, "new"))
    assert(serve(new, "new", fresh))
    assert(runtime.prepare_sockets())
    new:close()
    assert.equal("old", who_answers(server:address()))
    assert.equal("ECONNREFUSED", code_of(net.connect(fresh)))
    local third <const> = pair.staged(app, old)
    assert.equal(server:address(), serve(third, "third"):address())
    commit(old, third)
    assert.equal("CLOSED", code_of(server:address()))
  end)

  it("keeps the socket when its holder ends before the commit", function()
    local server <const> = assert(serve(old, "old"))
    local address <const> = server:address()
    assert(serve(new, "new"))
    old:close()
    local waiting <close> = assert(net.connect(address))
    commit(nil, new)
    assert.equal("new", (waiting:read_all()))
  end)

  it("lets the component that it is to follow listen anew", function()
    local address <const> = free_address()
    local server <const> = assert(serve(old, "old", address))
    assert(serve(new, "new", address))
    server:close()
    assert(serve(old, "old again", address))
    assert.equal("old again", who_answers(address))
    commit(old, new)
    assert.equal("new", who_answers(address))
  end)

  it("applies its limit when it takes over", function()
    local address <const> = assert(serve(old, "old", nil, { backlog = 1 })):address()
    local accepted = 0
    inside(new, function()
      assert(net.serve("127.0.0.1:0", function(stream)
        accepted = accepted + 1
        stream:read_line()
      end, { limit = 2, backlog = 100 }))
    end)
    commit(old, new)
    local clients <const> = {}
    for i = 1, 20 do clients[i] = assert(net.connect(address, { timeout = 5 })) end
    eventually(function() return accepted == 2 end)
    for i = 1, 20 do clients[i]:close() end
  end)
end)

describe("a Unix socket", function()
  local path

  before_each(function() path = os.tmpname() os.remove(path) end)
  after_each(function() os.remove(path) end)

  it("keeps its file when it is handed on, until its last holder ends", function()
    local address <const> = "unix:" .. path
    assert(serve(old, "old", address))
    assert(serve(new, "new", address, { mode = tonumber("600", 8) }))
    commit(old, new)
    old:close()
    assert.is_true(exists(path))
    assert.equal("new", who_answers(address))
    local pipe <close> = assert(io.popen("stat -c %a " .. path))
    assert.equal("600", pipe:read())
    new:close()
    assert.is_false(exists(path))
  end)

  it("that is only bound is not taken for a stale one", function()
    local address <const> = "unix:" .. path
    assert(serve(new, "new", address))
    assert.equal("EADDRINUSE", code_of(net.listen(address)))
    assert.equal("ECONNREFUSED", code_of(net.connect(address)))
    commit(old, new)
    assert.equal("new", who_answers(address))
  end)

  it("that was bound for nothing leaves no file", function()
    assert(serve(new, "new", "unix:" .. path))
    new:close()
    assert.is_false(exists(path))
  end)
end)

describe("sockets that are kept", function()
  it("refuse nobody between the end of a component and the next start", function()
    local address <const> = assert(serve(old, "old")):address()
    local unused <const> = assert(serve(old, "old", free_address())):address()
    new:close()
    runtime.keep_sockets(old)
    old:close()
    local waiting <close> = assert(net.connect(address))
    local lost <close> = assert(net.connect(unused))
    local next_one <const> = pair.current(app)
    assert.equal(address, serve(next_one, "next"):address())
    runtime.release_sockets()
    assert.equal("next", (waiting:read_all()))
    assert.equal("ECONNREFUSED", code_of(net.connect(unused)))
    assert.is_truthy(lost)
  end)

  it("go back to the component that was stopped, should the next one fail", function()
    local address <const> = assert(serve(old, "old")):address()
    runtime.keep_sockets(old)
    old:close()
    assert.equal(address, serve(new, "new"):address())
    new:close()
    local again <const> = pair.current(app)
    assert.equal(address, serve(again, "again"):address())
    runtime.release_sockets()
    assert.equal("again", who_answers(address))
  end)

  it("are not given to another component that asks for any port", function()
    local address <const> = assert(serve(old, "old")):address()
    runtime.keep_sockets(old)
    old:close()
    assert.not_equal(address, serve(pair.current(app, "other"), "other"):address())
  end)

  it("are closed with the host", function()
    local result <const> = subprocess.shell(subprocess.script([[
      local context <const>, net <const> = require "ahost.context", require "ahost.net"
      local runtime <const> = require "ahost.component.runtime"
      local app <const> = runtime.application(context.current())
      local ctx <const> = runtime.context(app, "web", nil, false)
      ctx:spawn(function() assert(net.listen "127.0.0.1:0") end):join()
      runtime.keep_sockets(ctx)
      ctx:close()]]))
    assert.same({ status = 0, out = "", err = "" }, result)
  end)
end)

describe("a passed socket", function()
  it("is handed on, and stays open for whoever listens next", function()
    local at <close> = command_line.new { ["script.lua"] = [[
      local net <const>, pair <const> = require "ahost.net", require "pair"
      local app <const> = pair.application()
      local function serve(ctx, name)
        return pair.inside(ctx, function()
          return net.serve("fd:web", function(stream) stream:write(name) end)
        end)
      end
      local function answer(address)
        print((assert(net.connect(address)):read_all()))
      end
      local old <const> = pair.current(app)
      local address <const> = assert(serve(old, "old")):address()
      local new <const> = pair.staged(app, old)
      assert(serve(new, "new"))
      local _, err = serve(new, "again")
      print(err.code)
      answer(address)
      pair.commit(old, new)
      answer(address)
      new:close()
      local waiting <const> = assert(net.connect(address))
      assert(serve(app, "next"))
      print((waiting:read_all()))
      app:close()
    ]] }
    local source <const> = assert(io.open "spec/generation_pair.lua")
    at:write("pair.lua", source:read "a")
    source:close()
    service_manager.install(at)
    local running <const> = subprocess.start(at:script(
      "exec perl pass.pl port=web -- $ahost script.lua"))
    running:read_line()
    assert.same({ status = 0, out = "EADDRINUSE\nold\nnew\nnext\n" }, running:finish())
  end)
end)

describe("a thousand commits", function()
  it("leave no descriptor, no memory and no refused connection behind", function()
    local rounds <const> = gc_stress() and 30 or 1000
    local address <const> = assert(serve(old, "0")):address()
    new:close()
    local function swap(i)
      local following <const> = pair.staged(app, old)
      assert(serve(following, tostring(i)))
      commit(old, following)
      assert.is_true(runtime.drained(old, 5))
      old:close()
      old = following
      assert.equal(tostring(i), who_answers(address))
    end
    for i = 1, 20 do swap(i) end
    collectgarbage()
    collectgarbage()
    local memory <const>, open <const> = collectgarbage "count", pair.descriptors()
    for i = 1, rounds do swap(i) end
    collectgarbage()
    collectgarbage()
    assert.is_true(pair.descriptors() < open + 5)
    assert.is_true(collectgarbage "count" < memory + 64)
  end)

  it("drop no connection that comes while they are made", function()
    local rounds <const> = gc_stress() and 5 or 100
    local address <const> = assert(serve(old, "x")):address()
    new:close()
    local stop, answers = false, 0
    local clients <const> = task.spawn(function()
      while not stop do
        assert.equal("x", who_answers(address))
        answers = answers + 1
      end
    end)
    for _ = 1, rounds do
      local following <const> = pair.staged(app, old)
      assert(serve(following, "x"))
      task.yield()
      commit(old, following)
      local target <const> = answers + 1
      eventually(function() return answers > target or clients:status() == "failed" end)
      old:close()
      old = following
    end
    stop = true
    local _, err = clients:join()
    assert.is_nil(err)
  end)
end)
