/*
 * task_handle.c - ahost.task: its functions, and the handles that scripts hold.
 *
 * A handle stands for a running task; when the task ends, its outcome moves to
 * the handle and the task's structure is free for another.
 */
#include "task_handle.h"

#include <lauxlib.h>

#include "host.h"

#define TASK_TYPE "ahost.task"

struct ahost__task_handle {
    ahost__task *task;   /* NULL once ended */
    ahost__link joiners; /* waits of those who join it */
    uint32_t id;         /* of the task, for messages */
    uint8_t state;       /* ahost__task_state, once ended */
    int results;         /* how many are kept: one as it is, more in a table */
};

/* User values of a handle; only that of a named task has the second. */
enum { RESULTS = 1, NAME };

/* ---- handles ------------------------------------------------------------ */

static ahost__task_handle *check_handle(lua_State *L, int arg) {
    const ahost *h = ahost__of(L);
    ahost__task_handle *handle = lua_touserdata(L, arg);
    const void *meta = NULL;
    if (handle != NULL && lua_getmetatable(L, arg)) {
        meta = lua_topointer(L, -1);
        lua_pop(L, 1);
    }
    if (meta == NULL || (meta != h->task_meta && meta != h->named_task_meta))
        luaL_typeerror(L, arg, TASK_TYPE);
    return handle;
}

int ahost__task_handle_state(lua_State *L, int arg) {
    ahost__task_handle *handle = check_handle(L, arg);
    return handle->task != NULL ? handle->task->state : handle->state;
}

/* Makes the handle of a task and pushes it. */
static void push_new(lua_State *L, ahost__task *task, int named) {
    const ahost *h = task->host;
    ahost__task_handle *handle =
        lua_newuserdatauv(L, sizeof(*handle), named ? NAME : RESULTS);
    if (task->handle != NULL) { /* a finalizer has made it meanwhile */
        lua_pop(L, 1);
        ahost__push_task(L, task);
        return;
    }
    *handle = (ahost__task_handle){.task = task, .id = task->id};
    ahost__list_init(&handle->joiners);
    lua_rawgeti(L, LUA_REGISTRYINDEX,
                named ? h->named_task_meta_ref : h->task_meta_ref);
    lua_setmetatable(L, -2);
    lua_rawgeti(L, LUA_REGISTRYINDEX, task->host->task_handles);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, task->id);
    lua_pop(L, 1);
    task->handle = handle;
}

void ahost__push_task(lua_State *L, ahost__task *task) {
    if (task->handle == NULL) {
        push_new(L, task, 0);
        return;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, task->host->task_handles);
    lua_rawgeti(L, -1, task->id);
    lua_remove(L, -2);
}

void ahost__task_keep_results(lua_State *L, ahost__task *task, int base) {
    int results = lua_gettop(L) - base;
    if (task->handle == NULL || results == 0)
        return;
    if (results > 1) {
        lua_createtable(L, results, 0);
        lua_insert(L, base + 1);
        for (int i = results; i > 0; i--)
            lua_rawseti(L, base + 1, i);
    }
    ahost__push_task(L, task);
    lua_insert(L, -2);
    lua_setiuservalue(L, -2, RESULTS);
    task->handle->results = results;
}

void ahost__task_keep_error(lua_State *L, ahost__task *task) {
    if (task->handle == NULL)
        return;
    ahost__push_task(L, task);
    lua_pushvalue(L, -2);
    ahost__wrap_error(L);
    lua_setiuservalue(L, -2, RESULTS);
    lua_pop(L, 1);
}

void ahost__task_end_handle(ahost__task *task) {
    if (task->handle == NULL)
        return;
    task->handle->task = NULL;
    task->handle->state = task->state;
    ahost__settle_all(&task->handle->joiners, 0);
    task->handle = NULL;
    ahost__table_forget(task->host, task->host->task_handles, task->id);
}

/* ---- functions ---------------------------------------------------------- */

static int finish_nothing(lua_State *L, ahost__wait *w) {
    (void)L;
    (void)w;
    return 0;
}

static const ahost__wait_type sleep_wait = {"sleep", finish_nothing, NULL};
static const ahost__wait_type yield_wait = {"yield", finish_nothing, NULL};

/* task.sleep(seconds) */
static int task_sleep(lua_State *L) {
    double seconds = luaL_checknumber(L, 1);
    ahost__wait *w;
    luaL_argcheck(L, seconds >= 0, 1, "cannot sleep less than 0 seconds");
    w = ahost__wait_begin(L, &sleep_wait, NULL);
    ahost__wait_timeout(w, seconds);
    return ahost__await(L, w);
}

/* task.yield(): lets the other ready tasks run first */
static int task_yield(lua_State *L) {
    ahost__wait *w = ahost__wait_begin(L, &yield_wait, NULL);
    ahost__settle(w, 0);
    return ahost__await(L, w);
}

/* Expects [name,] fn, ... from `arg` on. -> task */
static int spawn_named(lua_State *L, ahost__context *ctx, int arg) {
    int named = lua_type(L, arg) == LUA_TSTRING;
    ahost__task *task;
    luaL_checktype(L, arg + named, LUA_TFUNCTION);
    task = ahost__spawn(L, ctx, lua_gettop(L) - arg - named);
    if (ahost__context_serving(ctx))
        ahost__task_serve(task);
    push_new(L, task, named);
    if (!named)
        return 1;
    lua_pushvalue(L, arg);
    lua_setiuservalue(L, -2, NAME);
    lua_pushvalue(L, arg);
    ahost__task_set_text(L, task, AHOST__TASK_NAME);
    return 1;
}

/* task.spawn([name,] fn, ...) -> task */
static int task_spawn(lua_State *L) {
    return spawn_named(L, ahost__context_current(L), 1);
}

int ahost__context_spawn(lua_State *L) {
    return spawn_named(L, ahost__check_context(L, 1), 2);
}

/* task.current() -> task | nil */
static int task_current(lua_State *L) {
    ahost__task *task = ahost__of(L)->current;
    if (task == NULL)
        return 0;
    ahost__push_task(L, task);
    return 1;
}

/* The outcome of the ended task whose handle is at index 1. */
static int push_outcome(lua_State *L) {
    ahost__task_handle *handle = check_handle(L, 1);
    int results = handle->results;
    if (handle->state == AHOST__TASK_DONE) {
        if (results == 0)
            return 0;
        lua_getiuservalue(L, 1, RESULTS);
        if (results == 1)
            return 1;
        luaL_checkstack(L, results, "too many results to join");
        for (int i = 1; i <= results; i++)
            lua_rawgeti(L, -i, i);
        return results;
    }
    lua_pushnil(L);
    lua_getiuservalue(L, 1, RESULTS);
    if (lua_isnil(L, -1)) /* cancelled before its first run, or memory failed */
        ahost__push_error(L,
                          handle->state == AHOST__TASK_CANCELLED
                              ? AHOST__CANCELLED
                              : AHOST__FAILED,
                          "join");
    return 2;
}

static int finish_join(lua_State *L, ahost__wait *w) {
    if (w->status == AHOST__TIMEDOUT)
        return ahost__fail(L, AHOST__TIMEDOUT, "join");
    return push_outcome(L);
}

static const ahost__wait_type join_wait = {"join", finish_join, NULL, 1};

/* task:join([timeout]) -> ... | nil, err */
int ahost__task_join(lua_State *L) {
    ahost__task_handle *handle = check_handle(L, 1);
    ahost__task *task = handle->task;
    double timeout = ahost__opt_timeout(L, 2);
    ahost__wait *w;
    lua_settop(L, 1);
    if (task == NULL)
        return push_outcome(L);
    if (task == ahost__of(L)->current)
        return luaL_error(L, "a task cannot join itself");
    w = ahost__wait_begin(L, &join_wait, task);
    ahost__wait_timeout(w, timeout);
    ahost__list_append(&handle->joiners, &w->link);
    return ahost__await(L, w);
}

/* task:cancel([reason]) */
static int task_cancel(lua_State *L) {
    ahost__task *task = check_handle(L, 1)->task;
    if (task == NULL)
        return 0;
    if (!lua_isnoneornil(L, 2)) {
        luaL_checkstring(L, 2);
        lua_settop(L, 2);
        ahost__task_set_text(L, task, AHOST__TASK_REASON);
    }
    ahost__task_cancel(task);
    return 0;
}

/* task:status() -> "running" | "done" | "failed" | "cancelled" */
static int task_status(lua_State *L) {
    ahost__task *task = check_handle(L, 1)->task;
    int state = ahost__task_handle_state(L, 1);
    const char *status = "running";
    if (state == AHOST__TASK_DONE)
        status = "done";
    else if (state == AHOST__TASK_FAILED)
        status = "failed";
    else if (state == AHOST__TASK_CANCELLED ||
             (task != NULL && task->cancelled && !task->started))
        status = "cancelled";
    lua_pushstring(L, status);
    return 1;
}

/* Methods, and the field `name`. Only handles of named tasks pay for it: that
 * of any other is found nowhere, thus nil. */
static int named_task_index(lua_State *L) {
    check_handle(L, 1);
    lua_settop(L, 2);
    if (lua_rawequal(L, 2, lua_upvalueindex(2)))
        lua_getiuservalue(L, 1, NAME);
    else
        lua_rawget(L, lua_upvalueindex(1));
    return 1;
}

static int task_tostring(lua_State *L) {
    ahost__task_handle *handle = check_handle(L, 1);
    lua_settop(L, 1);
    task_status(L);
    lua_getiuservalue(L, 1, NAME);
    if (lua_isnil(L, -1))
        lua_pushfstring(L, "task %d", (int)handle->id);
    lua_pushfstring(L, "task: %s (%s)", lua_tostring(L, -1),
                    lua_tostring(L, 2));
    return 1;
}

static const luaL_Reg methods[] = {{"join", ahost__task_join},
                                   {"cancel", task_cancel},
                                   {"status", task_status},
                                   {NULL, NULL}};

static const luaL_Reg functions[] = {{"spawn", task_spawn},
                                     {"sleep", task_sleep},
                                     {"yield", task_yield},
                                     {"current", task_current},
                                     {"timeout", ahost__task_timeout},
                                     {"shield", ahost__task_shield},
                                     {NULL, NULL}};

/* Makes a metatable of handles, without `__index`, and leaves it on the top;
 * returns its registry reference. */
static int push_meta(lua_State *L, const void **identity) {
    lua_createtable(L, 0, 4);
    *identity = lua_topointer(L, -1);
    lua_pushliteral(L, TASK_TYPE);
    lua_setfield(L, -2, "__name");
    lua_pushcfunction(L, task_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushvalue(L, -1);
    return luaL_ref(L, LUA_REGISTRYINDEX);
}

static void make_metatables(lua_State *L) {
    ahost *h = ahost__of(L);
    luaL_newlib(L, methods);
    h->task_meta_ref = push_meta(L, &h->task_meta);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "__index");
    h->named_task_meta_ref = push_meta(L, &h->named_task_meta);
    lua_pushvalue(L, -3);
    lua_pushliteral(L, "name");
    lua_pushcclosure(L, named_task_index, 2);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 3);
}

/* -> the functions in C; lua/ahost/task.lua adds the rest */
int ahost__open_task(lua_State *L) {
    if (ahost__of(L)->task_meta == NULL)
        make_metatables(L);
    luaL_newlib(L, functions);
    return 1;
}
