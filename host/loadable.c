/*
 * loadable.c - where the parts of ahost are that are loaded when they are used,
 * because they need libraries of their own.
 *
 * They stand in `components` beside the program (as it is built), in the
 * library directory of its installation, wherever that has been moved, or where
 * libahost was installed to.
 */
#include <lauxlib.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "modules.h"

/* Pushes the directory of the running program, or returns false. */
static int push_program_directory(lua_State *L) {
    char path[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
    const char *slash = size > 0 ? memrchr(path, '/', (size_t)size) : NULL;
    if (slash == NULL)
        return 0;
    lua_pushlstring(L, path, (size_t)(slash - path));
    return 1;
}

/* directories() -> array of paths, to be tried in order */
static int directories(lua_State *L) {
    lua_newtable(L);
    if (push_program_directory(L)) {
        lua_pushfstring(L, "%s/components", lua_tostring(L, -1));
        lua_rawseti(L, 1, 1);
        lua_pushfstring(L, "%s/%s", lua_tostring(L, -1), AHOST_LOADABLE_BESIDE);
        lua_rawseti(L, 1, 2);
        lua_pop(L, 1);
    }
    lua_pushliteral(L, AHOST_LOADABLE_INSTALLED);
    lua_rawseti(L, 1, luaL_len(L, 1) + 1);
    return 1;
}

static const luaL_Reg functions[] = {{"directories", directories},
                                     {NULL, NULL}};

int ahost__open_loadable(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
