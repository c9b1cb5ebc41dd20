/*
 * systemd.c - ahost.systemd.protocol: messages to the service manager that
 * started the program, by the protocol of sd_notify(3), and the sockets it
 * passed.
 */
#include <errno.h>
#include <lauxlib.h>
#include <unistd.h>

#include "activation.h"
#include "error.h"
#include "modules.h"
#include "net.h"

/* The kernel tells the receiver which process it was. 0 or a code: UV_EAGAIN
 * when the receiver is behind. */
static int send_datagram(const ahost__address *address, const char *text,
                         size_t size) {
    struct sockaddr_storage to;
    const struct sockaddr *sa = (const struct sockaddr *)&to;
    int err = ahost__address_numeric(address, &to), fd;
    if (err != 0)
        return err;
    fd = ahost__new_socket(AF_UNIX, SOCK_DGRAM);
    if (fd < 0)
        return fd;
    if (sendto(fd, text, size, MSG_NOSIGNAL, sa, ahost__sockaddr_length(sa)) <
        0)
        err = -errno;
    close(fd);
    return err;
}

/* protocol.send(address, text) -> true | nil, err; to a Unix datagram socket,
 * does not wait */
static int systemd_send(lua_State *L) {
    ahost__address address;
    size_t size;
    const char *text = luaL_checklstring(L, 2, &size);
    int err;
    ahost__check_address(L, 1, &address);
    luaL_argcheck(L, address.is_unix, 1, "a Unix socket expected");
    err = send_datagram(&address, text, size);
    if (err != 0) {
        ahost__push_address(L, &address);
        return ahost__fail(L, err, "notify %s", lua_tostring(L, -1));
    }
    lua_pushboolean(L, 1);
    return 1;
}

static const luaL_Reg functions[] = {{"send", systemd_send},
                                     {"sockets", ahost__activation_sockets},
                                     {NULL, NULL}};

int ahost__open_systemd(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
