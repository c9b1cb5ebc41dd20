#include "host.h"
void ahost__open_resources(lua_State *L) {
    (void)L;
}
int ahost__push_published(lua_State *L, ahost__context *ctx) {
    (void)ctx;
    lua_pushnil(L);
    return 1;
}
