/*
 * thread_call.c - calls in worker threads.
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

#include "thread_pool.h"

enum { SELF = AHOST__CALL_SELF, FUNCTION = AHOST__CALL_FUNCTION };

/* ---- in the thread ------------------------------------------------------ */

void ahost__call_free(ahost__call *c) {
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
    ahost__call_free(ahost__container_of(work, ahost__call, work));
}

/* ---- the end of a call -------------------------------------------------- */

/* Frees the executor when nothing refers to it. Abandoned calls do not, of
 * which there are only once the host has ended. */
void ahost__executor_free_unused(ahost__executor *e) {
    if (e->box != NULL || e->pool != NULL ||
        (e->call_count > 0 && e->threads->wake != NULL))
        return;
    ahost__thread_states_unref(e->states);
    ahost__threads_unref(e->threads);
    ahost__free(e->host, e, sizeof(*e));
}

static int is_full(const ahost__executor *e) {
    return e->call_count + e->promised >= e->size + e->max_queue;
}

/* Promises free places to those who have waited longest for one. */
static void promise_places(ahost__executor *e) {
    ahost__wait *w;
    while (!is_full(e) && (w = ahost__wait_first(&e->room)) != NULL) {
        e->promised++;
        ahost__settle(w, 0);
    }
}

static void leave_executor(ahost__call *c) {
    ahost__executor *e = c->executor;
    ahost__list_remove(&c->link);
    e->call_count--;
    promise_places(e);
    if (e->call_count == 0)
        ahost__settle_all(&e->drained, 0);
    ahost__executor_free_unused(e);
}

static void done(ahost__work *work) {
    ahost__call *c = ahost__container_of(work, ahost__call, work);
    ahost__wait *w = c->wait;
    ahost__threads_attend(c->executor->threads); /* its puts come first */
    leave_executor(c);
    if (w == NULL)
        ahost__call_free(c);
    else
        ahost__settle(w, 0); /* finish_call frees it */
}

void ahost__call_ask_to_end(ahost__call *c) {
    uv_mutex_lock(&c->mutex);
    c->cancelled = 1;
    if (c->state != NULL)
        ahost__thread_state_cancel(c->state);
    uv_mutex_unlock(&c->mutex);
}

/* The caller does not wait any more. */
static void cancel_call(ahost__wait *w) {
    ahost__call *c = w->op;
    ahost__executor *e = c->executor;
    c->wait = NULL;
    if (e->pool == NULL || !ahost__pool_cancel(e->pool, &c->work)) {
        ahost__call_ask_to_end(c);
        return;
    }
    leave_executor(c);
    ahost__call_free(c);
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
    ahost__call_free(c);
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

/* ---- calling ------------------------------------------------------------ */

/* Takes the arguments over. NULL for want of memory. */
static ahost__call *make_call(lua_State *L, ahost__executor *e,
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
    if (!ahost__describe_function(L, &c->errand)) {
        ahost__call_free(c);
        return NULL;
    }
    return c;
}
/* The states are to find modules where the host does. */
static void update_path(lua_State *L, ahost__executor *e) {
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

static int submit(lua_State *L, ahost__executor *e, ahost__call *c) {
    ahost__wait *w = ahost__wait_begin(L, &call_wait, c);
    int err = c != NULL ? ahost__pool_submit(e->pool, &c->work) : UV_ENOMEM;
    if (err != 0) {
        if (c != NULL)
            ahost__call_free(c);
        promise_places(e);
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
static int place_call(lua_State *L, ahost__executor *e) {
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

static int refuse_closed(lua_State *L, const ahost__executor *e) {
    return ahost__fail(L, AHOST__CLOSED, "the pool of threads %s", e->name);
}

static int finish_room(lua_State *L, ahost__wait *w) {
    ahost__executor *e = w->op;
    if (w->status != 0)
        return refuse_closed(L, e);
    e->promised--;
    return e->closed ? refuse_closed(L, e) : place_call(L, e);
}

static const ahost__wait_type room_wait = {"a place in the queue of threads",
                                           finish_room, NULL, 0};

/* Stack: pool, function, arguments. */
static int call_in_turn(lua_State *L) {
    ahost__executor *e = *(ahost__executor **)lua_touserdata(L, SELF);
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

ahost__executor *ahost__check_executor(lua_State *L) {
    ahost__executor *e =
        *(ahost__executor **)luaL_checkudata(L, SELF, AHOST__POOL_TYPE);
    luaL_argcheck(L, e != NULL, SELF, "the pool has been collected");
    return e;
}

/* Stack: pool, function, arguments. */
static int call(lua_State *L, int is_method) {
    ahost__check_function(L, is_method);
    luaL_checkstack(L, 8, "too many arguments");
    if (ahost__of(L)->current == NULL || !ahost__can_wait(L)) /* raises */
        ahost__wait_begin(L, &call_wait, NULL);
    return call_in_turn(L);
}

/* pool:call(fn, ...) -> ... | nil, err */
int ahost__pool_call(lua_State *L) {
    ahost__check_executor(L);
    return call(L, 1);
}

/* thread.call(fn, ...) -> ... | nil, err; the upvalue makes the pool */
static int call_default(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_call(L, 0, 1);
    lua_insert(L, SELF);
    ahost__check_executor(L);
    return call(L, 0);
}

/* core.caller(make) -> call: `make` returns the pool, and does not wait */
int ahost__pool_caller(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_pushcclosure(L, call_default, 1);
    return 1;
}
