/*
 * listeners.c - the functions that listen to a signal or to messages of a bus,
 * and how they are called.
 *
 * They lie in a table, in order. A delivery goes through the table as it was
 * when it began: whoever changes the list meanwhile changes a copy. When the
 * context of a listener ends, Lua cannot be used; so the listener is marked
 * then and taken out by a job.
 */
#include "listeners.h"

#include <lauxlib.h>
#include <string.h>

#include "host.h"

#define LISTENER_TYPE "ahost.connection"

enum { BOX = 1, FUNCTION = 2 };

/* User values of a listener. */
enum { LISTENER_FUNCTION = 1, LISTENER_BOX, LISTENER_VALUES = 2 };

static const char addresses_key;

void ahost__push_addresses(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &addresses_key);
}

ahost__listener *ahost__test_listener(lua_State *L, int arg) {
    return luaL_testudata(L, arg, LISTENER_TYPE);
}

static void change(ahost__listeners *all, int by) {
    if (all->type->changed != NULL)
        all->type->changed(all, by);
}

/* ---- the list ----------------------------------------------------------- */

/* Replaces the list by a copy without empty slots. */
static void copy_list(lua_State *L, ahost__listeners *all) {
    int slots = 0;
    lua_getiuservalue(L, BOX, AHOST__LISTENERS_LIST);
    lua_createtable(L, all->live + 1, 0);
    for (int i = 1; i <= all->slots; i++) {
        ahost__listener *one;
        lua_rawgeti(L, -2, i);
        one = lua_touserdata(L, -1);
        if (one == NULL || one->listeners == NULL) {
            lua_pop(L, 1);
            continue;
        }
        one->slot = ++slots;
        lua_rawseti(L, -2, slots);
    }
    lua_setiuservalue(L, BOX, AHOST__LISTENERS_LIST);
    lua_pop(L, 1);
    all->slots = slots;
    all->version++;
    all->shared = 0;
}

/* Pushes the list to be changed. */
static void push_own_list(lua_State *L, ahost__listeners *all) {
    enum { FEW = 16 };
    int sparse = all->slots > FEW && all->live < all->slots / 2;
    if (all->shared || sparse)
        copy_list(L, all);
    lua_getiuservalue(L, BOX, AHOST__LISTENERS_LIST);
}

/* Takes the listener on the top of the stack, above the list, out of the ring
 * of its function. */
static void leave_ring(lua_State *L, ahost__listener *one) {
    ahost__listener *next =
        ahost__container_of(one->same.next, ahost__listener, same);
    lua_getiuservalue(L, BOX, AHOST__LISTENERS_BY_FUNCTION);
    lua_getiuservalue(L, -2, LISTENER_FUNCTION);
    lua_pushvalue(L, -1);
    lua_rawget(L, -3);
    if (lua_touserdata(L, -1) == one) {
        lua_pushvalue(L, -2);
        if (next == one)
            lua_pushnil(L);
        else
            lua_rawgeti(L, -6, next->slot);
        lua_rawset(L, -5);
    }
    lua_pop(L, 3);
    ahost__list_remove(&one->same);
}

static void count_as_hearing(ahost__listeners *all, ahost__listener *one,
                             int hears) {
    if (one->counted != hears)
        change(all, hears ? 1 : -1);
    one->counted = (uint8_t)hears;
}

void ahost__listener_remove(lua_State *L, ahost__listener *one) {
    ahost__listeners *all = one->listeners;
    if (all == NULL)
        return;
    push_own_list(L, all);
    lua_rawgeti(L, -1, one->slot);
    leave_ring(L, one);
    lua_pop(L, 1);
    lua_pushboolean(L, 0);
    lua_rawseti(L, -2, one->slot);
    lua_pop(L, 1);
    one->listeners = NULL;
    all->live--;
    if (ahost__linked(&one->link)) {
        ahost__list_remove(&one->link); /* its context has ended before */
    } else {
        ahost__disown(&one->owned);
        count_as_hearing(all, one, 0);
    }
    if (all->live == 0 && all->type->emptied != NULL)
        all->type->emptied(L, all);
}

void ahost__listeners_prune(lua_State *L, ahost__listeners *all) {
    while (!ahost__list_empty(&all->ended))
        ahost__listener_remove(
            L, ahost__container_of(all->ended.next, ahost__listener, link));
}

static void run_prune(lua_State *L, ahost__job *job) {
    ahost__listeners *all =
        ahost__container_of(job, ahost__listeners, prune_job);
    ahost__push_addresses(L);
    if (lua_rawgetp(L, -1, job) == LUA_TNIL)
        return;
    lua_replace(L, BOX);
    ahost__listeners_prune(L, all);
    if (all->live == 0 && all->type->emptied != NULL)
        all->type->emptied(L, all);
}

static void on_context_end(ahost__owned *owned) {
    ahost__listener *one = ahost__container_of(owned, ahost__listener, owned);
    ahost__list_append(&one->listeners->ended, &one->link);
    ahost__job_post(one->ctx->host, &one->listeners->prune_job);
    count_as_hearing(one->listeners, one, 0);
}

static void retire(ahost__owned *owned) {
    ahost__listener *one = ahost__container_of(owned, ahost__listener, owned);
    one->until = one->ctx->host->commits;
    one->follows = 1;
    ahost__disown(owned);
    on_context_end(owned);
}

static void activate(ahost__owned *owned) {
    ahost__listener *one = ahost__container_of(owned, ahost__listener, owned);
    one->since = one->ctx->host->commits;
    one->follows = 1;
    count_as_hearing(one->listeners, one, 1);
}

static const ahost__owned_type owned_listener = {
    "connection", 0, on_context_end, .retire = retire, .activate = activate};

/* Whether the listener is one in `ctx` or, without that, in any context that is
 * staged or is not. */
static int is_in(const ahost__listener *one, const ahost__context *ctx,
                 int staged) {
    return ctx != NULL ? one->ctx == ctx : one->ctx->staged == staged;
}

/* Pushes the oldest listener of the function that is there, or nil. */
static ahost__listener *push_first(lua_State *L, const ahost__context *ctx,
                                   int staged) {
    ahost__listener *head, *one;
    lua_getiuservalue(L, BOX, AHOST__LISTENERS_BY_FUNCTION);
    lua_pushvalue(L, FUNCTION);
    lua_rawget(L, -2);
    lua_remove(L, -2);
    head = one = lua_touserdata(L, -1);
    if (head == NULL || is_in(head, ctx, staged))
        return head;
    lua_pop(L, 1);
    do
        one = ahost__container_of(one->same.next, ahost__listener, same);
    while (one != head && !is_in(one, ctx, staged));
    if (one == head) {
        lua_pushnil(L);
        return NULL;
    }
    lua_getiuservalue(L, BOX, AHOST__LISTENERS_LIST);
    lua_rawgeti(L, -1, one->slot);
    lua_remove(L, -2);
    return one;
}

ahost__listener *ahost__push_listener(lua_State *L, ahost__context *ctx) {
    return push_first(L, ctx, 0);
}

/* So that neither of two generations that know the same function takes the
 * other's listener for its own. */
ahost__listener *ahost__push_any_listener(lua_State *L) {
    return push_first(L, NULL, ahost__context_current(L)->staged);
}

static ahost__listener *push_new(lua_State *L, ahost__context *ctx) {
    ahost__listener *one = lua_newuserdatauv(L, sizeof(*one), LISTENER_VALUES);
    memset(one, 0, sizeof(*one));
    ahost__list_init(&one->same);
    one->ctx = ctx;
    ahost__context_ref(ctx);
    luaL_setmetatable(L, LISTENER_TYPE);
    lua_pushvalue(L, FUNCTION);
    lua_setiuservalue(L, -2, LISTENER_FUNCTION);
    lua_pushvalue(L, BOX);
    lua_setiuservalue(L, -2, LISTENER_BOX);
    return one;
}

/* Appends the listener to the ring of its function, or makes it the first. */
static void join_ring(lua_State *L, ahost__listener *one, int index) {
    ahost__listener *head;
    lua_getiuservalue(L, BOX, AHOST__LISTENERS_BY_FUNCTION);
    lua_pushvalue(L, FUNCTION);
    lua_rawget(L, -2);
    head = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (head == NULL) {
        lua_pushvalue(L, FUNCTION);
        lua_pushvalue(L, index);
        lua_rawset(L, -3);
    } else {
        ahost__list_append(&head->same, &one->same);
    }
    lua_pop(L, 1);
}

void ahost__listeners_add(lua_State *L, ahost__listeners *all,
                          ahost__context *ctx) {
    ahost__listener *one = push_new(L, ctx);
    int top = lua_gettop(L);
    push_own_list(L, all);
    lua_pushvalue(L, top);
    lua_rawseti(L, -2, all->slots + 1);
    join_ring(L, one, top);
    lua_settop(L, top);
    one->slot = ++all->slots;
    one->listeners = all;
    all->live++;
    ahost__own(ctx, &one->owned, &owned_listener);
    if (!ctx->staged)
        count_as_hearing(all, one, 1);
}

/* ---- delivery ----------------------------------------------------------- */

/* Of two generations that follow each other during the delivery the one hears
 * that was current when it began. */
static int was_current(const ahost__delivery *d, const ahost__listener *one) {
    return one->since <= d->commits &&
           (one->until == 0 || one->until > d->commits);
}

/* Whether the listener is to be called now. */
static int is_wanted(const ahost__delivery *d, const ahost__listener *one) {
    if (one->ctx->state == AHOST__CONTEXT_CLOSED || one->ctx->staged)
        return 0;
    if (one->follows && !was_current(d, one))
        return 0;
    return one->listeners != NULL || one->until != 0 ||
           !d->listeners->type->skips_removed;
}

static ahost__context *next_listener(lua_State *L, ahost__series *series,
                                     int at) {
    ahost__delivery *d = ahost__container_of(series, ahost__delivery, series);
    while (d->slot < d->slots) {
        if (lua_rawgeti(L, at, ++d->slot) == LUA_TUSERDATA) {
            ahost__listener *one = lua_touserdata(L, -1);
            if (is_wanted(d, one)) {
                lua_getiuservalue(L, -1, LISTENER_FUNCTION);
                lua_replace(L, -2);
                return one->ctx;
            }
        }
        lua_pop(L, 1);
    }
    return NULL;
}

/* Stack at `at`: the list, a table of handles, the arguments. */
static void keep_handle(lua_State *L, ahost__series *series, int at,
                        ahost__task *task) {
    (void)series;
    ahost__push_task(L, task);
    lua_rawseti(L, at + 1, (lua_Integer)lua_rawlen(L, at + 1) + 1);
}

void ahost__delivery_begin(lua_State *L, ahost__delivery *d,
                           ahost__listeners *all) {
    memset(d, 0, sizeof(*d));
    d->listeners = all;
    d->slots = all->slots;
    d->version = all->version;
    d->commits = ahost__of(L)->commits;
    d->shared = all->shared;
    lua_getiuservalue(L, BOX, AHOST__LISTENERS_LIST);
    all->shared = 1;
}

void ahost__delivery_run(lua_State *L, ahost__delivery *d, int arguments,
                         int handles) {
    ahost__listeners *all = d->listeners;
    d->series.values = 1 + handles + arguments;
    d->series.arguments = arguments;
    d->series.logger = all->type->logger;
    d->series.labelled = all->type->labelled;
    d->series.next = next_listener;
    d->series.started = handles ? keep_handle : NULL;
    if (d->slots > 0)
        ahost__run_series(L, &d->series);
    else
        lua_pop(L, d->series.values);
    if (all->version == d->version)
        all->shared = d->shared;
}

/* ---- waiting for the listeners ------------------------------------------ */

/* Places on the stack of who waits. */
enum { HANDLES = 1, OP, ERRORS, HANDLE };

void ahost__check_waitable(lua_State *L, const char *op) {
    if (ahost__of(L)->current == NULL || !lua_isyieldable(L))
        luaL_error(L, "%s: waiting is not possible here", op);
}

/* Keeps the error of the joined task, if it has one. Stack: handle, results. */
static void keep_error(lua_State *L) {
    if (ahost__task_handle_state(L, HANDLE) != AHOST__TASK_DONE) {
        if (lua_isnil(L, ERRORS)) {
            lua_createtable(L, 1, 0);
            lua_replace(L, ERRORS);
        }
        lua_rawseti(L, ERRORS, (lua_Integer)lua_rawlen(L, ERRORS) + 1);
    }
    lua_settop(L, ERRORS);
}

/* -> true | nil, err */
static int push_verdict(lua_State *L) {
    int count = lua_isnil(L, ERRORS) ? 0 : (int)lua_rawlen(L, ERRORS);
    if (count == 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    ahost__fail_text(L, "FAILED", lua_tostring(L, OP), "%d listener%s failed",
                     count, count > 1 ? "s" : "");
    lua_pushvalue(L, ERRORS);
    lua_setfield(L, -2, "errors");
    return 2;
}

static int joined(lua_State *L, int status, lua_KContext i);

/* Joins the tasks from number `i` on. */
static int join_on(lua_State *L, lua_KContext i) {
    while (lua_rawgeti(L, HANDLES, (lua_Integer)i) != LUA_TNIL) {
        lua_pushcfunction(L, ahost__task_join);
        lua_pushvalue(L, HANDLE);
        lua_callk(L, 1, LUA_MULTRET, ++i, joined);
        keep_error(L);
    }
    return push_verdict(L);
}

static int joined(lua_State *L, int status, lua_KContext i) {
    (void)status;
    keep_error(L);
    return join_on(L, i);
}

int ahost__listeners_join(lua_State *L, const char *op) {
    lua_replace(L, HANDLES);
    lua_settop(L, HANDLES);
    lua_pushstring(L, op);
    lua_pushnil(L);
    return join_on(L, 1);
}

/* ---- the box and the listener as Lua values ----------------------------- */

void ahost__listeners_init(lua_State *L, ahost__listeners *all,
                           const ahost__listeners_type *type) {
    all->type = type;
    ahost__list_init(&all->ended);
    all->prune_job.run = run_prune;
    lua_newtable(L);
    lua_setiuservalue(L, -2, AHOST__LISTENERS_LIST);
    lua_newtable(L);
    lua_setiuservalue(L, -2, AHOST__LISTENERS_BY_FUNCTION);
    ahost__push_addresses(L);
    lua_pushvalue(L, -2);
    lua_rawsetp(L, -2, &all->prune_job);
    lua_pop(L, 1);
}

void ahost__listeners_free(ahost__listeners *all) {
    ahost__job_drop(&all->prune_job);
}

/* connection:close() */
static int listener_close(lua_State *L) {
    ahost__listener *one = luaL_checkudata(L, 1, LISTENER_TYPE);
    lua_settop(L, 1);
    lua_getiuservalue(L, 1, LISTENER_BOX);
    lua_replace(L, BOX);
    ahost__listener_remove(L, one);
    return 0;
}

static int listener_gc(lua_State *L) {
    ahost__listener *one = luaL_checkudata(L, 1, LISTENER_TYPE);
    ahost__list_remove(&one->link);
    ahost__list_remove(&one->same);
    ahost__disown(&one->owned);
    ahost__context_unref(one->ctx);
    one->ctx = NULL;
    return 0;
}

static const luaL_Reg methods[] = {{"close", listener_close}, {NULL, NULL}};

static const luaL_Reg meta[] = {
    {"__gc", listener_gc}, {"__close", listener_close}, {NULL, NULL}};

static void open_addresses(lua_State *L) {
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "v");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &addresses_key);
}

void ahost__open_listeners(lua_State *L) {
    if (luaL_newmetatable(L, LISTENER_TYPE)) {
        open_addresses(L);
        luaL_setfuncs(L, meta, 0);
        luaL_newlib(L, methods);
        lua_setfield(L, -2, "__index");
    }
    lua_pop(L, 1);
}
