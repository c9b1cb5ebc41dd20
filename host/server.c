/*
 * server.c - net.serve: a listener whose connections each get a task and a
 * context of their own.
 *
 * The server's context is a child of the one it was made in; those of the
 * connections are its children, and closing it cancels them all at once.
 */
#include <lauxlib.h>
#include <string.h>

#include "generation.h"
#include "listener.h"
#include "net.h"

#define SERVER_TYPE "ahost.server"

enum { ACCEPTS = 64 }; /* at most in a row, before others get a turn */

typedef struct server {
    ahost__owned owned;
    ahost__listener listener;
    ahost__child_watch watch;
    ahost__job accept_job;
    ahost__context *ctx;   /* counted */
    ahost__link waiters;   /* of those who wait for the last connection's end */
    int handler;           /* registry reference */
    uint32_t limit, count; /* connections at once */
    int boxed;             /* Lua holds it */
    int ended;             /* its context is closed */
} server;

/* ---- lifetime ----------------------------------------------------------- */

static void free_when_unused(server *srv) {
    if (!srv->ended || srv->boxed)
        return;
    ahost__context_unref(srv->ctx);
    ahost__free(srv->listener.host, srv, sizeof(*srv));
}

/* The server's context has ended, and all connections before it. */
static void on_ended(ahost__owned *owned) {
    server *srv = ahost__container_of(owned, server, owned);
    srv->ended = 1;
    luaL_unref(srv->listener.host->L, LUA_REGISTRYINDEX, srv->handler);
    ahost__job_drop(&srv->accept_job);
    ahost__listener_close(&srv->listener);
    free_when_unused(srv);
}

static void describe(lua_State *L, ahost__owned *owned) {
    const server *srv = ahost__container_of(owned, server, owned);
    lua_pushinteger(L, srv->count);
    lua_setfield(L, -2, "connections");
    if (srv->limit < UINT32_MAX) {
        lua_pushinteger(L, srv->limit);
        lua_setfield(L, -2, "limit");
    }
    if (srv->listener.lease == NULL)
        return;
    ahost__listener_push_address(L, &srv->listener);
    lua_setfield(L, -2, "address");
}

static void retire(ahost__owned *owned);

static void activate(ahost__owned *owned) {
    ahost__lease_pass_on(&ahost__container_of(owned, server, owned)->listener);
}

/* While it accepts connections a server keeps a script running. */
static const ahost__owned_type owned_open = {"server", 1,      on_ended, 0,
                                             describe, retire, activate};
static const ahost__owned_type owned_stopped = {"server", 0, on_ended, 0,
                                                describe};

static void stop_accepting(server *srv) {
    if (srv->owned.type != &owned_open || srv->owned.ctx == NULL)
        return;
    ahost__disown(&srv->owned);
    ahost__own(srv->ctx, &srv->owned, &owned_stopped);
    ahost__job_drop(&srv->accept_job);
    ahost__listener_close(&srv->listener);
}

static void retire(ahost__owned *owned) {
    stop_accepting(ahost__container_of(owned, server, owned));
}

/* ---- connections -------------------------------------------------------- */

static void on_ready(ahost__listener *listener) {
    server *srv = ahost__container_of(listener, server, listener);
    if (srv->ctx->state != AHOST__CONTEXT_OPEN)
        ahost__listener_stop(listener);
    else
        ahost__job_post(listener->host, &srv->accept_job);
}

static void on_connection_ended(ahost__child_watch *watch) {
    server *srv = ahost__container_of(watch, server, watch);
    ahost *h = srv->listener.host;
    h->connections--;
    ahost__check_retired(h);
    if (srv->count-- == srv->limit && srv->ctx->state == AHOST__CONTEXT_OPEN &&
        !ahost__timer_armed(&srv->listener.retry))
        ahost__listener_start(&srv->listener);
    if (srv->count > 0)
        return;
    ahost__settle_all(&srv->waiters, 0);
    if (!ahost__list_empty(&h->drains))
        ahost__generation_drained(h);
}

/* (handler, stream, ctx); protected, for the task may find no memory */
static int start_handler(lua_State *L) {
    ahost__context *ctx = lua_touserdata(L, 3);
    ahost__task *task;
    lua_settop(L, 2);
    task = ahost__spawn(L, ctx, 1);
    task->ends_context = 1;
    ahost__task_serve(task);
    return 0;
}

/* Gives a connection its context and its task; its box is on the top of L,
 * popped. What fails on the way closes the connection. */
static void start_connection(lua_State *L, server *srv, ahost__stream *s) {
    ahost__context *ctx = ahost__context_new(ahost__of(L), srv->ctx);
    if (ctx == NULL) {
        ahost__stream_close(s, 0);
        luaL_error(L, "not enough memory");
    }
    srv->count++;
    srv->listener.host->connections++;
    ctx->on_error = AHOST__ON_ERROR_PEER;
    ahost__stream_own(s, ctx);
    ahost__context_unref(ctx); /* its parent holds it */
    lua_pushcfunction(L, start_handler);
    lua_rawgeti(L, LUA_REGISTRYINDEX, srv->handler);
    lua_rotate(L, -3, 2);
    lua_pushlightuserdata(L, ctx);
    if (lua_pcall(L, 3, 0, 0) == LUA_OK)
        return;
    ahost__context_close(ctx);
    lua_error(L);
}

static void accept_some(lua_State *L, server *srv) {
    for (int i = 0; i < ACCEPTS && srv->count < srv->limit; i++) {
        ahost__stream **box = ahost__stream_push_box(L);
        int err;
        ahost__stream *s = ahost__listener_accept(&srv->listener, &err);
        if (s == NULL) {
            lua_pop(L, 1);
            return;
        }
        ahost__stream_set_box(box, s);
        start_connection(L, srv, s);
    }
    if (srv->count >= srv->limit)
        ahost__listener_stop(&srv->listener);
}

static int call_accept(lua_State *L) {
    server *srv = lua_touserdata(L, 1);
    accept_some(L, srv);
    return 0;
}

/* All that can fail is memory: then connections wait a moment, instead of
 * being tried again at once. */
static void run_accept(lua_State *L, ahost__job *job) {
    server *srv = ahost__container_of(job, server, accept_job);
    lua_pushcfunction(L, call_accept);
    lua_pushlightuserdata(L, srv);
    if (lua_pcall(L, 1, 0, 0) == LUA_OK)
        return;
    ahost__listener_exhausted(&srv->listener, UV_ENOMEM);
    lua_pop(L, 1);
}

/* ---- net.serve ---------------------------------------------------------- */

static server *check_server(lua_State *L, int arg) {
    server **box = luaL_checkudata(L, arg, SERVER_TYPE);
    if (*box == NULL)
        luaL_argerror(L, arg, "this server was never started");
    return *box;
}

static uint32_t read_limit(lua_State *L, int arg) {
    double limit =
        ahost__opt_number(L, arg, "limit", ahost__of(L)->defaults.connections);
    if (limit < 1)
        luaL_error(L, "option 'limit' must be at least 1 connection");
    return limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX;
}

/* Stack: address, handler, opts, box. Fills the server but for its socket. */
static void prepare(lua_State *L, server *srv, ahost__context *parent,
                    uint32_t limit) {
    ahost__list_init(&srv->waiters);
    srv->limit = limit;
    srv->watch.ended = on_connection_ended;
    srv->accept_job.run = run_accept;
    srv->listener.ready = on_ready;
    srv->ctx = ahost__context_new(ahost__of(L), parent);
    if (srv->ctx == NULL)
        return;
    srv->ctx->watch = &srv->watch;
    srv->ctx->cancels_tree = 1;
    srv->ctx->on_error = AHOST__ON_ERROR_LOG;
}

/* core.serve(address, handler, [opts]) -> server | nil, err */
int ahost__net_serve(lua_State *L) {
    ahost *h = ahost__of(L);
    ahost__context *parent = ahost__context_current(L);
    ahost__listen_options options;
    ahost__address address;
    server **box, *srv;
    uint32_t limit;
    int err, handler;
    ahost__check_address(L, 1, &address);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    ahost__listen_options_read(L, 3, &options);
    limit = read_limit(L, 3);
    ahost__context_check_open(L, parent, "serve");
    box = lua_newuserdatauv(L, sizeof(*box), 0);
    *box = NULL;
    luaL_setmetatable(L, SERVER_TYPE);
    lua_pushvalue(L, 2);
    handler = luaL_ref(L, LUA_REGISTRYINDEX);
    srv = ahost__alloc(h, sizeof(*srv));
    if (srv != NULL)
        prepare(L, srv, parent, limit);
    if (srv == NULL || srv->ctx == NULL) {
        ahost__free(h, srv, sizeof(*srv));
        luaL_unref(L, LUA_REGISTRYINDEX, handler);
        return luaL_error(L, "not enough memory");
    }
    srv->handler = handler;
    err = ahost__listener_open(srv->ctx, &srv->listener, &address, &options);
    if (err != 0) {
        ahost__context_close(srv->ctx);
        ahost__context_unref(srv->ctx);
        ahost__free(h, srv, sizeof(*srv));
        luaL_unref(L, LUA_REGISTRYINDEX, handler);
        return ahost__listener_fail(L, err, &address);
    }
    srv->boxed = 1;
    *box = srv;
    ahost__own(srv->ctx, &srv->owned, &owned_open);
    ahost__listener_start(&srv->listener);
    return 1;
}

/* ---- methods ------------------------------------------------------------ */

/* server:address() -> address | nil, err */
static int server_address(lua_State *L) {
    server *srv = check_server(L, 1);
    if (srv->listener.lease == NULL)
        return ahost__fail(L, AHOST__CLOSED, "address");
    ahost__listener_push_address(L, &srv->listener);
    return 1;
}

/* server:count() -> number of connections now */
static int server_count(lua_State *L) {
    lua_pushinteger(L, check_server(L, 1)->count);
    return 1;
}

static int context_closed(lua_State *L, int status, lua_KContext unused) {
    (void)L;
    (void)status;
    (void)unused;
    return 2;
}

/* Cancels what is left and waits for its end. -> true | nil, err */
static int close_context(lua_State *L, server *srv) {
    lua_settop(L, 1);
    lua_pushcfunction(L, ahost__context_close_method);
    ahost__push_context(L, srv->ctx);
    lua_callk(L, 1, 2, 0, context_closed);
    return 2;
}

static int finish_grace(lua_State *L, ahost__wait *w) {
    return close_context(L, w->op);
}

static const ahost__wait_type grace_wait = {"the connections of a server",
                                            finish_grace, NULL};

/* server:close([grace]) -> true | nil, err */
static int server_close(lua_State *L) {
    server *srv = check_server(L, 1);
    double grace = luaL_optnumber(L, 2, 0);
    ahost__wait *w;
    luaL_argcheck(L, grace >= 0, 2, "grace must be >= 0 seconds");
    stop_accepting(srv);
    if (grace == 0 || srv->count == 0)
        return close_context(L, srv);
    w = ahost__wait_begin(L, &grace_wait, srv);
    ahost__list_append(&srv->waiters, &w->link);
    ahost__wait_timeout(w, grace);
    return ahost__await(L, w);
}

/* `__close`: without grace; the second argument is the error. */
static int server_close_variable(lua_State *L) {
    lua_settop(L, 1);
    return server_close(L);
}

/* A server nobody refers to goes on serving until its context ends. */
static int server_gc(lua_State *L) {
    server **box = lua_touserdata(L, 1), *srv = *box;
    if (srv == NULL)
        return 0;
    *box = NULL;
    srv->boxed = 0;
    free_when_unused(srv);
    return 0;
}

static const luaL_Reg methods[] = {{"address", server_address},
                                   {"count", server_count},
                                   {"close", server_close},
                                   {NULL, NULL}};

void ahost__open_server(lua_State *L) {
    if (luaL_newmetatable(L, SERVER_TYPE)) {
        luaL_newlib(L, methods);
        lua_setfield(L, -2, "__index");
        lua_pushcfunction(L, server_close_variable);
        lua_setfield(L, -2, "__close");
        lua_pushcfunction(L, server_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_pop(L, 1);
}
