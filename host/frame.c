/*
 * frame.c - bounded regions of a task: timeouts, scopes and shields.
 */
#include "frame.h"

#include <lauxlib.h>

#include "host.h"
#include "testing.h"

ahost__frame *ahost__frame_enter(lua_State *L) {
    ahost *h = ahost__of(L);
    ahost__task *task = h->current;
    ahost__frame *frame;
    if (task == NULL)
        luaL_error(L, "this is only possible in a task "
                      "(start one with ahost.task.spawn)");
    frame = ahost__alloc(h, sizeof(*frame));
    if (frame == NULL)
        luaL_error(L, "not enough memory");
    frame->outer = task->frames;
    frame->depth = frame->outer != NULL ? frame->outer->depth + 1 : 1;
    frame->floor = task->floor;
    frame->task = task;
    frame->L = L;
    task->frames = frame;
    return frame;
}

/* The scope of a frame has no owner any more that would close it. */
static void give_up_scope(ahost__frame *frame) {
    ahost__context *ctx = frame->ctx;
    if (ctx == NULL || ctx->scope != frame)
        return;
    ctx->scope = NULL;
    frame->task->current = frame->outer_ctx;
    ahost__context_close(ctx);
}

static void drop_innermost(ahost__task *task) {
    ahost__frame *frame = task->frames;
    ahost__timer_stop(task->host, &frame->timer);
    if (frame->limit != NULL)
        ahost__limit_end(frame->limit);
    give_up_scope(frame);
    task->frames = frame->outer;
    ahost__free(task->host, frame, sizeof(*frame));
}

void ahost__frame_leave(ahost__frame *frame) {
    ahost__task *task = frame->task;
    while (task->frames != frame)
        drop_innermost(task);
    drop_innermost(task);
}

void ahost__frame_fire(ahost__frame *frame) {
    frame->fired = 1;
    ahost__task_interrupt(frame->task);
}

/* Whether a frame from here on outward above the floor, or the task's own
 * cancellation, is in force. */
static int interrupted(const ahost__frame *frame, int32_t floor,
                       const ahost__task *task) {
    for (; frame != NULL && frame->depth > floor; frame = frame->outer)
        if (frame->fired)
            return 1;
    return task->cancelled && floor < 0;
}

int ahost__frame_interrupted(const ahost__frame *frame) {
    return interrupted(frame->outer, frame->floor, frame->task);
}

int ahost__task_interrupted(const ahost__task *task) {
    return interrupted(task->frames, task->floor, task);
}

/* ---- task.timeout ------------------------------------------------------- */

static void on_deadline(ahost__timer *timer) {
    ahost__frame_fire(ahost__container_of(timer, ahost__frame, timer));
}

/* Stack: seconds, handler, results or error. -> results | nil, err; raises */
static int timeout_done(lua_State *L, int status, lua_KContext context) {
    ahost__frame *frame = (ahost__frame *)context;
    ahost__task *task = frame->task;
    int late = frame->fired && !ahost__frame_interrupted(frame);
    task->floor = frame->floor;
    ahost__frame_leave(frame);
    if (ahost__returned(status))
        return lua_gettop(L) - 2;
    if (late && ahost__is_error(L, -1, AHOST__CANCELLED))
        return ahost__fail(L, AHOST__TIMEDOUT, "timeout of %f s",
                           lua_tonumber(L, 1));
    task->rethrows = 1;
    return lua_error(L);
}

/* task.timeout(seconds, fn, ...) -> ... | nil, err */
int ahost__task_timeout(lua_State *L) {
    double seconds = luaL_checknumber(L, 1);
    ahost__frame *frame;
    int status;
    luaL_checktype(L, 2, LUA_TFUNCTION);
    luaL_argcheck(L, seconds >= 0, 1, "a timeout must be >= 0 seconds");
    lua_pushcfunction(L, ahost__on_raise);
    lua_insert(L, 2);
    frame = ahost__frame_enter(L);
    frame->timer.fire = on_deadline;
    ahost__timer_start(frame->task->host, &frame->timer, seconds);
    status = lua_pcallk(L, lua_gettop(L) - 3, LUA_MULTRET, 2,
                        (lua_KContext)frame, timeout_done);
    return timeout_done(L, status, (lua_KContext)frame);
}

/* ---- task.shield -------------------------------------------------------- */

/* Stack: handler, results or error. */
static int shield_done(lua_State *L, int status, lua_KContext floor) {
    ahost__task *task = ahost__of(L)->current;
    task->floor = (int32_t)floor;
    if (ahost__returned(status))
        return lua_gettop(L) - 1;
    task->rethrows = 1;
    return lua_error(L);
}

/* task.shield(fn, ...) -> ... */
int ahost__task_shield(lua_State *L) {
    ahost__task *task = ahost__of(L)->current;
    lua_KContext floor;
    int status;
    luaL_checktype(L, 1, LUA_TFUNCTION);
    if (task == NULL)
        return luaL_error(L, "task.shield is only possible in a task");
    floor = task->floor;
    task->floor = task->frames != NULL ? task->frames->depth : 0;
    lua_pushcfunction(L, ahost__on_raise);
    lua_insert(L, 1);
    status =
        lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, floor, shield_done);
    return shield_done(L, status, floor);
}
