/*
 * fs.c - ahost.fs: its arguments, and the table of its functions.
 */
#include "fs.h"

#include <lauxlib.h>
#include <string.h>

const char *ahost__check_path(lua_State *L, int arg) {
    size_t length;
    const char *path = luaL_checklstring(L, arg, &length);
    luaL_argcheck(L, length > 0, arg, "the path is empty");
    luaL_argcheck(L, strlen(path) == length, arg,
                  "a path cannot hold a zero byte");
    return path;
}

/* The permission bits that the value at `index` means, or -1. */
static lua_Integer read_mode(lua_State *L, int index) {
    lua_Integer mode = 0;
    const char *digits;
    if (lua_type(L, index) != LUA_TSTRING)
        return lua_isinteger(L, index) ? lua_tointeger(L, index) : -1;
    digits = lua_tostring(L, index);
    if (*digits == '\0' || strlen(digits) > 5)
        return -1;
    for (; *digits != '\0'; digits++) {
        if (*digits < '0' || *digits > '7')
            return -1;
        mode = mode * 8 + (*digits - '0');
    }
    return mode;
}

mode_t ahost__check_mode(lua_State *L, int arg) {
    lua_Integer mode = read_mode(L, arg);
    luaL_argcheck(L, mode >= 0 && mode <= 07777, arg,
                  "a mode is a string of octal digits, \"644\", or such a "
                  "number of bits as fs.stat gives");
    return (mode_t)mode;
}

mode_t ahost__opt_mode(lua_State *L, int arg, const char *name,
                       mode_t fallback) {
    if (lua_isnoneornil(L, arg))
        return fallback;
    if (lua_getfield(L, arg, name) != LUA_TNIL) {
        lua_Integer mode = read_mode(L, -1);
        if (mode < 0 || mode > 07777)
            luaL_error(L,
                       "option '%s': a string of octal digits is expected, "
                       "\"644\", or such a number of bits as fs.stat gives",
                       name);
        fallback = (mode_t)mode;
    }
    lua_pop(L, 1);
    return fallback;
}

int ahost__opt_boolean(lua_State *L, int arg, const char *name) {
    int value;
    if (lua_isnoneornil(L, arg))
        return 0;
    lua_getfield(L, arg, name);
    value = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

static int is_one_of(const char *name, const char *const *names) {
    for (; *names != NULL; names++)
        if (strcmp(name, *names) == 0)
            return 1;
    return 0;
}

void ahost__check_options(lua_State *L, int arg, const char *const *names) {
    lua_settop(L, arg);
    if (lua_isnil(L, arg))
        return;
    luaL_checktype(L, arg, LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, arg) != 0) {
        lua_pop(L, 1);
        if (lua_type(L, -1) != LUA_TSTRING ||
            !is_one_of(lua_tostring(L, -1), names))
            luaL_error(L, "unknown option '%s'", luaL_tolstring(L, -1, NULL));
    }
}

/* ---- data to be written ------------------------------------------------- */

static void add_string(lua_State *L, ahost__request *r, int index) {
    size_t size;
    const char *text = lua_tolstring(L, index, &size);
    if (ahost__bytes_reserve(r->fs, &r->data, size) != 0)
        luaL_error(L, "not enough memory");
    if (size > 0)
        memcpy(r->data.data + r->data.size, text, size);
    r->data.size += size;
}

static void add_strings(lua_State *L, ahost__request *r, int arg) {
    lua_Integer n = luaL_len(L, arg);
    for (lua_Integer i = 1; i <= n; i++) {
        int type = lua_geti(L, arg, i);
        if (type != LUA_TSTRING && type != LUA_TNUMBER)
            luaL_error(L, "item %d of the data is no string but a %s", (int)i,
                       luaL_typename(L, -1));
        add_string(L, r, -1);
        lua_pop(L, 1);
    }
}

void ahost__collect_data(lua_State *L, ahost__request *r, int first, int last) {
    for (int arg = first; arg <= last; arg++) {
        if (lua_istable(L, arg)) {
            add_strings(L, r, arg);
        } else {
            luaL_checkstring(L, arg);
            add_string(L, r, arg);
        }
    }
}

/* ---- the module --------------------------------------------------------- */

int ahost__open_fs(lua_State *L) {
    lua_newtable(L);
    ahost__open_fs_paths(L);
    ahost__open_fs_contents(L);
    ahost__open_fs_files(L);
    ahost__open_fs_watch(L);
    return 1;
}
