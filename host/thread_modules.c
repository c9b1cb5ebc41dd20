/*
 * thread_modules.c - what code in a worker may use: the standard libraries but
 * for what concerns the whole process, and the modules of the host that need no
 * loop.
 */
#include <lauxlib.h>
#include <lua-cjson.h>
#include <stdlib.h>
#include <string.h>

#include "embedded.h"
#include "host.h"
#include "json.h"
#include "modules.h"
#include "thread.h"

/* Embedded Lua modules that need no loop. */
static const char *const pure[] = {
    "ahost",           "ahost.config.path", "ahost.json", "ahost.spelling",
    "ahost.yaml.edit", "ahost.yaml.paths",  NULL};

static int is_pure(const char *name) {
    for (int i = 0; pure[i] != NULL; i++)
        if (strcmp(name, pure[i]) == 0)
            return 1;
    return 0;
}

static int compare_names(const void *name, const void *file) {
    return strcmp(name, ((const ahost__embedded *)file)->name);
}

static int load_embedded(lua_State *L, const char *name) {
    const ahost__embedded *file =
        bsearch(name, ahost__embedded_files, ahost__embedded_count,
                sizeof(ahost__embedded), compare_names);
    if (file == NULL)
        return luaL_error(L, "no module '%s' in ahost", name);
    lua_pushfstring(L, "@%s", file->path);
    if (luaL_loadbufferx(L, file->source, file->size, lua_tostring(L, -1),
                         "t") != LUA_OK)
        return lua_error(L);
    lua_pushstring(L, file->path);
    return 2;
}

/* A package searcher: (name) -> loader, path | message */
static int search(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    if (is_pure(name))
        return load_embedded(L, name);
    if (strncmp(name, "ahost.", 6) == 0)
        return luaL_error(L,
                          "module '%s' needs the loop of the host and cannot "
                          "be used in a worker thread (only ahost.error, json, "
                          "log, thread and yaml can)",
                          name);
    lua_pushfstring(L, "no module '%s' in ahost", name);
    return 1;
}

/* Puts the searcher behind package.preload, before the file system. */
static void add_searcher(lua_State *L) {
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "searchers");
    for (lua_Integer i = luaL_len(L, -1); i >= 2; i--) {
        lua_rawgeti(L, -1, i);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushcfunction(L, search);
    lua_rawseti(L, -2, 2);
    lua_pop(L, 2);
}

/* ---- what a worker must not have ---------------------------------------- */

static int refuse(lua_State *L) {
    return luaL_error(L, "%s cannot be used in a worker thread: it concerns %s",
                      lua_tostring(L, lua_upvalueindex(1)),
                      lua_tostring(L, lua_upvalueindex(2)));
}

/* Replaces library.name by a function that says why there is none. */
static void forbid(lua_State *L, const char *library, const char *name,
                   const char *concern) {
    lua_getglobal(L, library);
    lua_pushfstring(L, "%s.%s", library, name);
    lua_pushstring(L, concern);
    lua_pushcclosure(L, refuse, 2);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
}

/* ---- ahost.thread in a worker ------------------------------------------- */

/* thread.cancelled() -> boolean */
static int cancelled(lua_State *L) {
    ahost__thread_state *state = ahost__thread_state_of(L);
    state->polls = 1;
    lua_pushboolean(L, ahost__thread_cancelled(state));
    return 1;
}

static int only_in_host(lua_State *L) {
    return luaL_error(L,
                      "thread.%s is for the host: a worker thread cannot "
                      "start calls of its own",
                      lua_tostring(L, lua_upvalueindex(1)));
}

static int open_thread(lua_State *L) {
    static const char *const of_host[] = {"call", "pool", NULL};
    lua_newtable(L);
    ahost__open_channel(L);
    lua_pushcfunction(L, cancelled);
    lua_setfield(L, -2, "cancelled");
    for (int i = 0; of_host[i] != NULL; i++) {
        lua_pushstring(L, of_host[i]);
        lua_pushcclosure(L, only_in_host, 1);
        lua_setfield(L, -2, of_host[i]);
    }
    return 1;
}

void ahost__thread_open_modules(lua_State *L) {
    static const luaL_Reg modules[] = {
        {"ahost.error", ahost__open_error},
        {"ahost.json.numbers", ahost__open_json_numbers},
        {"ahost.log", ahost__open_thread_log},
        {"ahost.thread", open_thread},
        {"ahost.yaml", ahost__open_yaml},
        {"ahost.yaml.core", ahost__open_yaml_core},
        {"cjson", luaopen_cjson},
        {NULL, NULL}};
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    luaL_setfuncs(L, modules, 0);
    lua_pop(L, 1);
    add_searcher(L);
    forbid(L, "os", "exit", "the whole process");
    forbid(L, "os", "setlocale", "the whole process");
    forbid(L, "debug", "sethook", "the hook that ends cancelled calls");
    luaL_requiref(L, "ahost.error", ahost__open_error, 0);
    luaL_requiref(L, "ahost.thread", open_thread, 0);
    lua_pop(L, 2);
}
