local context <const> = require "ahost.context"
local signal <const> = require "ahost.signal"
local task <const> = require "ahost.task"

-- Runs fn(ctx) in a scope where the failures of tasks are not the test's.
local function apart(fn) return context.scope({ on_error = "log" }, fn) end

-- The error object that fn raises.
local function raised(fn, ...)
  local ok <const>, err <const> = pcall(fn, ...)
  assert.is_false(ok)
  return err
end

local function keys_of(list)
  local keys <const> = {}
  for i, item in ipairs(list) do keys[i] = item.key end
  return keys
end

describe("ctx:publish", function()
  local ctx
  before_each(function() ctx = context.new() end)
  after_each(function() ctx:close() end)

  it("makes a value available by both spellings of its key", function()
    local mailer <const> = {}
    ctx:publish("mailer", mailer)
    ctx:publish("db/replica", 7)
    ctx:publish("db.session/default", false)
    assert.equal(mailer, ctx:get("mailer"))
    assert.equal(mailer, ctx:get("mailer/default"))
    assert.equal(7, ctx:get("db/replica"))
    assert.is_false(ctx:get("db.session"))
    assert.is_nil(ctx:get("db"))
    assert.is_nil(ctx:get("replica"))
  end)

  it("refuses bad keys and values", function()
    local bad <const> = { "", "a b", "a:b", "a/b.c", "a/", "/b", "a//b", "a.", ".a" }
    for _, key in ipairs { "a/b/c", "a\0", 1, {}, table.unpack(bad) } do
      assert.has_error(function() ctx:publish(key, 1) end)
      assert.has_error(function() ctx:get(key) end)
    end
    assert.has_error(function() ctx:publish("a") end)
    assert.has_error(function() ctx:publish("a", nil) end)
    assert.has_error(function() ctx:publish_lazy("a", 1) end)
    assert.has_error(function() ctx:publish("a", 1, 2) end)
    assert.has_error(function() ctx:publish("a", 1, { types = "b" }) end)
    assert.has_error(function() ctx:publish("a", 1, { types = { "b c" } }) end)
    assert.has_error(function() ctx:publish("a", 1, { attr = 1 }) end)
    assert.same({}, ctx:resources("a"))
  end)

  it("raises CONFLICT for a taken key and registers nothing", function()
    ctx:publish("a/x", 1)
    local err <const> = raised(ctx.publish, ctx, "b/x", 2,
      { types = { "a" }, attr = "b" })
    assert.equal("CONFLICT", err.code)
    assert.matches("a/x", tostring(err))
    assert.equal("b/x", err.key)
    assert.is_nil(ctx:get("b/x"))
    assert.is_nil(ctx.b)
    assert.equal("CONFLICT", raised(ctx.publish_lazy, ctx, "a/x", print).code)
    ctx:publish("b/x", 3)
  end)

  it("raises CONFLICT for a taken attribute and registers nothing", function()
    ctx.mail = 1
    for _, attr in ipairs { "mail", "spawn", "get", "parent", "published" } do
      assert.equal("CONFLICT", raised(ctx.publish, ctx, "a", 1, { attr = attr }).code)
    end
    assert.is_nil(ctx:get("a"))
    ctx:publish("a", 5, { attr = "a" })
    assert.equal(5, ctx.a)
    assert.equal(5, ctx:child().a)
    local child <const> = ctx:child()
    child:publish("a", 6, { attr = "a" })
    assert.equal(6, child.a)
  end)

  it("publishes under further types with the same name", function()
    ctx:publish("mailer/backup", 1, { types = { "smtp", "sender/main", "mailer" } })
    assert.equal(1, ctx:get("smtp/backup"))
    assert.equal(1, ctx:get("sender/main"))
    assert.is_nil(ctx:get("smtp"))
    ctx:publish("a", 2, { types = { "b" } })
    assert.equal(2, ctx:get("b"))
  end)

  it("lets a child shadow its parent and tells the parent nothing", function()
    local child <const> = ctx:child()
    ctx:publish("a", 1)
    child:publish("a", 2)
    child:publish("b", 3)
    assert.equal(2, child:get("a"))
    assert.equal(1, ctx:get("a"))
    assert.is_nil(ctx:get("b"))
    local grandchild <const> = child:child():child()
    assert.equal(2, grandchild:get("a"))
    ctx:publish("late", 4)
    assert.equal(4, grandchild:get("late"))
  end)

  it("works while the context closes, and raises afterwards", function()
    local seen
    ctx:publish("a", 1)
    local ref <const> = ctx:ref("a")
    ctx:on_close(function()
      ctx:publish("b", 2)
      seen = ctx:get("a") + ctx:get("b")
    end)
    ctx:close()
    assert.equal(3, seen)
    local calls <const> = { "get", "require", "request", "ref", "publish", "resources" }
    for _, call in ipairs(calls) do
      assert.error_matches(function() ctx[call](ctx, "a", 1) end, "closed")
    end
    assert.error_matches(function() ref:get() end, "closed")
  end)

  it("emits on ctx.published", function()
    local keys <const>, source = {}, nil
    assert.equal(ctx.published, ctx.published)
    ctx.published:connect(function(e)
      keys[#keys + 1] = e.key
      source = e.source
      assert(ctx:get(e.key))
    end)
    ctx:publish("a", 1, { types = { "b" } })
    ctx:publish("c/default", 1)
    ctx:publish_lazy("d/x", function() return 1 end)
    ctx:child():publish("e", 1)
    assert.same({ "a", "c", "d/x" }, keys)
    assert.equal(ctx, source)
    assert.has_error(function() ctx.published = signal.new() end)
  end)
end)

describe("ctx:require", function()
  it("raises NOTFOUND naming the key", function()
    context.scope(function(ctx)
      local err <const> = raised(ctx.require, ctx, "nothing/here")
      assert.equal("NOTFOUND", err.code)
      assert.equal("nothing/here", err.key)
      assert.matches("nothing/here", tostring(err))
      ctx:publish("nothing/here", 1)
      assert.equal(1, ctx:require("nothing/here"))
    end)
  end)
end)

describe("a lazy resource", function()
  it("is made once for each context that asks, with that context", function()
    context.scope(function(ctx)
      local asked <const> = {}
      ctx:publish_lazy("session", function(own)
        asked[#asked + 1] = own
        assert.equal(own, context.current())
        return { own }
      end, { types = { "db.session" } })
      local child <const> = ctx:child()
      assert.equal(ctx:get("session"), ctx:require("db.session/default"))
      assert.not_equal(ctx:get("session"), child:get("session"))
      assert.equal(child:get("session"), child:request("session"))
      assert.equal(ctx, asked[1])
      assert.equal(child, asked[2])
      assert.equal(2, #asked)
      assert.equal(ctx, context.current())
    end)
  end)

  it("is made once when several tasks ask while the factory waits", function()
    context.scope(function(ctx)
      local made, got <const> = 0, {}
      ctx:publish_lazy("slow", function()
        made = made + 1
        task.yield()
        task.yield()
        return {}
      end)
      for i = 1, 4 do
        local call <const> = i % 2 == 0 and ctx.get or ctx.request
        task.spawn(function() got[i] = call(ctx, "slow") end)
      end
      for _ = 1, 8 do task.yield() end
      assert.equal(1, made)
      for i = 1, 4 do assert.equal(got[1], got[i]) end
      assert.is_table(got[4])
    end)
  end)

  it("is tried again when its factory has failed", function()
    apart(function(ctx)
      local calls = 0
      ctx:publish_lazy("shy", function()
        calls = calls + 1
        task.yield()
        if calls < 2 then error("not yet", 0) end
        if calls < 3 then return nil end
        return calls
      end)
      local second <const> = task.spawn(function() return ctx:get("shy") end)
      assert.equal("not yet", raised(ctx.get, ctx, "shy"))
      local _, err <const> = second:join()
      assert.matches("returned nil", tostring(err))
      assert.equal(3, ctx:get("shy"))
      assert.equal(3, ctx:get("shy"))
    end)
  end)

  it("passes to the next when the task that makes it is cancelled", function()
    context.scope(function(ctx)
      local calls = 0
      ctx:publish_lazy("slow", function()
        calls = calls + 1
        if calls == 1 then task.sleep(60) end
        return calls
      end)
      local first <const> = task.spawn(function() ctx:get("slow") end)
      local second <const> = task.spawn(function() return ctx:get("slow") end)
      task.yield()
      first:cancel()
      assert.equal(2, second:join())
    end)
  end)

  it("says so when it requires itself", function()
    context.scope(function(ctx)
      ctx:publish_lazy("loop", function(own) return own:get("loop") end)
      assert.error_matches(function() ctx:get("loop") end, "requires itself")
    end)
  end)

  it("cannot wait where waiting is impossible", function()
    context.scope(function(ctx)
      ctx:publish_lazy("slow", function()
        task.yield()
        return 1
      end)
      assert.error_matches(function()
        table.sort({ 1, 2 }, function() return ctx:get("slow") end)
      end, "cannot wait here")
      assert.equal(1, ctx:get("slow"))
    end)
  end)

  it("may be an attribute", function()
    context.scope(function(ctx)
      ctx:publish_lazy("slow", function(own)
        task.yield()
        return { own }
      end, { attr = "slow" })
      local child <const> = ctx:child()
      assert.equal(child, child.slow[1])
      assert.equal(child:get("slow"), child.slow)
      assert.equal(ctx, ctx.slow[1])
      assert.equal("CONFLICT", raised(ctx.publish, ctx, "x", 1, { attr = "slow" }).code)
    end)
  end)

  it("survives the end of its context meanwhile", function()
    context.scope(function(ctx)
      local own <const> = ctx:child()
      ctx:publish_lazy("slow", function()
        task.yield()
        task.yield()
        task.yield()
        return 1
      end)
      local getting <const> = task.spawn(function() return own:get("slow") end)
      task.yield()
      own:close()
      assert.equal(1, getting:join())
    end)
  end)
end)

describe("ctx:request", function()
  it("waits for a publication in the context or above", function()
    context.scope(function(ctx)
      local child <const> = ctx:child():child()
      local other <const> = ctx:child()
      local here <const> = task.spawn(function() return child:request("a") end)
      local above <const> = task.spawn(function() return child:request("b/default") end)
      task.yield()
      other:publish("a", "wrong")
      task.yield()
      assert.equal("running", here:status())
      child:publish("a", 1)
      ctx:publish("x", 2, { types = { "b" } })
      assert.equal(1, here:join())
      assert.equal(2, above:join())
      assert.equal(1, child:request("a"))
    end)
  end)

  it("takes the nearest when it runs", function()
    context.scope(function(ctx)
      local child <const> = ctx:child()
      local waiting <const> = task.spawn(function() return child:request("a") end)
      task.yield()
      ctx:publish("a", "far")
      child:publish("a", "near")
      assert.equal("near", waiting:join())
    end)
  end)

  it("calls the factory that was published", function()
    context.scope(function(ctx)
      local child <const> = ctx:child()
      local waiting <const> = task.spawn(function() return child:request("a") end)
      task.yield()
      ctx:publish_lazy("a", function(own)
        task.yield()
        return { own }
      end)
      assert.equal(child, waiting:join()[1])
    end)
  end)

  it("gives up after its timeout", function()
    context.scope(function(ctx)
      local value <const>, err <const> = ctx:request("nothing", 0.001)
      assert.is_nil(value)
      assert.equal("TIMEDOUT", err.code)
      assert.equal("nothing", err.key)
      assert.matches("nothing", tostring(err))
      ctx:publish("nothing", 1)
      assert.equal(1, ctx:request("nothing", 0))
    end)
  end)

  it("ends when the context closes", function()
    context.scope(function(ctx)
      local own <const> = ctx:child()
      local waiting <const> = task.spawn(function() return own:request("a") end)
      task.yield()
      own:close()
      local value <const>, err <const> = waiting:join()
      assert.is_nil(value)
      assert.equal("CLOSED", err.code)
    end)
  end)

  it("can be cancelled", function()
    context.scope(function(ctx)
      local waiting <const> = task.spawn(function() ctx:request("a") end)
      task.yield()
      waiting:cancel()
      ctx:publish("a", 1)
      waiting:join()
      assert.equal("cancelled", waiting:status())
    end)
  end)

  it("survives publication, cancellation and closing in one turn", function()
    context.scope(function(ctx)
      local own <const> = ctx:child()
      local waiting <const> = task.spawn(function() return own:request("a", 60) end)
      task.yield()
      ctx:publish("a", 1)
      own:close()
      waiting:cancel()
      local _, err <const> = waiting:join()
      assert.equal("CLOSED", err.code)
    end)
  end)
end)

describe("ctx:ref", function()
  it("looks the resource up each time", function()
    context.scope(function(ctx)
      local child <const> = ctx:child()
      local ref <const> = child:ref("a")
      assert.is_nil(ref:peek())
      assert.equal("NOTFOUND", raised(ref.get, ref).code)
      ctx:publish("a", 1)
      assert.equal(1, ref:get())
      child:publish("a", 2)
      assert.equal(2, ref:get())
      assert.equal(2, ref:peek())
      assert.has_error(function() ctx:ref("a b") end)
      assert.has_error(function() ref.get({}) end)
    end)
  end)
end)

describe("ctx:resources", function()
  it("lists what is visible, by key", function()
    context.scope(function(ctx)
      local child <const> = ctx:child()
      ctx:publish("b", 1, { doc = "of the parent" })
      ctx:publish("a/x", 1)
      child:publish("c", 1, { types = { "d" } })
      child:publish_lazy("b", function() error("is not called") end, { doc = "lazy one" })
      local list <const> = child:resources()
      local own <const> = {}
      for _, item in ipairs(list) do own[item.key] = item end
      assert.equal(child, own.b.owner)
      assert.is_true(own.b.lazy)
      assert.equal("lazy one", own.b.doc)
      assert.same({ "c", "d" }, own.c.types)
      assert.is_false(own.c.lazy)
      assert.equal(ctx, own["a/x"].owner)
      local keys <const> = keys_of(list)
      table.sort(keys)
      assert.same(keys, keys_of(list))
      assert.same({ "c" }, keys_of(child:resources("d")))
      assert.same({ "b" }, keys_of(ctx:resources("b")))
      assert.same({}, ctx:resources("d"))
    end)
  end)
end)
