/*
 * stage.c - publications that are held back, and how all of them appear in one
 * turn of the loop.
 */
#include "stage.h"

#include <lauxlib.h>

#include "generation.h"
#include "host.h"
#include "lease.h"
#include "resource.h"

/* Owned by the context that is the stage. */
typedef struct stage {
    ahost__owned owned;
    ahost__link link; /* among those of the host */
    ahost__context *home;
} stage;

/* The tables of resources, as they lie on the stack. */
static const int tables[] = {AHOST__SIDE_VALUES, AHOST__SIDE_ENTRIES,
                             AHOST__SIDE_ATTRIBUTES};
enum { TABLES = 3 };

/* ---- the stage ---------------------------------------------------------- */

static void close_stage(ahost__owned *owned) {
    stage *s = ahost__container_of(owned, stage, owned);
    ahost__list_remove(&s->link);
    ahost__free(s->home->host, s, sizeof(*s));
}

static const ahost__owned_type owned_stage = {"stage", 0, close_stage};

ahost__context *ahost__stage_of(ahost__context *home) {
    ahost__link *list = &home->host->stages, *link;
    for (link = list->next; link != list; link = link->next) {
        const stage *s = ahost__container_of(link, stage, link);
        if (s->home == home)
            return s->owned.ctx;
    }
    return NULL;
}

/* Makes a table of the Lua side, if there is none. */
static void ensure_table(lua_State *L, ahost__context *ctx, int field) {
    ahost__context_push_field(L, ctx, field);
    if (lua_isnil(L, -1)) {
        lua_newtable(L);
        ahost__context_set_field(L, ctx, field);
    }
    lua_pop(L, 1);
}

/* runtime.stage(home) -> the context where staged components with that home
 * publish; one at a time */
int ahost__stage_new(lua_State *L) {
    ahost__context *home = ahost__check_context(L, 1), *ctx;
    stage *s;
    luaL_argcheck(L, ahost__stage_of(home) == NULL, 1, "it has a stage");
    ahost__push_child_context(L, home, AHOST__ON_ERROR_FAIL);
    ctx = ahost__check_context(L, -1);
    ctx->kind = AHOST__CONTEXT_STAGE;
    ctx->staged = 1;
    for (int i = 0; i < TABLES; i++) { /* so that the commit need not */
        ensure_table(L, home, tables[i]);
        ensure_table(L, ctx, tables[i]);
    }
    s = ahost__alloc(ctx->host, sizeof(*s));
    if (s == NULL)
        return luaL_error(L, "not enough memory");
    s->home = home;
    ahost__list_append(&ctx->host->stages, &s->link);
    ahost__own(ctx, &s->owned, &owned_stage);
    return 1;
}

/* runtime.staged(ctx) -> whether it is of a generation that is not the current
 * one yet */
int ahost__stage_staged(lua_State *L) {
    lua_pushboolean(L, ahost__check_context(L, 1)->staged);
    return 1;
}

/* runtime.override(stage, key, value): a resource that the home itself has will
 * be this value from the commit on; staged contexts see it already */
int ahost__stage_override(lua_State *L) {
    ahost__context *ctx = ahost__check_context(L, 1);
    luaL_checkstring(L, 2);
    luaL_checkany(L, 3);
    ahost__context_push_field(L, ctx, AHOST__SIDE_VALUES);
    lua_pushvalue(L, 3);
    lua_setfield(L, -2, lua_tostring(L, 2));
    lua_pushfstring(L, "%s/default", lua_tostring(L, 2));
    lua_pushvalue(L, 3);
    lua_rawset(L, -3);
    ctx->has_resources = 1;
    return 0;
}

/* ---- lookup ------------------------------------------------------------- */

/* Pushes the value that the context itself has for the key at AHOST__AT_KEY, or
 * nothing. */
static int push_own_value(lua_State *L, ahost__context *ctx) {
    if (!ctx->has_resources)
        return 0;
    ahost__context_push_field(L, ctx, AHOST__SIDE_VALUES);
    lua_pushvalue(L, AHOST__AT_KEY);
    lua_rawget(L, -2);
    lua_remove(L, -2);
    if (!lua_isnil(L, -1))
        return 1;
    lua_pop(L, 1);
    return 0;
}

/* Whether the description on the top is that of a component which is replaced.
 */
static int is_outgoing(lua_State *L) {
    int outgoing = 0;
    if (lua_isnil(L, -1))
        return 0;
    if (lua_getfield(L, -1, "owner") != LUA_TNIL)
        outgoing = ahost__check_context(L, lua_gettop(L))->replaced;
    lua_pop(L, 1);
    return outgoing;
}

/* Pushes the context's description for the short key on the top, or nil. */
static void push_entry(lua_State *L, ahost__context *ctx) {
    ahost__context_push_field(L, ctx, AHOST__SIDE_ENTRIES);
    lua_pushvalue(L, -2);
    lua_rawget(L, -2);
    lua_remove(L, -2);
}

/* Whether what the context has for the key at AHOST__AT_KEY is to go. */
static int is_hidden(lua_State *L, ahost__context *ctx) {
    int top = lua_gettop(L), hidden;
    ahost__push_key(L, AHOST__AT_KEY);
    push_entry(L, ctx);
    hidden = is_outgoing(L);
    lua_settop(L, top);
    return hidden;
}

ahost__context *ahost__find_staged(lua_State *L, ahost__context *ctx) {
    for (; ctx != NULL; ctx = ctx->parent) {
        ahost__context *staged = ahost__stage_of(ctx);
        if (staged != NULL && push_own_value(L, staged))
            return staged;
        if (!push_own_value(L, ctx))
            continue;
        if (!is_hidden(L, ctx))
            return ctx;
        lua_pop(L, 1);
    }
    return NULL;
}

int ahost__stage_push_rival(lua_State *L, ahost__context *home) {
    if (home->kind != AHOST__CONTEXT_STAGE)
        return 0;
    push_entry(L, home->parent);
    if (!lua_isnil(L, -1) && !is_outgoing(L))
        return 1;
    lua_pop(L, 1);
    return 0;
}

/* ---- commit: what may fail ---------------------------------------------- */

/* Places on the stack of a commit. */
enum { STAGES = 1, NEW, OLD, MERGED };

/* Pushes a copy of a table of the context's. */
static void push_copy(lua_State *L, ahost__context *ctx, int field) {
    int copy;
    lua_newtable(L);
    copy = lua_gettop(L);
    ahost__context_push_field(L, ctx, field);
    lua_pushnil(L);
    while (lua_next(L, copy + 1) != 0) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, copy);
    }
    lua_settop(L, copy);
}

/* Adds a table of the stage's to the copy at `into`; raises when something
 * there has one of its keys, but for values, which follow the descriptions. */
static void add_table(lua_State *L, ahost__context *staged, int field,
                      int into) {
    int own = lua_gettop(L) + 1;
    ahost__context_push_field(L, staged, field);
    lua_pushnil(L);
    while (lua_next(L, own) != 0) {
        lua_pushvalue(L, own + 1);
        if (lua_rawget(L, into) != LUA_TNIL && field != AHOST__SIDE_VALUES)
            ahost__raise(L, AHOST__CONFLICT,
                         "'%s' has been published meanwhile",
                         lua_tostring(L, own + 1));
        lua_pop(L, 1);
        lua_pushvalue(L, own + 1);
        lua_insert(L, -2);
        lua_rawset(L, into);
    }
    lua_settop(L, own - 1);
}

/* The context at place i of the array at `index`, which keeps it. */
static ahost__context *context_at(lua_State *L, int index, lua_Integer i) {
    ahost__context *ctx = NULL;
    if (lua_rawgeti(L, index, i) != LUA_TNIL)
        ctx = ahost__check_context(L, lua_gettop(L));
    lua_pop(L, 1);
    return ctx;
}

/* Appends the tables of the stage's home, as they are to be, to MERGED. */
static void merge(lua_State *L, ahost__context *staged) {
    ahost__context *home = staged->parent, *old;
    int first = lua_gettop(L) + 1;
    for (int i = 0; i < TABLES; i++)
        push_copy(L, home, tables[i]);
    for (lua_Integer i = 1; (old = context_at(L, OLD, i)) != NULL; i++)
        if (ahost__resource_home(old) == home)
            ahost__resource_withdraw_from(L, old, first);
    for (int i = 0; i < TABLES; i++)
        add_table(L, staged, tables[i], first + i);
    for (int i = 0; i < TABLES; i++) {
        lua_pushvalue(L, first + i);
        lua_rawseti(L, MERGED, (lua_Integer)lua_rawlen(L, MERGED) + 1);
    }
    lua_settop(L, first - 1);
}

/* ---- commit: what may not ----------------------------------------------- */

/* Puts the merged tables of stage number i in their place. */
static void swap_tables(lua_State *L, ahost__context *staged, lua_Integer i) {
    for (int k = 0; k < TABLES; k++) {
        lua_rawgeti(L, MERGED, (i - 1) * TABLES + k + 1);
        ahost__context_set_field(L, staged->parent, tables[k]);
    }
    staged->parent->has_resources |= staged->has_resources;
    staged->parent->has_attributes |= staged->has_attributes;
}

/* The stage is one no more; what was opened in it stays. */
static void end_stage(ahost__context *staged) {
    ahost__link *link;
    for (link = staged->owned.next; link != &staged->owned; link = link->next) {
        ahost__owned *owned = ahost__container_of(link, ahost__owned, link);
        if (owned->type != &owned_stage)
            continue;
        ahost__disown(owned);
        close_stage(owned);
        return;
    }
}

/* Those who wait for what has come to the home see it now. */
static void wake_all(lua_State *L, ahost__context *staged) {
    int top = lua_gettop(L);
    ahost__context_push_field(L, staged, AHOST__SIDE_ENTRIES);
    lua_pushnil(L);
    while (lua_next(L, top + 1) != 0) {
        ahost__wake_requests(staged->parent, lua_tostring(L, top + 2));
        lua_pop(L, 1);
    }
    lua_settop(L, top);
}

static void commit(lua_State *L) {
    ahost__context *ctx;
    for (lua_Integer i = 1; (ctx = context_at(L, OLD, i)) != NULL; i++) {
        lua_pushnil(L);
        ahost__context_set_field(L, ctx, AHOST__SIDE_PUBLISHED);
        ahost__generation_retire(ctx);
    }
    for (lua_Integer i = 1; (ctx = context_at(L, STAGES, i)) != NULL; i++) {
        swap_tables(L, ctx, i);
        end_stage(ctx);
        ahost__generation_activate(ctx);
    }
    for (lua_Integer i = 1; (ctx = context_at(L, NEW, i)) != NULL; i++)
        ahost__generation_activate(ctx);
    for (lua_Integer i = 1; (ctx = context_at(L, STAGES, i)) != NULL; i++)
        wake_all(L, ctx);
}

/* runtime.commit(stages, new, old) -> true | nil, err: the contexts of `new`
 * take the place of those of `old`, in this turn of the loop; what is on the
 * stages appears in their homes. Raises CONFLICT, or for want of memory; then,
 * and after an error, nothing has changed. */
int ahost__stage_commit(lua_State *L) {
    ahost__context *ctx;
    int err;
    for (int i = STAGES; i <= OLD; i++)
        luaL_checktype(L, i, LUA_TTABLE);
    lua_settop(L, OLD);
    lua_newtable(L);
    for (lua_Integer i = 1; (ctx = context_at(L, STAGES, i)) != NULL; i++)
        merge(L, ctx);
    err = ahost__leases_prepare(L);
    if (err != 0)
        return 2; /* nil and the error */
    commit(L);
    lua_pushboolean(L, 1);
    return 1;
}

/* runtime.announce(stage): tells those who listen to `published` of the home
 * what has come with the commit; then the stage forgets it */
int ahost__stage_announce(lua_State *L) {
    ahost__context *staged = ahost__check_context(L, 1);
    lua_settop(L, 1);
    ahost__context_push_field(L, staged, AHOST__SIDE_ENTRIES);
    for (int i = 0; i < TABLES; i++) {
        lua_pushnil(L);
        ahost__context_set_field(L, staged, tables[i]);
    }
    staged->has_resources = staged->has_attributes = 0;
    lua_pushnil(L);
    while (lua_next(L, 2) != 0) {
        lua_getfield(L, -1, "key");
        if (lua_rawequal(L, -1, 3)) /* else a further type of the same */
            ahost__announce_resource(L, staged->parent);
        lua_settop(L, 3);
    }
    return 0;
}
