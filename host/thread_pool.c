/*
 * thread_pool.c - the pools of threads that run calls: how they are made, and
 * how they end.
 */
#include <lauxlib.h>
#include <stdio.h>

#include "thread_pool.h"

/* ---- closing ------------------------------------------------------------ */

/* What has begun runs on; what waits for its turn fails. */
static void shut(ahost__executor *e) {
    ahost__link *link = e->calls.next, *next;
    if (e->closed)
        return;
    e->closed = 1;
    ahost__settle_all(&e->room, AHOST__CLOSED);
    for (; link != &e->calls; link = next) {
        ahost__call *c = ahost__container_of(link, ahost__call, link);
        ahost__wait *w = c->wait;
        next = link->next;
        if (!ahost__pool_cancel(e->pool, &c->work))
            continue;
        ahost__list_remove(&c->link);
        e->call_count--;
        ahost__call_free(c);
        if (w != NULL)
            ahost__settle(w, AHOST__CLOSED);
    }
    if (e->call_count == 0)
        ahost__settle_all(&e->drained, 0);
}

static void ask_all(ahost__executor *e) {
    ahost__link *link;
    for (link = e->calls.next; link != &e->calls; link = link->next)
        ahost__call_ask_to_end(ahost__container_of(link, ahost__call, link));
}

/* The threads go when they have nothing to do any more. */
static void let_go(ahost__executor *e) {
    ahost__pool *pool = e->pool;
    if (pool == NULL)
        return;
    shut(e);
    ask_all(e);
    e->pool = NULL;
    ahost__thread_states_close(e->states);
    if (!e->host->pools_ended) /* else its context could not be closed */
        ahost__pool_close(pool);
}

static void close_owned(ahost__owned *owned) {
    ahost__executor *e = ahost__container_of(owned, ahost__executor, owned);
    let_go(e);
    ahost__executor_free_unused(e);
}

static void describe(lua_State *L, ahost__owned *owned) {
    const ahost__executor *e =
        ahost__container_of(owned, ahost__executor, owned);
    lua_pushstring(L, e->name);
    lua_setfield(L, -2, "name");
    lua_pushinteger(L, (lua_Integer)e->size);
    lua_setfield(L, -2, "size");
    lua_pushinteger(L, (lua_Integer)e->call_count);
    lua_setfield(L, -2, "calls");
}

static const ahost__owned_type owned_pool = {"thread pool", 0, close_owned, 0,
                                             describe};

static int pool_gc(lua_State *L) {
    ahost__executor **box = luaL_checkudata(L, 1, AHOST__POOL_TYPE), *e = *box;
    if (e == NULL)
        return 0;
    *box = NULL;
    e->box = NULL;
    ahost__disown(&e->owned);
    let_go(e);
    ahost__executor_free_unused(e);
    return 0;
}

/* core.shut(pool) */
static int core_shut(lua_State *L) {
    shut(ahost__check_executor(L));
    return 0;
}

/* core.cancel(pool): the code that runs is asked to end */
static int core_cancel(lua_State *L) {
    ask_all(ahost__check_executor(L));
    return 0;
}

/* -> true | nil, err */
static int finish_drain(lua_State *L, ahost__wait *w) {
    if (w->status != 0)
        return ahost__fail(L, w->status, "the calls of a pool of threads");
    lua_pushboolean(L, 1);
    return 1;
}

static const ahost__wait_type drain_wait = {"the calls of a pool of threads",
                                            finish_drain, NULL, 0};

/* core.drain(pool, [timeout]) -> true | nil, err: until no call runs */
static int core_drain(lua_State *L) {
    ahost__executor *e = ahost__check_executor(L);
    double timeout = ahost__opt_timeout(L, 2);
    ahost__wait *w;
    if (e->call_count == 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    w = ahost__wait_begin(L, &drain_wait, e);
    ahost__wait_timeout(w, timeout);
    ahost__list_append(&e->drained, &w->link);
    return ahost__await(L, w);
}

/* core.release(pool): names the calls that still run, and lets go of them */
static int core_release(lua_State *L) {
    ahost__executor *e = ahost__check_executor(L);
    ahost__link *link;
    if (e->pool == NULL)
        return 0;
    for (link = e->calls.next; link != &e->calls; link = link->next) {
        ahost__call *c = ahost__container_of(link, ahost__call, link);
        ahost__log(e->host, AHOST_LOG_ERROR, "ahost.thread",
                   "a call in pool '%s' did not end in time and is abandoned: "
                   "%s",
                   e->name, c->errand.name);
        ahost__host_failed(e->host);
    }
    ahost__disown(&e->owned);
    let_go(e);
    return 0;
}

/* ---- making a pool ------------------------------------------------------ */

enum { LEAST_LIMIT = 1 << 20 };

/* The bytes for one state, when the program does not say: the host and the
 * threads of a pool may have the same. 0: no limit. */
static size_t default_limit(const ahost *h, size_t size) {
    size_t share = h->memory_limit / (size + 1);
    if (h->memory_limit != 0 && share < LEAST_LIMIT)
        return LEAST_LIMIT;
    return share;
}

static int open_executor(ahost *h, ahost__executor *e, size_t limit,
                         int interruptible) {
    e->threads = ahost__threads_get(h);
    if (e->threads == NULL)
        return 0;
    e->states =
        ahost__thread_states_new(ahost__threads_get(h), limit, interruptible);
    if (e->states == NULL) {
        ahost__threads_unref(e->threads);
        return 0;
    }
    e->pool = ahost__pool_new(h, e->name, (unsigned)e->size, 0);
    if (e->pool != NULL)
        return 1;
    ahost__thread_states_unref(e->states);
    ahost__threads_unref(e->threads);
    return 0;
}

/* core.pool(ctx, name, size, max_queue, memory_limit, interruptible) -> pool; a
 * memory_limit of 0 is the default */
static int core_pool(lua_State *L) {
    ahost__context *ctx = ahost__check_context(L, 1);
    ahost *h = ctx->host;
    ahost__executor **box, *e;
    size_t limit;
    ahost__context_check_open(L, ctx, "pool");
    limit = (size_t)luaL_checkinteger(L, 5);
    box = lua_newuserdatauv(L, sizeof(ahost__executor *), 0);
    *box = NULL;
    luaL_setmetatable(L, AHOST__POOL_TYPE);
    e = ahost__alloc(h, sizeof(*e));
    if (e == NULL)
        return luaL_error(L, "not enough memory");
    e->host = h;
    snprintf(e->name, sizeof(e->name), "%s", luaL_checkstring(L, 2));
    e->size = (size_t)luaL_checkinteger(L, 3);
    e->max_queue = (size_t)luaL_checkinteger(L, 4);
    ahost__list_init(&e->calls);
    ahost__list_init(&e->room);
    ahost__list_init(&e->drained);
    if (limit == 0)
        limit = default_limit(h, e->size);
    if (!open_executor(h, e, limit, lua_toboolean(L, 6))) {
        ahost__free(h, e, sizeof(*e));
        return luaL_error(L, "not enough memory");
    }
    *box = e;
    e->box = box;
    ahost__own(ctx, &e->owned, &owned_pool);
    return 1;
}

/* core.default_size() -> how many threads the pool of thread.call has */
static int core_default_size(lua_State *L) {
    uint32_t size = ahost__of(L)->defaults.callers;
    lua_pushinteger(L, size != 0 ? size : uv_available_parallelism());
    return 1;
}

static int pool_tostring(lua_State *L) {
    const ahost__executor *e = ahost__check_executor(L);
    lua_pushfstring(L, "thread pool: %s", e->name);
    return 1;
}

/* thread.cancelled() -> false: the host is no worker */
static int cancelled(lua_State *L) {
    lua_pushboolean(L, 0);
    return 1;
}

static const luaL_Reg methods[] = {{"call", ahost__pool_call}, {NULL, NULL}};

static const luaL_Reg meta[] = {
    {"__gc", pool_gc}, {"__tostring", pool_tostring}, {NULL, NULL}};

static const luaL_Reg functions[] = {{"pool", core_pool},
                                     {"default_size", core_default_size},
                                     {"shut", core_shut},
                                     {"cancel", core_cancel},
                                     {"drain", core_drain},
                                     {"release", core_release},
                                     {"caller", ahost__pool_caller},
                                     {"cancelled", cancelled},
                                     {NULL, NULL}};

int ahost__open_thread(lua_State *L) {
    luaL_newlib(L, functions);
    ahost__open_channel(L);
    if (luaL_newmetatable(L, AHOST__POOL_TYPE)) {
        luaL_setfuncs(L, meta, 0);
        luaL_newlib(L, methods);
        lua_setfield(L, -2, "__index");
    }
    lua_setfield(L, -2, "Pool"); /* its metatable */
    return 1;
}
