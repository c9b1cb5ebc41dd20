/*
 * yaml.c - a libFuzzer target for YAML: whatever bytes come in, what decodes
 * must encode and read back as the same value, and a change in place either is
 * refused or gives a text that decodes.
 */
#include "host.h"

#include <stdint.h>
#include <stdlib.h>

#include <lauxlib.h>

static const char check[] =
    "local yaml, edit = require 'ahost.yaml', require 'ahost.yaml.edit'\n"
    "local options = {tags = true, positions = true}\n"
    "local function same(a, b)\n"
    "  if type(a) ~= 'table' or type(b) ~= 'table' then\n"
    "    return math.type(a) == math.type(b) and (a == b or a ~= a and b ~= "
    "b)\n"
    "  end\n"
    "  for k, v in pairs(a) do\n"
    "    if not same(v, b[k]) then return false end\n"
    "  end\n"
    "  for k in pairs(b) do\n"
    "    if a[k] == nil then return false end\n"
    "  end\n"
    "  return next(a) ~= nil or getmetatable(a) == getmetatable(b)\n"
    "end\n"
    "local function round_trip(value, how)\n"
    "  local ok, text = pcall(yaml.encode, value, how)\n"
    "  if not ok then\n"
    "    assert(text:find 'bad tag', text)\n"
    "  else\n"
    "    local again, err = yaml.decode(text, options)\n"
    "    assert(again ~= nil, err)\n"
    "    assert(same(value, again), 'a round trip changed a value')\n"
    "  end\n"
    "end\n"
    "local values = {1, 'x', 'a\\nb', {}, {1, {2}}, {a = {b = 'c: d'}}}\n"
    "local function path_into(value, seed)\n"
    "  local path = {}\n"
    "  while type(value) == 'table' and #path < 5 do\n"
    "    local keys = {}\n"
    "    for k in pairs(value) do keys[#keys + 1] = tostring(k) end\n"
    "    table.sort(keys)\n"
    "    local key = keys[seed % (#keys + 1) + 1] or 'new'\n"
    "    path[#path + 1] = key\n"
    "    value = value[key] or value[math.tointeger(key)]\n"
    "    seed = seed // 3\n"
    "  end\n"
    "  return path[1] and path or {'a', 'b'}\n"
    "end\n"
    "return function(text)\n"
    "  local value, err = yaml.decode(text, options)\n"
    "  if value == nil then\n"
    "    assert(err.code == 'SYNTAX' and err.line > 0 and err.column > 0)\n"
    "    assert(utf8.len(err.message) or not utf8.len(text))\n"
    "    return\n"
    "  end\n"
    "  round_trip(value)\n"
    "  round_trip(value, {flow = true})\n"
    "  round_trip(value, {indent = 7})\n"
    "  local seed = #text * 7 + (text:byte(-1) or 0)\n"
    "  local path = path_into(value, seed)\n"
    "  local changed = edit.set(text, path, values[seed % #values + 1])\n"
    "  assert(not changed or yaml.decode(changed, options) ~= nil)\n"
    "  edit.has(text, path)\n"
    "end\n";

static lua_State *open_state(void) {
    ahost_options options = {.size = sizeof(options)};
    ahost *h;
    if (ahost_open(&h, &options) != AHOST_OK)
        abort();
    if (luaL_dostring(h->L, check) != LUA_OK) {
        lua_writestringerror("%s\n", lua_tostring(h->L, -1));
        abort();
    }
    return h->L;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static lua_State *L;
    if (L == NULL)
        L = open_state();
    lua_pushvalue(L, -1);
    lua_pushlstring(L, (const char *)data, size);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        lua_writestringerror("%s\n", luaL_tolstring(L, -1, NULL));
        abort();
    }
    return 0;
}
