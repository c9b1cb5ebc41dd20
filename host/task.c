/*
 * task.c - tasks: their start, their body and their end.
 *
 * A task body runs on a pooled coroutine under lua_pcallk from task_main, so
 * that `<close>` variables may wait while an error unwinds.
 */
#include "task.h"

#include <lauxlib.h>

#include "generation.h"
#include "task_handle.h"
#include "task_pool.h"

/* ---- texts -------------------------------------------------------------- */

void ahost__task_push_text(lua_State *L, ahost__task *task, int which) {
    if (!task->has_side) {
        lua_pushnil(L);
        return;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, task->host->task_sides);
    lua_rawgeti(L, -1, task->id);
    lua_rawgeti(L, -1, which);
    lua_replace(L, -3);
    lua_pop(L, 1);
}

void ahost__task_set_text(lua_State *L, ahost__task *task, int which) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, task->host->task_sides);
    if (!task->has_side) {
        lua_createtable(L, 3, 0);
        lua_pushvalue(L, -1);
        lua_rawseti(L, -3, task->id);
        task->has_side = 1;
    } else {
        lua_rawgeti(L, -1, task->id);
    }
    lua_pushvalue(L, -3);
    lua_rawseti(L, -2, which);
    lua_pop(L, 3);
}

const char *ahost__task_push_name(lua_State *L, ahost__task *task) {
    ahost__task_push_text(L, task, AHOST__TASK_NAME);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushfstring(L, "task %d", (int)task->id);
    }
    return lua_tostring(L, -1);
}

void ahost__table_forget(ahost *h, int table, uint32_t id) {
    lua_State *L = h->L;
    lua_rawgeti(L, LUA_REGISTRYINDEX, table);
    lua_pushboolean(L, 0);
    lua_rawseti(L, -2, id);
    lua_pop(L, 1);
}

/* ---- the body ----------------------------------------------------------- */

/* Logs the error on the top, of a task whose context does not hear of it. */
static void log_failure(lua_State *L, ahost__task *task) {
    const char *what = "";
    int error = lua_gettop(L);
    if (task->label != 0)
        what = lua_pushfstring(L, " (%s)", lua_tostring(L, task->label));
    lua_pushvalue(L, error);
    ahost__log_failure(L, AHOST_LOG_ERROR, task->logger, task, what);
    lua_settop(L, error);
}

void ahost__task_end(lua_State *L, int status, int base) {
    ahost__task *task = ahost__of(L)->current;
    task->floor = 0; /* nothing interrupts from here on */
    if (ahost__returned(status)) {
        task->state = AHOST__TASK_DONE;
        ahost__task_keep_results(L, task, base);
        return;
    }
    if (task->cancelled && ahost__is_error(L, -1, AHOST__CANCELLED)) {
        task->state = AHOST__TASK_CANCELLED;
        ahost__task_keep_error(L, task);
        return;
    }
    task->state = AHOST__TASK_FAILED;
    ahost__task_keep_error(L, task);
    if (task->logger != NULL)
        log_failure(L, task);
    else
        ahost__context_fail(L, task->ctx, task);
}

/* Stack: handler, results or error. */
static int body_ended(lua_State *L, int status, lua_KContext unused) {
    (void)unused;
    ahost__task_end(L, status, 1);
    return 0;
}

/* Stack: handler, body, arguments. */
static int task_main(lua_State *L) {
    int status =
        lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, 0, body_ended);
    return body_ended(L, status, 0);
}

/* ---- start and end ------------------------------------------------------ */

static void link_context(ahost__task *task, ahost__context *ctx) {
    task->ctx = task->current = ctx;
    if (ctx == NULL)
        return;
    ahost__context_ref(ctx);
    ctx->task_count++;
    task->host->task_count++;
    ahost__list_append(&ctx->tasks, &task->link);
}

ahost__task *ahost__task_create(lua_State *L, lua_CFunction body, int values) {
    ahost *h = ahost__of(L);
    ahost__pool_slot slot = ahost__coroutine_take(L);
    ahost__task *task =
        lua_checkstack(slot.co, values + 2) ? ahost__task_new(h) : NULL;
    if (task == NULL) {
        ahost__coroutine_give(h, slot);
        luaL_error(L, "not enough memory");
    }
    task->co = slot.co;
    task->co_slot = slot.slot;
    lua_pushcfunction(task->co, body);
    lua_pushcfunction(task->co, ahost__on_raise);
    lua_xmove(L, task->co, values);
    return task;
}

/* In a context whose tasks have been cancelled only teardown callbacks start
 * tasks: the others end, and what they spawn is not to keep them waiting. The
 * same goes for those that have been cancelled when it was retired. */
static int is_too_late(const ahost__context *ctx) {
    const ahost__task *spawner = ctx != NULL ? ctx->host->current : NULL;
    if (ctx == NULL)
        return 0;
    if (ctx->retired && spawner != NULL && spawner->cancelled &&
        !spawner->serves)
        return 1;
    return ctx->unwinding && ctx->closer != spawner;
}

static ahost__task *create(lua_State *L, ahost__context *ctx, int nargs) {
    ahost__task *task;
    if (ctx != NULL && ctx->state == AHOST__CONTEXT_CLOSED)
        luaL_error(L, "cannot spawn a task in a closed context");
    task = ahost__task_create(L, task_main, nargs + 1);
    link_context(task, ctx);
    task->cancelled = is_too_late(ctx);
    return task;
}

ahost__task *ahost__spawn(lua_State *L, ahost__context *ctx, int nargs) {
    ahost__task *task = create(L, ctx, nargs);
    ahost__ready_push(task->host, task);
    return task;
}

/* The coroutine ended with an error that task_end did not see: memory ran out,
 * or task_end itself failed. Its value is on the top of the coroutine. */
static void report_lost_error(ahost__task *task) {
    const char *text = lua_type(task->co, -1) == LUA_TSTRING
                           ? lua_tostring(task->co, -1)
                           : NULL;
    task->state = AHOST__TASK_FAILED;
    ahost__log(task->host, AHOST_LOG_ERROR, "ahost.task", "task %d: %s",
               (int)task->id, text != NULL ? text : "error");
    ahost__host_failed(task->host);
    if (task->logger == NULL)
        ahost__context_fail_lost(task->ctx);
}

static void release_coroutine(ahost__task *task, int status) {
    ahost__pool_slot slot = {task->co, task->co_slot};
    if (status != LUA_OK)
        lua_resetthread(task->co);
    lua_settop(task->co, 0);
    task->co = NULL;
    ahost__coroutine_give(task->host, slot);
}

void ahost__task_serve(ahost__task *task) {
    if (task->serves || task->ctx == NULL || task->abandoned)
        return;
    task->serves = 1;
    task->ctx->serving++;
}

/* Whoever counts the connections of a server knows by that. */
static void serve_no_more(ahost__task *task) {
    const ahost__context *ctx = task->ctx;
    ahost *h = task->host;
    task->serves = 0;
    if (--task->ctx->serving == 0 && !ahost__list_empty(&h->drains) &&
        (ctx->parent == NULL || ctx->parent->watch == NULL))
        ahost__generation_drained(h);
}

void ahost__task_leave_context(ahost__task *task) {
    if (task->serves)
        serve_no_more(task);
    ahost__list_remove(&task->link);
    task->ctx->task_count--;
    task->host->task_count--;
}

/* The task's last tie to its context. */
static void end_in_context(ahost__task *task) {
    ahost__context *ctx = task->ctx;
    if (ctx == NULL)
        return;
    if (!task->abandoned)
        ahost__task_leave_context(task);
    task->ctx = NULL;
    if (!task->abandoned)
        ahost__context_task_ended(ctx, task);
    ahost__context_unref(ctx);
}

/* Ends a task whose coroutine is taken care of. */
static void dissolve(ahost__task *task) {
    ahost *h = task->host;
    task->co = NULL;
    while (task->frames != NULL)
        ahost__frame_leave(task->frames);
    ahost__task_end_handle(task);
    if (task->has_side)
        ahost__table_forget(h, h->task_sides, task->id);
    task->has_side = 0;
    end_in_context(task);
    ahost__task_free(task);
}

void ahost__task_ended(ahost__task *task, int status) {
    if (!task->started)
        task->state = AHOST__TASK_CANCELLED;
    if (status != LUA_OK)
        report_lost_error(task);
    release_coroutine(task, status);
    dissolve(task);
}

/* Whether anybody but its own code has had to do with the task. */
static int is_known(const ahost__task *task) {
    return task->handle != NULL || task->has_side || task->abandoned ||
           task->frames != NULL;
}

/* Gives the coroutine of an ended task to a new one. */
static ahost__task *replace(lua_State *L, ahost__task *ended) {
    ahost__task *task = ahost__task_new(ended->host);
    if (task == NULL)
        luaL_error(L, "not enough memory");
    task->co = ended->co;
    task->co_slot = ended->co_slot;
    task->started = 1;
    task->host->current = task;
    dissolve(ended);
    return task;
}

/* A task that nobody knows of is told from a new one by nothing. */
ahost__task *ahost__task_renew(lua_State *L, ahost__context *ctx) {
    ahost__task *task = ahost__of(L)->current;
    if (is_known(task))
        task = replace(L, task);
    if (task->serves)
        serve_no_more(task);
    if (task->ctx != ctx) {
        end_in_context(task);
        link_context(task, ctx);
    }
    task->current = ctx;
    task->state = AHOST__TASK_RUNNING;
    task->floor = -1;
    task->credit = AHOST__CREDIT;
    task->cancelled = task->rethrows = task->label = 0;
    return task;
}

void ahost__task_cancel(ahost__task *task) {
    if (task->state >= AHOST__TASK_DONE || task->state == AHOST__TASK_FREE)
        return;
    task->cancelled = 1;
    ahost__task_interrupt(task);
}
