/*
 * resource.c - finding resources: keys, lookup, references.
 *
 * A context keeps the values that were published in it in one table, under all
 * spellings of their keys, so that a hit is one lookup for each context on the
 * way up that has resources at all.
 */
#include "resource.h"

#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

#include "host.h"

#define REF_TYPE "ahost.ref"
#define DEFAULT_NAME "/default"

const char ahost__lazy = 0;

/* ---- keys --------------------------------------------------------------- */

/* The end of a word of letters, digits and underscores; `s` itself if none. */
static const char *skip_word(const char *s) {
    while (isalnum((unsigned char)*s) || *s == '_')
        s++;
    return s;
}

/* The end of a type, which has words between dots, or NULL. */
static const char *skip_type(const char *s) {
    for (;;) {
        const char *end = skip_word(s);
        if (end == s)
            return NULL;
        if (*end != '.')
            return end;
        s = end + 1;
    }
}

int ahost__is_key(const char *key, size_t length) {
    const char *end = skip_type(key), *name;
    if (end == NULL)
        return 0;
    if (*end == '/') {
        name = end + 1;
        end = skip_word(name);
        if (end == name)
            return 0;
    }
    return end == key + length;
}

void ahost__push_key(lua_State *L, int arg) {
    size_t length, suffix = sizeof(DEFAULT_NAME) - 1;
    const char *key = luaL_checklstring(L, arg, &length);
    if (!ahost__is_key(key, length))
        luaL_error(L, "'%s' is no resource key (type or type/name)", key);
    if (length > suffix && strcmp(key + length - suffix, DEFAULT_NAME) == 0)
        lua_pushlstring(L, key, length - suffix);
    else
        lua_pushvalue(L, arg);
}

ahost__context *ahost__check_lookup(lua_State *L, const char *what) {
    ahost__context *ctx = ahost__check_context(L, AHOST__AT_CONTEXT);
    luaL_checktype(L, AHOST__AT_KEY, LUA_TSTRING);
    ahost__context_check_open(L, ctx, what);
    return ctx;
}

/* ---- lookup ------------------------------------------------------------- */

ahost__context *ahost__find_resource(lua_State *L, ahost__context *ctx) {
    int top = lua_gettop(L);
    if (ctx->staged)
        return ahost__find_staged(L, ctx);
    lua_rawgeti(L, LUA_REGISTRYINDEX, ctx->host->context_sides);
    for (; ctx != NULL; ctx = ctx->parent) {
        if (!ctx->has_resources)
            continue;
        lua_rawgeti(L, top + 1, ctx->slot);
        lua_rawgeti(L, top + 2, AHOST__SIDE_VALUES);
        lua_pushvalue(L, AHOST__AT_KEY);
        if (lua_rawget(L, top + 3) != LUA_TNIL) {
            lua_replace(L, top + 1);
            lua_settop(L, top + 1);
            return ctx;
        }
        lua_settop(L, top + 1);
    }
    lua_settop(L, top);
    return NULL;
}

/* Continues a lookup when the value is on the top, or nothing was found. */
static int resolve_found(lua_State *L, ahost__context *owner) {
    if (owner == NULL) {
        ahost__push_key(L, AHOST__AT_KEY); /* raises for a bad key */
        lua_pop(L, 1);
        return 0;
    }
    if (lua_touserdata(L, -1) == &ahost__lazy) {
        lua_settop(L, AHOST__AT_KEY);
        return ahost__make_resource(L, owner);
    }
    return 1;
}

int ahost__resolve(lua_State *L) {
    ahost__context *ctx = ahost__check_context(L, AHOST__AT_CONTEXT);
    return resolve_found(L, ahost__find_resource(L, ctx));
}

int ahost__raise_not_found(lua_State *L) {
    const char *key = lua_tostring(L, AHOST__AT_KEY);
    ahost__fail_text(L, ahost__code_name(AHOST__NOTFOUND), NULL,
                     "no resource '%s' in this context or above it", key);
    ahost__push_key(L, AHOST__AT_KEY);
    lua_setfield(L, -2, "key");
    return lua_error(L);
}

/* ctx:get(key) -> value | nil; upvalue: the metatable of contexts */
static int resource_get(lua_State *L) {
    ahost__context **box = lua_touserdata(L, 1), *ctx, *owner;
    lua_settop(L, AHOST__AT_KEY);
    if (box == NULL || lua_type(L, AHOST__AT_KEY) != LUA_TSTRING ||
        !lua_getmetatable(L, 1) || !lua_rawequal(L, -1, lua_upvalueindex(1)) ||
        (*box)->state == AHOST__CONTEXT_CLOSED)
        ctx = ahost__check_lookup(L, "get"); /* raises */
    else
        ctx = *box;
    owner = ahost__find_resource(L, ctx);
    if (owner != NULL)
        ahost__resource_hold(L, ctx, owner);
    if (resolve_found(L, owner) == 0)
        lua_pushnil(L);
    return 1;
}

int ahost__resolve_held(lua_State *L) {
    ahost__context *ctx = ahost__check_context(L, AHOST__AT_CONTEXT);
    ahost__context *owner = ahost__find_resource(L, ctx);
    if (owner != NULL)
        ahost__resource_hold(L, ctx, owner);
    return resolve_found(L, owner);
}

/* ctx:require(key) -> value */
static int resource_require(lua_State *L) {
    lua_settop(L, AHOST__AT_KEY);
    ahost__check_lookup(L, "require");
    return ahost__resolve_held(L) || ahost__raise_not_found(L);
}

/* ---- references --------------------------------------------------------- */

/* User values of a reference. */
enum { REF_CONTEXT = 1, REF_KEY };

/* ctx:ref(key) -> ref */
int ahost__resource_ref(lua_State *L) {
    lua_settop(L, AHOST__AT_KEY);
    ahost__resource_refer(L, ahost__check_lookup(L, "ref"));
    ahost__push_key(L, AHOST__AT_KEY);
    lua_newuserdatauv(L, 0, 2);
    lua_pushvalue(L, AHOST__AT_CONTEXT);
    lua_setiuservalue(L, -2, REF_CONTEXT);
    lua_pushvalue(L, -2);
    lua_setiuservalue(L, -2, REF_KEY);
    luaL_setmetatable(L, REF_TYPE);
    return 1;
}

/* Looks up what the reference at index 1 refers to. -> value, or nothing */
static int resolve_ref(lua_State *L) {
    luaL_checkudata(L, 1, REF_TYPE);
    lua_settop(L, 1);
    lua_getiuservalue(L, 1, REF_KEY);
    lua_getiuservalue(L, 1, REF_CONTEXT);
    lua_replace(L, 1);
    ahost__check_lookup(L, "ref");
    return ahost__resolve(L);
}

/* ref:get() -> value */
static int ref_get(lua_State *L) {
    return resolve_ref(L) || ahost__raise_not_found(L);
}

static int ref_tostring(lua_State *L) {
    luaL_checkudata(L, 1, REF_TYPE);
    lua_getiuservalue(L, 1, REF_KEY);
    lua_pushfstring(L, "ref: %s", lua_tostring(L, -1));
    return 1;
}

/* ---- registration ------------------------------------------------------- */

static const luaL_Reg methods[] = {
    {"publish", ahost__resource_publish},
    {"publish_lazy", ahost__resource_publish_lazy},
    {"require", resource_require},
    {"request", ahost__resource_request},
    {"ref", ahost__resource_ref},
    {"resources", ahost__resource_list},
    {NULL, NULL}};

static const luaL_Reg ref_methods[] = {
    {"get", ref_get}, {"peek", resolve_ref}, {NULL, NULL}};

void ahost__open_resources(lua_State *L, int metatable) {
    metatable = lua_absindex(L, metatable);
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, metatable);
    lua_pushcclosure(L, resource_get, 1);
    lua_setfield(L, -2, "get");
    luaL_newmetatable(L, REF_TYPE);
    lua_pushcfunction(L, ref_tostring);
    lua_setfield(L, -2, "__tostring");
    luaL_newlib(L, ref_methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
