/*
 * stream.c - the life of a stream, and its methods that neither read nor write.
 *
 * Three parties hold a stream: its context, Lua and its transport. The first
 * two may let go at any time; the block is freed when the transport and Lua
 * both have.
 */
#include "stream.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "listener.h"
#include "net.h"
#include "tls.h"

#define STREAM_TYPE "ahost.stream"
#define TIMED_STREAM_TYPE "ahost.stream.timed"

static const double default_linger = 5; /* seconds */

/* ---- lifetime ----------------------------------------------------------- */

static void close_owned(ahost__owned *owned) {
    ahost__stream *s = ahost__container_of(owned, ahost__stream, owned);
    ahost__stream_close(s, s->close_linger);
}

static const ahost__owned_type owned_stream = {"stream", 0, close_owned};

ahost__stream *ahost__stream_new(ahost *h, const ahost__transport *transport,
                                 size_t size) {
    ahost__stream *s = ahost__alloc(h, size);
    if (s == NULL)
        return NULL;
    s->host = h;
    s->transport = transport;
    s->size = (uint32_t)size;
    s->timeout = -1;
    s->close_linger = default_linger;
    s->out_last = &s->out;
    ahost__list_init(&s->writers);
    return s;
}

ahost__stream **ahost__stream_push_box(lua_State *L) {
    ahost__stream **box = lua_newuserdatauv(L, sizeof(*box), 0);
    *box = NULL;
    luaL_setmetatable(L, STREAM_TYPE);
    return box;
}

void ahost__stream_set_box(ahost__stream **box, ahost__stream *s) {
    *box = s;
    s->boxed = 1;
}

void ahost__stream_own(ahost__stream *s, ahost__context *ctx) {
    ahost__own(ctx, &s->owned, &owned_stream);
}

static void free_when_unused(ahost__stream *s) {
    if (s->released && !s->boxed)
        ahost__free(s->host, s, s->size);
}

void ahost__stream_released(ahost__stream *s) {
    s->released = 1;
    if (s->tls != NULL)
        ahost__tls_free(s->tls);
    s->tls = NULL;
    if (s->accepted) {
        s->host->accepted--;
        ahost__check_retired(s->host);
    }
    free_when_unused(s);
}

/* Nobody owns it, reads or writes from now on; the timer takes the place of
 * what that needed. */
static void end_use(ahost__stream *s) {
    s->closing = 1;
    ahost__disown(&s->owned);
    ahost__stream_wake_reader(s, AHOST__CLOSED);
    ahost__settle_all(&s->writers, AHOST__CLOSED);
    if (s->tls != NULL)
        ahost__tls_end_use(s->tls);
    s->linger = (ahost__timer){0};
}

void ahost__stream_release(ahost__stream *s, int reset) {
    if (s->releasing)
        return;
    s->releasing = 1;
    if (!s->closing)
        end_use(s);
    ahost__timer_stop(s->host, &s->linger);
    s->host->lingering -= s->lingers;
    s->lingers = 0;
    ahost__list_remove(&s->dirty);
    if (s->in_flight == 0)
        ahost__stream_fail_output(s, AHOST__CLOSED);
    ahost__stream_free_input(s);
    s->transport->close(s, reset);
}

static void on_linger(ahost__timer *timer) {
    ahost__stream *s = ahost__container_of(timer, ahost__stream, linger);
    ahost__stream_release(s, 1);
}

/* Whether the peer has sent what nobody has read: closing then would reset the
 * connection, and destroy output that is still on its way. */
static int has_unread_input(const ahost__stream *s) {
    uv_os_fd_t fd;
    int size = 0;
    if (s->in_error != 0 || !s->drains)
        return 0;
    if (s->in_size > 0)
        return 1;
    return uv_fileno(&s->uv.handle, &fd) == 0 &&
           ioctl(fd, FIONREAD, &size) == 0 && size > 0;
}

/* Ends the output and discards input until the peer ends too. */
static int start_draining(ahost__stream *s) {
    if (s->shut < 2 && s->transport->shutdown(s) != 0)
        return 0;
    s->shut = 2;
    s->draining = 1;
    ahost__stream_free_input(s);
    if (!s->reading && s->transport->read_start(s) != 0)
        return 0;
    s->reading = 1;
    return 1;
}

/* Everything is sent that a closing stream had to send. */
void ahost__stream_finish_close(ahost__stream *s) {
    int broken = s->out_error != 0;
    if (s->draining || (s->tls != NULL && ahost__tls_ends(s->tls)))
        return;
    if (broken || !has_unread_input(s) || !start_draining(s))
        ahost__stream_release(s, broken && !ahost__tls_has_alert(s->tls));
}

void ahost__stream_close(ahost__stream *s, double linger) {
    if (s->closing)
        return;
    end_use(s);
    if (linger <= 0) {
        ahost__stream_release(s, s->queued > 0);
        return;
    }
    s->linger.fire = on_linger;
    ahost__timer_start(s->host, &s->linger, linger);
    s->lingers = 1;
    s->host->lingering++;
    if (s->queued > 0) /* either may free the stream */
        ahost__stream_send(s);
    else
        ahost__stream_finish_close(s);
}

/* ---- methods ------------------------------------------------------------ */

ahost__stream *ahost__check_stream(lua_State *L, int arg) {
    const ahost *h = ahost__of(L);
    ahost__stream **box = lua_touserdata(L, arg);
    const void *meta = NULL;
    if (box != NULL && lua_getmetatable(L, arg)) {
        meta = lua_topointer(L, -1);
        lua_pop(L, 1);
    }
    if (meta == NULL ||
        (meta != h->stream_meta && meta != h->timed_stream_meta) ||
        *box == NULL)
        luaL_typeerror(L, arg, STREAM_TYPE);
    return *box;
}

/* stream:close([linger]) */
static int stream_close(lua_State *L) {
    ahost__stream *s = ahost__check_stream(L, 1);
    double linger = luaL_optnumber(L, 2, s->close_linger);
    luaL_argcheck(L, linger >= 0, 2, "linger must be >= 0 seconds");
    ahost__stream_close(s, linger);
    return 0;
}

/* `__close`, which is given the error second */
static int stream_close_variable(lua_State *L) {
    ahost__stream *s = ahost__check_stream(L, 1);
    ahost__stream_close(s, s->close_linger);
    return 0;
}

typedef int name_function(const uv_tcp_t *, struct sockaddr *, int *);

/* -> "host:port" | nil, err */
static int push_name(lua_State *L, name_function *get_name, const char *op) {
    ahost__stream *s = ahost__check_stream(L, 1);
    struct sockaddr_storage name = {0};
    int size = sizeof(name), err;
    uv_os_fd_t fd;
    if (s->releasing)
        return ahost__fail(L, AHOST__CLOSED, op);
    if (s->uv.handle.type == UV_TCP) {
        err = get_name(&s->uv.tcp, (struct sockaddr *)&name, &size);
    } else if (s->uv.handle.type == UV_NAMED_PIPE &&
               uv_fileno(&s->uv.handle, &fd) == 0) {
        err = ahost__unix_name(fd, get_name == uv_tcp_getpeername, &name);
    } else {
        err = UV_ENOTSOCK;
    }
    if (err != 0)
        return ahost__fail(L, err, op);
    ahost__push_sockaddr(L, (struct sockaddr *)&name);
    return 1;
}

/* stream:address() -> this end's address | nil, err */
static int stream_address(lua_State *L) {
    return push_name(L, uv_tcp_getsockname, "address");
}

/* stream:peer() -> the other end's address | nil, err */
static int stream_peer(lua_State *L) {
    return push_name(L, uv_tcp_getpeername, "peer");
}

/* The `__index` of a stream whose timeout has been set; that of any other is a
 * plain table, in which `timeout` is nil. Upvalues: the methods, "timeout". */
static int timed_stream_index(lua_State *L) {
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
        return 1;
    if (!lua_rawequal(L, 2, lua_upvalueindex(2)))
        return 0;
    lua_pushnumber(L, ahost__check_stream(L, 1)->timeout);
    return 1;
}

/* stream.timeout = seconds | nil; upvalue: "timeout" */
static int stream_newindex(lua_State *L) {
    ahost__stream *s = ahost__check_stream(L, 1);
    if (!lua_rawequal(L, 2, lua_upvalueindex(1)))
        return luaL_error(L, "a stream has no field '%s' to set (only timeout)",
                          luaL_tolstring(L, 2, NULL));
    s->timeout = ahost__opt_timeout(L, 3);
    lua_settop(L, 1);
    luaL_setmetatable(L, s->timeout < 0 ? STREAM_TYPE : TIMED_STREAM_TYPE);
    return 0;
}

static int stream_tostring(lua_State *L) {
    ahost__stream *s = ahost__check_stream(L, 1);
    lua_pushfstring(L, "stream: %p (%s%s)", (void *)s, s->transport->what,
                    s->closing ? ", closed" : "");
    return 1;
}

/* Nobody can use it any more: the backstop for what no context closed. */
static int stream_gc(lua_State *L) {
    ahost__stream **box = lua_touserdata(L, 1);
    ahost__stream *s = *box;
    if (s == NULL)
        return 0;
    *box = NULL;
    s->boxed = 0;
    if (s->released)
        free_when_unused(s);
    else
        ahost__stream_close(s, s->close_linger);
    return 0;
}

static const luaL_Reg methods[] = {{"close", stream_close},
                                   {"address", stream_address},
                                   {"peer", stream_peer},
                                   {NULL, NULL}};

static const luaL_Reg meta[] = {{"__gc", stream_gc},
                                {"__close", stream_close_variable},
                                {"__tostring", stream_tostring},
                                {NULL, NULL}};

/* Makes a metatable without `__index` and leaves it on the top. */
static const void *push_meta(lua_State *L, const char *type) {
    luaL_newmetatable(L, type);
    luaL_setfuncs(L, meta, 0);
    lua_pushliteral(L, STREAM_TYPE);
    lua_setfield(L, -2, "__name");
    lua_pushliteral(L, "timeout");
    lua_pushcclosure(L, stream_newindex, 1);
    lua_setfield(L, -2, "__newindex");
    return lua_topointer(L, -1);
}

void ahost__open_stream(lua_State *L) {
    ahost *h = ahost__of(L);
    if (h->stream_meta != NULL)
        return;
    luaL_newlib(L, methods);
    ahost__open_stream_input(L);
    ahost__open_stream_output(L);
    ahost__open_stream_tls(L);
    h->stream_meta = push_meta(L, STREAM_TYPE);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "__index");
    h->timed_stream_meta = push_meta(L, TIMED_STREAM_TYPE);
    lua_pushvalue(L, -3);
    lua_pushliteral(L, "timeout");
    lua_pushcclosure(L, timed_stream_index, 2);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 3);
}
