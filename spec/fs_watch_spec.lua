-- Watching files and directories.

local context <const> = require "ahost.context"
local fs <const> = require "ahost.fs"
local task <const> = require "ahost.task"
local subprocess <const> = require "spec.subprocess"
local gc_stress <const> = require "spec.gc_stress"

local directory, remove

before_each(function() directory, remove = subprocess.directory() end)
after_each(function() remove() end)

local function path(name) return directory .. "/" .. name end

local function shell(script)
  assert(os.execute("cd " .. directory .. " && " .. script))
end

-- Changes up to the one of the file `end`, each once: "what name". What is told several
-- times in a row of a file that is written to depends on the moment.
local function until_end(watch, last)
  local got <const> = {}
  for event in watch do
    local text <const> = event.what .. " " .. event.path:sub(#directory + 2)
    if text == (last or "created end") then break end
    if got[#got] ~= text then got[#got + 1] = text end
  end
  return got
end

local ends = 0

-- What the watch tells of what the script does.
local function changes(watch, script)
  ends = ends + 1
  shell(("%s && : >end%d"):format(script, ends))
  return until_end(watch, "created end" .. ends)
end

local function set(list)
  local found <const> = {}
  for _, text in ipairs(list) do found[text] = true end
  return found
end

describe("a watch of a directory", function()
  it("tells what was created, changed and removed", function()
    shell "echo >old"
    local watch <close> = assert(fs.watch(directory))
    assert.same({ "created a" }, changes(watch, ": >a"))
    assert.same({ "changed a" }, changes(watch, "echo x >>a"))
    assert.same({ "changed a" }, changes(watch, "chmod 600 a"))
    assert.same({ "removed a" }, changes(watch, "rm a"))
    assert.same({ "changed old" }, changes(watch, "echo y >old"))
    assert.same({ "removed old", "created new" }, changes(watch, "mv old new"))
    assert.same({ "created d" }, changes(watch, "mkdir d"))
    assert.same({}, changes(watch, ": >d/a"))
    assert.same({ "removed d" }, changes(watch, "rm -r d"))
    assert.equal(0, watch.dropped)
  end)

  it("tells nothing of what has gone before it could be looked at", function()
    local watch <close> = assert(fs.watch(directory))
    assert.same({}, changes(watch, ": >a && : >b && rm a b"))
  end)

  it("tells of a file that is replaced by its editor", function()
    shell "echo old >a"
    local watch <close> = assert(fs.watch(directory))
    assert.same({ "changed a" }, changes(watch, "echo new >.a.swp && mv .a.swp a"))
    assert.same({ "created a~", "changed a" },
      changes(watch, "ln a a~ && echo newer >t && mv t a"))
  end)

  it("comes back with the directory", function()
    shell "mkdir d && : >d/a"
    local watch <close> = assert(fs.watch(path "d"))
    for _ = 1, 3 do
      shell "rm -r d && mkdir d && : >d/b && : >d/end"
      assert.is_true(set(until_end(watch, "created d/end"))["created d/b"])
      shell "mv d e && mkdir d && : >d/a && : >d/last && rm -r e"
      assert.is_true(set(until_end(watch, "created d/last"))["created d/a"])
      shell "rm d/last && : >d/c"
      assert.is_true(set(until_end(watch, "created d/c"))["removed d/last"])
    end
  end)

  it("may begin before the directory is there", function()
    local watch <close> = assert(fs.watch(path "x/y/z"))
    shell "mkdir x && mkdir x/y && mkdir x/y/z && : >x/y/z/a"
    assert.same({ "created x/y/z" }, until_end(watch, "created x/y/z/a"))
    shell "mv x w && mkdir -p x/y/z && : >x/y/z/b"
    assert.is_true(set(until_end(watch, "created x/y/z/b"))["removed x/y/z/a"])
  end)

  it("is an iterator that ends when it is closed", function()
    local watch <const> = assert(fs.watch(directory))
    local waiting <const> = task.spawn(function()
      for _ in watch do error("nothing has happened") end
      return "ended"
    end)
    task.yield()
    assert.error_matches(function() watch() end, "another task is waiting")
    watch:close()
    assert.equal("ended", waiting:join())
    assert.is_nil(watch())
    watch:close()
  end)

  it("ends with its context", function()
    local watch
    context.scope(function() watch = assert(fs.watch(directory)) end)
    assert.is_nil(watch())
    assert.equal("CLOSED", select(2, watch.notices:add("/")).code)
  end)

  it("loses nothing to a cancellation", function()
    local watch <close> = assert(fs.watch(directory))
    for i = 1, gc_stress() and 5 or 50 do
      fs.write(path(i), "")
      local waiting <const> = task.spawn(function() return watch() end)
      for _ = 1, i % 5 do task.yield() end
      waiting:cancel()
      local event <const> = waiting:join() or watch()
      assert.same({ path = path(i), what = "created" }, event)
      repeat
        local rest = task.timeout(0, function() return watch() end)
      until not rest
    end
  end)

  it("finds by itself what was too much to be told", function()
    shell "seq -f x%g 50 | xargs touch"
    local watch <close> = assert(fs.watch(directory, { max = 3 }))
    shell "seq 100 | xargs touch && rm x*"
    task.sleep(0) -- a turn of the loop, that notices come in
    shell ": >end"
    local got <const> = set(until_end(watch))
    assert.is_true(watch.dropped > 0)
    for event in watch do
      got[event.what .. " " .. event.path:sub(#directory + 2)] = true
      local missing = false
      for i = 1, 100 do missing = missing or not got["created " .. i] end
      for i = 1, 50 do missing = missing or not got["removed x" .. i] end
      if not missing then break end
    end
  end)

  it("raises for options that there are not", function()
    assert.error_matches(function() fs.watch(directory, { recursve = true }) end,
      "unknown option 'recursve'")
    assert.error_matches(function() fs.watch(directory, { max = 0 }) end, "option 'max'")
    assert.error_matches(function() fs.watch() end, "the path is no path")
  end)
end)

describe("a recursive watch", function()
  it("tells of what is below, and of what comes with a directory", function()
    shell "mkdir -p a/b && : >a/b/c"
    local watch <close> = assert(fs.watch(directory, { recursive = true }))
    assert.same({ "changed a/b/c" }, changes(watch, "echo >>a/b/c"))
    assert.same({ "created d", "created d/e", "created d/e/f" },
      changes(watch, "mkdir -p d/e && : >d/e/f"))
    assert.same({ "created d/e/g" }, changes(watch, ": >d/e/g"))
    local got = changes(watch, "rm -r d")
    assert.same({ ["removed d"] = true, ["removed d/e"] = true, ["removed d/e/f"] = true,
      ["removed d/e/g"] = true }, set(got))
    assert.equal("removed d", got[#got])
    got = changes(watch, "mv a x")
    assert.same({ ["removed a"] = true, ["removed a/b"] = true, ["removed a/b/c"] = true,
      ["created x"] = true, ["created x/b"] = true, ["created x/b/c"] = true }, set(got))
    assert.same({ "changed x/b/c" }, changes(watch, "echo >>x/b/c"))
  end)

  it("follows no links", function()
    shell "mkdir o && mkdir w && ln -s ../o w/l && ln -s . w/loop"
    local watch <close> = assert(fs.watch(path "w", { recursive = true }))
    shell ": >o/a && : >w/end"
    assert.same({}, until_end(watch, "created w/end"))
  end)

  it("watches many directories, and lets go of them", function()
    local count <const> = gc_stress() and 20 or 300
    shell("seq " .. count .. " | xargs mkdir")
    local before <const> = #fs.list("/proc/self/fd")
    local watch <const> = assert(fs.watch(directory, { recursive = true }))
    shell ": >7/a && : >end"
    assert.same({ "created 7/a" }, until_end(watch))
    watch:close()
    assert.is_true(#fs.list("/proc/self/fd") <= before + 1) -- the loop's own for notices
  end)
end)

describe("a watch of a file", function()
  it("tells of that file alone, however it is written", function()
    shell "echo 1 >a"
    local watch <close> = assert(fs.watch(path "a"))
    shell ": >b && chmod 600 a && rm b"
    assert.same({ path = path "a", what = "changed" }, watch())
    shell "echo 3 >t && mv t a"
    assert.same({ path = path "a", what = "changed" }, watch())
    shell "rm a"
    local event
    repeat event = watch() until event.what ~= "changed"
    assert.same({ path = path "a", what = "removed" }, event)
    shell ": >a"
    assert.same({ path = path "a", what = "created" }, watch())
  end)

  it("sees where a link leads to", function()
    shell "mkdir 1 2 && echo one >1/a && echo two >2/a && ln -s 1 data && ln -s data/a a"
    local watch <close> = assert(fs.watch(path "a"))
    shell "ln -s 2 new && mv -T new data"
    assert.same({ path = path "a", what = "changed" }, watch())
  end)

  it("waits for a file that is not there, nor its directory", function()
    local watch <close> = assert(fs.watch(path "d/a"))
    shell "mkdir d"
    shell ": >d/b && : >d/a"
    assert.same({ path = path "d/a", what = "created" }, watch())
    shell "rm -r d"
    assert.same({ path = path "d/a", what = "removed" }, watch())
    shell "mkdir d && : >d/a"
    assert.same({ path = path "d/a", what = "created" }, watch())
  end)
end)
