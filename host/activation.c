/*
 * activation.c - sockets that the program was started with, by the protocol of
 * sd_listen_fds(3).
 *
 * LISTEN_PID names the process that they are for, LISTEN_FDS is their number,
 * from descriptor 3 on, LISTEN_FDNAMES has their names, separated by colons.
 */
#include "activation.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host.h"

enum { FIRST = 3, MOST = 1024 /* passed sockets */ };

/* ---- taking ------------------------------------------------------------- */

/* A variable that holds a number from 0 to `most`; else -1. */
static long read_number(const char *variable, long most) {
    const char *text = getenv(variable);
    char *end;
    long number;
    if (text == NULL || strspn(text, "0123456789") == 0)
        return -1;
    errno = 0;
    number = strtol(text, &end, 10);
    return *end == '\0' && errno == 0 && number <= most ? number : -1;
}

/* How many there are for this process. */
static int count_passed(void) {
    long count = read_number("LISTEN_FDS", MOST);
    long owner = read_number("LISTEN_PID", LONG_MAX);
    return owner == (long)getpid() && count > 0 ? (int)count : 0;
}

/* Copies the next of the names; what has none is "unknown" to systemd, too. */
static const char *next_name(const char *names, char *out, size_t size) {
    size_t length = strcspn(names, ":");
    if (length == 0 || length >= size) {
        strcpy(out, "unknown");
    } else {
        memcpy(out, names, length);
        out[length] = '\0';
    }
    return names + length + (names[length] == ':');
}

static size_t size_of(int count) {
    return sizeof(ahost__activation) +
           (size_t)count * sizeof(ahost__passed_socket);
}

static void fill(ahost__activation *all, int count) {
    const char *names = getenv("LISTEN_FDNAMES");
    all->count = count;
    if (names == NULL)
        names = "";
    for (int i = 0; i < count; i++) {
        ahost__passed_socket *one = &all->sockets[i];
        names = next_name(names, one->name, sizeof(one->name));
        one->fd = FIRST + i;
        one->in_use = 0;
        fcntl(one->fd, F_SETFD, FD_CLOEXEC);
    }
}

int ahost__activation_take(ahost *h) {
    int count = h->activation == NULL ? count_passed() : 0;
    if (count == 0)
        return 0;
    h->activation = ahost__alloc(h, size_of(count));
    if (h->activation == NULL)
        return UV_ENOMEM;
    fill(h->activation, count);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return 0;
}

void ahost__activation_free(ahost *h) {
    if (h->activation != NULL)
        ahost__free(h, h->activation, size_of(h->activation->count));
    h->activation = NULL;
}

/* ---- using -------------------------------------------------------------- */

static int socket_option(int fd, int option) {
    int value = 0;
    socklen_t size = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value
                                                                  : -errno;
}

/* Whether connections can be accepted on it: 0 or a code. */
static int check_socket(int fd, int *is_unix) {
    int family = socket_option(fd, SO_DOMAIN);
    if (family < 0)
        return family;
    *is_unix = family == AF_UNIX;
    if ((!*is_unix && family != AF_INET && family != AF_INET6) ||
        socket_option(fd, SO_TYPE) != SOCK_STREAM ||
        socket_option(fd, SO_ACCEPTCONN) != 1)
        return UV_EINVAL;
    return 0;
}

static int is_called(const ahost__passed_socket *socket, const char *name) {
    if (name[strspn(name, "0123456789")] == '\0')
        return strtol(name, NULL, 10) == socket->fd;
    return strcmp(socket->name, name) == 0;
}

/* Several may have one name: the first that is free is the one. */
int ahost__passed_socket_use(ahost *h, const char *name,
                             ahost__passed_socket **socket, int *is_unix) {
    int err = ahost__activation_take(h), found = 0;
    const ahost__activation *all = h->activation;
    if (err != 0)
        return err;
    for (int i = 0; all != NULL && i < all->count; i++) {
        ahost__passed_socket *one = &h->activation->sockets[i];
        if (!is_called(one, name))
            continue;
        found = 1;
        if (one->in_use)
            continue;
        err = check_socket(one->fd, is_unix);
        if (err != 0)
            return err;
        one->in_use = 1;
        *socket = one;
        return 0;
    }
    return found ? UV_EADDRINUSE : AHOST__NOTFOUND;
}

void ahost__passed_socket_release(ahost__passed_socket *socket) {
    socket->in_use = 0;
}

/* systemd.protocol.sockets() -> {{fd=, name=}, ...} */
int ahost__activation_sockets(lua_State *L) {
    ahost *h = ahost__of(L);
    if (ahost__activation_take(h) != 0)
        return luaL_error(L, "not enough memory");
    lua_newtable(L);
    for (int i = 0; h->activation != NULL && i < h->activation->count; i++) {
        lua_createtable(L, 0, 2);
        lua_pushinteger(L, h->activation->sockets[i].fd);
        lua_setfield(L, -2, "fd");
        lua_pushstring(L, h->activation->sockets[i].name);
        lua_setfield(L, -2, "name");
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}
