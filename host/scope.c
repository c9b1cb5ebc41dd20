/*
 * scope.c - context.scope: a child context for the length of a call.
 */
#include <lauxlib.h>

#include "host.h"

/* Places on the stack of the scope's function; results or error above. */
enum { HANDLER = 1, CONTEXT };

/* ---- inside ------------------------------------------------------------- */

static int finish_tasks(lua_State *L, ahost__wait *w);

static const ahost__wait_type tasks_wait = {"the tasks of a scope",
                                            finish_tasks, NULL, 1};

/* Waits until the tasks spawned in the scope have ended, and returns what is
 * on the stack. */
static int await_tasks(lua_State *L, ahost__context *ctx) {
    ahost__wait *w;
    if (ctx->task_count == 0)
        return lua_gettop(L);
    w = ahost__wait_begin(L, &tasks_wait, ctx);
    ahost__list_append(&ctx->waiters, &w->link);
    return ahost__await(L, w);
}

static int finish_tasks(lua_State *L, ahost__wait *w) {
    return await_tasks(L, w->op);
}

static int body_returned(lua_State *L, int status, lua_KContext context) {
    (void)status;
    return await_tasks(L, (ahost__context *)context);
}

/* Stack: fn, ctx, ... -> what fn returns, when the tasks have ended */
static int scope_body(lua_State *L) {
    ahost__context *ctx = ahost__check_context(L, 2);
    lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, (lua_KContext)ctx,
              body_returned);
    return await_tasks(L, ctx);
}

/* ---- the end ------------------------------------------------------------ */

/* Puts the failure of a task in the place of what the body came to. */
static void raise_failure(lua_State *L, ahost__frame *frame) {
    ahost__context *ctx = frame->ctx;
    lua_settop(L, CONTEXT);
    ahost__context_push_field(L, ctx, AHOST__SIDE_TRACEBACK);
    ahost__task_set_text(L, frame->task, AHOST__TASK_TRACEBACK);
    if (ctx->failed == AHOST__FAILURE_KEPT)
        ahost__context_push_field(L, ctx, AHOST__SIDE_FAILURE);
    else
        lua_pushliteral(L, "not enough memory");
    frame->status = LUA_ERRRUN;
}

/* Another task has closed the scope. -> nil, CLOSED */
static void return_closed(lua_State *L, ahost__frame *frame) {
    lua_settop(L, CONTEXT);
    ahost__fail(L, AHOST__CLOSED, "scope");
    frame->status = LUA_OK;
}

/* Decides what the scope comes to, while the context still knows. */
static void decide(lua_State *L, ahost__frame *frame) {
    int failed = !ahost__returned(frame->status);
    int interrupted = failed && ahost__is_error(L, -1, AHOST__CANCELLED);
    if (frame->ctx->failed && (!failed || interrupted))
        raise_failure(L, frame);
    else if (interrupted && frame->fired && !ahost__frame_interrupted(frame))
        return_closed(L, frame);
}

/* Leaves the frame and gives the caller what the scope came to. */
static int leave(lua_State *L, ahost__frame *frame) {
    ahost__task *task = frame->task;
    int failed = !ahost__returned(frame->status);
    if (frame->ctx->state == AHOST__CONTEXT_CLOSED)
        ahost__context_drop_side(frame->ctx);
    task->floor = frame->floor;
    task->current = frame->outer_ctx;
    ahost__frame_leave(frame);
    if (!failed)
        return lua_gettop(L) - CONTEXT;
    task->rethrows = 1;
    return lua_error(L);
}

static int scope_closed(lua_State *L, int status, lua_KContext context) {
    (void)status;
    return leave(L, (ahost__frame *)context);
}

static int scope_left(lua_State *L, int status, lua_KContext context) {
    ahost__frame *frame = (ahost__frame *)context;
    frame->status = status;
    decide(L, frame);
    lua_pushcfunction(L, ahost__context_close_metamethod);
    lua_pushvalue(L, CONTEXT);
    if (!ahost__returned(frame->status))
        lua_pushvalue(L, -3);
    else
        lua_pushnil(L);
    lua_callk(L, 2, 0, context, scope_closed);
    return leave(L, frame);
}

/* ---- context.scope ------------------------------------------------------ */

/* Stack: [opts,] fn, ... becomes: handler, ctx, scope_body, fn, ctx, ... */
static ahost__frame *enter(lua_State *L) {
    int on_error = AHOST__ON_ERROR_FAIL;
    ahost__frame *frame;
    ahost__context *ctx;
    if (lua_istable(L, 1)) {
        on_error = ahost__opt_on_error(L, 1);
        lua_remove(L, 1);
    }
    luaL_checktype(L, 1, LUA_TFUNCTION);
    if (ahost__of(L)->current == NULL)
        luaL_error(L, "context.scope is only possible in a task");
    ahost__push_child_context(L, ahost__context_current(L), on_error);
    ctx = ahost__check_context(L, -1);
    frame = ahost__frame_enter(L); /* nothing below raises */
    ctx->scope = frame;
    frame->ctx = ctx;
    frame->outer_ctx = frame->task->current;
    frame->task->current = ctx;
    lua_insert(L, 2);
    lua_pushcfunction(L, ahost__on_raise);
    lua_pushvalue(L, 2);
    lua_pushcfunction(L, scope_body);
    lua_rotate(L, 1, 3);
    return frame;
}

/* context.scope([opts,] fn, ...) -> ... */
int ahost__context_scope(lua_State *L) {
    ahost__frame *frame = enter(L);
    int status = lua_pcallk(L, lua_gettop(L) - 3, LUA_MULTRET, HANDLER,
                            (lua_KContext)frame, scope_left);
    return scope_left(L, status, (lua_KContext)frame);
}
