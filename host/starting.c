/*
 * starting.c - who waits for what while the components of an application start.
 *
 * Components wait for what others publish. When all that goes on in them waits
 * for something that only another task of theirs could bring about, nobody is
 * left to bring it: that is noticed when the ready queue has run dry, and told
 * to the one who watches the start.
 */
#include <lauxlib.h>

#include "component.h"
#include "host.h"
#include "resource.h"

#define WATCH_TYPE "ahost.component.watch"

struct ahost__start_watch {
    ahost__owned owned;
    ahost__link link; /* among those of the host */
    ahost__link waiters;
    ahost__context *ctx; /* the application's */
    int held;            /* reasons why more is to come */
};

/* ---- is anybody left? --------------------------------------------------- */

/* Whether a frame of the task has a time limit: then it wakes by itself. */
static int has_deadline(const ahost__task *task) {
    const ahost__frame *frame = task->frames;
    while (frame != NULL && frame->timer.due == 0)
        frame = frame->outer;
    return frame != NULL || task->wait.timer.due != 0;
}

static int waits_for_others(const ahost__task *task) {
    return task->state == AHOST__TASK_WAITING && task->wait.type->inner &&
           !has_deadline(task);
}

static int acts(const ahost__context *ctx) {
    ahost__link *link;
    for (link = ctx->owned.next; link != &ctx->owned; link = link->next)
        if (ahost__container_of(link, ahost__owned, link)->type->acts)
            return 1;
    return 0;
}

/* Whether something that goes on in the context or below it may come to an end
 * without help. The connections of a server do not count: what they do depends
 * on others, and they do not publish for the application. */
static int goes_on(const ahost__context *ctx) {
    ahost__link *link;
    if (ctx->state != AHOST__CONTEXT_OPEN || acts(ctx))
        return 1;
    for (link = ctx->tasks.next; link != &ctx->tasks; link = link->next)
        if (!waits_for_others(ahost__container_of(link, ahost__task, link)))
            return 1;
    if (ctx->watch != NULL)
        return 0;
    for (link = ctx->children.next; link != &ctx->children; link = link->next)
        if (goes_on(ahost__container_of(link, ahost__context, link)))
            return 1;
    return 0;
}

static int is_inside(const ahost__context *ctx, const ahost__context *above) {
    while (ctx != NULL && ctx != above)
        ctx = ctx->parent;
    return ctx != NULL;
}

/* Whether somebody below the context waits for a resource. */
static int somebody_requests(const ahost__context *ctx) {
    ahost__link *list = &ctx->host->requests, *link;
    for (link = list->next; link != list; link = link->next) {
        ahost__wait *w = ahost__container_of(link, ahost__wait, link);
        if (is_inside(ahost__wait_task(w)->ctx, ctx))
            return 1;
    }
    return 0;
}

void ahost__check_starting(ahost *h) {
    ahost__link *list = &h->start_watches, *link;
    for (link = list->next; link != list; link = link->next) {
        ahost__start_watch *watch =
            ahost__container_of(link, ahost__start_watch, link);
        if (!ahost__list_empty(&watch->waiters) && watch->held == 0 &&
            somebody_requests(watch->ctx) && !goes_on(watch->ctx))
            ahost__settle_all(&watch->waiters, 0);
    }
}

/* ---- watching ----------------------------------------------------------- */

static void close_watch(ahost__owned *owned) {
    ahost__start_watch *watch =
        ahost__container_of(owned, ahost__start_watch, owned);
    ahost__list_remove(&watch->link);
    ahost__settle_all(&watch->waiters, AHOST__CLOSED);
}

static const ahost__owned_type owned_watch = {"watch", 0, close_watch, 0};

/* runtime.watch(ctx) -> watch of the start of an application; belongs to it */
int ahost__component_watch(lua_State *L) {
    ahost__context *ctx = ahost__check_context(L, 1);
    ahost__start_watch *watch;
    ahost__context_check_open(L, ctx, "watch");
    watch = lua_newuserdatauv(L, sizeof(*watch), 0);
    *watch = (ahost__start_watch){.ctx = ctx};
    ahost__list_init(&watch->waiters);
    luaL_setmetatable(L, WATCH_TYPE);
    ahost__list_append(&ctx->host->start_watches, &watch->link);
    ahost__own(ctx, &watch->owned, &owned_watch);
    return 1;
}

static ahost__start_watch *check_watch(lua_State *L) {
    return luaL_checkudata(L, 1, WATCH_TYPE);
}

static int finish_wait(lua_State *L, ahost__wait *w) {
    lua_pushboolean(L, w->status == 0);
    return 1;
}

static const ahost__wait_type stuck_wait = {"the start of an application",
                                            finish_wait, NULL};

/* watch:wait() -> true when nobody is left who could go on, false when the
 * watch has been closed */
static int watch_wait(lua_State *L) {
    ahost__start_watch *watch = check_watch(L);
    ahost__wait *w = ahost__wait_begin(L, &stuck_wait, watch);
    if (watch->owned.ctx == NULL)
        ahost__settle(w, AHOST__CLOSED);
    else
        ahost__list_append(&watch->waiters, &w->link);
    return ahost__await(L, w);
}

/* watch:hold(n): n more (or fewer) reasons why something is still to come */
static int watch_hold(lua_State *L) {
    check_watch(L)->held += (int)luaL_checkinteger(L, 2);
    return 0;
}

static int watch_close(lua_State *L) {
    ahost__start_watch *watch = check_watch(L);
    if (watch->owned.ctx == NULL)
        return 0;
    ahost__disown(&watch->owned);
    close_watch(&watch->owned);
    return 0;
}

/* ---- the report --------------------------------------------------------- */

/* Appends what the task waits for to the table at index 2. */
static void add_wait(lua_State *L, ahost__task *task) {
    const ahost__wait *w = &task->wait;
    lua_createtable(L, 0, 3);
    if (w->type != NULL) {
        const char *key = ahost__requested_key(w);
        lua_pushstring(L, key != NULL ? key : w->type->what);
        lua_setfield(L, -2, key != NULL ? "key" : "what");
        ahost__push_place(L, w->L);
        lua_setfield(L, -2, "where");
    }
    ahost__task_push_name(L, task);
    lua_setfield(L, -2, "task");
    lua_rawseti(L, 2, luaL_len(L, 2) + 1);
}

static void add_waits(lua_State *L, const ahost__context *ctx) {
    ahost__link *link;
    for (link = ctx->tasks.next; link != &ctx->tasks; link = link->next)
        add_wait(L, ahost__container_of(link, ahost__task, link));
    if (ctx->watch != NULL)
        return;
    for (link = ctx->children.next; link != &ctx->children; link = link->next) {
        ahost__context *child = ahost__container_of(link, ahost__context, link);
        if (child->kind == AHOST__CONTEXT_PLAIN)
            add_waits(L, child);
    }
}

/* runtime.waiting(ctx) -> {{key= or what=, where="file:line" or "", task=},
 * ...}: the tasks of a component */
int ahost__component_waiting(lua_State *L) {
    ahost__context *ctx = ahost__check_context(L, 1);
    lua_settop(L, 1);
    lua_newtable(L);
    add_waits(L, ctx);
    return 1;
}

static const luaL_Reg methods[] = {{"wait", watch_wait},
                                   {"hold", watch_hold},
                                   {"close", watch_close},
                                   {NULL, NULL}};

static const luaL_Reg meta[] = {
    {"__gc", watch_close}, {"__close", watch_close}, {NULL, NULL}};

void ahost__open_starting(lua_State *L) {
    luaL_newmetatable(L, WATCH_TYPE);
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
