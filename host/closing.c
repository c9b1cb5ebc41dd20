/*
 * closing.c - how a context ends.
 *
 * Innermost first: each context's tasks are cancelled and waited for, then its
 * teardown callbacks run newest first, one at a time, then what it still owns
 * is closed, child processes first: they are waited for. The whole runs in the
 * task that called ctx:close (or in one of the host's own), masked against
 * cancellation; every step is a turn of close_on, which is entered again after
 * each wait.
 */
#include <lauxlib.h>

#include "host.h"
#include "resource.h"

typedef struct closing {
    ahost__context *target;   /* the context to close */
    ahost__context *late_for; /* the one that `deadline` is about */
    ahost__task *task;        /* that does it */
    ahost__frame *frames;     /* the task's before any of a callback */
    ahost__context *outer;    /* the task's current context before */
    uint64_t deadline;        /* until when tasks may take to end */
    int32_t floor;            /* the task's before */
    int32_t mask;             /* and meanwhile */
    int errors;               /* of callbacks, kept in a table */
    int reports;              /* nobody looks at the result: log it */
} closing;

/* Places on the stack of the closing function. */
enum { CONTEXT = 1, REASON, ERRORS, HANDLER, CLOSING };

/* ---- the last step ------------------------------------------------------ */

void ahost__context_end(ahost__context *ctx) {
    ahost *h = ctx->host;
    while (!ahost__list_empty(&ctx->owned)) {
        ahost__owned *owned =
            ahost__container_of(ctx->owned.prev, ahost__owned, link);
        ahost__disown(owned);
        owned->type->close(owned);
    }
    if (ctx->kind == AHOST__CONTEXT_COMPONENT)
        ahost__resource_withdraw(ctx);
    ctx->state = AHOST__CONTEXT_CLOSED;
    ctx->closer = NULL;
    ahost__job_drop(&ctx->close_job);
    if (ctx->scope == NULL) /* else its owner wants the failure yet */
        ahost__context_drop_side(ctx);
    ctx->scope = NULL;
    ahost__settle_all(&ctx->waiters, 0);
    if (ctx == h->root)
        ahost__finished(h);
    if (ahost__linked(&ctx->link)) {
        ahost__child_watch *watch = ctx->parent->watch;
        ahost__list_remove(&ctx->link);
        if (watch != NULL)
            watch->ended(watch);
        ahost__context_unref(ctx);
    }
}

/* ---- tasks -------------------------------------------------------------- */

static void cancel_tree(const ahost__context *ctx) {
    ahost__link *link;
    ahost__context_cancel_tasks(ctx);
    for (link = ctx->children.next; link != &ctx->children; link = link->next)
        cancel_tree(ahost__container_of(link, ahost__context, link));
}

/* Nothing new is taken in from now on. The tasks below a server are cancelled
 * together, those of other contexts when it is their turn. */
static void begin(ahost__context *ctx) {
    if (ctx->state != AHOST__CONTEXT_OPEN)
        return;
    ctx->state = AHOST__CONTEXT_CLOSING;
    if (ctx->cancels_tree)
        cancel_tree(ctx);
}

/* It is this context's turn: its own tasks are to end. */
static void unwind(ahost__context *ctx) {
    if (ctx->unwinding)
        return;
    ctx->unwinding = 1;
    ahost__context_cancel_tasks(ctx);
}

/* The tasks of a context but the one that closes it. */
static uint32_t tasks_left(const ahost__context *ctx,
                           const ahost__task *closer) {
    return ctx->task_count - (closer->ctx == ctx);
}

/* Names the tasks that did not end in time, and leaves them alone. */
static void abandon_tasks(lua_State *L, ahost__context *ctx,
                          const ahost__task *closer) {
    ahost__link *link = ctx->tasks.next;
    while (link != &ctx->tasks) {
        ahost__task *task = ahost__container_of(link, ahost__task, link);
        link = link->next;
        if (task == closer)
            continue;
        ahost__log_waiting(L, AHOST_LOG_ERROR, task,
                           "did not end in time and is abandoned");
        ahost__task_leave_context(task);
        task->abandoned = 1;
        ahost__host_failed(ctx->host);
    }
}

/* ---- waiting ------------------------------------------------------------ */

static int close_on(lua_State *L, closing *c);
static int finish_step(lua_State *L, ahost__wait *w);

static const ahost__wait_type closing_wait = {"closing a context", finish_step,
                                              NULL};

/* Seconds that the context has for what it waits for now. What is made to end
 * after stop_timeout takes a moment more. */
static double patience(const ahost__context *ctx) {
    return ctx->host->stop_timeout + (ctx->ending ? 1 : 0);
}

/* Waits until something about `ctx` changes, or its time is up. */
static int wait_for(lua_State *L, closing *c, ahost__context *ctx) {
    ahost__wait *w = ahost__wait_begin(L, &closing_wait, c);
    uint64_t now = ahost__now(ctx->host);
    if (c->late_for != ctx) {
        c->late_for = ctx;
        c->deadline = now + (uint64_t)(patience(ctx) * 1e9);
    }
    ahost__wait_timeout(w, c->deadline > now ? (double)(c->deadline - now) / 1e9
                                             : 0);
    ahost__list_append(&ctx->waiters, &w->link);
    return ahost__await(L, w);
}

/* The context in or below `ctx` that has to be closed next. */
static ahost__context *innermost(ahost__context *ctx) {
    begin(ctx);
    while (!ahost__list_empty(&ctx->children)) {
        ctx = ahost__container_of(ctx->children.prev, ahost__context, link);
        begin(ctx);
    }
    return ctx;
}

static int finish_step(lua_State *L, ahost__wait *w) {
    closing *c = w->op;
    ahost__context *ctx = innermost(c->target);
    if (w->status == AHOST__TIMEDOUT && c->late_for == ctx) {
        ctx->scope = NULL;
        ctx->closer = c->task;
        ctx->overdue = ctx->ending;
        abandon_tasks(L, ctx, c->task);
    }
    return close_on(L, c);
}

/* Whether the task lives in the context or below it. */
static int is_inside(const ahost__task *task, const ahost__context *ctx) {
    const ahost__context *own = task->ctx;
    while (own != NULL && own != ctx)
        own = own->parent;
    return own != NULL;
}

/* A scope is closed by the task that is in it; another closer may be at work.
 */
static int is_others(const ahost__context *ctx, const ahost__task *task) {
    if (ctx->closer != NULL)
        return ctx->closer != task;
    return ctx->scope != NULL && ctx->scope->task != task;
}

/* Asks the owner of a scope inside `target` to leave it. A task that ends with
 * the target is cancelled; for any other only the scope is over. */
static void ask_owner(ahost__context *ctx, const ahost__context *target) {
    if (ctx->closer != NULL)
        return;
    if (ctx != target && is_inside(ctx->scope->task, target))
        ahost__task_cancel(ctx->scope->task);
    else
        ahost__frame_fire(ctx->scope);
}

/* ---- teardown callbacks ------------------------------------------------- */

/* Keeps the error on the top, of a callback, and pops it. */
static void keep_error(lua_State *L, closing *c) {
    if (c->errors == 0) {
        lua_createtable(L, 1, 0);
        lua_replace(L, ERRORS);
    }
    ahost__wrap_error(L);
    lua_rawseti(L, ERRORS, ++c->errors);
}

static void leave_callback(lua_State *L, closing *c, int status) {
    while (c->task->frames != c->frames)
        ahost__frame_leave(c->task->frames);
    c->task->current->unwinding = 0; /* what the callback left is to end too */
    c->late_for = NULL;              /* and has time of its own */
    c->task->floor = c->mask;
    c->task->current = c->outer;
    if (!ahost__returned(status))
        keep_error(L, c);
    lua_settop(L, CLOSING);
}

static int callback_returned(lua_State *L, int status, lua_KContext context) {
    closing *c = (closing *)context;
    leave_callback(L, c, status);
    return close_on(L, c);
}

static void on_late_callback(ahost__timer *timer) {
    ahost__frame_fire(ahost__container_of(timer, ahost__frame, timer));
}

/* Takes the newest callback off the Lua side of `ctx` and pushes it. */
static void push_newest(lua_State *L, ahost__context *ctx) {
    lua_Integer n;
    ahost__context_push_field(L, ctx, AHOST__SIDE_CALLBACKS);
    n = luaL_len(L, -1);
    lua_rawgeti(L, -1, n);
    lua_pushnil(L);
    lua_rawseti(L, -3, n);
    lua_remove(L, -2);
    ctx->has_callbacks = n > 1;
}

static void call_newest(lua_State *L, closing *c, ahost__context *ctx) {
    ahost__frame *frame = ahost__frame_enter(L);
    frame->timer.fire = on_late_callback;
    ahost__timer_start(ctx->host, &frame->timer, ctx->host->stop_timeout);
    c->task->current = ctx;
    push_newest(L, ctx);
    lua_pushvalue(L, REASON);
    leave_callback(
        L, c, lua_pcallk(L, 1, 0, HANDLER, (lua_KContext)c, callback_returned));
}

/* ---- what takes time to end --------------------------------------------- */

/* Asks for the end of what takes time to end, all at once: they have time of
 * their own. */
static void end_lasting(closing *c, ahost__context *ctx) {
    ahost__link *link, *before;
    if (ctx->ending || ctx->lasting == 0)
        return;
    ctx->ending = 1;
    c->late_for = NULL;
    for (link = ctx->owned.prev; link != &ctx->owned; link = before) {
        ahost__owned *owned = ahost__container_of(link, ahost__owned, link);
        before = link->prev;
        if (owned->type->end != NULL)
            owned->type->end(owned);
    }
}

static int has_to_wait(const ahost__context *ctx) {
    return ctx->lasting > 0 && !ctx->overdue;
}

/* ---- the whole ---------------------------------------------------------- */

static void log_errors(lua_State *L, const closing *c) {
    for (int i = 1; i <= c->errors; i++) {
        lua_rawgeti(L, ERRORS, i);
        ahost__log(c->task->host, AHOST_LOG_ERROR, "ahost.context",
                   "a teardown callback failed: %s",
                   luaL_tolstring(L, -1, NULL));
        lua_pop(L, 2);
    }
    ahost__host_failed(c->task->host);
}

/* -> true | nil, err */
static int closed(lua_State *L, closing *c) {
    c->task->floor = c->floor;
    if (c->errors == 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    if (c->reports)
        log_errors(L, c);
    ahost__fail_text(L, "FAILED", "close", "%d teardown callback%s failed",
                     c->errors, c->errors > 1 ? "s" : "");
    lua_pushvalue(L, ERRORS);
    lua_setfield(L, -2, "errors");
    return 2;
}

static int close_on(lua_State *L, closing *c) {
    for (;;) {
        ahost__context *ctx = innermost(c->target);
        if (is_others(ctx, c->task)) {
            ask_owner(ctx, c->target);
            return wait_for(L, c, ctx);
        }
        ctx->closer = c->task;
        unwind(ctx);
        if (tasks_left(ctx, c->task) > 0)
            return wait_for(L, c, ctx);
        if (ctx->has_callbacks) {
            call_newest(L, c, ctx);
            continue;
        }
        end_lasting(c, ctx);
        if (has_to_wait(ctx))
            return wait_for(L, c, ctx);
        if (c->task->ctx == ctx)
            c->task->cancelled = 1; /* it has closed its own context */
        ahost__context_end(ctx);
        if (c->target->state == AHOST__CONTEXT_CLOSED)
            return closed(L, c);
    }
}

static int finish_waiting(lua_State *L, ahost__wait *w);

static const ahost__wait_type closed_wait = {"waiting for a context to close",
                                             finish_waiting, NULL};

/* Waits for the end of a context that another task closes. -> true */
static int wait_closed(lua_State *L, ahost__context *ctx) {
    ahost__wait *w;
    if (ctx->state == AHOST__CONTEXT_CLOSED) {
        lua_pushboolean(L, 1);
        return 1;
    }
    w = ahost__wait_begin(L, &closed_wait, ctx);
    ahost__list_append(&ctx->waiters, &w->link);
    return ahost__await(L, w);
}

static int finish_waiting(lua_State *L, ahost__wait *w) {
    return wait_closed(L, w->op);
}

/* The err given to ctx:close becomes the failure of a scope. */
static void keep_reason(lua_State *L, ahost__context *ctx) {
    if (lua_isnoneornil(L, REASON) || ctx->failed)
        return;
    lua_pushvalue(L, REASON);
    ahost__context_set_field(L, ctx, AHOST__SIDE_FAILURE);
    ctx->failed = AHOST__FAILURE_KEPT;
}

static int start_closing(lua_State *L, ahost__context *ctx, int reports) {
    ahost__task *task = ahost__of(L)->current;
    closing *c;
    if (!ahost__can_wait(L))
        return luaL_error(L, "a context cannot be closed here, inside a C "
                             "function that does not allow waiting");
    lua_pushnil(L);
    lua_pushcfunction(L, ahost__on_raise);
    c = lua_newuserdatauv(L, sizeof(*c), 0);
    *c = (closing){.target = ctx,
                   .task = task,
                   .frames = task->frames,
                   .outer = task->current,
                   .floor = task->floor,
                   .mask = task->frames != NULL ? task->frames->depth : 0,
                   .reports = reports || task->ctx == NULL};
    task->floor = c->mask;
    ctx->closer = task;
    return close_on(L, c);
}

static int close_context(lua_State *L, int reports) {
    ahost__context *ctx = ahost__check_context(L, CONTEXT);
    ahost__task *task = ahost__of(L)->current;
    lua_settop(L, REASON);
    if (task == NULL)
        return luaL_error(L, "a context can only be closed in a task");
    if (ctx->state == AHOST__CONTEXT_CLOSED ||
        (ctx->state == AHOST__CONTEXT_CLOSING && ctx->closer == task)) {
        lua_pushboolean(L, 1); /* already, or at it: a callback calls */
        return 1;
    }
    if (is_others(ctx, task)) {
        keep_reason(L, ctx);
        ask_owner(ctx, ctx);
        if (is_inside(task, ctx)) { /* it would wait for itself */
            task->cancelled = 1;
            lua_pushboolean(L, 1);
            return 1;
        }
        return wait_closed(L, ctx);
    }
    return start_closing(L, ctx, reports);
}

/* ctx:close([err]) -> true | nil, err */
int ahost__context_close_method(lua_State *L) {
    return close_context(L, 0);
}

/* The `__close` of a context: nobody looks at what it returns. */
int ahost__context_close_metamethod(lua_State *L) {
    return close_context(L, 1);
}

static int closed_surely(lua_State *L, int status, lua_KContext unused);

/* Stack: ctx, and nothing above. */
static int close_again(lua_State *L) {
    ahost__context *ctx = ahost__check_context(L, CONTEXT);
    lua_settop(L, REASON);
    if (ctx->state == AHOST__CONTEXT_CLOSED)
        return 0;
    return start_closing(L, ctx, 1);
}

static int try_to_close(lua_State *L) {
    int status;
    lua_settop(L, CONTEXT);
    lua_pushcfunction(L, close_again);
    lua_pushvalue(L, CONTEXT);
    status = lua_pcallk(L, 1, 0, 0, 0, closed_surely);
    return closed_surely(L, status, 0);
}

/* Lets others run, and with luck free something, before the next attempt. */
static int finish_pause(lua_State *L, ahost__wait *w) {
    (void)w;
    return try_to_close(L);
}

static const ahost__wait_type pause_wait = {"memory to close a context",
                                            finish_pause, NULL};

static int closed_surely(lua_State *L, int status, lua_KContext unused) {
    ahost__wait *w;
    (void)unused;
    if (ahost__returned(status))
        return 0;
    w = ahost__wait_begin(L, &pause_wait, NULL);
    ahost__wait_timeout(w, 0.001);
    return ahost__await(L, w);
}

int ahost__context_close_surely(lua_State *L) {
    return try_to_close(L);
}
