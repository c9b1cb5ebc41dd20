/*
 * wait.c - the await primitive: how a task waits, and how a wait ends.
 */
#include <lauxlib.h>

#include "host.h"

static int raise_cancelled(lua_State *L, ahost__task *task) {
    ahost__push_error(L, AHOST__CANCELLED, NULL);
    ahost__task_push_text(L, task, AHOST__TASK_REASON);
    if (lua_isnil(L, -1))
        lua_pop(L, 1);
    else
        lua_setfield(L, -2, "message");
    return lua_error(L);
}

int ahost__can_wait(lua_State *L) {
    const ahost *h = ahost__of(L);
    return h->current != NULL && lua_isyieldable(L) && !h->unwaitable;
}

ahost__wait *ahost__wait_begin(lua_State *L, const ahost__wait_type *type,
                               void *op) {
    ahost__task *task = ahost__of(L)->current;
    ahost__wait *w;
    if (task == NULL)
        luaL_error(L,
                   "%s: waiting is only possible in a task "
                   "(start one with ahost.task.spawn)",
                   type->what);
    if (!ahost__can_wait(L))
        luaL_error(L,
                   "%s: cannot wait here, inside a C function that does not "
                   "allow it (table.sort, string.gsub, require, __gc...)",
                   type->what);
    if (ahost__task_interrupted(task))
        raise_cancelled(L, task);
    w = &task->wait;
    w->type = type;
    w->op = op;
    w->L = L;
    w->sequence++;
    w->status = AHOST__PENDING;
    w->value = 0;
    return w;
}

static void on_timeout(ahost__timer *timer) {
    ahost__wait *w = ahost__container_of(timer, ahost__wait, timer);
    if (w->type->cancel != NULL)
        w->type->cancel(w);
    ahost__settle(w, AHOST__TIMEDOUT);
}

void ahost__wait_timeout(ahost__wait *w, double seconds) {
    if (seconds < 0)
        return;
    w->timer.fire = on_timeout;
    ahost__timer_start(ahost__wait_task(w)->host, &w->timer, seconds);
}

/* Runs in the task when its wait has been settled. Another task may have got
 * hold of a user's coroutine that waits, and resumed it out of turn. */
static int resumed(lua_State *L, int status, lua_KContext context) {
    ahost__wait *w = (ahost__wait *)context;
    const ahost__wait_type *type = w->type;
    (void)status;
    if (ahost__of(L)->current != ahost__wait_task(w))
        return luaL_error(L, "this coroutine waits in another task (%s)",
                          type->what);
    w->type = NULL;
    if (w->status == AHOST__CANCELLED)
        return raise_cancelled(L, ahost__wait_task(w));
    return type->finish(L, w);
}

int ahost__await(lua_State *L, ahost__wait *w) {
    ahost__task *task = ahost__wait_task(w);
    task->state = AHOST__TASK_WAITING;
    if (w->status != AHOST__PENDING)
        ahost__ready_push(task->host, task);
    task->host->awaiting = 1;
    return lua_yieldk(L, 0, (lua_KContext)w, resumed);
}

void ahost__settle(ahost__wait *w, int status) {
    ahost__task *task = ahost__wait_task(w);
    if (w->type == NULL || w->status != AHOST__PENDING)
        return;
    w->status = status;
    ahost__list_remove(&w->link);
    ahost__timer_stop(task->host, &w->timer);
    if (task->state == AHOST__TASK_WAITING)
        ahost__ready_push(task->host, task);
}

ahost__wait *ahost__wait_first(ahost__link *waiters) {
    if (ahost__list_empty(waiters))
        return NULL;
    return ahost__container_of(waiters->next, ahost__wait, link);
}

void ahost__settle_all(ahost__link *waiters, int status) {
    ahost__wait *w;
    while ((w = ahost__wait_first(waiters)) != NULL)
        ahost__settle(w, status);
}

int ahost__wait_value(lua_State *L, ahost__wait *w) {
    if (!lua_checkstack(w->L, 1))
        return 0;
    lua_xmove(L, w->L, 1);
    return 1;
}

void ahost__task_interrupt(ahost__task *task) {
    ahost__wait *w = &task->wait;
    if (task->state != AHOST__TASK_WAITING || w->status != AHOST__PENDING ||
        !ahost__task_interrupted(task))
        return;
    if (w->type->cancel != NULL)
        w->type->cancel(w);
    ahost__settle(w, AHOST__CANCELLED);
}

int ahost__must_yield(lua_State *L) {
    ahost__task *task = ahost__of(L)->current;
    return task != NULL && --task->credit <= 0 && ahost__can_wait(L);
}

double ahost__opt_timeout(lua_State *L, int arg) {
    double seconds;
    if (lua_isnoneornil(L, arg))
        return -1;
    seconds = luaL_checknumber(L, arg);
    luaL_argcheck(L, seconds >= 0, arg, "a timeout must be >= 0 seconds");
    return seconds;
}
