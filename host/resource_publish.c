/*
 * resource_publish.c - publishing resources, and listing them.
 *
 * Publishing checks everything before it registers anything. Each publication
 * has a description, a table, under each of its keys.
 */
#include <lauxlib.h>
#include <string.h>

#include "host.h"
#include "resource.h"
#include "signals.h"

/* Places on the stack of a publication. */
enum { CONTEXT = 1, KEY, VALUE, OPTIONS, ENTRY, KEYS, NAME, ENTRIES, VALUES };

/* ---- arguments ---------------------------------------------------------- */

/* Pushes opts[name], or nil. */
static int push_option(lua_State *L, const char *name) {
    if (lua_isnil(L, OPTIONS)) {
        lua_pushnil(L);
        return LUA_TNIL;
    }
    return lua_getfield(L, OPTIONS, name);
}

/* Pushes the type of the key at `index`. */
static void push_type(lua_State *L, int index) {
    const char *key = lua_tostring(L, index), *slash = strchr(key, '/');
    if (slash != NULL)
        lua_pushlstring(L, key, (size_t)(slash - key));
    else
        lua_pushvalue(L, index);
}

/* Appends the value on the top to the table at `index`, pops it. */
static void append(lua_State *L, int index) {
    lua_rawseti(L, index, (lua_Integer)lua_rawlen(L, index) + 1);
}

/* Gives a key on the top that names no name the one that the component's
 * resources have instead of "default". */
static void rename_default(lua_State *L) {
    if (lua_isnil(L, NAME) || strchr(lua_tostring(L, -1), '/') != NULL)
        return;
    lua_pushfstring(L, "%s/%s", lua_tostring(L, -1), lua_tostring(L, NAME));
    lua_replace(L, -2);
}

/* Pops a key and adds it to the keys and its type to the types, unless it is
 * there already. Stack: ..., types, key. */
static void add_key(lua_State *L) {
    int top = lua_gettop(L);
    ahost__push_key(L, top);
    rename_default(L);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, KEYS) == LUA_TNIL) {
        push_type(L, top + 1);
        append(L, top - 1);
        lua_pushvalue(L, top + 1);
        lua_pushboolean(L, 1);
        lua_rawset(L, KEYS);
        lua_pushvalue(L, top + 1);
        append(L, KEYS);
    }
    lua_settop(L, top - 1);
}

/* Adds opts.types; one without a name of its own gets that of the main key. */
static void add_types(lua_State *L) {
    const char *name = strchr(lua_tostring(L, KEY), '/');
    if (push_option(L, "types") != LUA_TNIL)
        luaL_argexpected(L, lua_istable(L, -1), OPTIONS, "table as types");
    lua_insert(L, -2); /* below the table of types */
    for (lua_Integer i = 1; !lua_isnil(L, -2); i++) {
        if (lua_geti(L, -2, i) == LUA_TNIL) {
            lua_pop(L, 1);
            break;
        }
        luaL_argexpected(L, lua_type(L, -1) == LUA_TSTRING, OPTIONS,
                         "strings as types");
        if (name != NULL && strchr(lua_tostring(L, -1), '/') == NULL) {
            lua_pushstring(L, name);
            lua_concat(L, 2);
        }
        add_key(L);
    }
    lua_remove(L, -2);
}

/* Fills ENTRY, KEYS and NAME. */
static void describe(lua_State *L, ahost__context *ctx, int lazy) {
    lua_newtable(L);
    lua_newtable(L);
    ahost__context_push_field(L, ctx, AHOST__SIDE_NAME);
    lua_newtable(L);
    lua_pushvalue(L, KEY);
    add_key(L);
    add_types(L);
    lua_setfield(L, ENTRY, "types");
    lua_rawgeti(L, KEYS, 1);
    lua_setfield(L, ENTRY, "key");
    lua_pushboolean(L, lazy);
    lua_setfield(L, ENTRY, "lazy");
    if (push_option(L, "doc") != LUA_TNIL)
        luaL_argexpected(L, lua_type(L, -1) == LUA_TSTRING, OPTIONS,
                         "string as doc");
    lua_setfield(L, ENTRY, "doc");
    if (lazy) {
        lua_pushvalue(L, VALUE);
        lua_setfield(L, ENTRY, "factory");
    }
}

/* ---- conflicts ---------------------------------------------------------- */

/* `entry` is the index of the description that is in the way, or 0. */
static int raise_conflict(lua_State *L, const char *what, const char *name,
                          int entry) {
    const char *path = NULL;
    if (entry != 0) {
        lua_getfield(L, entry, "component");
        path = lua_tostring(L, -1);
    }
    ahost__fail_text(L, ahost__code_name(AHOST__CONFLICT), NULL,
                     "this context already has %s '%s'%s%s", what, name,
                     path != NULL ? ", of component " : "",
                     path != NULL ? path : "");
    lua_rawgeti(L, KEYS, 1);
    lua_setfield(L, -2, "key");
    return lua_error(L);
}

/* Pushes the description by which the key on the top is taken, if it is. */
static int push_taken(lua_State *L, ahost__context *home) {
    lua_pushvalue(L, -1);
    if (lua_rawget(L, ENTRIES) != LUA_TNIL)
        return 1;
    lua_pop(L, 1);
    return ahost__stage_push_rival(L, home);
}

static void check_keys(lua_State *L, ahost__context *home) {
    lua_Integer n = (lua_Integer)lua_rawlen(L, KEYS);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, KEYS, i);
        if (push_taken(L, home))
            raise_conflict(L, "a resource", lua_tostring(L, -2), lua_gettop(L));
        lua_pop(L, 1);
    }
}

/* Leaves opts.attr, or nil, on the top. */
static void check_attribute(lua_State *L, ahost__context *ctx) {
    if (push_option(L, "attr") == LUA_TNIL)
        return;
    luaL_argexpected(L, lua_type(L, -1) == LUA_TSTRING, OPTIONS,
                     "string as attr");
    if (ahost__context_has_attribute(L, ctx, lua_gettop(L)))
        raise_conflict(L, "an attribute", lua_tostring(L, -1), 0);
}

/* ---- registering -------------------------------------------------------- */

/* Pushes a table of the Lua side, making it when needed. */
static void push_table(lua_State *L, ahost__context *ctx, int field) {
    ahost__context_push_field(L, ctx, field);
    if (!lua_isnil(L, -1))
        return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    ahost__context_set_field(L, ctx, field);
}

/* What the values hold for the publication. */
static void push_value(lua_State *L, int lazy) {
    if (lazy)
        lua_pushlightuserdata(L, (void *)(uintptr_t)&ahost__lazy);
    else
        lua_pushvalue(L, VALUE);
}

/* Registers the value under both spellings of the key on the top, pops it. */
static void register_key(lua_State *L, int lazy) {
    lua_pushvalue(L, -1);
    lua_pushvalue(L, ENTRY);
    lua_rawset(L, ENTRIES);
    lua_pushvalue(L, -1);
    push_value(L, lazy);
    lua_rawset(L, VALUES);
    if (strchr(lua_tostring(L, -1), '/') == NULL) {
        lua_pushfstring(L, "%s/default", lua_tostring(L, -1));
        lua_pushvalue(L, -1);
        push_value(L, lazy);
        lua_rawset(L, VALUES);
        lua_rawset(L, KEYS); /* KEYS[short] = long */
        return;
    }
    lua_pop(L, 1);
}

/* The attribute of a lazy resource; its upvalue is the key. It is never
 * called. */
static int lazy_attribute(lua_State *L) {
    (void)L;
    return 0;
}

int ahost__resource_attribute(lua_State *L) {
    if (lua_tocfunction(L, -1) != lazy_attribute)
        return 1;
    lua_getupvalue(L, -1, 1);
    lua_replace(L, AHOST__AT_KEY);
    lua_settop(L, AHOST__AT_KEY);
    return ahost__resolve(L);
}

/* Sets the attribute whose name is on the top, if it is one; pops it. */
static void set_attribute(lua_State *L, ahost__context *ctx, int lazy) {
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return;
    }
    if (lazy) {
        lua_rawgeti(L, KEYS, 1);
        lua_pushcclosure(L, lazy_attribute, 1);
    } else {
        lua_pushvalue(L, VALUE);
    }
    ahost__context_set_attribute(L, ctx);
}

/* ---- telling ------------------------------------------------------------ */

int ahost__push_published(lua_State *L, ahost__context *ctx) {
    if (ctx->kind == AHOST__CONTEXT_COMPONENT)
        ctx =
            ctx->parent; /* also of a staged one: where it appears in the end */
    ahost__context_check_open(L, ctx, "published");
    ahost__context_push_field(L, ctx, AHOST__SIDE_SIGNAL);
    if (!lua_isnil(L, -1))
        return 1;
    lua_pop(L, 1);
    luaL_requiref(L, "ahost.signal", ahost__open_signal, 0);
    lua_pop(L, 1);
    lua_pushliteral(L, "published");
    ahost__push_context(L, ctx);
    ahost__push_signal(L);
    lua_pushvalue(L, -1);
    ahost__context_set_field(L, ctx, AHOST__SIDE_SIGNAL);
    return 1;
}

static void wake(lua_State *L, ahost__context *ctx) {
    lua_Integer n = (lua_Integer)lua_rawlen(L, KEYS);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, KEYS, i);
        ahost__wake_requests(ctx, lua_tostring(L, -1));
        lua_pop(L, 1);
    }
}

void ahost__announce_resource(lua_State *L, ahost__context *home) {
    int key = lua_gettop(L);
    ahost__context_push_field(L, home, AHOST__SIDE_SIGNAL);
    if (!lua_isnil(L, -1) && ahost__signal_heard(lua_touserdata(L, -1))) {
        lua_createtable(L, 0, 4);
        lua_pushvalue(L, key);
        lua_setfield(L, -2, "key");
        ahost__signal_emit(L, -2);
    }
    lua_settop(L, key - 1);
}

/* Makes the publication, whose attribute is on the top, one of the component's,
 * to be withdrawn with it. */
static void own_publication(lua_State *L, ahost__context *ctx) {
    int attribute = lua_gettop(L);
    ahost__context_push_field(L, ctx, AHOST__SIDE_PATH);
    lua_setfield(L, ENTRY, "component");
    lua_pushvalue(L, CONTEXT);
    lua_setfield(L, ENTRY, "owner");
    lua_pushvalue(L, KEYS);
    lua_rawseti(L, ENTRY, AHOST__ENTRY_KEYS);
    lua_pushvalue(L, attribute);
    lua_rawseti(L, ENTRY, AHOST__ENTRY_ATTRIBUTE);
    push_table(L, ctx, AHOST__SIDE_PUBLISHED);
    lua_pushvalue(L, ENTRY);
    append(L, attribute + 1);
    lua_settop(L, attribute);
}

static int publish(lua_State *L, ahost__context *ctx, int lazy) {
    ahost__context *home = ahost__resource_home(ctx);
    if (!lua_isnoneornil(L, OPTIONS))
        luaL_checktype(L, OPTIONS, LUA_TTABLE);
    lua_settop(L, OPTIONS);
    if (home == NULL)
        return luaL_error(L, "publish: the component is given up");
    describe(L, ctx, lazy);
    push_table(L, home, AHOST__SIDE_ENTRIES);
    check_keys(L, home);
    push_table(L, home, AHOST__SIDE_VALUES);
    check_attribute(L, home);
    if (home != ctx)
        own_publication(L, ctx);
    set_attribute(L, home, lazy);
    for (lua_Integer i = 1; lua_rawgeti(L, KEYS, i) != LUA_TNIL; i++)
        register_key(L, lazy);
    home->has_resources = 1;
    wake(L, home);
    lua_rawgeti(L, KEYS, 1);
    ahost__announce_resource(L, home);
    return 0;
}

/* ctx:publish(key, value, [opts]) */
int ahost__resource_publish(lua_State *L) {
    ahost__context *ctx = ahost__check_lookup(L, "publish");
    luaL_argcheck(L, !lua_isnoneornil(L, VALUE), VALUE,
                  "nil cannot be published");
    return publish(L, ctx, 0);
}

/* ctx:publish_lazy(key, factory, [opts]) */
int ahost__resource_publish_lazy(lua_State *L) {
    ahost__context *ctx = ahost__check_lookup(L, "publish_lazy");
    luaL_checktype(L, VALUE, LUA_TFUNCTION);
    return publish(L, ctx, 1);
}

/* ---- listing ------------------------------------------------------------ */

/* Places on the stack of a listing. */
enum { TYPE = 2, LIST, SEEN, OWN };

/* Whether one of the description's types, on the top, is the one wanted. */
static int has_type(lua_State *L) {
    int found = lua_isnil(L, TYPE);
    lua_getfield(L, -1, "types");
    for (lua_Integer i = 1; !found; i++) {
        int last = lua_rawgeti(L, -1, i) == LUA_TNIL;
        found = !last && lua_rawequal(L, -1, TYPE);
        lua_pop(L, 1);
        if (last)
            break;
    }
    lua_pop(L, 1);
    return found;
}

/* Pushes what the program gets to see of the description at `entry`. */
static void push_copy(lua_State *L, int entry, ahost__context *ctx) {
    static const char *const fields[] = {"key", "doc", "lazy"};
    lua_createtable(L, 0, 5);
    for (int i = 0; i < 3; i++) {
        lua_getfield(L, entry, fields[i]);
        lua_setfield(L, -2, fields[i]);
    }
    lua_getfield(L, entry, "types");
    lua_newtable(L);
    for (lua_Integer i = 1; lua_rawgeti(L, -2, i) != LUA_TNIL; i++)
        lua_rawseti(L, -2, i);
    lua_pop(L, 1);
    lua_setfield(L, -3, "types");
    lua_pop(L, 1);
    lua_getfield(L, entry, "component");
    lua_setfield(L, -2, "component");
    if (lua_getfield(L, entry, "owner") == LUA_TNIL) {
        lua_pop(L, 1);
        ahost__push_context(L, ctx);
    }
    lua_setfield(L, -2, "owner");
}

/* Inserts the item on the top by its key, pops it. */
static void insert_sorted(lua_State *L) {
    lua_Integer i = (lua_Integer)lua_rawlen(L, LIST) + 1;
    int item = lua_gettop(L);
    lua_getfield(L, item, "key");
    for (; i > 1; i--) {
        lua_rawgeti(L, LIST, i - 1);
        lua_getfield(L, -1, "key");
        if (!lua_compare(L, item + 1, -1, LUA_OPLT))
            break;
        lua_pop(L, 1);
        lua_rawseti(L, LIST, i);
    }
    lua_pushvalue(L, item);
    lua_rawseti(L, LIST, i);
    lua_settop(L, item - 1);
}

/* Whether the key on the top is new to the keys seen; notes it. */
static int see(lua_State *L, int index) {
    int fresh;
    lua_pushvalue(L, index);
    fresh = lua_rawget(L, SEEN) == LUA_TNIL;
    lua_pop(L, 1);
    lua_pushvalue(L, index);
    lua_pushboolean(L, 1);
    lua_rawset(L, SEEN);
    return fresh;
}

/* Lists what the context has and nobody nearer has under the same key. */
static void list_context(lua_State *L, ahost__context *ctx) {
    ahost__context_push_field(L, ctx, AHOST__SIDE_ENTRIES);
    lua_pushnil(L);
    while (lua_next(L, OWN) != 0) {
        int entry = lua_gettop(L);
        /* An alias may be visible where the main key is not. */
        if (see(L, entry - 1) && see(L, entry) && has_type(L)) {
            push_copy(L, entry, ctx);
            insert_sorted(L);
        }
        lua_settop(L, entry - 1);
    }
    lua_settop(L, SEEN);
}

/* ctx:resources([type]) -> {{key=, types=, doc=, owner=, lazy=}, ...} */
int ahost__resource_list(lua_State *L) {
    ahost__context *ctx = ahost__check_context(L, 1);
    if (!lua_isnoneornil(L, TYPE))
        luaL_checktype(L, TYPE, LUA_TSTRING);
    ahost__context_check_open(L, ctx, "resources");
    lua_settop(L, TYPE);
    lua_newtable(L);
    lua_newtable(L);
    for (int staged = ctx->staged; ctx != NULL; ctx = ctx->parent) {
        ahost__context *stage = staged ? ahost__stage_of(ctx) : NULL;
        if (stage != NULL && stage->has_resources)
            list_context(L, stage);
        if (ctx->has_resources)
            list_context(L, ctx);
    }
    lua_settop(L, LIST);
    return 1;
}
