/*
 * loader.c - where the host's own modules come from: C functions, registered
 * for their first use, and Lua files, embedded at build time.
 */
#include "loader.h"

#include <lauxlib.h>
#include <lua-cjson.h>
#include <stdlib.h>
#include <string.h>

#include "embedded.h"
#include "host.h"
#include "modules.h"

static const luaL_Reg modules[] = {
#define MODULE(name, open) {name, open},
    AHOST__MODULES(MODULE)
#undef MODULE
        {NULL, NULL}};

static int compare_names(const void *name, const void *file) {
    return strcmp(name, ((const ahost__embedded *)file)->name);
}

/* A package searcher: (name) -> loader, path | message */
static int search_embedded(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    const ahost__embedded *file =
        bsearch(name, ahost__embedded_files, ahost__embedded_count,
                sizeof(ahost__embedded), compare_names);
    if (file == NULL) {
        lua_pushfstring(L, "no module '%s' in ahost", name);
        return 1;
    }
    lua_pushfstring(L, "@%s", file->path);
    if (luaL_loadbufferx(L, file->source, file->size, lua_tostring(L, -1),
                         "t") != LUA_OK)
        return lua_error(L);
    lua_pushstring(L, file->path);
    return 2;
}

/* Puts the searcher behind package.preload, before the file system. */
static void add_searcher(lua_State *L) {
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "searchers");
    for (lua_Integer i = luaL_len(L, -1); i >= 2; i--) {
        lua_rawgeti(L, -1, i);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushcfunction(L, search_embedded);
    lua_rawseti(L, -2, 2);
    lua_pop(L, 2);
}

void ahost__open_modules(lua_State *L) {
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    luaL_setfuncs(L, modules, 0);
    lua_pop(L, 1);
    add_searcher(L);
    ahost__open_protect(L);
    ahost__open_coroutine(L);
}

int ahost__bundled_components(lua_State *L) {
    static const char prefix[] = "ahost.components.";
    const size_t size = sizeof(prefix) - 1;
    lua_newtable(L);
    for (size_t i = 0; i < ahost__embedded_count; i++) {
        const char *name = ahost__embedded_files[i].name;
        if (strncmp(name, prefix, size) != 0 ||
            strchr(name + size, '.') != NULL)
            continue;
        lua_pushstring(L, name + size);
        lua_rawseti(L, -2, luaL_len(L, -2) + 1);
    }
    return 1;
}

void ahost__search_beside(lua_State *L, const char *script) {
    const char *slash = strrchr(script, '/');
    if (slash == NULL)
        return; /* the working directory is searched anyway */
    lua_getglobal(L, "package");
    lua_pushlstring(L, script, (size_t)(slash - script));
    lua_getfield(L, -2, "path");
    lua_pushfstring(L, "%s/?.lua;%s/?/init.lua;%s", lua_tostring(L, -2),
                    lua_tostring(L, -2), lua_tostring(L, -1));
    lua_setfield(L, -4, "path");
    lua_pop(L, 3);
}
