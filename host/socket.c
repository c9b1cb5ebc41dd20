/*
 * socket.c - what connecting and listening have in common.
 */
#include <errno.h>
#include <lauxlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "host.h"
#include "net.h"

int ahost__unix_name(int fd, int peer, struct sockaddr_storage *name) {
    socklen_t size = sizeof(*name);
    int err = peer ? getpeername(fd, (struct sockaddr *)name, &size)
                   : getsockname(fd, (struct sockaddr *)name, &size);
    if (err != 0)
        return -errno;
    memset((char *)name + size, 0, sizeof(*name) - size);
    return 0;
}

int ahost__new_socket(int family, int type) {
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd >= 0 ? fd : -errno;
}

void ahost__push_option(lua_State *L, int arg, const char *name) {
    if (lua_isnoneornil(L, arg)) {
        lua_pushnil(L);
        return;
    }
    luaL_checktype(L, arg, LUA_TTABLE);
    lua_getfield(L, arg, name);
}

double ahost__opt_number(lua_State *L, int arg, const char *name,
                         double fallback) {
    double number = fallback;
    ahost__push_option(L, arg, name);
    if (!lua_isnil(L, -1)) {
        int is_number;
        number = lua_tonumberx(L, -1, &is_number);
        if (!is_number)
            luaL_error(L, "option '%s': a number is expected, got %s", name,
                       luaL_typename(L, -1));
    }
    lua_pop(L, 1);
    return number;
}
