/*
 * component_code.c - ahost.component.code.core: what ahost.component.code needs
 * of the host.
 */
#include <lauxlib.h>

#include "host.h"
#include "modules.h"

/* core.fingerprint(text) -> integer that differs when the text does: FNV-1a */
static int fingerprint(lua_State *L) {
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3;
    lua_pushinteger(L, (lua_Integer)hash);
    return 1;
}

/* core.assign(ctx, code): what runs in the component's context has loaded, and
 * loads, its modules by `code` */
static int assign(lua_State *L) {
    ahost__context *ctx = ahost__check_context(L, 1);
    lua_settop(L, 2);
    ahost__context_set_field(L, ctx, AHOST__SIDE_CODE);
    return 0;
}

/* core.current() -> the code of the component around the current context, or
 * nil */
static int current(lua_State *L) {
    ahost__context *ctx = ahost__context_current(L);
    while (ctx != NULL && ctx->kind == AHOST__CONTEXT_PLAIN)
        ctx = ctx->parent;
    if (ctx == NULL)
        lua_pushnil(L);
    else
        ahost__context_push_field(L, ctx, AHOST__SIDE_CODE);
    return 1;
}

static const luaL_Reg functions[] = {{"fingerprint", fingerprint},
                                     {"assign", assign},
                                     {"current", current},
                                     {NULL, NULL}};

int ahost__open_component_code(lua_State *L) {
    luaL_newlib(L, functions);
    lua_pushliteral(L, LUA_PATH_DEFAULT);
    lua_setfield(L, -2, "installed"); /* where modules of the machine are */
    return 1;
}
