/*
 * sync.c - the module ahost.sync: what its primitives share.
 */
#include "sync.h"

#include <string.h>

#include "host.h"
#include "modules.h"

void *ahost__sync_new(lua_State *L, size_t size, int user_values) {
    void *self = lua_newuserdatauv(L, size, user_values);
    memset(self, 0, size);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_setmetatable(L, -2);
    return self;
}

int ahost__sync_turn(lua_State *L, const ahost__wait_type *type) {
    ahost__wait *w = ahost__wait_begin(L, type, NULL);
    ahost__settle(w, 0);
    return ahost__await(L, w);
}

void ahost__sync_type(lua_State *L, const char *type, const luaL_Reg *methods,
                      const luaL_Reg *meta) {
    if (!luaL_newmetatable(L, type))
        return;
    lua_newtable(L);
    lua_pushvalue(L, -2);
    luaL_setfuncs(L, methods, 1);
    lua_setfield(L, -2, "__index");
    lua_pushvalue(L, -1);
    luaL_setfuncs(L, meta, 1);
}

void ahost__sync_constructor(lua_State *L, const char *name,
                             lua_CFunction construct) {
    lua_pushcclosure(L, construct, 1);
    lua_setfield(L, -2, name);
}

int ahost__open_sync(lua_State *L) {
    lua_newtable(L);
    ahost__open_queue(L);
    ahost__open_event(L);
    ahost__open_semaphore(L);
    ahost__open_future(L);
    return 1;
}
