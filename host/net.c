/*
 * net.c - the C part of ahost.net.
 */
#include "net.h"

#include <lauxlib.h>

static const luaL_Reg functions[] = {
    {"connect", ahost__net_connect}, {"listen", ahost__net_listen},
    {"resolve", ahost__net_resolve}, {"serve", ahost__net_serve},
    {"udp", ahost__net_udp},         {NULL, NULL}};

int ahost__open_net(lua_State *L) {
    ahost__open_stream(L);
    ahost__open_listener(L);
    ahost__open_server(L);
    luaL_newlib(L, functions);
    return 1;
}
