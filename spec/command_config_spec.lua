local command_line <const> = require "spec.command_line"

local is <const> = command_line.is

local FILES <const> = {
  ["a.yaml"] = [[
# the shop
component:
  type: ./web.lua
  port: 80 # for all
  key: geheim
  database: postgres://shop:geheim@db/shop
  hosts: [a, b]
  components:
    free: {type: ./free.lua, api_key: geheim, url: "http://me:geheim@x/", keys: 3}
]],
  ["b.yaml"] = "component.port: 81\nstop_timeout: 5\n",
  ["c.lua"] = "return { tick_period = 2 }",
  ["web.lua"] = [[
    return { options = {
      port = { type = "integer", min = 1 },
      key = { type = "string", secret = true },
      database = { type = "url" },
      hosts = { type = "list", of = { type = "string" } },
      inner = { type = "map", secret = true },
    } }]],
  ["free.lua"] = "return {}",
}

describe("ahost config", function()
  local at
  before_each(function() at = command_line.new(FILES) end)
  after_each(function() at.remove() end)

  it("shows the effective configuration, without secrets", function()
    is(at:run "config a.yaml b.yaml", 0, [[
component:
  components:
    free:
      api_key: '********'
      keys: 3
      type: ./free.lua
      url: http://me:********@x/
  database: postgres://shop:********@db/shop
  hosts:
    - a
    - b
  key: '********'
  port: 81
  type: ./web.lua
stop_timeout: 5
]])
    local all <const> = at:run "config -f a.yaml -f b.yaml"
    assert.equal(all.out, at:run("-c a.yaml config b.yaml").out)
    assert.equal(all.out, at:run("config --set component.port=81 --set stop_timeout=5 "
      .. "a.yaml").out)
  end)

  it("shows secrets when it is asked to", function()
    local result <const> = at:run "config a.yaml --secrets"
    assert.equal(0, result.status)
    assert.matches("\n  key: geheim\n", result.out)
    assert.matches("shop:geheim@db", result.out)
    assert.is_nil(result.out:find("****", 1, true))
  end)

  it("tells where each value is from", function()
    is(at:run "config a.yaml b.yaml c.lua --origin --set component.key=x", 0, [[
component.components.free.api_key = '********'   # a.yaml:9:30
component.components.free.keys = 3   # a.yaml:9:75
component.components.free.type = ./free.lua   # a.yaml:9:12
component.components.free.url = http://me:********@x/   # a.yaml:9:47
component.database = postgres://shop:********@db/shop   # a.yaml:6:3
component.hosts.1 = a   # a.yaml:7:11
component.hosts.2 = b   # a.yaml:7:14
component.key = '********'   # --set component.key
component.port = 81   # b.yaml:1:1
component.type = ./web.lua   # a.yaml:3:3
stop_timeout = 5   # b.yaml:2:1
tick_period = 2   # c.lua
]])
    is(at:run "config a.yaml -g component.hosts --origin", 0,
      "component.hosts.1 = a   # a.yaml:7:11\ncomponent.hosts.2 = b   # a.yaml:7:14\n")
  end)

  it("shows one value", function()
    is(at:run "config a.yaml -g component.port", 0, "80\n")
    is(at:run "config a.yaml -g component.hosts.2", 0, "b\n")
    is(at:run "config a.yaml -g component.hosts", 0, "- a\n- b\n")
    is(at:run "config a.yaml -g component.key", 0, "********\n")
    is(at:run "config a.yaml -g component.key --secrets", 0, "geheim\n")
    is(at:run "config a.yaml --set x\\\\.y=null -g 'x\\.y' --secrets", 0, "null\n")
    is(at:run "config a.yaml -g component.prot", 1, "",
      "ahost config: there is no 'component.prot' in a.yaml\n")
  end)

  it("masks all of a secret map", function()
    at:write("m.yaml", "component: {inner: {a: geheim, b: [geheim]}}")
    for _, words in ipairs { "", "-g component.inner", "-g component.inner.a",
      "-g component.inner.b.1", "--origin" } do
      local result <const> = at:run("config a.yaml m.yaml " .. words)
      assert.equal(0, result.status)
      assert.matches("********", result.out, 1, true)
      assert.is_nil(result.out:find("geheim", 1, true))
    end
  end)

  it("shows and masks what ahost run would not accept, with a note", function()
    at:write("bad.yaml", "component: {port: 0, token: geheim, components: {x: "
      .. "{type: ./nowhere.lua, password: geheim}}}\nschedules: {s: {secret: geheim}}\n")
    local result <const> = at:run "config a.yaml bad.yaml"
    assert.equal(0, result.status)
    assert.matches("^note: ahost run would not accept this:\n"
      .. "bad.yaml:1:13: port: must be", result.err)
    assert.is_nil((result.out .. result.err):find("geheim", 1, true))
    assert.matches("\n  port: 0\n", result.out)
    at:write("bad.yaml", "a: [")
    is(at:run "config bad.yaml", 2, "", "bad.yaml:2:1: expected a value here\n")
  end)

  it("refuses what excludes each other", function()
    local try <const> = "\ntry 'ahost config --help'\n"
    is(at:run "config a.yaml -g a -s b=c", 2, "",
      "ahost config: -g and -s exclude each other" .. try)
    is(at:run "config a.yaml -s b=c --origin", 2, "",
      "ahost config: --origin and -s exclude each other" .. try)
    is(at:run "config a.yaml -s b", 2, "",
      "ahost config: -s takes KEY=VALUE, not 'b'" .. try)
  end)

  describe("-s", function()
    it("changes a value where it is, and nothing else", function()
      is(at:run "config a.yaml -s component.port=8080", 0,
        "a.yaml: component.port: 80 -> 8080\n")
      assert.equal((FILES["a.yaml"]:gsub("port: 80", "port: 8080")), at:read "a.yaml")
    end)

    it("changes the last file that has the key, else the last one", function()
      is(at:run "config a.yaml b.yaml -s component.type=./free.lua -s tick_period=1", 0,
        "a.yaml: component.type: ./web.lua -> ./free.lua\n"
          .. "b.yaml: tick_period: 1 (new)\n")
      is(at:run "config a.yaml b.yaml -s component.port=82", 0,
        "b.yaml: component.port: 81 -> 82\n")
      is(at:run "config b.yaml a.yaml -g component.port", 0, "80\n")
      assert.equal("component.port: 82\nstop_timeout: 5\ntick_period: 1\n",
        at:read "b.yaml")
    end)

    it("changes items of lists", function()
      is(at:run "config a.yaml -s component.hosts.2=c -s component.port=1", 0,
        "a.yaml: component.hosts.2: b -> c\na.yaml: component.port: 80 -> 1\n")
      is(at:run "config a.yaml -s component.hosts.3=d", 0,
        "a.yaml: component.hosts.3: d (new)\n")
      is(at:run "config a.yaml -g component.hosts", 0, "- a\n- c\n- d\n")
      is(at:run "config a.yaml -s component.hosts.1=[]", 2, "", "--set component.hosts: "
        .. "hosts[1]: must be a string, not a list of 0\n"
        .. "nothing was changed\n")
      is(at:run "config a.yaml -s component.hosts.9=x", 2, "", "a.yaml: "
        .. "component.hosts is a list of 3 items, without an item 9\n")
    end)

    it("takes YAML, tags and secrets", function()
      is(at:run "config a.yaml -s 'component.hosts=[x, y]'", 0,
        "a.yaml: component.hosts: [a, b] -> [x, y]\n")
      is(at:shell "PW=other $ahost config a.yaml -s 'component.key=!env PW'", 0,
        "a.yaml: component.key: '********' -> '********'\n")
      assert.matches("\n  key: !env PW\n", at:read "a.yaml", 1, true)
      is(at:run "config a.yaml -s component.port=[", 2, "",
        "-s component.port:2:1: expected a value here\n")
    end)

    it("refuses what would make the configuration invalid", function()
      is(at:run "config a.yaml -s component.port=0 -s stop_timeout=3", 2, "",
        "-s component.port: port: must be an integer at least 1, not 0\n"
          .. "nothing was changed\n")
      is(at:run "config a.yaml -s componet.port=0", 2, "",
        "-s componet.port: componet: unknown option (did you mean \"component\"?)\n"
          .. "nothing was changed\n")
      assert.equal(FILES["a.yaml"], at:read "a.yaml")
    end)

    it("lets what is wrong already be mended bit by bit", function()
      at:write("bad.yaml", "component: {port: 0, type: ./web.lua}\ntick: 3\n"
        .. "stop_timeout: x\n")
      is(at:run "config bad.yaml -s stop_timeout=2", 0,
        "bad.yaml: stop_timeout: x -> 2\n")
      is(at:run "config bad.yaml -s component.port=3", 0,
        "bad.yaml: component.port: 0 -> 3\n")
    end)

    it("says when another file has the last word", function()
      at:write("top.yaml", "include: more.yaml\ncomponent: {type: ./web.lua}\n")
      at:write("more.yaml", "component: {port: 1}\n")
      is(at:run "config top.yaml -s component.port=2", 1,
        "top.yaml: component.port: 1 -> 2\n",
        "ahost config: component.port is still 1: more.yaml:1:13 wins\n")
    end)

    it("does not change Lua files", function()
      is(at:run "config a.yaml c.lua -s tick_period=3", 2, "",
        "c.lua: cannot be edited; only YAML files can\n")
      assert.equal(FILES["c.lua"], at:read "c.lua")
    end)
  end)
end)
