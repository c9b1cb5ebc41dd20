/*
 * component.c - ahost.component.runtime: contexts of applications and
 * components.
 *
 * The context of a component is a child of its application's, or of that of an
 * isolated component. What fails in it does not end what is around it: it ends
 * the component's tasks, and whoever supervises the component is told.
 */
#include "component.h"

#include <lauxlib.h>

#include "fs.h"
#include "generation.h"
#include "host.h"
#include "loader.h"
#include "modules.h"
#include "resource.h"

/* runtime.application(parent) -> ctx whose tasks, and all those below, are
 * cancelled together when it is closed, before anything is torn down. */
static int new_application(lua_State *L) {
    ahost__context *parent = ahost__check_context(L, 1);
    ahost__push_child_context(L, parent, AHOST__ON_ERROR_FAIL);
    ahost__check_context(L, -1)->cancels_tree = 1;
    return 1;
}

/* runtime.context(parent, path, name or nil, isolated, staged) -> ctx. `name`
 * is that of the resources which the component publishes as "default"; a staged
 * one hears, accepts and publishes nothing until it is committed. */
static int new_context(lua_State *L) {
    ahost__context *parent = ahost__check_context(L, 1), *ctx;
    luaL_checkstring(L, 2);
    luaL_optstring(L, 3, NULL);
    lua_settop(L, 5);
    ahost__push_child_context(L, parent, AHOST__ON_ERROR_FAIL);
    ctx = ahost__check_context(L, -1);
    ctx->staged = parent->staged || lua_toboolean(L, 5);
    lua_pushvalue(L, 2);
    ahost__context_set_field(L, ctx, AHOST__SIDE_PATH);
    lua_pushvalue(L, 3);
    ahost__context_set_field(L, ctx, AHOST__SIDE_NAME);
    ctx->kind = lua_toboolean(L, 4) ? AHOST__CONTEXT_ISOLATED
                                    : AHOST__CONTEXT_COMPONENT;
    return 1;
}

/* The oldest of the contexts in the array at index 2 that are children of
 * `parent`, or the end of its children. */
static ahost__link *oldest(lua_State *L, ahost__context *parent) {
    ahost__link *link;
    if (lua_rawlen(L, 2) == 0) /* as of most components: no search */
        return &parent->children;
    for (lua_Integer i = 1; lua_rawgeti(L, 2, i) != LUA_TNIL; i++) {
        ahost__check_context(L, -1)->marked = 1;
        lua_pop(L, 1);
    }
    for (link = parent->children.next; link != &parent->children;
         link = link->next)
        if (ahost__container_of(link, ahost__context, link)->marked)
            break;
    for (lua_Integer i = 1; lua_rawgeti(L, 2, i) != LUA_TNIL; i++) {
        ahost__check_context(L, -1)->marked = 0;
        lua_pop(L, 1);
    }
    return link;
}

/* runtime.place(ctx, others): contexts are closed newest first. Makes this one
 * older than the others of its parent's that are in the array, but newer than
 * all the rest that are older than those; without others, the newest. */
static int place(lua_State *L) {
    ahost__context *ctx = ahost__check_context(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    if (!ahost__linked(&ctx->link))
        return 0; /* closed meanwhile */
    ahost__list_remove(&ctx->link);
    ahost__list_append(oldest(L, ctx->parent), &ctx->link);
    return 0;
}

/* runtime.arrange(contexts): makes them older than each other in the order of
 * the array, the first one the newest; each among the children of its parent.
 */
static int arrange(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    for (lua_Integer i = luaL_len(L, 1); i >= 1; i--) {
        ahost__context *ctx;
        lua_rawgeti(L, 1, i);
        ctx = ahost__check_context(L, -1);
        if (ahost__linked(&ctx->link)) {
            ahost__list_remove(&ctx->link);
            ahost__list_append(&ctx->parent->children, &ctx->link);
        }
        lua_pop(L, 1);
    }
    return 0;
}

/* runtime.call(fn, ...) -> true, results | false, err: a call that may not wait
 */
static int call(lua_State *L) {
    int status;
    luaL_checkany(L, 1);
    status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    lua_pushboolean(L, status == LUA_OK);
    lua_insert(L, 1);
    return lua_gettop(L);
}

/* runtime.within(ctx, fn, ...) -> results of fn, which may not wait and for
 * which the context is the current one */
static int within(lua_State *L) {
    ahost__context *ctx = ahost__check_context(L, 1), *before;
    ahost__task *task = ahost__of(L)->current;
    int status;
    luaL_argcheck(L, task != NULL, 1, "only in a task");
    ahost__context_check_open(L, ctx, "within");
    before = task->current;
    task->current = ctx;
    status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
    task->current = before;
    return status == LUA_OK ? lua_gettop(L) - 1 : lua_error(L);
}

/* ---- the end of a component --------------------------------------------- */

static int await_end(lua_State *L, ahost__context *ctx);

static int finish_end(lua_State *L, ahost__wait *w) {
    return await_end(L, w->op);
}

static const ahost__wait_type end_wait = {"the end of a component", finish_end,
                                          NULL};

/* -> "failed", err, traceback | "closed" */
static int await_end(lua_State *L, ahost__context *ctx) {
    ahost__wait *w;
    if (ctx->failed && ctx->state != AHOST__CONTEXT_CLOSED) {
        lua_pushliteral(L, "failed");
        ahost__context_push_field(L, ctx, AHOST__SIDE_FAILURE);
        ahost__context_push_field(L, ctx, AHOST__SIDE_TRACEBACK);
        return 3;
    }
    if (ctx->state == AHOST__CONTEXT_CLOSED) {
        lua_pushliteral(L, "closed");
        return 1;
    }
    w = ahost__wait_begin(L, &end_wait, ctx);
    ahost__list_append(&ctx->waiters, &w->link);
    return ahost__await(L, w);
}

/* runtime.wait(ctx): waits until the component has failed or is closed; it is
 * to be closed by the caller then. The error is nil when memory was too short
 * to keep it. */
static int wait_end(lua_State *L) {
    return await_end(L, ahost__check_context(L, 1));
}

/* runtime.failure(ctx) -> failed, err, traceback: without waiting */
static int failure(lua_State *L) {
    ahost__context *ctx = ahost__check_context(L, 1);
    lua_pushboolean(L, ctx->failed);
    ahost__context_push_field(L, ctx, AHOST__SIDE_FAILURE);
    ahost__context_push_field(L, ctx, AHOST__SIDE_TRACEBACK);
    return 3;
}

/* runtime.failed_late(ctx of an application) -> whether a task of a component
 * has failed while that ended */
static int failed_late(lua_State *L) {
    lua_pushboolean(L, ahost__check_context(L, 1)->failed_late);
    return 1;
}

/* ---- limits ------------------------------------------------------------- */

/* runtime.stop_timeout([seconds]) -> seconds that tasks and teardown callbacks
 * have to end */
static int stop_timeout(lua_State *L) {
    ahost *h = ahost__of(L);
    if (!lua_isnoneornil(L, 1))
        h->stop_timeout = luaL_checknumber(L, 1);
    lua_pushnumber(L, h->stop_timeout);
    return 1;
}

/* Field `name` of the table at index 1, or the fallback. */
static lua_Integer limit(lua_State *L, const char *name, lua_Integer fallback) {
    lua_Integer value = fallback;
    if (lua_getfield(L, 1, name) != LUA_TNIL) {
        value = luaL_checkinteger(L, -1);
        luaL_argcheck(L, value > 0 && value <= UINT32_MAX, 1, name);
    }
    lua_pop(L, 1);
    return value;
}

/* runtime.limits{memory=, connections=, line=, events=, items=, threads=}:
 * bytes that the host may take, and what holds where a program does not say how
 * much */
static int limits(lua_State *L) {
    ahost *h = ahost__of(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    if (lua_getfield(L, 1, "memory") != LUA_TNIL)
        h->memory_limit = (size_t)luaL_checkinteger(L, -1);
    h->defaults = (ahost__defaults){
        .connections =
            (uint32_t)limit(L, "connections", h->defaults.connections),
        .line = (uint32_t)limit(L, "line", h->defaults.line),
        .events = limit(L, "events", h->defaults.events),
        .items = limit(L, "items", h->defaults.items),
        .threads = (uint32_t)limit(L, "threads", h->defaults.threads),
        .callers = (uint32_t)limit(L, "threads", h->defaults.callers)};
    if (h->fs != NULL)
        ahost__pool_limit(h->fs->pool, h->defaults.threads);
    return 0;
}

static const luaL_Reg functions[] = {
    {"application", new_application},
    {"context", new_context},
    {"place", place},
    {"arrange", arrange},
    {"call", call},
    {"within", within},
    {"wait", wait_end},
    {"failure", failure},
    {"failed_late", failed_late},
    {"published", ahost__resource_published},
    {"held", ahost__resource_held},
    {"referred", ahost__resource_referred},
    {"provider", ahost__resource_provider},
    {"stage", ahost__stage_new},
    {"staged", ahost__stage_staged},
    {"override", ahost__stage_override},
    {"commit", ahost__stage_commit},
    {"announce", ahost__stage_announce},
    {"replace", ahost__runtime_replace},
    {"replaced", ahost__runtime_replaced},
    {"activate", ahost__runtime_activate},
    {"retire", ahost__runtime_retire},
    {"serves", ahost__runtime_serves},
    {"drained", ahost__runtime_drained},
    {"prepare_sockets", ahost__runtime_prepare_sockets},
    {"keep_sockets", ahost__runtime_keep_sockets},
    {"release_sockets", ahost__runtime_release_sockets},
    {"watch", ahost__component_watch},
    {"waiting", ahost__component_waiting},
    {"stops", ahost__component_stops},
    {"stop_timeout", stop_timeout},
    {"limits", limits},
    {"watchdog", ahost__component_watchdog},
    {"bundled", ahost__bundled_components},
    {NULL, NULL}};

int ahost__open_component(lua_State *L) {
    ahost__open_starting(L);
    ahost__open_stopping(L);
    luaL_newlib(L, functions);
    return 1;
}
