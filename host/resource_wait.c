/*
 * resource_wait.c - resources that are not there yet: those that a factory
 * makes, and those that are requested before anybody has published them.
 */
#include <lauxlib.h>
#include <string.h>

#include "host.h"
#include "log.h"
#include "resource.h"

/* ---- factories ---------------------------------------------------------- */

/* A call of a factory for one context; on the stack of the task that makes it
 * and in the context's Lua side. */
typedef struct making {
    ahost__context *ctx;
    ahost__task *task;     /* NULL outside tasks */
    ahost__context *outer; /* the task's current context before */
    int32_t floor;         /* the task's before */
    ahost__link waiters;   /* others that want the same */
} making;

/* Places on the stack of a lookup that found a lazy resource. */
enum { ENTRY = 3, MAKING, HANDLER };

static int finish_made(lua_State *L, ahost__wait *w);

static const ahost__wait_type made_wait = {"a resource's factory", finish_made,
                                           NULL, 1};

/* Another task has made it, or failed to: then it is this one's turn. */
static int finish_made(lua_State *L, ahost__wait *w) {
    (void)w;
    lua_settop(L, AHOST__AT_KEY);
    ahost__check_lookup(L, "get");
    return ahost__resolve(L);
}

static int await_made(lua_State *L, making *m) {
    ahost__wait *w;
    if (m->task == ahost__of(L)->current)
        return luaL_error(L, "the factory of resource '%s' requires itself",
                          lua_tostring(L, AHOST__AT_KEY));
    w = ahost__wait_begin(L, &made_wait, m);
    ahost__list_append(&m->waiters, &w->link);
    return ahost__await(L, w);
}

/* Pushes field[description] of the Lua side, or nil. */
static int push_of_entry(lua_State *L, ahost__context *ctx, int field) {
    ahost__context_push_field(L, ctx, field);
    if (!lua_isnil(L, -1)) {
        lua_pushvalue(L, ENTRY);
        lua_rawget(L, -2);
        lua_remove(L, -2);
    }
    return lua_type(L, -1);
}

/* Pushes a table whose keys, descriptions, go when their resource is withdrawn.
 */
static void push_weak_table(lua_State *L) {
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
}

/* Pops a value into field[description] of the Lua side. */
static void set_of_entry(lua_State *L, ahost__context *ctx, int field) {
    ahost__context_push_field(L, ctx, field);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        push_weak_table(L);
        lua_pushvalue(L, -1);
        ahost__context_set_field(L, ctx, field);
    }
    lua_pushvalue(L, ENTRY);
    lua_pushvalue(L, -3);
    lua_rawset(L, -3);
    lua_pop(L, 2);
}

/* The factory is done, in whatever way: the others are told. */
static void leave(lua_State *L, making *m) {
    if (m->task != NULL) {
        m->task->current = m->outer;
        m->task->floor = m->floor;
    }
    if (m->ctx->state != AHOST__CONTEXT_CLOSED) {
        lua_pushnil(L);
        set_of_entry(L, m->ctx, AHOST__SIDE_MAKING);
    }
    ahost__settle_all(&m->waiters, 0);
}

/* Stack: ..., handler, value or error. -> value */
static int made(lua_State *L, int status, lua_KContext context) {
    making *m = (making *)context;
    leave(L, m);
    if (!ahost__returned(status)) {
        if (m->task != NULL)
            m->task->rethrows = 1;
        return lua_error(L);
    }
    if (lua_isnil(L, -1))
        return ahost__raise(L, AHOST__FAILED,
                            "the factory of resource '%s' returned nil",
                            lua_tostring(L, AHOST__AT_KEY));
    if (m->ctx->state != AHOST__CONTEXT_CLOSED) {
        lua_pushvalue(L, -1);
        set_of_entry(L, m->ctx, AHOST__SIDE_MADE);
    }
    return 1;
}

/* Calls the factory with the context, which is current meanwhile: what the
 * factory opens belongs to it. */
static int call_factory(lua_State *L, ahost__context *ctx) {
    ahost__task *task = ahost__of(L)->current;
    making *m = lua_newuserdatauv(L, sizeof(*m), 0);
    *m = (making){.ctx = ctx, .task = task};
    ahost__list_init(&m->waiters);
    lua_pushvalue(L, MAKING);
    set_of_entry(L, ctx, AHOST__SIDE_MAKING);
    lua_pushcfunction(L, ahost__on_raise);
    lua_getfield(L, ENTRY, "factory");
    lua_pushvalue(L, AHOST__AT_CONTEXT);
    if (task != NULL) {
        m->outer = task->current;
        m->floor = task->floor;
        task->current = ctx;
    }
    return made(L, lua_pcallk(L, 1, 1, HANDLER, (lua_KContext)m, made),
                (lua_KContext)m);
}

int ahost__make_resource(lua_State *L, ahost__context *owner) {
    ahost__context *ctx = ahost__check_context(L, AHOST__AT_CONTEXT);
    ahost__context_push_field(L, owner, AHOST__SIDE_ENTRIES);
    ahost__push_key(L, AHOST__AT_KEY);
    lua_rawget(L, -2);
    lua_remove(L, -2);
    if (push_of_entry(L, ctx, AHOST__SIDE_MADE) != LUA_TNIL)
        return 1;
    lua_pop(L, 1);
    if (push_of_entry(L, ctx, AHOST__SIDE_MAKING) != LUA_TNIL)
        return await_made(L, lua_touserdata(L, -1));
    lua_pop(L, 1);
    return call_factory(L, ctx);
}

/* ---- requests ----------------------------------------------------------- */

/* Closed with the context; on the stack of the waiting task. */
typedef struct request {
    ahost__owned owned;
    ahost__context *ctx;
    ahost__wait *wait;
    const char *key;   /* its short form, which is on the stack too */
    uint64_t deadline; /* 0: none */
} request;

static const double for_ever = 1e9; /* seconds */

/* Places on the stack of a request. */
enum { SHORT_KEY = 3, REQUEST };

static void on_context_end(ahost__owned *owned) {
    request *r = ahost__container_of(owned, request, owned);
    ahost__settle(r->wait, AHOST__CLOSED);
}

static const ahost__owned_type owned_request = {"request", 0, on_context_end};

/* Whether `ctx` is `above` or below it. */
static int is_inside(const ahost__context *ctx, const ahost__context *above) {
    while (ctx != NULL && ctx != above)
        ctx = ctx->parent;
    return ctx != NULL;
}

/* Whether what is published in `home` is seen in the context. */
static int sees(const ahost__context *ctx, const ahost__context *home) {
    if (home->kind == AHOST__CONTEXT_STAGE)
        return ctx->staged && is_inside(ctx, home->parent);
    return is_inside(ctx, home);
}

void ahost__wake_requests(ahost__context *ctx, const char *key) {
    ahost__link *list = &ctx->host->requests, *link = list->next;
    while (link != list) {
        ahost__wait *w = ahost__container_of(link, ahost__wait, link);
        const request *r = w->op;
        link = link->next;
        if (strcmp(r->key, key) == 0 && sees(r->ctx, ctx))
            ahost__settle(w, 0);
    }
}

static int finish_request(lua_State *L, ahost__wait *w);

static void cancel_request(ahost__wait *w) {
    request *r = w->op;
    ahost__disown(&r->owned);
}

static const ahost__wait_type request_wait = {"a resource", finish_request,
                                              cancel_request, 1};

const char *ahost__requested_key(const ahost__wait *w) {
    return w->type == &request_wait ? ((const request *)w->op)->key : NULL;
}

static int await_publication(lua_State *L, request *r) {
    ahost__wait *w = ahost__wait_begin(L, &request_wait, r);
    uint64_t now = ahost__now(r->ctx->host);
    r->wait = w;
    if (r->deadline != 0)
        ahost__wait_timeout(
            w, r->deadline > now ? (double)(r->deadline - now) / 1e9 : 0);
    ahost__own(r->ctx, &r->owned, &owned_request);
    ahost__list_append(&ahost__of(L)->requests, &w->link);
    return ahost__await(L, w);
}

/* Somebody has published it, or the wait is over. -> value | nil, err */
static int finish_request(lua_State *L, ahost__wait *w) {
    request *r = w->op;
    int results;
    ahost__disown(&r->owned);
    if (w->status != 0) {
        ahost__fail(L, w->status, "request %s", r->key);
        lua_pushstring(L, r->key);
        lua_setfield(L, -2, "key");
        return 2;
    }
    if (r->ctx->state == AHOST__CONTEXT_CLOSED)
        return ahost__fail(L, AHOST__CLOSED, "request %s", r->key);
    results = ahost__resolve_held(L);
    return results != 0 ? results : await_publication(L, r);
}

/* Tells, for those who want to see it, which task waits for what. */
static void log_request(lua_State *L, const request *r) {
    ahost *h = r->ctx->host;
    const char *name, *place;
    if (h->current == NULL ||
        !ahost__log_wants(h, "ahost.context", AHOST_LOG_DEBUG))
        return;
    name = ahost__task_push_name(L, h->current);
    place = ahost__push_place(L, L);
    ahost__log(h, AHOST_LOG_DEBUG, "ahost.context",
               "%s waits for resource '%s'%s%s", name, r->key,
               *place != '\0' ? " at " : "", place);
    lua_pop(L, 2);
}

/* ctx:request(key, [timeout]) -> value | nil, err */
int ahost__resource_request(lua_State *L) {
    ahost__context *ctx = ahost__check_lookup(L, "request");
    double timeout = ahost__opt_timeout(L, 3);
    request *r;
    int results;
    lua_settop(L, AHOST__AT_KEY);
    results = ahost__resolve_held(L);
    if (results != 0)
        return results;
    ahost__push_key(L, AHOST__AT_KEY);
    r = lua_newuserdatauv(L, sizeof(*r), 0);
    *r = (request){.ctx = ctx, .key = lua_tostring(L, SHORT_KEY)};
    if (timeout >= 0 && timeout < for_ever)
        r->deadline = ahost__now(ctx->host) + (uint64_t)(timeout * 1e9);
    log_request(L, r);
    return await_publication(L, r);
}
