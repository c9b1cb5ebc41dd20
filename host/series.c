/*
 * series.c - calls that are made one after the other, each in its own task.
 *
 * A listener that does not wait needs no coroutine to itself. So the calls run
 * on one coroutine, which becomes another task for each of them. When a call
 * waits, the task keeps the coroutine and the series goes on with another.
 */
#include "task.h"

#include <lauxlib.h>

#include "host.h"

static int call_ended(lua_State *L, int status, lua_KContext base);

/* Pushes the arguments of a call, the last ones of the values. */
static void push_arguments(lua_State *L, const ahost__series *s, int at) {
    int first = at + s->values - s->arguments;
    luaL_checkstack(L, s->arguments + LUA_MINSTACK, "too many arguments");
    for (int i = 0; i < s->arguments; i++)
        lua_pushvalue(L, first + i);
}

/* Stack: handler, values. */
static int call_on(lua_State *L, ahost__series *s) {
    int base = 1 + s->values, status;
    ahost__context *ctx;
    while ((ctx = s->next(L, s, 2)) != NULL) {
        ahost__task *task = s->task = ahost__task_renew(L, ctx);
        task->series = s;
        task->logger = s->logger;
        task->label = (uint8_t)(s->labelled ? base - s->arguments + 1 : 0);
        if (s->started != NULL)
            s->started(L, s, 2, task);
        push_arguments(L, s, 2);
        status = lua_pcallk(L, s->arguments, LUA_MULTRET, 1, base, call_ended);
        ahost__task_end(L, status, base);
        lua_settop(L, base);
    }
    s->done = 1;
    return 0;
}

/* A call has waited, or failed. In the first case its task is on its own. */
static int call_ended(lua_State *L, int status, lua_KContext base) {
    ahost__series *s = ahost__of(L)->current->series;
    ahost__task_end(L, status, (int)base);
    if (s == NULL)
        return 0;
    lua_settop(L, (int)base);
    return call_on(L, s);
}

/* The body of the series' tasks; the series is in the task. */
static int series_main(lua_State *L) {
    return call_on(L, ahost__of(L)->current->series);
}

/* A call that runs in its turn has its label as name. */
static void name_call(lua_State *L, const ahost__series *s, int at,
                      ahost__task *task) {
    const char *label = lua_tostring(L, at + s->values - s->arguments);
    lua_pushfstring(L, "task %d (%s)", (int)task->id, label);
    ahost__task_set_text(L, task, AHOST__TASK_NAME);
}

/* Leaves all that is left to be called in its turn. */
static void queue_rest(lua_State *L, ahost__series *s, int at) {
    ahost__context *ctx;
    while ((ctx = s->next(L, s, at)) != NULL) {
        ahost__task *task;
        push_arguments(L, s, at);
        task = ahost__spawn(L, ctx, s->arguments);
        task->logger = s->logger;
        if (s->labelled)
            name_call(L, s, at, task);
        if (s->started != NULL)
            s->started(L, s, at, task);
    }
    s->done = 1;
}

/* Calls until one waits, or the end. */
static void run_stretch(lua_State *L, ahost__series *s, int at) {
    ahost *h = ahost__of(L);
    for (int i = 0; i < s->values; i++)
        lua_pushvalue(L, at + i);
    s->task = ahost__task_create(L, series_main, s->values);
    s->task->series = s;
    h->nesting++;
    ahost__task_resume(h, s->task, L);
    h->nesting--;
    s->task->series = NULL;
}

void ahost__run_series(lua_State *L, ahost__series *s) {
    int at = lua_gettop(L) - s->values + 1;
    s->done = 0;
    luaL_checkstack(L, s->values + LUA_MINSTACK, "too many arguments");
    while (!s->done) {
        if (ahost__of(L)->nesting >= AHOST__NESTING)
            queue_rest(L, s, at);
        else
            run_stretch(L, s, at);
    }
    lua_settop(L, at - 1);
}
