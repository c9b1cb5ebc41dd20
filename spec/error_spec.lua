local context <const> = require "ahost.context"
local errors <const> = require "ahost.error"
local net <const> = require "ahost.net"
local task <const> = require "ahost.task"

describe("an error object", function()
  it("reads well alone", function()
    local _, err = net.connect("127.0.0.1:1")
    assert.equal("connect 127.0.0.1:1: connection refused (ECONNREFUSED)", tostring(err))
  end)

  it("keeps zero bytes in its message", function()
    assert.equal("a\0b", errors.new("CONFIG", "a\0b").message)
  end)

  it("has a code, a message and what was tried", function()
    local _, err = net.connect("127.0.0.1:1")
    assert.equal("ECONNREFUSED", err.code)
    assert.equal("connection refused", err.message)
    assert.equal("connect 127.0.0.1:1", err.op)
  end)

  it("is raised itself by assert", function()
    local failure <const> = errors.new("EBROKEN", "it is broken")
    local ok, raised = pcall(function() _G.assert(nil, failure) end)
    assert.is_false(ok)
    assert.is_true(rawequal(failure, raised))
  end)

  it("can be made by programs, with fields of their own", function()
    local err <const> = errors.new("EBROKEN", "it is broken", { op = "mend", part = 7 })
    assert.equal("mend: it is broken (EBROKEN)", tostring(err))
    assert.equal(7, err.part)
  end)

  it("is told from other values, and by its code", function()
    local err <const> = errors.new("EBROKEN", "it is broken")
    assert.is_true(errors.is(err))
    assert.is_true(errors.is(err, "EBROKEN"))
    assert.is_false(errors.is(err, "ENOENT"))
    assert.is_false(errors.is({ code = "EBROKEN" }, "EBROKEN"))
    for _, other in ipairs { "EBROKEN", 1, true, print } do
      assert.is_false(errors.is(other))
    end
    assert.is_false(errors.is(nil))
  end)

  it("wraps what a task raised, where an error object is promised", function()
    local raised <const> = {}
    local err <const> = context.scope({ on_error = "log" }, function()
      return select(2, task.spawn(function() error(raised) end):join())
    end)
    assert.equal("FAILED", err.code)
    assert.is_true(rawequal(raised, err.value))
  end)

  it("refuses to be made of the wrong things", function()
    assert.error_matches(function() errors.new() end, "bad argument #1")
    assert.error_matches(function() errors.new("ECODE") end, "bad argument #2")
    assert.error_matches(function() errors.new("ECODE", "text", 3) end, "table expected")
  end)
end)

describe("xpcall", function()
  it("calls its handler where the error was raised, with the arguments kept", function()
    local function fails(a, b) error(a .. b, 0) end
    local function traced(message) return message .. "!" .. debug.traceback() end
    local ok, message = xpcall(fails, traced, "one ", "two")
    assert.is_false(ok)
    assert.matches("^one two!.*in function 'error'", message)
  end)

  it("gives all results of a function that waits", function()
    local function waits(...)
      task.sleep(0)
      return ...
    end
    assert.same({ true, 1, nil, 3, n = 4 }, table.pack(xpcall(waits, print, 1, nil, 3)))
  end)

  it("catches an error behind an await", function()
    local ok, message = xpcall(function()
      task.sleep(0)
      error("late", 0)
    end, function(message) return message:upper() end)
    assert.is_false(ok)
    assert.equal("LATE", message)
  end)

  it("needs a function as its handler", function()
    assert.error_matches(function() xpcall(print, nil) end, "bad argument #2")
  end)

  it("is made for a cancellation too, which comes again at the next await", function()
    local seen = {}
    local victim <const> = task.spawn(function()
      xpcall(task.sleep, function(err) seen[#seen + 1] = err.code end, 1000)
      local ok, err = pcall(task.sleep, 1000)
      seen[#seen + 1] = ok or err.code
    end)
    task.yield()
    victim:cancel()
    victim:join()
    assert.same({ "CANCELLED", "CANCELLED" }, seen)
  end)
end)
