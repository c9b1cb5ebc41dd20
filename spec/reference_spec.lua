local context <const> = require "ahost.context"
local errors <const> = require "ahost.error"
local reference <const> = require "ahost.reference"
local subprocess <const> = require "spec.subprocess"
local sync <const> = require "ahost.sync"
local task <const> = require "ahost.task"

describe("ahost.reference", function()
  local directory, remove, path, loaded

  -- Writes a module.
  local function write(name, text)
    subprocess.write(directory .. "/" .. name .. ".lua", text)
  end

  local function find(text) return reference.resolve(text, { directory = directory }) end

  local function assert_fails(code, pattern, value, err)
    assert.is_nil(value)
    assert.is_true(errors.is(err, code), tostring(err))
    assert.match(pattern, err.message)
    return err
  end

  before_each(function()
    directory, remove = subprocess.directory()
    path, loaded = package.path, {}
    for name in pairs(package.loaded) do loaded[name] = true end
    package.path = directory .. "/?.lua;" .. package.path
    _G.spec_reference = {}
  end)

  after_each(function()
    package.path = path
    for name in pairs(package.loaded) do
      if not loaded[name] then package.loaded[name] = nil end
    end
    _G.spec_reference = nil
    remove()
  end)

  it("finds names in modules and files, and modules alone", function()
    write("one", "return { f = 1, deep = { er = { name = 2 } }, off = false }")
    assert.equal(1, find "one:f")
    assert.equal(2, find "one:deep.er.name")
    assert.equal(false, find "one:off")
    assert.equal(1, find("one").f)
    assert.equal(2, find "./one.lua:deep.er.name")
    assert.equal(2, find "one.lua:deep.er.name")
    assert.equal(1, reference.resolve(directory .. "/one.lua:f"))
    assert.equal(require "one", find "one")
    assert.equal(string.format, find "string:format")
    assert.equal(require "ahost.net", find "ahost.net")
  end)

  it("returns what is no text as it is", function()
    assert.equal(print, reference.resolve(print))
    assert.is_nil(reference.resolve(nil))
  end)

  it("tells where it has found a module", function()
    write("one", "return 1")
    local value, from = reference.load("one")
    assert.same({ 1, directory .. "/one.lua" }, { value, from })
    value, from = reference.load("one")
    assert.same({ 1, directory .. "/one.lua" }, { value, from })
    value, from = reference.load("./one.lua", { directory = directory })
    assert.same({ 1, directory .. "/one.lua" }, { value, from })
  end)

  it("runs each module once, with its name", function()
    write("once", "spec_reference[#spec_reference + 1] = ...")
    assert.equal(true, find "once")
    assert.equal(true, find "once")
    assert.same({ "once" }, _G.spec_reference)
  end)

  it("lets a module wait, and a second task wait for it", function()
    local event = sync.event()
    _G.spec_reference.event = event
    write("slow", [[
      spec_reference.runs = (spec_reference.runs or 0) + 1
      spec_reference.event:wait()
      return { x = 5 }]])
    local results = {}
    context.scope(function(ctx)
      for i = 1, 3 do
        ctx:spawn(function() results[i] = find "slow:x" end)
      end
      task.yield()
      task.yield()
      assert.same({}, results)
      event:set()
    end)
    assert.same({ 5, 5, 5 }, results)
    assert.equal(1, _G.spec_reference.runs)
  end)

  it("gives the failure of a module to all who wait for it", function()
    local event = sync.event()
    _G.spec_reference.event = event
    write("bad", "spec_reference.event:wait() error('boom')")
    local results = {}
    context.scope(function(ctx)
      for i = 1, 2 do
        ctx:spawn(function() results[i] = select(2, find "bad") end)
      end
      task.yield()
      event:set()
    end)
    assert.equal(results[1], results[2])
    assert_fails("FAILED", "^module 'bad': .*/bad.lua:1: boom$", nil, results[1])
    write("bad", "return 7")
    assert.equal(7, find "bad")
  end)

  it("lets the second task load when the first is cancelled", function()
    local event = sync.event()
    _G.spec_reference.event = event
    write("slow", "spec_reference.event:wait() return 1")
    local first = task.spawn(find, "slow")
    local second = task.spawn(find, "slow")
    task.yield()
    first:cancel()
    first:join()
    assert.equal("cancelled", first:status())
    event:set()
    assert.equal(1, second:join())
  end)

  it("says what was searched for a module that is not there", function()
    local err = assert_fails("NOTFOUND", "^module 'no.such' not found$", find "no.such:x")
    assert.match("no field package.preload%['no.such'%]", err.searched)
    assert.match(directory:gsub("%p", "%%%0") .. "/no/such.lua", err.searched)
    assert_fails("NOTFOUND", "^cannot open file .*/nothing.lua: No such file",
      find "./nothing.lua:x")
  end)

  it("tells where a module failed, with a traceback", function()
    write("bad", "local function inner() error('boom') end\ninner()")
    local err = assert_fails("FAILED", "^module 'bad': .*/bad.lua:1: boom$", find "bad")
    assert.match("bad.lua:2: in main chunk", err.traceback)
    write("worse", "error(require('ahost.error').new('EINVAL', 'no'))")
    err = assert_fails("FAILED", "^module 'worse': no %(EINVAL%)$", find "worse")
    assert.equal("EINVAL", err.value.code)
    write("syntax", "return +")
    assert_fails("FAILED", "syntax.lua:1: unexpected symbol", find "syntax")
    assert_fails("FAILED", "^.*/syntax.lua:1: unexpected symbol", find "./syntax.lua")
    write("deep", "local function f() return 1 + f() end f()")
    assert_fails("FAILED", "^module 'deep': .*stack overflow", find "deep")
  end)

  it("says what a module has instead of the name", function()
    write("one", "return { handler = 1, start = { now = 2 } }")
    assert_fails("NOTFOUND",
      "^module 'one' has no 'handlr' %(did you mean \"handler\"%?%)$",
      find "one:handlr")
    assert_fails("NOTFOUND", "^module 'one' has no 'x' %(known are: handler, start%)$",
      find "one:x")
    assert_fails("NOTFOUND", "^'start' of module 'one' has no 'x' %(known are: now%)$",
      find "one:start.x")
    assert_fails("NOTFOUND", "^'handler' of module 'one' is a number and has no 'x'$",
      find "one:handler.x")
    write("nothing", "")
    assert_fails("NOTFOUND", "^module 'nothing' is a boolean and has no 'x'$",
      find "nothing:x")
    write("raises", "return setmetatable({}, { __index = function() error 'boom' end })")
    assert_fails("FAILED", "^'x' of module 'raises': .*boom$", find "raises:x")
  end)

  it("finds functions, and what can be called", function()
    local callable = setmetatable({}, { __call = print })
    assert.equal(string.format, reference.callable("string:format"))
    assert.equal(print, reference.callable(print))
    assert.equal(callable, reference.callable(callable))
    local opts = { op = "func" }
    assert.equal("func: 'math:pi' is a number, not a function",
      tostring(select(2, reference.callable("math:pi", opts))))
    assert.equal("func: it is a boolean, not a function",
      tostring(select(2, reference.callable(false, opts))))
    assert.equal("func: module 'math' has no 'pie' (did you mean \"pi\"?) (NOTFOUND)",
      tostring(select(2, reference.callable("math:pie", opts))))
  end)

  it("refuses what is no reference", function()
    local texts <const> = { "", ":", "a:", ":a", "a:b..c", "a:.b", "a:b.", "a:1" }
    for _, text in ipairs(texts) do
      assert_fails("NOTFOUND", "^bad reference '", find(text))
    end
  end)

  it("names the chain of a loading loop", function()
    local load_other = "return assert(require('ahost.reference').resolve('%s'))"
    write("a", load_other:format("b"))
    write("b", load_other:format("c"))
    write("c", load_other:format("b"))
    assert_fails("FAILED", "loading loop: module 'b' %-> module 'c' %-> module 'b'$",
      find "a")
    write("d", load_other:format("d"))
    assert_fails("FAILED", "loading loop: module 'd' %-> module 'd'$", find "d")
  end)

  it("notices a loop across two tasks", function()
    local load_other = [[
      require("ahost.task").yield()
      return assert(require("ahost.reference").resolve("%s"))]]
    write("left", load_other:format("right"))
    write("right", load_other:format("left"))
    local errs = {}
    context.scope(function(ctx)
      ctx:spawn(function() errs[1] = select(2, find "left") end)
      ctx:spawn(function() errs[2] = select(2, find "right") end)
    end)
    assert_fails("FAILED", "loading loop: module '", nil, errs[1])
    assert_fails("FAILED", "loading loop: module '", nil, errs[2])
  end)
end)
