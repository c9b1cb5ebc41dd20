/*
 * introspection.c - the tree of contexts as tables: who runs in each and waits
 * where, and what it owns.
 *
 *     {kind = "server", state = "open", path = nil, task_count = 0,
 *      tasks = {{name =, state =, what = or key =, where =, cancelled =}, ...},
 *      things = {{what = "server", address =, connections =}, ...},
 *      counts = {stream = 2}, connections = 1200, children = {...}}
 *
 * The collector stands still meanwhile: finalizers would change the lists that
 * are being walked. So the tables are limited in number; what is beyond that is
 * only counted.
 */
#include "introspection.h"

#include <lauxlib.h>

#include "host.h"
#include "modules.h"
#include "resource.h"

enum { DEFAULT_ENTRIES = 1000, MOST_ENTRIES = 100000, DEEPEST = 100 };

typedef struct walk {
    lua_Integer left;    /* entries that may still be made */
    lua_Integer omitted; /* and those that were not */
    int connections;     /* those of servers are walked too */
    int depth;
} walk;

/* Whether one more entry may be made. */
static int admit(walk *w) {
    if (w->left > 0) {
        w->left--;
        return 1;
    }
    w->omitted++;
    return 0;
}

static void set_integer(lua_State *L, const char *name, lua_Integer value) {
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

static void set_string(lua_State *L, const char *name, const char *value) {
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
}

/* ---- tasks -------------------------------------------------------------- */

static const char *state_of(const ahost__task *task) {
    switch (task->state) {
    case AHOST__TASK_WAITING:
        return "waiting";
    case AHOST__TASK_RUNNING:
        return "running";
    default:
        return "ready";
    }
}

/* Adds what the task waits for to the table on the top. */
static void set_wait(lua_State *L, const ahost__wait *w) {
    const char *key = ahost__requested_key(w);
    set_string(L, key != NULL ? "key" : "what",
               key != NULL ? key : w->type->what);
}

static void push_task(lua_State *L, ahost__task *task) {
    const ahost__wait *wait = &task->wait;
    int waits = task->state == AHOST__TASK_WAITING && wait->type != NULL;
    lua_createtable(L, 0, 5);
    ahost__task_push_name(L, task);
    lua_setfield(L, -2, "name");
    set_string(L, "state", state_of(task));
    if (waits)
        set_wait(L, wait);
    ahost__push_place(L, waits ? wait->L : task->co);
    lua_setfield(L, -2, "where");
    lua_pushboolean(L, task->cancelled);
    lua_setfield(L, -2, "cancelled");
}

/* Sets `tasks` of the table on the top. */
static void set_tasks(lua_State *L, walk *w, const ahost__context *ctx) {
    lua_Integer count = 0;
    ahost__link *link;
    lua_newtable(L);
    for (link = ctx->tasks.next; link != &ctx->tasks; link = link->next)
        if (admit(w)) {
            push_task(L, ahost__container_of(link, ahost__task, link));
            lua_rawseti(L, -2, ++count);
        }
    lua_setfield(L, -2, "tasks");
}

/* ---- things ------------------------------------------------------------- */

/* Adds one to the field `what` of the table at `counts`. */
static void count(lua_State *L, int counts, const char *what) {
    lua_Integer before;
    lua_getfield(L, counts, what);
    before = lua_tointeger(L, -1);
    lua_pop(L, 1);
    lua_pushinteger(L, before + 1);
    lua_setfield(L, counts, what);
}

/* Sets `things`, those that can be described, and `counts` of the others. */
static void set_things(lua_State *L, walk *w, const ahost__context *ctx) {
    int things, counts;
    lua_Integer described = 0;
    ahost__link *link;
    lua_newtable(L);
    lua_newtable(L);
    counts = lua_gettop(L);
    things = counts - 1;
    for (link = ctx->owned.next; link != &ctx->owned; link = link->next) {
        ahost__owned *owned = ahost__container_of(link, ahost__owned, link);
        if (owned->type->describe == NULL || !admit(w)) {
            count(L, counts, owned->type->what);
            continue;
        }
        lua_createtable(L, 0, 4);
        set_string(L, "what", owned->type->what);
        owned->type->describe(L, owned);
        lua_rawseti(L, things, ++described);
    }
    lua_setfield(L, things - 1, "counts");
    lua_setfield(L, things - 1, "things");
}

/* ---- contexts ----------------------------------------------------------- */

static const char *kind_of(const ahost__context *ctx) {
    if (ctx->kind == AHOST__CONTEXT_COMPONENT)
        return "component";
    if (ctx->kind == AHOST__CONTEXT_ISOLATED)
        return "isolated";
    if (ctx->watch != NULL)
        return "server";
    return ctx->scope != NULL ? "scope" : "context";
}

static const char *const states[] = {"open", "closing", "closed"};

static void push_node(lua_State *L, walk *w, ahost__context *ctx);

static lua_Integer child_count(const ahost__context *ctx) {
    lua_Integer n = 0;
    ahost__link *link;
    for (link = ctx->children.next; link != &ctx->children; link = link->next)
        n++;
    return n;
}

/* Sets `children` of the table on the top. */
static void set_children(lua_State *L, walk *w, const ahost__context *ctx) {
    lua_Integer n = 0;
    ahost__link *link;
    if (w->depth == DEEPEST) {
        w->omitted += child_count(ctx);
        return;
    }
    lua_newtable(L);
    w->depth++;
    for (link = ctx->children.next; link != &ctx->children; link = link->next)
        if (admit(w)) {
            push_node(L, w, ahost__container_of(link, ahost__context, link));
            lua_rawseti(L, -2, ++n);
        }
    w->depth--;
    lua_setfield(L, -2, "children");
}

static void push_node(lua_State *L, walk *w, ahost__context *ctx) {
    luaL_checkstack(L, 10, NULL);
    lua_createtable(L, 0, 8);
    set_string(L, "kind", kind_of(ctx));
    set_string(L, "state", states[ctx->state]);
    set_integer(L, "task_count", ctx->task_count);
    ahost__context_push_field(L, ctx, AHOST__SIDE_PATH);
    lua_setfield(L, -2, "path");
    set_tasks(L, w, ctx);
    set_things(L, w, ctx);
    if (ctx->watch != NULL)
        set_integer(L, "connections", child_count(ctx));
    if (ctx->watch == NULL || w->connections)
        set_children(L, w, ctx);
}

/* (walk) -> {root=, omitted=} */
static int inspect_root(lua_State *L) {
    walk *w = lua_touserdata(L, 1);
    lua_createtable(L, 0, 2);
    push_node(L, w, ahost__of(L)->root);
    lua_setfield(L, -2, "root");
    set_integer(L, "omitted", w->omitted);
    return 1;
}

/* Calls the function on the top with one argument below a collector that stands
 * still. -> its result; raises what it raises */
static int call_uncollected(lua_State *L) {
    int was_running = lua_gc(L, LUA_GCISRUNNING), status;
    lua_gc(L, LUA_GCSTOP);
    status = lua_pcall(L, 1, 1, 0);
    if (was_running)
        lua_gc(L, LUA_GCRESTART);
    return status == LUA_OK ? 1 : lua_error(L);
}

/* inspect([limit [, connections]]) -> {root=, omitted=}: all contexts of the
 * host. `limit`: of entries for tasks, things and contexts (1000); beyond it
 * they are counted in `omitted`. `connections`: of servers, too */
static int inspect(lua_State *L) {
    walk w = {0};
    w.left = luaL_optinteger(L, 1, DEFAULT_ENTRIES);
    luaL_argcheck(L, w.left >= 0 && w.left <= MOST_ENTRIES, 1,
                  "the limit must be from 0 to 100000 entries");
    w.connections = lua_toboolean(L, 2);
    lua_pushcfunction(L, inspect_root);
    lua_pushlightuserdata(L, &w);
    return call_uncollected(L);
}

/* ---- the module ---------------------------------------------------------- */

static const luaL_Reg functions[] = {{"inspect", inspect},
                                     {"peer", ahost__credentials_peer},
                                     {"user", ahost__credentials_user},
                                     {NULL, NULL}};

int ahost__open_introspection(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
