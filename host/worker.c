/*
 * worker.c - ahost.host.worker: a host that is one of several processes, with a
 * supervisor above them.
 *
 * The program has inherited two sockets from the supervisor: a channel for
 * lines of text, and one by which it borrows listening sockets.
 */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lender.h"
#include "listener.h"
#include "worker.h"

/* Makes an inherited socket ours: 0 or a code. */
static int adopt(int fd, int expected_type) {
    int type, err = 0;
    socklen_t size = sizeof(type);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0)
        return -errno;
    if (type != expected_type)
        err = UV_EPROTOTYPE;
    else if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        err = -errno;
    return err;
}

/* core.attach(index, workers, channel, sockets) -> stream | nil, err: this is
 * worker `index`; the last two are descriptors. Before anything listens. */
static int attach(lua_State *L) {
    ahost *h = ahost__of(L);
    int index = (int)luaL_checkinteger(L, 1);
    int workers = (int)luaL_checkinteger(L, 2);
    int channel = (int)luaL_checkinteger(L, 3);
    int sockets = (int)luaL_checkinteger(L, 4), err;
    ahost__stream **box = ahost__stream_push_box(L), *s;
    ahost__context_check_open(L, h->root, "attach");
    luaL_argcheck(L, h->lender == NULL, 1, "this is a worker already");
    err = adopt(channel, SOCK_STREAM);
    if (err == 0)
        err = adopt(sockets, SOCK_SEQPACKET);
    if (err != 0)
        return ahost__fail(L, err, "worker");
    s = ahost__uv_stream_open(h, UV_NAMED_PIPE, channel, &err);
    if (s == NULL)
        return ahost__fail(L, err, "worker");
    ahost__stream_set_box(box, s);
    ahost__stream_own(s, h->root);
    err = ahost__lender_open(h, sockets);
    if (err != 0)
        return ahost__fail(L, err, "worker");
    h->worker = index;
    h->workers = workers;
    return 1;
}

/* ---- retirement --------------------------------------------------------- */

/* -> true | nil, err */
static int finish_retire(lua_State *L, ahost__wait *w) {
    if (w->status != 0)
        return ahost__fail(L, w->status, "the connections");
    lua_pushboolean(L, 1);
    return 1;
}

static const ahost__wait_type retire_wait = {"the connections of a worker",
                                             finish_retire, NULL, 0};

/* core.retire([timeout]) -> true | nil, err: accepts no more connections, and
 * waits until those there are have ended */
static int retire(lua_State *L) {
    ahost *h = ahost__of(L);
    double timeout = ahost__opt_timeout(L, 1);
    ahost__wait *w = ahost__wait_begin(L, &retire_wait, h);
    ahost__listeners_retire(h);
    ahost__list_append(&h->retirees, &w->link);
    ahost__check_retired(h);
    ahost__wait_timeout(w, timeout);
    return ahost__await(L, w);
}

/* core.parallelism() -> how many processors there are for this process */
static int parallelism(lua_State *L) {
    lua_pushinteger(L, uv_available_parallelism());
    return 1;
}

static const luaL_Reg functions[] = {{"attach", attach},
                                     {"retire", retire},
                                     {"parallelism", parallelism},
                                     {NULL, NULL}};

int ahost__open_worker(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
