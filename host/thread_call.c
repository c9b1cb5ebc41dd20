/*
 * thread_call.c - calls in worker threads, and the pools that run them.
 *
 * A call is in the hands of its pool's thread from its submission until the
 * loop is told, or until it is abandoned. Whoever has called may go away
 * meanwhile: then the code is asked to end, and the outcome is dropped.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "pool.h"
#include "thread.h"

#define POOL_TYPE "ahost.thread.pool"

enum { NAME = 32 };

typedef struct executor {
    ahost__owned owned;
    ahost *host;
    ahost__pool *pool; /* NULL once it is closed */
    ahost__threads *threads;
    ahost__thread_states *states;
    void *box;         /* the userdata; NULL once collected */
    ahost__link calls; /* that the loop has not been told of */
    size_t call_count, size, max_queue;
    size_t promised;     /* places, to callers that have been woken for them */
    ahost__link room;    /* waits of those who want to call */
    ahost__link drained; /* waits for the last call's end */
    int closed;          /* no more calls */
    char name[NAME];
} executor;

struct ahost__call {
    ahost__work work;
    ahost__link link;   /* among the calls; the loop's */
    executor *executor; /* the loop's */
    ahost__wait *wait;  /* of the caller; NULL when nobody waits */
    ahost__thread_states *states;
    ahost__errand errand;
    uv_mutex_t mutex; /* of the next two */
    ahost__thread_state *state;
    int cancelled;
};

/* ---- in the thread ------------------------------------------------------ */

static void free_call(ahost__call *c) {
    ahost__errand_free(&c->errand);
    ahost__thread_states_unref(c->states);
    uv_mutex_destroy(&c->mutex);
    free(c);
}

/* Sets the state that runs the call; whether the call is to run at all. */
static int enter(ahost__call *c, ahost__thread_state *state) {
    int runs;
    uv_mutex_lock(&c->mutex);
    c->state = state;
    runs = !c->cancelled;
    uv_mutex_unlock(&c->mutex);
    return runs;
}

static void run(ahost__work *work) {
    ahost__call *c = ahost__container_of(work, ahost__call, work);
    ahost__thread_state *state = ahost__thread_state_take(c->states);
    c->errand.outcome = AHOST__CALL_EXHAUSTED;
    if (state == NULL)
        return;
    if (enter(c, state))
        ahost__errand_run(state, &c->errand);
    else
        c->errand.outcome = AHOST__CALL_CANCELLED;
    enter(c, NULL);
    ahost__thread_state_give(c->states, state);
}

static void abandoned(ahost__work *work) {
    free_call(ahost__container_of(work, ahost__call, work));
}

/* ---- the end of a call -------------------------------------------------- */

/* Frees the executor when nothing refers to it. Abandoned calls do not, of
 * which there are only once the host has ended. */
static void free_unused(executor *e) {
    if (e->box != NULL || e->pool != NULL ||
        (e->call_count > 0 && e->threads->wake != NULL))
        return;
    ahost__thread_states_unref(e->states);
    ahost__threads_unref(e->threads);
    ahost__free(e->host, e, sizeof(*e));
}

static int is_full(const executor *e) {
    return e->call_count + e->promised >= e->size + e->max_queue;
}

/* Promises free places to those who have waited longest for one. */
static void promise_places(executor *e) {
    ahost__wait *w;
    while (!is_full(e) && (w = ahost__wait_first(&e->room)) != NULL) {
        e->promised++;
        ahost__settle(w, 0);
    }
}

static void leave_executor(ahost__call *c) {
    executor *e = c->executor;
    ahost__list_remove(&c->link);
    e->call_count--;
    promise_places(e);
    if (e->call_count == 0)
        ahost__settle_all(&e->drained, 0);
    free_unused(e);
}

static void done(ahost__work *work) {
    ahost__call *c = ahost__container_of(work, ahost__call, work);
    ahost__wait *w = c->wait;
    ahost__threads_attend(c->executor->threads); /* its puts come first */
    leave_executor(c);
    if (w == NULL)
        free_call(c);
    else
        ahost__settle(w, 0); /* finish_call frees it */
}

static void ask_to_end(ahost__call *c) {
    uv_mutex_lock(&c->mutex);
    c->cancelled = 1;
    if (c->state != NULL)
        ahost__thread_state_cancel(c->state);
    uv_mutex_unlock(&c->mutex);
}

/* The caller does not wait any more. */
static void cancel_call(ahost__wait *w) {
    ahost__call *c = w->op;
    executor *e = c->executor;
    c->wait = NULL;
    if (e->pool == NULL || !ahost__pool_cancel(e->pool, &c->work)) {
        ask_to_end(c);
        return;
    }
    leave_executor(c);
    free_call(c);
}

/* ---- outcomes ----------------------------------------------------------- */

/* Stack: error, traceback. -> nil, err */
static int fail_raised(lua_State *L) {
    lua_insert(L, -2);
    ahost__wrap_error(L);
    lua_insert(L, -2);
    lua_setfield(L, -2, "traceback");
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
}

static int fail_exhausted(lua_State *L, const char *name, size_t limit) {
    if (limit == 0)
        return ahost__fail_text(L, "ENOMEM", name, "not enough memory");
    return ahost__fail_text(L, "ENOMEM", name,
                            "not enough memory (a worker has %I bytes: option "
                            "memory_limit of the pool)",
                            (LUAI_UACINT)limit);
}

/* -> what the call returned | nil, err. Frees it. */
static int push_outcome(lua_State *L, ahost__call *c) {
    ahost__errand errand = c->errand;
    size_t limit = c->states->limit;
    char name[128];
    snprintf(name, sizeof(name), "thread call of %s", errand.name);
    c->errand.values = NULL;
    free_call(c);
    switch (errand.outcome) {
    case AHOST__CALL_RETURNED:
        return ahost__unpack(L, errand.values);
    case AHOST__CALL_RAISED:
        ahost__unpack(L, errand.values);
        return fail_raised(L);
    case AHOST__CALL_REFUSED:
        return luaL_error(L, "%s: %s", name, errand.problem);
    case AHOST__CALL_CANCELLED:
        ahost__packed_free(errand.values);
        return ahost__fail(L, AHOST__CANCELLED, "%s", name);
    default:
        ahost__packed_free(errand.values);
        return fail_exhausted(L, name, limit);
    }
}

static int finish_call(lua_State *L, ahost__wait *w) {
    if (w->status != 0)
        return ahost__fail(L, w->status, "thread call");
    return push_outcome(L, w->op);
}

static const ahost__wait_type call_wait = {"a call in a thread", finish_call,
                                           cancel_call, 0};

/* ---- what is to be called ----------------------------------------------- */

enum { SELF = 1, FUNCTION = 2 }; /* places on the stack of a call */

/* The number of the argument fn to who calls: thread.call has no self. */
static int argument(int is_method) {
    return is_method ? FUNCTION : FUNCTION - 1;
}

/* The function may use nothing of its surroundings. */
static void check_upvalues(lua_State *L) {
    const char *name;
    for (int i = 1; (name = lua_getupvalue(L, FUNCTION, i)) != NULL; i++) {
        lua_pop(L, 1);
        if (strcmp(name, "_ENV") != 0)
            luaL_error(L,
                       "fn uses the local '%s' of its surroundings, which a "
                       "thread cannot see; pass it as an argument",
                       *name != '\0' ? name : "?");
    }
}

static void check_reference(lua_State *L, int arg) {
    const char *text = lua_tostring(L, FUNCTION);
    const char *colon = strchr(text, ':');
    luaL_argcheck(L, colon != NULL && colon > text && colon[1] != '\0', arg,
                  "a reference to a function is \"module:function\"");
}

static void check_function(lua_State *L, int is_method) {
    int arg = argument(is_method);
    if (lua_type(L, FUNCTION) == LUA_TSTRING)
        check_reference(L, arg);
    else if (lua_iscfunction(L, FUNCTION))
        luaL_argerror(L, arg,
                      "a C function cannot be copied to a thread; write "
                      "\"module:function\" or a function that calls it");
    else if (lua_isfunction(L, FUNCTION))
        check_upvalues(L);
    else
        luaL_argerror(L, arg,
                      lua_pushfstring(L,
                                      "a function or \"module:function\" "
                                      "expected, got %s",
                                      lua_isnone(L, FUNCTION)
                                          ? "no value"
                                          : luaL_typename(L, FUNCTION)));
}

typedef struct code {
    char *bytes;
    size_t size, capacity;
} code;

/* A lua_Writer. */
static int write_code(lua_State *L, const void *bytes, size_t size, void *to) {
    code *c = to;
    (void)L;
    if (size > c->capacity - c->size) {
        size_t capacity = c->capacity * 2 + size + 512;
        char *grown = realloc(c->bytes, capacity);
        if (grown == NULL)
            return 1;
        c->bytes = grown;
        c->capacity = capacity;
    }
    memcpy(c->bytes + c->size, bytes, size);
    c->size += size;
    return 0;
}

/* "file.lua:12" */
static char *name_function(lua_State *L) {
    char name[LUA_IDSIZE + 24];
    lua_Debug ar;
    lua_pushvalue(L, FUNCTION);
    lua_getinfo(L, ">S", &ar);
    snprintf(name, sizeof(name), "%s:%d", ar.short_src, ar.linedefined);
    return strdup(name);
}

/* Raises nothing; false for want of memory. */
static int describe_function(lua_State *L, ahost__errand *errand) {
    code dumped = {0};
    int failed;
    if (lua_type(L, FUNCTION) == LUA_TSTRING) {
        errand->is_reference = 1;
        errand->code = strdup(lua_tostring(L, FUNCTION));
        errand->name = strdup(lua_tostring(L, FUNCTION));
        return errand->code != NULL && errand->name != NULL;
    }
    lua_pushvalue(L, FUNCTION);
    failed = lua_dump(L, write_code, &dumped, 0);
    lua_pop(L, 1);
    errand->code = dumped.bytes;
    errand->code_size = dumped.size;
    errand->name = name_function(L);
    return !failed && errand->name != NULL;
}

/* Takes the arguments over. NULL for want of memory. */
static ahost__call *make_call(lua_State *L, executor *e,
                              ahost__packed *arguments) {
    ahost__call *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        ahost__packed_free(arguments);
        return NULL;
    }
    c->work.run = run;
    c->work.done = done;
    c->work.abandoned = abandoned;
    c->executor = e;
    c->states = e->states;
    __atomic_add_fetch(&c->states->references, 1, __ATOMIC_RELAXED);
    uv_mutex_init(&c->mutex);
    c->errand.values = arguments;
    if (!describe_function(L, &c->errand)) {
        free_call(c);
        return NULL;
    }
    return c;
}

/* ---- calling ------------------------------------------------------------ */

/* The states are to find modules where the host does. */
static void update_path(lua_State *L, executor *e) {
    const char *path, *cpath;
    lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, LUA_LOADLIBNAME);
    lua_getfield(L, -1, "path");
    lua_getfield(L, -2, "cpath");
    path = lua_tostring(L, -2);
    cpath = lua_tostring(L, -1);
    if (ahost__thread_states_set_path(e->states, path != NULL ? path : "",
                                      cpath != NULL ? cpath : "") != 0)
        luaL_error(L, "not enough memory");
    lua_pop(L, 4);
}

static int submit(lua_State *L, executor *e, ahost__call *c) {
    ahost__wait *w = ahost__wait_begin(L, &call_wait, c);
    int err = c != NULL ? ahost__pool_submit(e->pool, &c->work) : UV_ENOMEM;
    if (err != 0) {
        if (c != NULL)
            free_call(c);
        ahost__settle(w, err);
        return ahost__await(L, w);
    }
    c->wait = w;
    ahost__list_append(&e->calls, &c->link);
    e->call_count++;
    return ahost__await(L, w);
}

/* There is a place for the call. Who does not come to take it leaves it to the
 * next. Stack: pool, function, arguments. */
static int place_call(lua_State *L, executor *e) {
    char problem[AHOST__PROBLEM];
    int arguments = lua_gettop(L) - FUNCTION;
    ahost__packed *packed;
    if (ahost__task_interrupted(e->host->current)) {
        promise_places(e);
        ahost__wait_begin(L, &call_wait, NULL); /* raises */
    }
    packed = ahost__pack(L, FUNCTION + 1, arguments, "argument", problem);
    if (packed == NULL) {
        promise_places(e);
        return luaL_error(L, "%s",
                          *problem != '\0' ? problem : "not enough memory");
    }
    return submit(L, e, make_call(L, e, packed));
}

static int refuse_closed(lua_State *L, const executor *e) {
    return ahost__fail(L, AHOST__CLOSED, "the pool of threads %s", e->name);
}

static int finish_room(lua_State *L, ahost__wait *w) {
    executor *e = w->op;
    if (w->status != 0)
        return refuse_closed(L, e);
    e->promised--;
    return e->closed ? refuse_closed(L, e) : place_call(L, e);
}

static const ahost__wait_type room_wait = {"a place in the queue of threads",
                                           finish_room, NULL, 0};

/* Stack: pool, function, arguments. */
static int call_in_turn(lua_State *L) {
    executor *e = *(executor **)lua_touserdata(L, SELF);
    ahost__wait *w;
    if (e->closed)
        return refuse_closed(L, e);
    update_path(L, e);
    if (!is_full(e) && ahost__list_empty(&e->room))
        return place_call(L, e);
    w = ahost__wait_begin(L, &room_wait, e);
    ahost__list_append(&e->room, &w->link);
    return ahost__await(L, w);
}

static executor *check_pool(lua_State *L) {
    executor *e = *(executor **)luaL_checkudata(L, SELF, POOL_TYPE);
    luaL_argcheck(L, e != NULL, SELF, "the pool has been collected");
    return e;
}

/* Stack: pool, function, arguments. */
static int call(lua_State *L, int is_method) {
    check_function(L, is_method);
    luaL_checkstack(L, 8, "too many arguments");
    if (ahost__of(L)->current == NULL || !ahost__can_wait(L)) /* raises */
        ahost__wait_begin(L, &call_wait, NULL);
    return call_in_turn(L);
}

/* pool:call(fn, ...) -> ... | nil, err */
static int pool_call(lua_State *L) {
    check_pool(L);
    return call(L, 1);
}

/* thread.call(fn, ...) -> ... | nil, err; the upvalue makes the pool */
static int call_default(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_call(L, 0, 1);
    lua_insert(L, SELF);
    check_pool(L);
    return call(L, 0);
}

/* core.caller(make) -> call: `make` returns the pool, and does not wait */
static int core_caller(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_pushcclosure(L, call_default, 1);
    return 1;
}

/* ---- closing ------------------------------------------------------------ */

/* What has begun runs on; what waits for its turn fails. */
static void shut(executor *e) {
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
        free_call(c);
        if (w != NULL)
            ahost__settle(w, AHOST__CLOSED);
    }
    if (e->call_count == 0)
        ahost__settle_all(&e->drained, 0);
}

static void ask_all(executor *e) {
    ahost__link *link;
    for (link = e->calls.next; link != &e->calls; link = link->next)
        ask_to_end(ahost__container_of(link, ahost__call, link));
}

/* The threads go when they have nothing to do any more. */
static void let_go(executor *e) {
    ahost__pool *pool = e->pool;
    if (pool == NULL)
        return;
    shut(e);
    ask_all(e);
    e->pool = NULL;
    ahost__thread_states_close(e->states);
    ahost__pool_close(pool);
}

static void close_owned(ahost__owned *owned) {
    executor *e = ahost__container_of(owned, executor, owned);
    let_go(e);
    free_unused(e);
}

static void describe(lua_State *L, ahost__owned *owned) {
    const executor *e = ahost__container_of(owned, executor, owned);
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
    executor **box = luaL_checkudata(L, SELF, POOL_TYPE), *e = *box;
    if (e == NULL)
        return 0;
    *box = NULL;
    e->box = NULL;
    ahost__disown(&e->owned);
    let_go(e);
    free_unused(e);
    return 0;
}

/* core.shut(pool) */
static int core_shut(lua_State *L) {
    shut(check_pool(L));
    return 0;
}

/* core.cancel(pool): the code that runs is asked to end */
static int core_cancel(lua_State *L) {
    ask_all(check_pool(L));
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
    executor *e = check_pool(L);
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
    executor *e = check_pool(L);
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

static int open_executor(ahost *h, executor *e, size_t limit,
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
    executor **box, *e;
    size_t limit;
    ahost__context_check_open(L, ctx, "pool");
    limit = (size_t)luaL_checkinteger(L, 5);
    box = lua_newuserdatauv(L, sizeof(executor *), 0);
    *box = NULL;
    luaL_setmetatable(L, POOL_TYPE);
    e = ahost__alloc(h, sizeof(*e));
    if (e == NULL)
        return luaL_error(L, "not enough memory");
    e->host = h;
    snprintf(e->name, NAME, "%s", luaL_checkstring(L, 2));
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

static int pool_tostring(lua_State *L) {
    const executor *e = check_pool(L);
    lua_pushfstring(L, "thread pool: %s", e->name);
    return 1;
}

/* thread.cancelled() -> false: the host is no worker */
static int cancelled(lua_State *L) {
    lua_pushboolean(L, 0);
    return 1;
}

static const luaL_Reg methods[] = {{"call", pool_call}, {NULL, NULL}};

static const luaL_Reg meta[] = {
    {"__gc", pool_gc}, {"__tostring", pool_tostring}, {NULL, NULL}};

static const luaL_Reg functions[] = {
    {"pool", core_pool},       {"shut", core_shut},
    {"cancel", core_cancel},   {"drain", core_drain},
    {"release", core_release}, {"caller", core_caller},
    {"cancelled", cancelled},  {NULL, NULL}};

int ahost__open_thread(lua_State *L) {
    luaL_newlib(L, functions);
    ahost__open_channel(L);
    if (luaL_newmetatable(L, POOL_TYPE)) {
        luaL_setfuncs(L, meta, 0);
        luaL_newlib(L, methods);
        lua_setfield(L, -2, "__index");
    }
    lua_setfield(L, -2, "Pool"); /* its metatable */
    return 1;
}
