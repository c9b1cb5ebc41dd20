/*
 * credentials.c - who is at the other end of a Unix socket, and who we are.
 */
#include <errno.h>
#include <lauxlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "introspection.h"
#include "stream.h"

/* 0 or a code. Only of a stream that is open. */
static int read_credentials(const ahost__stream *s, struct ucred *who) {
    socklen_t size = sizeof(*who);
    uv_os_fd_t fd;
    int err = uv_fileno(&s->uv.handle, &fd);
    if (err == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, who, &size) != 0)
        err = -errno;
    return err;
}

int ahost__credentials_peer(lua_State *L) {
    const ahost__stream *s = ahost__check_stream(L, 1);
    struct ucred who;
    int err = AHOST__CLOSED;
    luaL_argcheck(L, s->transport == &ahost__uv_transport, 1,
                  "a connection of a socket expected");
    if (!s->closing && !s->releasing)
        err = read_credentials(s, &who);
    if (err != 0)
        return ahost__fail(L, err, "peer");
    lua_pushinteger(L, who.uid);
    lua_pushinteger(L, who.pid);
    return 2;
}

int ahost__credentials_user(lua_State *L) {
    lua_pushinteger(L, geteuid());
    return 1;
}
