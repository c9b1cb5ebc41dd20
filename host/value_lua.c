/*
 * value_lua.c - values of C programs in Lua, and Lua's values in C.
 *
 * Reading allocates nothing in Lua and raises nothing, so that a value that is
 * half made cannot be lost.
 */
#include <lauxlib.h>
#include <string.h>

#include "embed.h"
#include "error.h"
#include "json.h"
#include "value.h"

static const char array_key;

/* ---- to Lua ------------------------------------------------------------- */

static void push(lua_State *L, const ahost_value *value, int depth);

static void push_container(lua_State *L, const ahost_value *value, int depth) {
    int is_list = value->kind == AHOST_LIST;
    int count = (int)value->as.items.count;
    if (depth >= AHOST__VALUE_DEPTH)
        luaL_error(L, "a value is nested too deeply (more than %d levels)",
                   AHOST__VALUE_DEPTH);
    luaL_checkstack(L, 4, "nested values");
    lua_createtable(L, is_list ? count : 0, is_list ? 0 : count);
    for (int i = 0; i < count; i++) {
        push(L, value->as.items.values[i], depth + 1);
        if (is_list)
            lua_rawseti(L, -2, i + 1);
        else
            lua_setfield(L, -2, value->as.items.names[i]);
    }
    if (!is_list)
        return;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key);
    lua_setmetatable(L, -2);
}

static void push(lua_State *L, const ahost_value *value, int depth) {
    switch (value->kind) {
    case AHOST_BOOLEAN:
        lua_pushboolean(L, (int)value->as.integer);
        return;
    case AHOST_INTEGER:
        lua_pushinteger(L, value->as.integer);
        return;
    case AHOST_NUMBER:
        lua_pushnumber(L, value->as.number);
        return;
    case AHOST_STRING:
    case AHOST_OTHER:
        lua_pushlstring(L, value->as.text.bytes, value->as.text.size);
        return;
    case AHOST_LIST:
    case AHOST_MAP:
        push_container(L, value, depth);
        return;
    default:
        lua_pushlightuserdata(L, NULL); /* null of JSON */
    }
}

void ahost__push_value(lua_State *L, const ahost_value *value) {
    luaL_checkstack(L, 4, "values");
    if (value == NULL || value->kind == AHOST_NULL)
        lua_pushnil(L);
    else
        push(L, value, 0);
}

int ahost__push_items(lua_State *L, const ahost_value *list) {
    size_t count = ahost_value_count(list);
    if (list == NULL)
        return 0;
    luaL_checkstack(L, (int)count + 4, "arguments");
    for (size_t i = 0; i < count; i++)
        ahost__push_value(L, list->as.items.values[i]);
    return (int)count;
}

/* ---- from Lua ----------------------------------------------------------- */

static ahost_value *read_at(lua_State *L, int index, int depth);

static ahost_value *other(lua_State *L, int index) {
    const char *name = lua_typename(L, lua_type(L, index));
    return ahost__make_text(AHOST_OTHER, name, strlen(name));
}

static int is_array(lua_State *L, int index) {
    int marked;
    if (!lua_getmetatable(L, index))
        return 0;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key);
    marked = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return marked;
}

/* Whether the table has the keys 1 to n, n > 0, and no others. */
static int is_sequence(lua_State *L, int index) {
    lua_Unsigned n = lua_rawlen(L, index), seen = 0;
    if (n == 0)
        return 0;
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        lua_pop(L, 1);
        if (!lua_isinteger(L, -1) || ++seen > n) {
            lua_pop(L, 1);
            return 0;
        }
    }
    return seen == n;
}

/* Frees the container when the item could not be added. */
static ahost_value *added(ahost_value *container, int err) {
    if (err == AHOST_OK)
        return container;
    ahost_value_free(container);
    return NULL;
}

static ahost_value *read_list(lua_State *L, int index, int depth) {
    ahost_value *list = ahost_make_list();
    lua_Integer n = (lua_Integer)lua_rawlen(L, index);
    for (lua_Integer i = 1; list != NULL && i <= n; i++) {
        lua_rawgeti(L, index, i);
        list = added(
            list, ahost_list_add(list, read_at(L, lua_gettop(L), depth + 1)));
        lua_pop(L, 1);
    }
    return list;
}

/* The text of the key at `index`, which is no string; NULL: it has none. */
static const char *name_key(lua_State *L, int index, char *buffer,
                            size_t size) {
    if (!lua_isinteger(L, index))
        return NULL;
    snprintf(buffer, size, LUA_INTEGER_FMT, lua_tointeger(L, index));
    return buffer;
}

/* Numbers among the keys become text; what else is no string is left out. */
static ahost_value *read_map(lua_State *L, int index, int depth) {
    ahost_value *map = ahost_make_map();
    char buffer[32];
    lua_pushnil(L);
    while (map != NULL && lua_next(L, index) != 0) {
        int key = lua_gettop(L) - 1;
        const char *name = lua_type(L, key) == LUA_TSTRING
                               ? lua_tostring(L, key)
                               : name_key(L, key, buffer, sizeof(buffer));
        ahost_value *field =
            name != NULL ? read_at(L, key + 1, depth + 1) : NULL;
        if (field != NULL)
            map = added(map, ahost__map_add(map, name, field));
        else if (name != NULL)
            map = added(map, AHOST_NO_MEMORY);
        lua_pop(L, 1);
    }
    return map;
}

static ahost_value *read_table(lua_State *L, int index, int depth) {
    int top = lua_gettop(L);
    ahost_value *value;
    if (depth >= AHOST__VALUE_DEPTH || !lua_checkstack(L, 8))
        return other(L, index);
    if (is_array(L, index) || is_sequence(L, index))
        value = read_list(L, index, depth);
    else
        value = read_map(L, index, depth);
    lua_settop(L, top);
    return value;
}

static ahost_value *read_userdata(lua_State *L, int index) {
    const ahost_type *type;
    void *pointer;
    if (lua_islightuserdata(L, index) && lua_touserdata(L, index) == NULL)
        return ahost_make_null();
    if (ahost__to_pointer(L, index, &type, &pointer))
        return ahost__make_pointer(pointer, type);
    return other(L, index);
}

static ahost_value *read_at(lua_State *L, int index, int depth) {
    size_t size;
    const char *text;
    switch (lua_type(L, index)) {
    case LUA_TNONE:
    case LUA_TNIL:
        return ahost_make_null();
    case LUA_TBOOLEAN:
        return ahost_make_boolean(lua_toboolean(L, index));
    case LUA_TNUMBER:
        if (lua_isinteger(L, index))
            return ahost_make_integer(lua_tointeger(L, index));
        return ahost_make_number(lua_tonumber(L, index));
    case LUA_TSTRING:
        text = lua_tolstring(L, index, &size);
        return ahost_make_bytes(text, size);
    case LUA_TTABLE:
        return read_table(L, index, depth);
    case LUA_TUSERDATA:
    case LUA_TLIGHTUSERDATA:
        return read_userdata(L, index);
    default:
        return other(L, index);
    }
}

ahost_value *ahost__read_value(lua_State *L, int index) {
    if (!lua_checkstack(L, 4))
        return NULL;
    return read_at(L, lua_absindex(L, index), 0);
}

void ahost__open_values(lua_State *L) {
    luaL_newmetatable(L, AHOST__JSON_ARRAY);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &array_key);
}
