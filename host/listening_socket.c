/*
 * listening_socket.c - making sockets that connections come to.
 */
#include "listening_socket.h"

#include <errno.h>
#include <lauxlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host.h"
#include "lease.h"
#include "net.h"

enum { DEFAULT_BACKLOG = 1024 };

/* ---- options ------------------------------------------------------------ */

/* A hash of the path of the component that the current context belongs to. */
static uint64_t owner_of(lua_State *L) {
    ahost__context *ctx = ahost__context_current(L);
    uint64_t hash;
    ctx = ahost__context_component(ctx);
    if (ctx == NULL)
        return 0;
    ahost__context_push_field(L, ctx, AHOST__SIDE_PATH);
    hash = ahost__lease_hash(luaL_optstring(L, -1, ""));
    lua_pop(L, 1);
    return hash;
}

void ahost__listen_options_read(lua_State *L, int arg,
                                ahost__listen_options *options) {
    ahost__push_option(L, arg, "reuseport");
    options->reuseport = lua_toboolean(L, -1);
    lua_pop(L, 1);
    options->backlog =
        (int)ahost__opt_number(L, arg, "backlog", DEFAULT_BACKLOG);
    options->mode = (int)ahost__opt_number(L, arg, "mode", -1);
    if (options->backlog < 1)
        luaL_error(L, "option 'backlog' must be at least 1");
    options->owner = owner_of(L);
}

/* ---- sockets ------------------------------------------------------------ */

/* A socket file that nobody listens on any more is in the way: removes it. */
static void remove_stale(const struct sockaddr *sa, const char *path) {
    struct stat info;
    int fd;
    if (lstat(path, &info) != 0 || !S_ISSOCK(info.st_mode))
        return;
    fd = ahost__new_socket(AF_UNIX, SOCK_STREAM);
    if (fd < 0)
        return;
    if (connect(fd, sa, ahost__sockaddr_length(sa)) != 0 &&
        errno == ECONNREFUSED)
        unlink(path);
    close(fd);
}

static int set_options(int fd, const struct sockaddr *sa, int reuseport) {
    int on = 1, off = 0;
    if (sa->sa_family == AF_UNIX)
        return 0;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        return -errno;
    if (sa->sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (reuseport &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0)
        return -errno;
    return 0;
}

int ahost__address_is_file(const ahost__address *address) {
    return address->is_unix && address->path[0] != '@';
}

/* Binds the socket. The mode of a Unix socket is that of its file from the
 * first moment on, but for what the umask takes away, which is given back
 * before anybody can connect. */
static int bind_to(int fd, const struct sockaddr *sa,
                   const ahost__address *address, int mode) {
    int has_mode = mode >= 0 && ahost__address_is_file(address);
    if (has_mode)
        fchmod(fd, (mode_t)mode); /* as Linux has it; elsewhere no harm */
    if (bind(fd, sa, ahost__sockaddr_length(sa)) != 0 ||
        (has_mode && chmod(address->path, (mode_t)mode) != 0))
        return -errno;
    return 0;
}

int ahost__bound_socket(const ahost__address *address,
                        const ahost__listen_options *options) {
    struct sockaddr_storage storage;
    const struct sockaddr *sa = (const struct sockaddr *)&storage;
    int err = ahost__address_numeric(address, &storage), fd;
    if (err != 0)
        return err;
    fd = ahost__new_socket(sa->sa_family, SOCK_STREAM);
    if (fd < 0)
        return fd;
    if (ahost__address_is_file(address))
        remove_stale(sa, address->path);
    err = set_options(fd, sa, options->reuseport);
    if (err == 0)
        err = bind_to(fd, sa, address, options->mode);
    if (err == 0)
        return fd;
    close(fd);
    return err;
}

int ahost__listening_socket(const ahost__address *address,
                            const ahost__listen_options *options) {
    int fd = ahost__bound_socket(address, options), err;
    if (fd < 0 || listen(fd, options->backlog) == 0)
        return fd;
    err = -errno;
    close(fd);
    return err;
}
