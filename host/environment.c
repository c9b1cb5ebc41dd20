/*
 * environment.c - process.env: the environment variables as a table.
 *
 * Nothing is kept: reading is getenv(), writing setenv(), so os.getenv, C code
 * and child processes see the same.
 */
#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "process.h"

#define ENVIRONMENT_TYPE "ahost.environment"

extern char **environ;

/* The string (or number) at `arg`, which holds no zero byte. */
static const char *check_text(lua_State *L, int arg, const char *what) {
    size_t size;
    const char *text;
    if (!lua_isstring(L, arg))
        luaL_error(L, "%s of an environment variable is a string, not a %s",
                   what, luaL_typename(L, arg));
    text = lua_tolstring(L, arg, &size);
    if (strlen(text) != size)
        luaL_error(L, "%s of an environment variable holds a zero byte", what);
    return text;
}

static const char *check_name(lua_State *L, int arg) {
    const char *name = check_text(L, arg, "the name");
    if (*name == '\0' || strchr(name, '=') != NULL)
        luaL_error(L, "'%s' is no name of an environment variable", name);
    return name;
}

/* env[name] -> string | nil; what can be no name has no value */
static int environment_index(lua_State *L) {
    size_t size;
    const char *name = lua_tolstring(L, 2, &size);
    int possible = name != NULL && strlen(name) == size;
    lua_pushstring(L, possible ? getenv(name) : NULL);
    return 1;
}

/* env[name] = string | number | nil */
static int environment_newindex(lua_State *L) {
    const char *name = check_name(L, 2);
    int err;
    if (lua_isnil(L, 3))
        err = unsetenv(name);
    else
        err = setenv(name, check_text(L, 3, "the value"), 1);
    if (err != 0)
        return ahost__raise(L, -errno, "process.env.%s: %s", name,
                            strerror(errno));
    return 0;
}

static int next_variable(lua_State *L) {
    lua_settop(L, 2);
    return lua_next(L, 1) ? 2 : 0;
}

/* pairs(env): the variables as they are now; to change them meanwhile is
 * harmless */
static int environment_pairs(lua_State *L) {
    lua_pushcfunction(L, next_variable);
    lua_newtable(L);
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        const char *equals = strchr(*entry, '=');
        if (equals == NULL || equals == *entry)
            continue;
        lua_pushlstring(L, *entry, (size_t)(equals - *entry));
        lua_pushstring(L, equals + 1);
        lua_rawset(L, -3);
    }
    return 2;
}

static const luaL_Reg meta[] = {{"__index", environment_index},
                                {"__newindex", environment_newindex},
                                {"__pairs", environment_pairs},
                                {NULL, NULL}};

int ahost__push_environment(lua_State *L) {
    lua_newtable(L);
    if (luaL_newmetatable(L, ENVIRONMENT_TYPE))
        luaL_setfuncs(L, meta, 0);
    lua_setmetatable(L, -2);
    return 1;
}
