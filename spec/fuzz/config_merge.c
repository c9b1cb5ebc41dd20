/*
 * config_merge.c - a libFuzzer target for configuration: the input is cut at
 * bytes 0xFF into YAML texts, which are layers. Whatever they say, they load or
 * are refused with code CONFIG; what config.merge makes of two of them is what
 * a naive merge of their expanded forms makes; merging changes no argument.
 */
#include "host.h"

#include <stdint.h>
#include <stdlib.h>

#include <lauxlib.h>

static const char check[] =
    "local config, yaml = require 'ahost.config', require 'ahost.yaml'\n"
    "local env = {A = 'x', B = '${a}', C = ''}\n"
    "local function is_map(v)\n"
    "  return type(v) == 'table' and getmetatable(v) == nil and #v == 0\n"
    "end\n"
    "local function copy(v)\n"
    "  if type(v) ~= 'table' then return v end\n"
    "  local result = setmetatable({}, getmetatable(v))\n"
    "  for k, item in next, v do result[k] = copy(item) end\n"
    "  return result\n"
    "end\n"
    "local function with_texts_as_keys(v)\n"
    "  if type(v) ~= 'table' then return v end\n"
    "  local result = setmetatable({}, getmetatable(v))\n"
    "  for k, item in next, v do\n"
    "    k = getmetatable(v) and k or tostring(k)\n"
    "    result[k] = with_texts_as_keys(item)\n"
    "  end\n"
    "  return result\n"
    "end\n"
    "local function same(a, b)\n"
    "  if type(a) ~= 'table' or type(b) ~= 'table' then\n"
    "    return a == b or a ~= a and b ~= b\n"
    "  end\n"
    "  for k, v in next, a do\n"
    "    if not same(v, b[k]) then return false end\n"
    "  end\n"
    "  for k in next, b do\n"
    "    if a[k] == nil then return false end\n"
    "  end\n"
    "  return getmetatable(a) == getmetatable(b)\n"
    "end\n"
    "local function naive(base, over)\n"
    "  local result = copy(base)\n"
    "  for k, v in next, over do\n"
    "    local old = result[k]\n"
    "    result[k] = is_map(v) and is_map(old) and naive(old, v) or copy(v)\n"
    "  end\n"
    "  return result\n"
    "end\n"
    "local function is_config_error(err)\n"
    "  return type(err) == 'table' and err.code == 'CONFIG'\n"
    "end\n"
    "local function merge(a, b)\n"
    "  local ok, result = pcall(config.merge, a, b)\n"
    "  assert(ok or is_config_error(result), result)\n"
    "  return ok and result or nil\n"
    "end\n"
    "local function check_merge(a, b)\n"
    "  local before_a, before_b = copy(a), copy(b)\n"
    "  local merged, left, right = merge(a, b), merge(a), merge(nil, b)\n"
    "  assert(same(before_a, a) and same(before_b, b), 'an argument changed')\n"
    "  if left and right then\n"
    "    assert(merged and same(merged, naive(left, right)), 'a merge')\n"
    "    assert(same(merged, merge(merged, merged)), 'a merge with itself')\n"
    "    for path, value in config.origins(merged) do\n"
    "      assert(rawequal(config.lookup(merged, path), value)\n"
    "        or value ~= value, path)\n"
    "    end\n"
    "    config.literal(merged)\n"
    "  end\n"
    "end\n"
    "local function check_load(a, b, set)\n"
    "  local base = merge(a, b)\n"
    "  local opts = {env = env, defaults = base, set = {set}}\n"
    "  local loaded, err = config.load(nil, opts)\n"
    "  assert(loaded or is_config_error(err), err)\n"
    "  local again, why = config.load(nil, opts)\n"
    "  assert(again and same(loaded, again) or not loaded\n"
    "    and why.message == err.message, 'another result')\n"
    "end\n"
    "return function(text)\n"
    "  local layers = {}\n"
    "  for part in (text .. '\\255'):gmatch '([^\\255]*)\\255' do\n"
    "    layers[#layers + 1] = part\n"
    "    if #layers == 3 then break end\n"
    "  end\n"
    "  local a = with_texts_as_keys(yaml.decode(layers[1]))\n"
    "  local b = with_texts_as_keys(yaml.decode(layers[2] or ''))\n"
    "  a, b = is_map(a) and a or {}, is_map(b) and b or {}\n"
    "  check_merge(a, b)\n"
    "  check_load(a, b, layers[3])\n"
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
