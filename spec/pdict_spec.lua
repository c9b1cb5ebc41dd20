local context <const> = require "ahost.context"
local errors <const> = require "ahost.error"
local json <const> = require "ahost.json"
local log <const> = require "ahost.log"
local pdict <const> = require "ahost.pdict"
local task <const> = require "ahost.task"
local subprocess <const> = require "spec.subprocess"
local is_stressed <const> = require "spec.gc_stress"

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read("a")
end

local function write(path, text)
  local file <close> = assert(io.open(path, "wb"))
  file:write(text)
end

describe("a persistent dictionary", function()
  local directory, remove, path

  before_each(function()
    directory, remove = subprocess.directory()
    path = directory .. "/state"
  end)
  after_each(function() remove() end)

  -- Opens, calls fn, closes.
  local function with(fn, opts)
    local dict <close> = assert(pdict.open(path, opts))
    return fn(dict)
  end

  -- All that is in it, after it has been opened again.
  local function contents(opts)
    return with(function(dict)
      local all <const> = {}
      for key, value in dict:pairs() do all[key] = value end
      return all
    end, opts)
  end

  it("keeps plain data, exactly", function()
    local values <const> = {
      int = math.mininteger, big = 1 << 62, float = 0.1, whole = 1.0, inf = math.huge,
      no = false, yes = true, empty = "", bytes = "\0\xff\r\n", null = json.null,
      nested = { 1, 2, { [3.5] = "x", [true] = { {} } } },
    }
    with(function(dict)
      for key, value in pairs(values) do assert.is_true(dict:set(key, value)) end
    end)
    local kept <const> = contents()
    assert.same(values, kept)
    assert.equal("integer", math.type(kept.int))
    assert.equal("float", math.type(kept.whole))
  end)

  it("tells empty lists from empty maps", function()
    with(function(dict) dict:set("a", json.decode '{"list": [], "map": {}}') end)
    assert.equal("[]", json.encode(contents().a.list))
    assert.equal("{}", json.encode(contents().a.map))
  end)

  it("refuses what is no plain data, and changes nothing", function()
    local circle <const> = {}
    circle[1] = circle
    with(function(dict)
      dict:set("a", 1)
      for _, bad in ipairs { print, coroutine.create(print), circle, io.stdout,
        setmetatable({}, {}) } do
        assert.error(function() dict:set("a", bad) end)
        assert.error(function() dict:update { b = 1, a = { bad } } end)
      end
      assert.error(function() dict:set(1, 1) end)
      assert.error(function() dict:get(nil) end)
      assert.equal(1, dict:get "a")
      assert.is_nil(dict:get "b")
    end)
    assert.same({ a = 1 }, contents())
  end)

  it("gives copies", function()
    with(function(dict)
      local list <const> = { 1 }
      dict:set("list", list)
      list[2] = 2
      dict:get("list")[3] = 3
      assert.same({ 1 }, dict:get "list")
    end)
  end)

  it("deletes, updates together, loads many, has defaults", function()
    with(function(dict)
      assert.is_true(dict:update { a = 1, b = 2, c = 3 })
      assert.is_true(dict:update({ a = 10 }, { "b", "nowhere" }))
      assert.is_true(dict:delete "nowhere")
      assert.is_true(dict:set("c", nil))
      assert.same({ 10, nil, nil, n = 3 }, table.pack(dict:load("a", "b", "c")))
      assert.equal(10, dict:setdefault("a", 5))
      assert.same({ 5 }, dict:setdefault("d", { 5 }))
      assert.same({ "a", "d" }, dict:keys())
      assert.equal(2, #dict)
    end)
    assert.same({ a = 10, d = { 5 } }, contents())
  end)

  it("is open once at a time, and says by whom", function()
    with(function()
      local other, err = pdict.open(path)
      assert.is_nil(other)
      assert.is_true(errors.is(err, "CONFLICT"))
      assert.equal(("open %s: in use by process %d (CONFLICT)"):format(path,
        require("ahost.process").pid), tostring(err))
    end)
    contents()
  end)

  it("is closed with its context, and can be opened at once again", function()
    for i = 1, 20 do
      context.scope(function()
        local dict <const> = assert(pdict.open(path, { sync = "interval" }))
        assert.equal(i > 1 and i - 1 or nil, dict:get "i")
        dict:set("i", i)
      end)
    end
  end)

  it("is let go of when its opening is given up", function()
    for i = 1, 20 do
      local dict <const> = task.timeout(i % 5 / 1000, pdict.open, path)
      if dict then assert.is_true(dict:close()) end
      assert.same({}, contents())
    end
  end)

  it("is let go of when its context ends while it is opened or written", function()
    for i = 1, 20 do
      local ctx <const> = context.new()
      local one <const> = ctx:spawn(function()
        local dict <const> = assert(pdict.open(path))
        while true do assert(dict:set("i", i)) end
      end)
      task.sleep(i % 5 / 1000)
      ctx:close()
      one:join()
      assert.is_true((contents().i or i) <= i)
    end
  end)

  it("is closed when it is collected", function()
    do assert(pdict.open(path, { sync = "never" })):set("a", 1) end
    collectgarbage()
    collectgarbage()
    assert.same({ a = 1 }, contents())
  end)

  it("refuses to be used when it is closed", function()
    local dict <const> = assert(pdict.open(path))
    assert.is_true(dict:close())
    assert.is_true(dict:close())
    local ok, err = dict:set("a", 1)
    assert.is_nil(ok)
    assert.is_true(errors.is(err, "CLOSED"))
    assert.error(function() dict:get "a" end, "the dictionary is closed")
    assert.is_nil((dict:compact()))
  end)

  it("has tasks share the writes to the disk", function()
    with(function(dict)
      local tasks <const> = {}
      for i = 1, 100 do
        tasks[i] = task.spawn(function() assert(dict:set("k" .. i, i)) end)
      end
      for _, one in ipairs(tasks) do one:join() end
    end)
    local all <const> = contents()
    for i = 1, 100 do assert.equal(i, all["k" .. i]) end
  end)

  it("keeps an update whose task was cancelled while it waited", function()
    with(function(dict)
      local one <const> = task.spawn(function() dict:set("a", 1) end)
      task.yield()
      one:cancel()
      one:join()
      dict:flush()
    end)
    assert.same({ a = 1 }, contents())
  end)

  it("compacts itself, while others update it", function()
    local rounds <const> = is_stressed() and 60 or 600
    local text <const> = ("x"):rep(2000000 // rounds)
    with(function(dict)
      local other <const> = task.spawn(function()
        for i = 1, rounds do assert(dict:set("i", i)) end
      end)
      for i = 1, rounds do assert(dict:set("text", text .. i)) end
      other:join()
      for _ = 1, 3 do assert.is_true(dict:compact()) end
    end, { sync = "never" })
    assert.is_true(#read(path) < #text + 1000)
    assert.same({ i = rounds, text = text .. rounds }, contents())
  end)

  it("drops an update that was cut off, and says so", function()
    with(function(dict)
      dict:set("a", 1)
      dict:update { a = 2, b = 2 }
    end)
    write(path, read(path):sub(1, -3))
    local capture <close> = log.capture { passes = false }
    assert.same({ a = 1 }, contents())
    assert.matches("state: the last update was cut off %(%d+ bytes%)",
      capture.records[1].text)
    assert.same({ a = 1 }, contents())
    assert.equal(1, #capture.records)
  end)

  it("refuses a damaged file, saying where, and salvages it when asked", function()
    with(function(dict)
      for i = 1, 5 do dict:set("k" .. i, i) end
    end)
    local bytes <const> = read(path)
    local at <const> = bytes:find("k2", 1, true)
    write(path, bytes:sub(1, at - 1) .. "K" .. bytes:sub(at + 1))
    local dict, err = pdict.open(path)
    assert.is_nil(dict)
    assert.matches("damaged at byte %d+: %d+ bytes are unreadable.*salvage = true",
      err.message)
    local capture <close> = log.capture { passes = false }
    assert.same({ k1 = 1, k3 = 3, k4 = 4, k5 = 5 }, contents { salvage = true })
    assert.matches("bytes were unreadable", capture.records[1].text)
    assert.same({ k1 = 1, k3 = 3, k4 = 4, k5 = 5 }, contents())
    assert.equal(#bytes, #read(path .. ".damaged"))
  end)

  it("refuses files of others", function()
    for _, text in ipairs { "x", ("#!/bin/sh\n"):rep(100) } do
      write(path, text)
      local dict, err = pdict.open(path, { salvage = true })
      assert.is_nil(dict)
      assert.matches("the file is not a dictionary", tostring(err))
      assert.equal(text, read(path))
    end
  end)

  it("fails for directories and what is not there", function()
    assert.is_nil((pdict.open(directory)))
    local _, err = pdict.open(directory .. "/none/state")
    assert.is_true(errors.is(err, "ENOENT"))
    assert.error(function() pdict.open(directory .. "/") end)
    assert.error(function() pdict.open(path, { sync = "often" }) end)
    assert.error(function() pdict.open(path, { interval = 0 }) end)
    assert.error(function() pdict.open(path, { color = 1 }) end)
  end)

  it("takes back what a full disk has no room for, and goes on", function()
    local script <const> = [[
      local pdict = require "ahost.pdict"
      local task = require "ahost.task"
      local dict = assert(pdict.open(..., {sync = select(2, ...)}))
      assert(dict:set("a", 1))
      assert(dict:flush())
      local failed, err
      for i = 1, 40 do
        local ok
        ok, err = dict:set("big", ("x"):rep(40000))
        if ok then ok, err = dict:flush() end
        failed = failed or not ok
        if not ok then break end
      end
      assert(failed and err.code == "EFBIG", err)
      assert(dict:get "a" == 1)
      assert(dict:delete "big" and dict:compact())
      assert(dict:set("a", 2) and dict:flush())
      print(dict:get "a", dict:get "big")
    ]]
    write(directory .. "/full.lua", script)
    for _, policy in ipairs { "always", "interval", "never" } do
      local result <const> = subprocess.shell(
        ("trap '' XFSZ; ulimit -f 200; exec $ahost %s/full.lua %s-%s %s"):format(
          directory, path, policy, policy))
      assert.equal("2\tnil\n", result.out)
    end
  end)

  it("has every update that it has told of after kill -9", function()
    write(directory .. "/child.lua", [[
      local dict = assert(require "ahost.pdict".open(...))
      io.stdout:setvbuf "no"
      local n = dict:get "a" or 0
      while true do
        n = n + 1
        assert(dict:update { a = n, b = n, text = ("x"):rep(n * 7919 % 20000) })
        io.write(n, "\n")
        if n % 17 == 0 then assert(dict:compact()) end
      end
    ]])
    local kills <const> = tonumber(os.getenv "AHOST_KILLS") or is_stressed() and 3 or 30
    local there = 0
    local _ <close> = log.capture { passes = false } -- of what is cut off
    for round = 1, kills do
      local child <close> = assert(io.popen(("echo $$; exec %s %s/child.lua %s"):format(
        subprocess.quote(subprocess.ahost), directory, path)))
      local pid <const> = child:read "l"
      local told = there
      for _ = 1, round * 31 % 23 do told = tonumber(child:read "l") or told end
      os.execute("kill -9 " .. pid)
      for line in child:lines() do told = tonumber(line) or told end
      with(function(dict)
        there = dict:get "a" or 0
        assert.equal(dict:get "a", dict:get "b")
        assert.is_true(there == told or there == told + 1, there .. " after " .. told)
        assert.equal(there > 0 and there * 7919 % 20000 or 0, #(dict:get "text" or ""))
      end)
    end
  end)
end)
