/*
 * accept.c - listeners for scripts: net.listen, accept and streams().
 */
#include <lauxlib.h>
#include <string.h>

#include "listener.h"
#include "net.h"
#include "tls.h"

#define LISTENER_TYPE "ahost.listener"

typedef struct script_listener {
    ahost__owned owned;
    ahost__listener listener;
    ahost__link acceptors;   /* waits of those who accept */
    ahost__tls_context *tls; /* counted; NULL: plain text */
    int boxed, ended;
} script_listener;

/* ---- lifetime ----------------------------------------------------------- */

static void free_when_unused(script_listener *l) {
    if (l->ended && !l->boxed)
        ahost__free(l->listener.host, l, sizeof(*l));
}

/* May free it. */
static void close_listener(script_listener *l) {
    ahost__tls_context_unref(l->tls);
    l->tls = NULL;
    l->ended = 1;
    ahost__disown(&l->owned);
    ahost__settle_all(&l->acceptors, AHOST__CLOSED);
    ahost__listener_close(&l->listener);
    free_when_unused(l);
}

static void close_owned(ahost__owned *owned) {
    close_listener(ahost__container_of(owned, script_listener, owned));
}

static void describe(lua_State *L, ahost__owned *owned) {
    const script_listener *l =
        ahost__container_of(owned, script_listener, owned);
    ahost__listener_push_address(L, &l->listener);
    lua_setfield(L, -2, "address");
}

static void activate(ahost__owned *owned) {
    ahost__lease_pass_on(
        &ahost__container_of(owned, script_listener, owned)->listener);
}

static const ahost__owned_type owned_listener = {
    "listener", 1, close_owned, 0, describe, close_owned, activate};

/* A connection, or NULL as ahost__listener_accept; with TLS its handshake is
 * under way. */
static ahost__stream *accept_one(script_listener *l, int *err) {
    ahost__stream *s = ahost__listener_accept(&l->listener, err);
    if (s != NULL && l->tls != NULL)
        ahost__tls_accept(s, l->tls);
    return s;
}

/* Hands connections to those who wait, oldest first; when nobody does, they
 * stay in the backlog. */
static void on_ready(ahost__listener *listener) {
    script_listener *l =
        ahost__container_of(listener, script_listener, listener);
    ahost__wait *w;
    while ((w = ahost__wait_first(&l->acceptors)) != NULL) {
        int err;
        ahost__stream *s = accept_one(l, &err);
        if (s == NULL)
            return;
        ahost__stream_set_box((ahost__stream **)(intptr_t)w->value, s);
        ahost__task_serve(ahost__wait_task(w));
        ahost__stream_own(s, ahost__wait_task(w)->current);
        ahost__settle(w, 0);
    }
    ahost__listener_stop(listener);
}

static script_listener *check_listener(lua_State *L, int arg) {
    script_listener **box = luaL_checkudata(L, arg, LISTENER_TYPE);
    if (*box == NULL)
        luaL_argerror(L, arg, "this listener was never opened");
    return *box;
}

/* core.listen(address, [opts]) -> listener | nil, err */
int ahost__net_listen(lua_State *L) {
    ahost *h = ahost__of(L);
    ahost__context *ctx = ahost__context_current(L);
    ahost__listen_options options;
    ahost__address address;
    ahost__tls_context *tls;
    script_listener **box, *l;
    int err;
    ahost__check_address(L, 1, &address);
    ahost__listen_options_read(L, 2, &options);
    tls = ahost__opt_tls_context(L, 2, "tls_settings");
    ahost__context_check_open(L, ctx, "listen");
    box = lua_newuserdatauv(L, sizeof(*box), 0);
    *box = NULL;
    luaL_setmetatable(L, LISTENER_TYPE);
    l = ahost__alloc(h, sizeof(*l));
    if (l == NULL)
        return luaL_error(L, "not enough memory");
    err = ahost__listener_open(ctx, &l->listener, &address, &options);
    if (err != 0) {
        ahost__free(h, l, sizeof(*l));
        return ahost__listener_fail(L, err, &address);
    }
    ahost__list_init(&l->acceptors);
    l->tls = tls;
    if (tls != NULL)
        tls->references++;
    l->listener.ready = on_ready;
    l->boxed = 1;
    *box = l;
    ahost__own(ctx, &l->owned, &owned_listener);
    return 1;
}

/* ---- accepting ---------------------------------------------------------- */

/* The box of the stream, which has been filled, is on the top. */
static int finish_accept(lua_State *L, ahost__wait *w) {
    return w->status == 0 ? 1 : ahost__fail(L, w->status, "accept");
}

static const ahost__wait_type accept_wait = {"accept", finish_accept, NULL};

/* Takes a place behind those who wait already. */
static int wait_for_connection(lua_State *L, script_listener *l,
                               ahost__stream **box, double timeout) {
    ahost__wait *w = ahost__wait_begin(L, &accept_wait, l);
    w->value = (intptr_t)box;
    ahost__list_append(&l->acceptors, &w->link);
    ahost__wait_timeout(w, timeout);
    if (!ahost__timer_armed(&l->listener.retry))
        ahost__listener_start(&l->listener);
    return ahost__await(L, w);
}

/* listener:accept([timeout]) -> stream | nil, err */
static int listener_accept(lua_State *L) {
    script_listener *l = check_listener(L, 1);
    double timeout = ahost__opt_timeout(L, 2);
    ahost__context *ctx = ahost__context_current(L);
    ahost__stream **box, *s;
    int err;
    if (l->listener.lease == NULL)
        return ahost__fail(L, AHOST__CLOSED, "accept");
    ahost__context_check_open(L, ctx, "accept");
    box = ahost__stream_push_box(L);
    if (!ahost__list_empty(&l->acceptors) || ahost__must_yield(L))
        return wait_for_connection(L, l, box, timeout);
    s = accept_one(l, &err);
    if (s == NULL)
        return wait_for_connection(L, l, box, timeout);
    ahost__task_serve(ahost__of(L)->current);
    ahost__stream_set_box(box, s);
    ahost__stream_own(s, ctx);
    return 1;
}

/* Stack: stream, nil or nil, err. -> stream | nil */
static int next_stream_done(lua_State *L, int status, lua_KContext unused) {
    (void)status;
    (void)unused;
    if (lua_isnil(L, -2) && !ahost__is_error(L, -1, AHOST__CLOSED))
        return lua_error(L);
    lua_pop(L, 1);
    return 1;
}

/* The iterator: the next connection, until the listener is closed. */
static int next_stream(lua_State *L) {
    lua_settop(L, 1);
    lua_pushcfunction(L, listener_accept);
    lua_pushvalue(L, 1);
    lua_callk(L, 1, 2, 0, next_stream_done);
    return next_stream_done(L, LUA_OK, 0);
}

/* listener:streams() -> iterator, listener */
static int listener_streams(lua_State *L) {
    check_listener(L, 1);
    lua_pushcfunction(L, next_stream);
    lua_pushvalue(L, 1);
    return 2;
}

/* listener:address() -> address | nil, err */
static int listener_address(lua_State *L) {
    script_listener *l = check_listener(L, 1);
    if (l->listener.lease == NULL)
        return ahost__fail(L, AHOST__CLOSED, "address");
    ahost__listener_push_address(L, &l->listener);
    return 1;
}

/* listener:close() */
static int listener_close(lua_State *L) {
    close_listener(check_listener(L, 1));
    return 0;
}

static int listener_gc(lua_State *L) {
    script_listener **box = lua_touserdata(L, 1), *l = *box;
    if (l == NULL)
        return 0;
    *box = NULL;
    l->boxed = 0;
    close_listener(l);
    return 0;
}

static const luaL_Reg methods[] = {{"accept", listener_accept},
                                   {"streams", listener_streams},
                                   {"address", listener_address},
                                   {"close", listener_close},
                                   {NULL, NULL}};

void ahost__open_listener(lua_State *L) {
    if (luaL_newmetatable(L, LISTENER_TYPE)) {
        luaL_newlib(L, methods);
        lua_setfield(L, -2, "__index");
        lua_pushcfunction(L, listener_close);
        lua_setfield(L, -2, "__close");
        lua_pushcfunction(L, listener_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_pop(L, 1);
}
