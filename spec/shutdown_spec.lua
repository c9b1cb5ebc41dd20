-- The end of a program as the book on asyncio teaches it: collect all tasks, cancel
-- them, wait for all of them; lose nothing that they still have to do.

local context <const> = require "ahost.context"
local net <const> = require "ahost.net"
local subprocess <const> = require "spec.subprocess"
local task <const> = require "ahost.task"
local testing <const> = require "ahost.testing"

-- Runs fn when the current block is left, however that comes.
local function at_end(fn)
  return setmetatable({}, { __close = fn })
end

describe("at the end of an application", function()
  it("all tasks are cancelled at once, and all are waited for", function()
    local clock <close> = testing.clock()
    local time <const> = require "ahost.time"
    local ended = 0
    local app <const> = testing.host {
      component = {
        start = function(_, ctx)
          for i = 1, 100 do
            ctx:spawn(function()
              local _ <close> = at_end(function()
                task.sleep(i / 100)
                ended = ended + 1
              end)
              task.sleep(1e6)
            end)
          end
        end,
      },
    }
    local before <const> = time.now()
    app:stop()
    assert.equal(100, ended)
    assert.is_true(time.now() - before < 1.5) -- not the sum of what each takes
    clock:close()
  end)

  it("one that fails while it ends does not keep the others from ending", function()
    local ended = 0
    local app <const> = testing.host {
      component = {
        start = function(_, ctx)
          for i = 1, 6 do
            ctx:spawn(function()
              local _ <close> = at_end(function()
                task.yield()
                ended = ended + 1
                if i == 3 then error("cannot end", 0) end
              end)
              task.sleep(1e6)
            end)
          end
        end,
      },
    }
    assert.equal(1, app:stop())
    assert.equal(6, ended)
  end)

  it("what a task starts in its end is not lost, in a scope of its own", function()
    local told <const> = {}
    local server <close> = assert(net.serve("127.0.0.1:0", function(stream)
      for line in stream:lines() do
        told[#told + 1] = line
        stream:write("thanks\n")
      end
    end))
    local function say_goodbye(own)
      for i = 1, 3 do
        own:spawn(function()
          local stream <close> = assert(net.connect(server:address()))
          stream:write("going ", tostring(i), "\n")
          assert(stream:read_line())
        end)
      end
    end
    local app <const> = testing.host {
      component = {
        start = function(_, ctx)
          ctx:spawn(function()
            local _ <close> = at_end(function() context.scope(say_goodbye) end)
            task.sleep(1e6)
          end)
        end,
      },
    }
    app:stop()
    table.sort(told)
    assert.same({ "going 1", "going 2", "going 3" }, told)
  end)

  it("connections are served to the end of what they have begun", function()
    local app <const> = testing.host {
      component = {
        start = function(_, ctx)
          local server <const> = assert(net.serve("127.0.0.1:0", function(stream)
            local line <const> = stream:read_line()
            task.shield(function()
              task.sleep(0.02)
              assert(stream:write("done ", line, "\n"))
              assert(stream:flush())
            end)
          end))
          ctx:publish("address", server:address())
        end,
      },
    }
    local streams <const> = {}
    for i = 1, 20 do
      streams[i] = assert(net.connect(app:require "address"))
      streams[i]:write(tostring(i), "\n")
    end
    task.sleep(0.005)
    app:stop()
    for i, stream in ipairs(streams) do
      assert.equal("done " .. i, stream:read_line())
      assert.is_nil((stream:read()))
    end
  end)

  it("work in threads is waited for", function()
    local resolved
    local app <const> = testing.host {
      component = {
        start = function(_, ctx)
          ctx:spawn(function()
            resolved = task.shield(net.resolve, "localhost")
            task.sleep(1e6)
          end)
          task.yield()
        end,
      },
    }
    app:stop()
    assert.is_table(resolved)
  end)
end)

describe("process signals while a program ends", function()
  it("do not begin the end anew: what ends goes on", function()
    local directory <const> = testing.directory()
    local path <const> = directory:write("app.lua", [[
      io.stdout:setvbuf "no"
      local task <const> = require "ahost.task"
      return {
        start = function(_, ctx)
          ctx:spawn(function()
            local _ <close> = setmetatable({}, { __close = function()
              print "ending"
              task.sleep(0.3)
              print "ended"
            end })
            task.sleep(1e6)
          end)
          print "ready"
        end,
      }
    ]])
    local child <close> = subprocess.start("exec $ahost " .. path)
    assert.equal("ready", child:read_line())
    child:signal "INT"
    assert.equal("ending", child:read_line())
    child:signal "INT"
    local result <const> = child:finish()
    assert.equal(0, result.status)
    assert.matches("ended\n$", result.out)
    local _, times = result.out:gsub("ending", "")
    assert.equal(0, times)
  end)
end)
