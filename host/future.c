/*
 * future.c - futures: results that are waited for before they are there.
 */
#include "host.h"
#include "sync.h"

#define FUTURE_TYPE "ahost.future"

enum { FUTURE = 1, OUTCOME = 1 }; /* place on the stack, user value */

typedef enum future_state { PENDING, RESOLVED, REJECTED } future_state;

typedef struct future {
    ahost__link waiters;
    future_state state;
    int results; /* one is kept as it is, more in a table */
    int seen;    /* somebody has asked for the outcome */
} future;

static future *check_future(lua_State *L) {
    return ahost__sync_self(L, FUTURE_TYPE);
}

/* Keeps the outcome on the top and wakes the waiters. -> true */
static int decide(lua_State *L, future *f, future_state state, int results) {
    lua_setiuservalue(L, FUTURE, OUTCOME);
    f->state = state;
    f->results = results;
    ahost__settle_all(&f->waiters, 0);
    lua_pushboolean(L, 1);
    return 1;
}

static int decided_already(lua_State *L) {
    lua_pushboolean(L, 0);
    return 1;
}

/* Replaces the values above the future by what is kept of them. */
static void pack_results(lua_State *L, int results) {
    if (results == 0)
        lua_pushnil(L);
    if (results <= 1)
        return;
    lua_createtable(L, results, 0);
    lua_insert(L, FUTURE + 1);
    for (int i = results; i > 0; i--)
        lua_rawseti(L, FUTURE + 1, i);
}

/* future:resolve(...) -> boolean */
static int future_resolve(lua_State *L) {
    future *f = check_future(L);
    int results = lua_gettop(L) - 1;
    if (f->state != PENDING)
        return decided_already(L);
    pack_results(L, results);
    return decide(L, f, RESOLVED, results);
}

/* future:reject(err) -> boolean */
static int future_reject(lua_State *L) {
    future *f = check_future(L);
    luaL_argcheck(L, !lua_isnoneornil(L, 2), 2, "an error expected");
    lua_settop(L, 2);
    if (f->state != PENDING)
        return decided_already(L);
    ahost__wrap_error(L);
    return decide(L, f, REJECTED, 1);
}

/* -> ... | nil, err */
static int push_outcome(lua_State *L, const future *f) {
    if (f->state == REJECTED) {
        lua_pushnil(L);
        lua_getiuservalue(L, FUTURE, OUTCOME);
        return 2;
    }
    lua_getiuservalue(L, FUTURE, OUTCOME);
    if (f->results <= 1)
        return f->results;
    luaL_checkstack(L, f->results, "too many results");
    for (int i = 1; i <= f->results; i++)
        lua_rawgeti(L, -i, i);
    return f->results;
}

static int finish_wait(lua_State *L, ahost__wait *w) {
    if (w->status != 0)
        return ahost__fail(L, w->status, "future:wait");
    return push_outcome(L, lua_touserdata(L, FUTURE));
}

static const ahost__wait_type future_waiting = {"future:wait", finish_wait,
                                                NULL, 1};

/* future:wait([timeout]) -> ... | nil, err */
static int future_wait(lua_State *L) {
    future *f = check_future(L);
    double timeout = ahost__opt_timeout(L, 2);
    ahost__wait *w;
    f->seen = 1;
    if (f->state != PENDING && !ahost__must_yield(L))
        return push_outcome(L, f);
    if (f->state != PENDING)
        return ahost__sync_turn(L, &future_waiting);
    w = ahost__wait_begin(L, &future_waiting, f);
    ahost__wait_timeout(w, timeout);
    ahost__list_append(&f->waiters, &w->link);
    return ahost__await(L, w);
}

/* An error that nobody has asked for is not to be lost. */
static int future_gc(lua_State *L) {
    const future *f = check_future(L);
    if (f->state != REJECTED || f->seen)
        return 0;
    lua_getiuservalue(L, FUTURE, OUTCOME);
    ahost__log(ahost__of(L), AHOST_LOG_WARNING, "ahost.sync",
               "nobody waited for a future that was rejected: %s",
               luaL_tolstring(L, -1, NULL));
    return 0;
}

/* sync.future() -> future */
static int new_future(lua_State *L) {
    future *f = ahost__sync_new(L, sizeof(*f), 1);
    ahost__list_init(&f->waiters);
    return 1;
}

static const luaL_Reg methods[] = {{"resolve", future_resolve},
                                   {"reject", future_reject},
                                   {"wait", future_wait},
                                   {NULL, NULL}};

static const luaL_Reg meta[] = {{"__gc", future_gc}, {NULL, NULL}};

void ahost__open_future(lua_State *L) {
    ahost__sync_type(L, FUTURE_TYPE, methods, meta);
    ahost__sync_constructor(L, "future", new_future);
}
