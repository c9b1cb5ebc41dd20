/*
 * connect.c - one connection to one address, whose host needs no lookup.
 *
 * Names, and the choice among several addresses, are policy: lua/ahost/net.lua.
 */
#include <errno.h>
#include <lauxlib.h>
#include <unistd.h>

#include "net.h"
#include "stream.h"

typedef struct connecting {
    uv_connect_t request;
    ahost__stream *stream;
    ahost__wait *wait; /* NULL when the task no longer waits */
    int status;
} connecting;

/* Stack of the waiting function: address, options, box of the stream. */
enum { ADDRESS = 1, OPTIONS, BOX };

static void on_connected(uv_connect_t *request, int status) {
    connecting *c = ahost__container_of(request, connecting, request);
    ahost__stream *s = c->stream;
    ahost *h = s->host;
    ahost__wait *w = c->wait;
    s->connecting = 0;
    h->socket_requests--;
    ahost__free(h, c, sizeof(*c));
    if (w == NULL)
        return;
    if (status == UV_ECANCELED && s->releasing)
        status = AHOST__CLOSED;
    if (status == 0 && s->uv.handle.type == UV_TCP)
        uv_tcp_nodelay(&s->uv.tcp, 1);
    ahost__settle(w, status);
    ahost__ready_run(h);
}

static int finish_connect(lua_State *L, ahost__wait *w) {
    ahost__stream *s = *(ahost__stream **)lua_touserdata(L, BOX);
    ahost__address address;
    if (w->status == 0) {
        lua_settop(L, BOX);
        return 1;
    }
    ahost__stream_release(s, 0);
    ahost__to_address(L, ADDRESS, &address);
    ahost__push_address(L, &address);
    return ahost__fail(L, w->status, "connect %s", lua_tostring(L, -1));
}

/* Timeout or cancellation: the stream goes, its request reports to nobody. */
static void cancel_connect(ahost__wait *w) {
    connecting *c = w->op;
    c->wait = NULL;
    ahost__stream_release(c->stream, 0);
}

static const ahost__wait_type connect_wait = {"connect", finish_connect,
                                              cancel_connect};

/* Reads the option `local_address`; without one `local` has no family. A name
 * is misuse: its lookup would have several outcomes. */
static void read_local(lua_State *L, const ahost__address *remote,
                       struct sockaddr_storage *local) {
    ahost__address address;
    local->ss_family = AF_UNSPEC;
    ahost__push_option(L, OPTIONS, "local_address");
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return;
    }
    if (!ahost__to_address(L, -1, &address))
        luaL_error(L, "option 'local_address': %s", lua_tostring(L, -1));
    if (address.is_unix || remote->is_unix || address.host[0] == '\0' ||
        ahost__address_numeric(&address, local) != 0)
        luaL_error(L,
                   "option 'local_address': an IP address with a port (0 for "
                   "any) is expected, and a connection over TCP");
    lua_pop(L, 1);
}

/* Binds the local end, if it was chosen; 0 or a code. */
static int bind_local(ahost__stream *s, const struct sockaddr_storage *local) {
    return local->ss_family == AF_UNSPEC
               ? 0
               : uv_tcp_bind(&s->uv.tcp, (const struct sockaddr *)local, 0);
}

static int fail_connect(lua_State *L, int err, const ahost__address *address) {
    ahost__push_address(L, address);
    return ahost__fail(L, err, "connect %s", lua_tostring(L, -1));
}

/* A Unix socket connects at once or not at all. */
static int connect_unix(lua_State *L, ahost__context *ctx,
                        const ahost__address *address,
                        const struct sockaddr_storage *remote) {
    const struct sockaddr *sa = (const struct sockaddr *)remote;
    ahost__stream **box = ahost__stream_push_box(L), *s;
    int fd = ahost__new_socket(AF_UNIX, SOCK_STREAM), err = 0;
    if (fd < 0)
        return fail_connect(L, fd, address);
    if (connect(fd, sa, ahost__sockaddr_length(sa)) != 0) {
        err = -errno;
        close(fd);
        return fail_connect(L, err, address);
    }
    s = ahost__uv_stream_open(ahost__of(L), UV_NAMED_PIPE, fd, &err);
    if (s == NULL)
        return fail_connect(L, err, address);
    s->drains = 1;
    ahost__stream_set_box(box, s);
    ahost__stream_own(s, ctx);
    return 1;
}

/* Waits for the connection of a stream; the callback comes, whatever the
 * outcome, unless this returns a code. */
static int start(ahost__stream *s, ahost__wait *w,
                 const struct sockaddr_storage *remote) {
    connecting *c = ahost__alloc(s->host, sizeof(*c));
    int err;
    if (c == NULL)
        return UV_ENOMEM;
    c->stream = s;
    c->wait = w;
    err = uv_tcp_connect(&c->request, &s->uv.tcp,
                         (const struct sockaddr *)remote, on_connected);
    if (err != 0) {
        ahost__free(s->host, c, sizeof(*c));
        return err;
    }
    w->op = c;
    s->connecting = 1;
    s->host->socket_requests++;
    return 0;
}

static int connect_tcp(lua_State *L, ahost__context *ctx,
                       const ahost__address *address,
                       const struct sockaddr_storage *local,
                       const struct sockaddr_storage *remote) {
    double timeout = ahost__opt_number(L, OPTIONS, "timeout", -1);
    ahost__stream **box = ahost__stream_push_box(L), *s;
    ahost__wait *w;
    int err;
    s = ahost__uv_stream_new(ahost__of(L), UV_TCP, &err);
    if (s == NULL)
        return fail_connect(L, err, address);
    s->drains = 1;
    ahost__stream_set_box(box, s);
    ahost__stream_own(s, ctx);
    err = bind_local(s, local);
    if (err != 0) {
        ahost__stream_release(s, 0);
        return fail_connect(L, err, address);
    }
    w = ahost__wait_begin(L, &connect_wait, NULL);
    err = start(s, w, remote);
    if (err != 0)
        ahost__settle(w, err);
    else
        ahost__wait_timeout(w, timeout);
    return ahost__await(L, w);
}

/* core.connect(address, [opts]) -> stream | nil, err */
int ahost__net_connect(lua_State *L) {
    ahost__context *ctx = ahost__context_current(L);
    ahost__address address;
    struct sockaddr_storage local, remote;
    int err;
    lua_settop(L, OPTIONS);
    ahost__check_address(L, ADDRESS, &address);
    luaL_argcheck(L, !address.is_passed, ADDRESS,
                  "a passed socket can only be listened on");
    read_local(L, &address, &local);
    ahost__address_to_loopback(&address);
    ahost__context_check_open(L, ctx, "connect");
    err = ahost__address_numeric(&address, &remote);
    if (err != 0)
        return fail_connect(L, err, &address);
    return address.is_unix ? connect_unix(L, ctx, &address, &remote)
                           : connect_tcp(L, ctx, &address, &local, &remote);
}
