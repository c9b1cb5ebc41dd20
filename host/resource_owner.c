/*
 * resource_owner.c - resources of components: what each has published in its
 * home, and what each holds of the others.
 */
#include <lauxlib.h>

#include "host.h"
#include "resource.h"

/* ---- the end ------------------------------------------------------------ */

/* Places on the stack of a withdrawal, above what was there. */
typedef struct places {
    int values, entries, attributes, published, entry, keys;
} places;

/* Makes table[key] nil, when there is such a table. */
static void clear(lua_State *L, int table, int key) {
    if (!lua_istable(L, table))
        return;
    lua_pushvalue(L, key);
    lua_pushnil(L);
    lua_rawset(L, table);
}

/* Takes out the key on the top, unless it is another's by now. */
static void withdraw_key(lua_State *L, const places *at) {
    int key = lua_gettop(L), own;
    lua_pushvalue(L, key);
    lua_rawget(L, at->entries);
    own = lua_rawequal(L, -1, at->entry);
    lua_settop(L, key);
    if (!own)
        return;
    clear(L, at->entries, key);
    clear(L, at->values, key);
    lua_pushvalue(L, key);
    if (lua_rawget(L, at->keys) == LUA_TSTRING)
        clear(L, at->values, key + 1);
    lua_settop(L, key);
}

static void withdraw_entry(lua_State *L, const places *at) {
    lua_rawgeti(L, at->entry, AHOST__ENTRY_KEYS);
    for (lua_Integer i = 1; lua_rawgeti(L, at->keys, i) != LUA_TNIL; i++) {
        withdraw_key(L, at);
        lua_settop(L, at->keys);
    }
    if (lua_rawgeti(L, at->entry, AHOST__ENTRY_ATTRIBUTE) != LUA_TNIL)
        clear(L, at->attributes, lua_gettop(L));
    lua_settop(L, at->published);
}

void ahost__resource_withdraw_from(lua_State *L, ahost__context *ctx,
                                   int tables) {
    int top = lua_gettop(L);
    places at = {tables, tables + 1, tables + 2, top + 1, top + 2, top + 3};
    ahost__context_push_field(L, ctx, AHOST__SIDE_PUBLISHED);
    for (lua_Integer i = 1; lua_istable(L, at.published) &&
                            lua_rawgeti(L, at.published, i) != LUA_TNIL;
         i++)
        withdraw_entry(L, &at);
    lua_settop(L, top);
}

void ahost__resource_withdraw(ahost__context *ctx) {
    lua_State *L = ctx->host->L;
    ahost__context *home = ahost__resource_home(ctx);
    int top = lua_gettop(L);
    if (home == NULL)
        return; /* its stage has gone, with all that was on it */
    ahost__context_push_field(L, home, AHOST__SIDE_VALUES);
    ahost__context_push_field(L, home, AHOST__SIDE_ENTRIES);
    ahost__context_push_field(L, home, AHOST__SIDE_ATTRIBUTES);
    ahost__resource_withdraw_from(L, ctx, top + 1);
    lua_settop(L, top);
}

/* -> array of the keys */
int ahost__resource_published(lua_State *L) {
    ahost__context *ctx = ahost__check_context(L, 1);
    lua_Integer count = 0;
    lua_settop(L, 1);
    lua_newtable(L);
    ahost__context_push_field(L, ctx, AHOST__SIDE_PUBLISHED);
    for (lua_Integer i = 1;
         lua_istable(L, 3) && lua_rawgeti(L, 3, i) != LUA_TNIL; i++) {
        lua_rawgeti(L, 4, AHOST__ENTRY_KEYS);
        for (lua_Integer k = 1; lua_rawgeti(L, 5, k) != LUA_TNIL; k++)
            lua_rawseti(L, 2, ++count);
        lua_settop(L, 3);
    }
    lua_settop(L, 2);
    return 1;
}

/* ---- holders ------------------------------------------------------------ */

/* Adds the key at AHOST__AT_KEY to a set of the component's. */
static void note_key(lua_State *L, ahost__context *ctx, int field) {
    int top = lua_gettop(L);
    ahost__context_push_field(L, ctx, field);
    if (lua_isnil(L, -1)) {
        lua_newtable(L);
        lua_pushvalue(L, -1);
        ahost__context_set_field(L, ctx, field);
        lua_replace(L, top + 1);
    }
    lua_pushvalue(L, AHOST__AT_KEY);
    if (lua_rawget(L, top + 1) == LUA_TNIL) {
        ahost__push_key(L, AHOST__AT_KEY);
        lua_pushvalue(L, AHOST__AT_KEY);
        lua_pushvalue(L, -2);
        lua_rawset(L, top + 1);
    }
    lua_settop(L, top);
}

void ahost__resource_hold(lua_State *L, ahost__context *ctx,
                          const ahost__context *owner) {
    while (ctx != owner && ctx->kind == AHOST__CONTEXT_PLAIN)
        ctx = ctx->parent;
    /* What an isolated one finds in itself may be from one below it. */
    if (ctx != owner || ctx->kind == AHOST__CONTEXT_ISOLATED)
        note_key(L, ctx, AHOST__SIDE_HELD);
}

void ahost__resource_refer(lua_State *L, ahost__context *ctx) {
    while (ctx != NULL && ctx->kind == AHOST__CONTEXT_PLAIN)
        ctx = ctx->parent;
    if (ctx != NULL)
        note_key(L, ctx, AHOST__SIDE_REFERRED);
}

/* The context is at index 1. -> array of the keys of one of its sets */
static int push_keys(lua_State *L, int field) {
    lua_Integer count = 0;
    lua_settop(L, 1);
    lua_newtable(L);
    ahost__context_push_field(L, ahost__check_context(L, 1), field);
    lua_pushnil(L);
    while (lua_istable(L, 3) && lua_next(L, 3) != 0)
        lua_rawseti(L, 2, ++count); /* the value is the short form */
    lua_settop(L, 2);
    return 1;
}

/* runtime.provider(ctx, key) -> the context of the component whose resource the
 * context sees under the key, or nil */
int ahost__resource_provider(lua_State *L) {
    ahost__context *ctx = ahost__check_lookup(L, "provider");
    lua_settop(L, AHOST__AT_KEY);
    ctx = ahost__find_resource(L, ctx);
    if (ctx == NULL)
        return 0;
    ahost__context_push_field(L, ctx, AHOST__SIDE_ENTRIES);
    ahost__push_key(L, AHOST__AT_KEY);
    if (lua_rawget(L, -2) == LUA_TNIL)
        return 1;
    lua_getfield(L, -1, "owner");
    return 1;
}

int ahost__resource_held(lua_State *L) {
    return push_keys(L, AHOST__SIDE_HELD);
}

int ahost__resource_referred(lua_State *L) {
    return push_keys(L, AHOST__SIDE_REFERRED);
}
