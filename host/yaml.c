/*
 * yaml.c - the module ahost.yaml.
 */
#include <lauxlib.h>

#include "json.h"
#include "modules.h"
#include "yaml_decode.h"
#include "yaml_encode.h"
#include "yaml_text.h"

bool ahost__yaml_has_metatable(lua_State *L, const char *type) {
    bool same;
    if (!lua_getmetatable(L, -1))
        return false;
    luaL_getmetatable(L, type);
    same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

static const luaL_Reg functions[] = {
    {"decode", ahost__yaml_decode},
    {"encode", ahost__yaml_encode},
    {"unpack_position", ahost__yaml_unpack_position},
    {NULL, NULL}};

int ahost__open_yaml(lua_State *L) {
    luaL_newmetatable(L, AHOST__JSON_ARRAY);
    ahost__yaml_prepare(L);
    ahost__yaml_text_prepare(L);
    luaL_newlib(L, functions);
    luaL_newmetatable(L, AHOST__YAML_TAGGED);
    lua_setfield(L, -2, "Tagged");
    return 1;
}
