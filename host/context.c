/*
 * context.c - contexts: what they own, their Lua side and their methods.
 *
 * The structure is reference counted: by its tasks, its children and Lua. What
 * Lua has to keep for it lies in one table, the Lua side, which most contexts
 * (one for each connection) never need. Closing is in closing.c, resources are
 * in resource.c.
 */
#include "context.h"

#include <lauxlib.h>
#include <string.h>

#include "host.h"
#include "resource.h"

#define CONTEXT_TYPE "ahost.context"

static const char methods_key; /* of the table of methods in the registry */

/* ---- lifetime ----------------------------------------------------------- */

static void close_in_turn(lua_State *L, ahost__job *job);

ahost__context *ahost__context_new(ahost *h, ahost__context *parent) {
    ahost__context *ctx = ahost__alloc(h, sizeof(*ctx));
    if (ctx == NULL)
        return NULL;
    ctx->host = h;
    ctx->references = 1;
    ctx->close_job.run = close_in_turn;
    ahost__list_init(&ctx->children);
    ahost__list_init(&ctx->tasks);
    ahost__list_init(&ctx->owned);
    ahost__list_init(&ctx->waiters);
    ctx->parent = parent;
    if (parent != NULL) {
        ctx->staged = parent->staged;
        ahost__context_ref(parent);
        ahost__context_ref(ctx); /* the parent's, until it is closed */
        ahost__list_append(&parent->children, &ctx->link);
    }
    return ctx;
}

void ahost__context_ref(ahost__context *ctx) {
    ctx->references++;
}

void ahost__context_unref(ahost__context *ctx) {
    while (ctx != NULL && --ctx->references == 0) {
        ahost__context *parent = ctx->parent;
        ahost__list_remove(&ctx->link);
        ahost__job_drop(&ctx->close_job);
        ahost__free(ctx->host, ctx, sizeof(*ctx));
        ctx = parent;
    }
}

ahost__context *ahost__context_current(lua_State *L) {
    ahost *h = ahost__of(L);
    return h->current != NULL && h->current->current != NULL
               ? h->current->current
               : h->root;
}

ahost__context *ahost__context_component(ahost__context *ctx) {
    while (ctx != NULL && ctx->kind == AHOST__CONTEXT_PLAIN)
        ctx = ctx->parent;
    return ctx;
}

ahost__context *ahost__context_application(ahost__context *ctx) {
    ctx = ahost__context_component(ctx);
    while (ctx != NULL && ctx->kind != AHOST__CONTEXT_PLAIN)
        ctx = ctx->parent;
    return ctx;
}

int ahost__context_is_replaced(ahost__context *ctx) {
    ctx = ahost__context_component(ctx);
    return ctx != NULL && ctx->replaced && !ctx->retired;
}

int ahost__context_serving(ahost__context *ctx) {
    const ahost__task *task = ctx->host->current;
    return task != NULL && task->serves &&
           ahost__context_component(task->ctx) == ahost__context_component(ctx);
}

void ahost__context_check_open(lua_State *L, ahost__context *ctx,
                               const char *what) {
    if (ctx->state == AHOST__CONTEXT_CLOSED)
        luaL_error(L, "%s: the context is closed", what);
}

/* A host with something that keeps it running waits even when nothing can wake
 * it but a stop. */
void ahost__keep_running(ahost *h, int more) {
    h->keeper_count += (size_t)more;
    if (h->keeper_count > 0)
        uv_ref((uv_handle_t *)&h->stop_request);
    else
        uv_unref((uv_handle_t *)&h->stop_request);
}

void ahost__own(ahost__context *ctx, ahost__owned *owned,
                const ahost__owned_type *type) {
    owned->ctx = ctx;
    owned->type = type;
    owned->serving = (uint8_t)ahost__context_serving(ctx);
    ahost__list_append(&ctx->owned, &owned->link);
    ctx->lasting += type->end != NULL;
    if (type->keeps_running)
        ahost__keep_running(ctx->host, 1);
}

void ahost__disown(ahost__owned *owned) {
    ahost__context *ctx = owned->ctx;
    if (ctx == NULL)
        return;
    owned->ctx = NULL;
    ahost__list_remove(&owned->link);
    if (owned->type->keeps_running)
        ahost__keep_running(ctx->host, -1);
    if (owned->type->end != NULL && --ctx->lasting == 0)
        ahost__settle_all(&ctx->waiters, 0);
}

/* Nothing in it has to be waited for. */
static int closes_at_once(const ahost__context *ctx) {
    return ctx->task_count == 0 && ahost__list_empty(&ctx->children) &&
           !ctx->has_callbacks && ctx->scope == NULL && ctx->lasting == 0;
}

static void close_in_turn(lua_State *L, ahost__job *job) {
    ahost__context *ctx = ahost__container_of(job, ahost__context, close_job);
    if (ctx->state == AHOST__CONTEXT_CLOSED || ctx->closer != NULL)
        return;
    ahost__job_post(ctx->host, job); /* again, should memory be short here */
    lua_pushcfunction(L, ahost__context_close_surely);
    ahost__push_context(L, ctx);
    ctx->closer = ahost__spawn(L, NULL, 1);
    ahost__job_drop(job);
}

void ahost__context_close(ahost__context *ctx) {
    if (ctx->state == AHOST__CONTEXT_CLOSED || ctx->closer != NULL)
        return;
    if (closes_at_once(ctx)) {
        ctx->state = AHOST__CONTEXT_CLOSING;
        ahost__context_end(ctx);
        return;
    }
    ahost__job_post(ctx->host, &ctx->close_job);
}

void ahost__context_task_ended(ahost__context *ctx, ahost__task *task) {
    if (ctx->task_count <= 1) /* the last one may be the task that waits */
        ahost__settle_all(&ctx->waiters, 0);
    if (task->ends_context)
        ahost__context_close(ctx);
}

/* ---- failures ----------------------------------------------------------- */

void ahost__log_failure(lua_State *L, int level, const char *logger,
                        ahost__task *task, const char *what) {
    ahost *h = ahost__of(L);
    int top = lua_gettop(L);
    const char *name = ahost__task_push_name(L, task), *text, *trace;
    text = luaL_tolstring(L, top, NULL);
    ahost__task_push_text(L, task, AHOST__TASK_TRACEBACK);
    trace = lua_tostring(L, -1);
    text = lua_pushfstring(L, "%s%s%s", text, trace != NULL ? "\n" : "",
                           trace != NULL ? trace : "");
    ahost__log(h, level, logger, "%s%s: %s", name, what, text);
    if (h->loading == task)
        ahost__load_failed(h, AHOST_FAILED, text);
    lua_settop(L, top);
}

void ahost__context_cancel_tasks(const ahost__context *ctx) {
    ahost__link *link;
    for (link = ctx->tasks.next; link != &ctx->tasks; link = link->next)
        ahost__task_cancel(ahost__container_of(link, ahost__task, link));
}

/* The first failure of a scope, which its owner raises, or of a component. */
static void keep_failure(lua_State *L, ahost__context *ctx, ahost__task *task) {
    ahost__task_push_text(L, task, AHOST__TASK_TRACEBACK);
    ahost__context_set_field(L, ctx, AHOST__SIDE_TRACEBACK);
    ahost__context_set_field(L, ctx, AHOST__SIDE_FAILURE);
    ctx->failed = AHOST__FAILURE_KEPT;
}

/* The failure of a component ends its tasks; whoever supervises it closes its
 * context. */
static void fail_component(ahost__context *ctx) {
    ahost__context_cancel_tasks(ctx);
    ahost__settle_all(&ctx->waiters, 0);
}

typedef enum verdict { OWNED, LOGGED, LATE, FATAL } verdict;

/* Ends what a failure in *ctx ends, up to the context that it is left in *ctx
 * with. Allocates nothing. */
static verdict spread_failure(ahost__context **ctx) {
    for (;; *ctx = (*ctx)->parent) {
        ahost__context *here = *ctx;
        if (here->on_error != AHOST__ON_ERROR_FAIL)
            return LOGGED;
        if (here->failed || here->state != AHOST__CONTEXT_OPEN)
            return LATE;
        here->failed = AHOST__FAILURE_LOST;
        if (here->scope != NULL) {
            ahost__context_cancel_tasks(here);
            ahost__frame_fire(here->scope);
            return OWNED;
        }
        if (here->kind != AHOST__CONTEXT_PLAIN) {
            fail_component(here);
            return OWNED;
        }
        if (here->parent == NULL) {
            ahost__finish(here->host);
            return FATAL;
        }
        ahost__context_close(here);
    }
}

/* Nobody handles the failure: the status of the application, or of the host, is
 * to say so. */
static void note_failure(ahost *h, verdict what, ahost__context *ctx) {
    ahost__context *application =
        what == LATE ? ahost__context_application(ctx) : NULL;
    if (application != NULL)
        application->failed_late = 1;
    else if (what != LOGGED)
        ahost__host_failed(h);
}

void ahost__context_fail_lost(ahost__context *ctx) {
    if (ctx != NULL)
        spread_failure(&ctx);
}

void ahost__context_fail(lua_State *L, ahost__context *ctx, ahost__task *task) {
    verdict what = ctx != NULL ? spread_failure(&ctx) : FATAL;
    int level = what == LOGGED && ctx->on_error == AHOST__ON_ERROR_PEER &&
                        ahost__is_error(L, -1, AHOST__ANY)
                    ? AHOST_LOG_DEBUG
                    : AHOST_LOG_ERROR;
    if (what == OWNED) {
        keep_failure(L, ctx, task);
        return;
    }
    note_failure(ahost__of(L), what, ctx);
    ahost__log_failure(L, level, "ahost.task", task,
                       what == LATE ? " (while its context ends)" : "");
}

/* ---- the Lua side ------------------------------------------------------- */

int ahost__context_push_side(lua_State *L, ahost__context *ctx, int create) {
    if (ctx->slot == 0 && !create)
        return 0;
    lua_rawgeti(L, LUA_REGISTRYINDEX, ctx->host->context_sides);
    if (ctx->slot == 0) {
        lua_createtable(L, 2, 0);
        if (ctx->slot == 0) /* else a finalizer has made it meanwhile */
            ctx->slot = (uint32_t)luaL_ref(L, -2);
        else
            lua_pop(L, 1);
    }
    lua_rawgeti(L, -1, ctx->slot);
    lua_remove(L, -2);
    return 1;
}

void ahost__context_push_field(lua_State *L, ahost__context *ctx, int field) {
    if (!ahost__context_push_side(L, ctx, 0)) {
        lua_pushnil(L);
        return;
    }
    lua_rawgeti(L, -1, field);
    lua_remove(L, -2);
}

void ahost__context_set_field(lua_State *L, ahost__context *ctx, int field) {
    ahost__context_push_side(L, ctx, 1);
    lua_insert(L, -2);
    lua_rawseti(L, -2, field);
    lua_pop(L, 1);
}

void ahost__context_drop_side(ahost__context *ctx) {
    lua_State *L = ctx->host->L;
    if (ctx->slot == 0)
        return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, ctx->host->context_sides);
    luaL_unref(L, -1, (int)ctx->slot);
    lua_pop(L, 1);
    ctx->slot = 0;
}

static ahost__context **new_box(lua_State *L, ahost__context *ctx) {
    ahost__context **box = lua_newuserdatauv(L, sizeof(*box), 0);
    *box = ctx;
    ahost__context_ref(ctx);
    luaL_setmetatable(L, CONTEXT_TYPE);
    return box;
}

/* A closed context has no Lua side any more: its userdata are equal then, but
 * not the same. */
void ahost__push_context(lua_State *L, ahost__context *ctx) {
    ahost__context_push_field(L, ctx, AHOST__SIDE_BOX);
    if (!lua_isnil(L, -1))
        return;
    lua_pop(L, 1);
    if (ctx->state == AHOST__CONTEXT_CLOSED) {
        new_box(L, ctx);
        return;
    }
    ahost__context_push_side(L, ctx, 1);
    new_box(L, ctx);
    if (lua_rawgeti(L, -2, AHOST__SIDE_BOX) == LUA_TNIL) {
        lua_pop(L, 1); /* else a finalizer has made it meanwhile */
        lua_pushvalue(L, -1);
        lua_rawseti(L, -3, AHOST__SIDE_BOX);
    } else {
        lua_remove(L, -2);
    }
    lua_remove(L, -2);
}

ahost__context *ahost__check_context(lua_State *L, int arg) {
    return *(ahost__context **)luaL_checkudata(L, arg, CONTEXT_TYPE);
}

/* ---- methods ------------------------------------------------------------ */

int ahost__opt_on_error(lua_State *L, int arg) {
    static const char *const choices[] = {"fail", "log", NULL};
    int choice;
    if (lua_isnoneornil(L, arg))
        return AHOST__ON_ERROR_FAIL;
    luaL_checktype(L, arg, LUA_TTABLE);
    lua_getfield(L, arg, "on_error");
    choice = lua_isnil(L, -1) ? AHOST__ON_ERROR_FAIL
                              : luaL_checkoption(L, -1, NULL, choices);
    lua_pop(L, 1);
    return choice;
}

int ahost__push_child_context(lua_State *L, ahost__context *parent,
                              int on_error) {
    ahost__context *ctx;
    ahost__context_check_open(L, parent, "a new context");
    ctx = ahost__context_new(ahost__of(L), parent);
    if (ctx == NULL)
        return luaL_error(L, "not enough memory");
    ctx->on_error = (uint8_t)on_error;
    ahost__context_unref(ctx); /* its parent holds it */
    ahost__push_context(L, ctx);
    return 1;
}

/* ctx:child([opts]) -> ctx */
static int context_child(lua_State *L) {
    ahost__context *parent = ahost__check_context(L, 1);
    return ahost__push_child_context(L, parent, ahost__opt_on_error(L, 2));
}

/* context.new([parent]) -> ctx */
static int context_new(lua_State *L) {
    ahost__context *parent = lua_isnoneornil(L, 1) ? ahost__context_current(L)
                                                   : ahost__check_context(L, 1);
    return ahost__push_child_context(L, parent, AHOST__ON_ERROR_FAIL);
}

/* context.current() -> ctx */
static int context_current(lua_State *L) {
    ahost__push_context(L, ahost__context_current(L));
    return 1;
}

/* ctx:on_close(fn) */
static int context_on_close(lua_State *L) {
    ahost__context *ctx = ahost__check_context(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    ahost__context_check_open(L, ctx, "on_close");
    lua_settop(L, 2);
    ahost__context_push_field(L, ctx, AHOST__SIDE_CALLBACKS);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_createtable(L, 1, 0);
        lua_pushvalue(L, -1);
        ahost__context_set_field(L, ctx, AHOST__SIDE_CALLBACKS);
    }
    lua_insert(L, -2);
    lua_rawseti(L, -2, luaL_len(L, -2) + 1);
    ctx->has_callbacks = 1;
    return 0;
}

/* ctx:state() -> "open" | "closing" | "closed" */
static int context_state(lua_State *L) {
    static const char *const names[] = {"open", "closing", "closed"};
    lua_pushstring(L, names[ahost__check_context(L, 1)->state]);
    return 1;
}

/* Pushes the data attribute that the context itself has by the name at index 2,
 * or nothing. */
static int push_own_attribute(lua_State *L, ahost__context *ctx) {
    if (!ctx->has_attributes)
        return 0;
    ahost__context_push_field(L, ctx, AHOST__SIDE_ATTRIBUTES);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, -2) != LUA_TNIL)
        return 1;
    lua_pop(L, 2);
    return 0;
}

/* The nearest one. That of a lazy resource is the resource. */
static int push_attribute(lua_State *L, ahost__context *ctx) {
    int staged = ctx->staged;
    for (; ctx != NULL; ctx = ctx->parent) {
        ahost__context *stage = staged ? ahost__stage_of(ctx) : NULL;
        if ((stage != NULL && push_own_attribute(L, stage)) ||
            push_own_attribute(L, ctx))
            return lua_isfunction(L, -1) ? ahost__resource_attribute(L) : 1;
    }
    return 0;
}

/* Fields that are computed: parent and published. */
static int push_special(lua_State *L, ahost__context *ctx, const char *name) {
    if (strcmp(name, "parent") == 0) {
        if (ctx->parent == NULL)
            lua_pushnil(L);
        else
            ahost__push_context(L, ctx->parent);
        return 1;
    }
    return strcmp(name, "published") == 0 && ahost__push_published(L, ctx);
}

/* Upvalue: the methods. */
static int context_index(lua_State *L) {
    ahost__context *ctx;
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
        return 1;
    ctx = ahost__check_context(L, 1);
    if (lua_type(L, 2) == LUA_TSTRING &&
        push_special(L, ctx, lua_tostring(L, 2)))
        return 1;
    return push_attribute(L, ctx);
}

/* Whether the name at `index` stands for something else on every context. */
static int is_reserved(lua_State *L, int index) {
    int taken;
    if (lua_type(L, index) == LUA_TSTRING) {
        const char *name = lua_tostring(L, index);
        if (strcmp(name, "parent") == 0 || strcmp(name, "published") == 0)
            return 1;
    }
    lua_pushvalue(L, index);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &methods_key);
    lua_insert(L, -2);
    taken = lua_rawget(L, -2) != LUA_TNIL;
    lua_pop(L, 2);
    return taken;
}

int ahost__context_has_attribute(lua_State *L, ahost__context *ctx, int index) {
    int taken;
    if (is_reserved(L, index))
        return 1;
    if (!ctx->has_attributes)
        return 0;
    lua_pushvalue(L, index);
    ahost__context_push_field(L, ctx, AHOST__SIDE_ATTRIBUTES);
    lua_insert(L, -2);
    taken = lua_rawget(L, -2) != LUA_TNIL;
    lua_pop(L, 2);
    return taken;
}

/* ctx.name = value */
static int context_newindex(lua_State *L) {
    ahost__context *ctx = ahost__check_context(L, 1);
    ahost__context_check_open(L, ctx, "setting a data attribute");
    luaL_argcheck(L, !lua_isnil(L, 2), 2, "the name of an attribute is nil");
    if (is_reserved(L, 2))
        return luaL_error(L, "a context's '%s' cannot be replaced",
                          luaL_tolstring(L, 2, NULL));
    lua_settop(L, 3);
    ahost__context_set_attribute(L, ctx);
    return 0;
}

void ahost__context_set_attribute(lua_State *L, ahost__context *ctx) {
    ahost__context_push_field(L, ctx, AHOST__SIDE_ATTRIBUTES);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        ahost__context_set_field(L, ctx, AHOST__SIDE_ATTRIBUTES);
        ctx->has_attributes = 1;
    }
    lua_insert(L, -3);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

static int context_eq(lua_State *L) {
    lua_pushboolean(L,
                    ahost__check_context(L, 1) == ahost__check_context(L, 2));
    return 1;
}

static int context_tostring(lua_State *L) {
    ahost__context *ctx = ahost__check_context(L, 1);
    context_state(L);
    lua_pushfstring(L, "context: %p (%s)", (void *)ctx, lua_tostring(L, -1));
    return 1;
}

static int context_gc(lua_State *L) {
    ahost__context_unref(ahost__check_context(L, 1));
    return 0;
}

static const luaL_Reg methods[] = {{"spawn", ahost__context_spawn},
                                   {"on_close", context_on_close},
                                   {"close", ahost__context_close_method},
                                   {"child", context_child},
                                   {"state", context_state},
                                   {NULL, NULL}};

static const luaL_Reg meta[] = {{"__eq", context_eq},
                                {"__newindex", context_newindex},
                                {"__tostring", context_tostring},
                                {"__gc", context_gc},
                                {"__close", ahost__context_close_metamethod},
                                {NULL, NULL}};

static const luaL_Reg functions[] = {{"current", context_current},
                                     {"new", context_new},
                                     {"scope", ahost__context_scope},
                                     {NULL, NULL}};

int ahost__open_context(lua_State *L) {
    if (luaL_newmetatable(L, CONTEXT_TYPE)) {
        luaL_setfuncs(L, meta, 0);
        luaL_newlib(L, methods);
        ahost__open_resources(L, -2);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &methods_key);
        lua_pushcclosure(L, context_index, 1);
        lua_setfield(L, -2, "__index");
    }
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
