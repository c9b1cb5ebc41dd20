/*
 * json_numbers.c - a libFuzzer target for host/json.c: whatever bytes come in,
 * what scan() lets through and cjson accepts must restore, encode, and read
 * back as a value that encodes the same; the other way, bytes as a Lua string
 * either are refused or come back unchanged.
 */

#include "json.h"

#include <stdint.h>
#include <stdlib.h>

#include <lauxlib.h>
#include <lualib.h>
#include <lua-cjson.h>

static const char check[] =
    "local cjson, numbers = require 'cjson', require 'ahost.json.numbers'\n"
    "cjson.decode_invalid_numbers(false)\n"
    "local function decode(text)\n"
    "  local plain, list = numbers.scan(text)\n"
    "  if not plain then return false end\n"
    "  local ok, value = pcall(cjson.decode, plain)\n"
    "  if not ok then return false end\n"
    "  if list then value = numbers.restore(value, list) end\n"
    "  return true, value\n"
    "end\n"
    "local function encode(value)\n"
    "  local prepared, problem = numbers.prepare(value, 1000)\n"
    "  assert(not problem, problem)\n"
    "  return numbers.finish(cjson.encode(prepared))\n"
    "end\n"
    "local function same(a, b)\n"
    "  if type(a) ~= 'table' or type(b) ~= 'table' then\n"
    "    return a == b and math.type(a) == math.type(b)\n"
    "  end\n"
    "  for k, v in pairs(a) do\n"
    "    if not same(v, b[k]) then return false end\n"
    "  end\n"
    "  for k in pairs(b) do\n"
    "    if a[k] == nil then return false end\n"
    "  end\n"
    "  return getmetatable(a) == getmetatable(b)\n"
    "end\n"
    "return function(text)\n"
    "  local ok, value = decode(text)\n"
    "  if ok then\n"
    "    local again, other = decode(encode(value))\n"
    "    assert(again and same(value, other), 'a round trip changed a value')\n"
    "  end\n"
    "  numbers.finish(text)\n"
    "  local prepared, problem = numbers.prepare(text, 1000)\n"
    "  assert((problem ~= nil) == (utf8.len(text) == nil), 'UTF-8')\n"
    "  if not problem then\n"
    "    local good, back = decode(numbers.finish(cjson.encode(prepared)))\n"
    "    assert(good and back == text, 'a string changed')\n"
    "  end\n"
    "end\n";

static lua_State *open_state(void) {
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    luaL_requiref(L, "cjson", luaopen_cjson, 0);
    luaL_requiref(L, "ahost.json.numbers", ahost__open_json_numbers, 0);
    lua_settop(L, 0);
    if (luaL_dostring(L, check) != LUA_OK) {
        abort();
    }
    return L;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static lua_State *L;
    if (L == NULL) {
        L = open_state();
    }
    lua_pushvalue(L, 1);
    lua_pushlstring(L, (const char *)data, size);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        lua_writestringerror("%s\n", lua_tostring(L, -1));
        abort();
    }
    return 0;
}
