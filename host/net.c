/*
 * net.c - the C part of ahost.net.
 */
#include "net.h"

#include <lauxlib.h>

/* check_address(value) -> true | nil, text: for who has an address before it is
 * used, in a configuration */
static int net_check_address(lua_State *L) {
    ahost__address unused;
    const char *wrong;
    luaL_checkany(L, 1);
    wrong = ahost__address_problem(L, 1, &unused);
    if (wrong == NULL) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, wrong);
    return 2;
}

static const luaL_Reg functions[] = {{"check_address", net_check_address},
                                     {"connect", ahost__net_connect},
                                     {"listen", ahost__net_listen},
                                     {"resolve", ahost__net_resolve},
                                     {"serve", ahost__net_serve},
                                     {"udp", ahost__net_udp},
                                     {NULL, NULL}};

int ahost__open_net(lua_State *L) {
    ahost__open_stream(L);
    ahost__open_listener(L);
    ahost__open_server(L);
    luaL_newlib(L, functions);
    return 1;
}
