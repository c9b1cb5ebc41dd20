-- Which of a program's files have changed.

local context <const> = require "ahost.context"
local fs <const> = require "ahost.fs"
local sync <const> = require "ahost.sync"
local task <const> = require "ahost.task"
local testing <const> = require "ahost.testing"
local watch <const> = require "ahost.command.watch"
local subprocess <const> = require "spec.subprocess"

local directory, remove, watching, calls

local function path(name) return directory .. "/" .. name end

local function shell(script)
  assert(os.execute("cd " .. directory .. " && " .. script))
end

-- Watches these files, whose list may be changed; calls are queued.
local function start(names)
  calls = sync.queue(100)
  watching = watch.changes(function()
    local paths <const> = {}
    for i, name in ipairs(names) do paths[i] = path(name) end
    return paths
  end, function(changed)
    for i, one in ipairs(changed) do changed[i] = one:sub(#directory + 2) end
    calls:put(changed)
  end)
end

describe("watching the files of a program", function()
  before_each(function() directory, remove = subprocess.directory() end)
  after_each(function()
    watching:cancel()
    watching:join()
    remove()
  end)

  it("tells several changes in one call, and of these files only", function()
    local _ <close> = testing.clock() -- however busy the machine is
    shell "echo a >a.lua && mkdir d && echo b >d/b.lua"
    start { "a.lua", "d/b.lua" }
    shell "echo x >other && echo b2 >d/b.lua && echo >d/other && echo a2 >a.lua"
    assert.same({ "a.lua", "d/b.lua" }, calls:get())
    shell "echo >other && echo a3 >a.lua"
    assert.same({ "a.lua" }, calls:get())
  end)

  it("sees files that are replaced, removed and made again", function()
    local _ <close> = testing.clock()
    shell "echo a >a.lua"
    start { "a.lua", "b.lua" }
    shell "echo a2 >.a.swp && mv a.lua a.lua~ && mv .a.swp a.lua"
    assert.same({ "a.lua" }, calls:get())
    shell "rm a.lua"
    assert.same({ "a.lua" }, calls:get())
    shell "echo b >b.lua"
    assert.same({ "b.lua" }, calls:get())
  end)

  it("survives directories that vanish", function()
    local _ <close> = testing.clock()
    shell "mkdir d && echo a >d/a.lua"
    start { "d/a.lua", "no/b.lua" }
    for _ = 1, 3 do
      shell "rm -r d"
      assert.same({ "d/a.lua" }, calls:get())
      shell "mkdir d && echo a >d/a.lua"
      assert.same({ "d/a.lua" }, calls:get())
    end
    shell "mkdir no && echo b >no/b.lua"
    assert.same({ "no/b.lua" }, calls:get())
  end)

  it("asks for the files again after each call", function()
    shell "mkdir d && echo a >a.lua && echo b >d/b.lua"
    local names <const> = { "a.lua" }
    start(names)
    shell "echo >d/b.lua"
    names[2] = "d/b.lua"
    shell "echo a2 >a.lua"
    assert.same({ "a.lua" }, calls:get())
    task.sleep(0)
    local told
    repeat -- it may take a moment until the new directory is watched
      shell "echo b2 >d/b.lua"
      told = calls:get(0.2)
    until told
    assert.same({ "d/b.lua" }, told)
    names[1] = "d/b.lua"
    shell "echo a3 >a.lua && echo b3 >d/b.lua"
    told = calls:get()
    assert.equal("d/b.lua", told[#told])
  end)

  it("sees where links lead to", function()
    local _ <close> = testing.clock()
    shell "mkdir 1 2 && echo 1 >1/a && echo 2 >2/a && ln -s 1 data && ln -s data/a a.lua"
    start { "a.lua" }
    shell "ln -s 2 new && mv -T new data"
    assert.same({ "a.lua" }, calls:get())
  end)

  it("does not wait for ever for a file that is written to all the time", function()
    shell "echo a >a.lua"
    start { "a.lua" }
    while #calls == 0 do
      assert(fs.write(path "a.lua", "x", { append = true }))
      task.sleep(0.01)
    end
    assert.same({ "a.lua" }, calls:get())
  end)

  it("ends when it is cancelled, with all that it watches", function()
    local before <const> = #fs.list("/proc/self/fd")
    start { "a.lua", "d/b.lua" }
    watching:cancel()
    assert.equal("CANCELLED", select(2, watching:join()).code)
    assert.is_true(#fs.list("/proc/self/fd") <= before + 1)
  end)

  it("goes on where a directory cannot be watched", function()
    shell "echo a >a.lua && ln -s loop loop"
    start { "loop/b.lua", "a.lua" }
    shell "echo a2 >a.lua"
    assert.same({ "a.lua" }, calls:get())
  end)

  it("fails with what its function raises", function()
    shell "echo a >a.lua"
    assert.error_matches(function()
      context.scope(function()
        watching = watch.changes(function() return { path "a.lua" } end,
          function() error("no reload") end)
        shell "echo a2 >a.lua"
        task.sleep(60)
      end)
    end, "no reload")
  end)
end)
