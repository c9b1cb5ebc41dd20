/*
 * host_module.c - ahost.host: what a script may know of and do to its host.
 */
#include <lauxlib.h>
#include <stdlib.h>

#include "host.h"
#include "log.h"
#include "modules.h"

/* host.stop([status [, force]]): of several statuses the largest is kept,
 * unless one is forced */
static int host_stop(lua_State *L) {
    ahost *h = ahost__of(L);
    lua_Integer status = luaL_optinteger(L, 1, 0);
    luaL_argcheck(L, status >= 0 && status <= 127, 1,
                  "an exit status is from 0 to 127");
    if (status > h->exit_status || lua_toboolean(L, 2))
        h->exit_status = (int)status;
    ahost__request_stop(h);
    return 0;
}

static void set_count(lua_State *L, const char *name, size_t count) {
    lua_pushinteger(L, (lua_Integer)count);
    lua_setfield(L, -2, name);
}

static void count_handle(uv_handle_t *handle, void *count) {
    if (uv_has_ref(handle))
        ++*(size_t *)count;
}

/* host.stats([restart]) -> {tasks=, handles=, memory=, lua_memory=,
 * coroutines=, connections=, log=, lag=}: see lua/meta/host.lua. With
 * `restart`, the longest turn of the loop is looked for anew. */
static int host_stats(lua_State *L) {
    ahost *h = ahost__of(L);
    size_t handles = 0;
    uv_walk(h->loop, count_handle, &handles);
    lua_createtable(L, 0, 8);
    set_count(L, "tasks", h->task_count);
    set_count(L, "handles", handles);
    set_count(L, "memory", h->memory);
    set_count(L, "lua_memory",
              (size_t)lua_gc(L, LUA_GCCOUNT) * 1024 +
                  (size_t)lua_gc(L, LUA_GCCOUNTB));
    set_count(L, "coroutines", h->co_slots);
    set_count(L, "connections", h->connections);
    ahost__log_push_counts(L, h);
    lua_setfield(L, -2, "log");
    ahost__lag_push(L, h);
    lua_setfield(L, -2, "lag");
    if (lua_toboolean(L, 1))
        h->lag.longest = 0;
    return 1;
}

static const luaL_Reg functions[] = {
    {"stop", host_stop}, {"stats", host_stats}, {NULL, NULL}};

static void push_arguments(lua_State *L, const ahost *h) {
    lua_createtable(L, h->argc, 0);
    for (int i = 0; i < h->argc; i++) {
        lua_pushstring(L, h->argv[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

/* Fields that are looked up each time. */
enum { EXIT_STATUS = 1, WORKER, WORKERS };

/* -> integer | nil */
static int host_index(lua_State *L) {
    const ahost *h = ahost__of(L);
    lua_settop(L, 2);
    if (lua_rawequal(L, 2, lua_upvalueindex(EXIT_STATUS)))
        lua_pushinteger(L, h->exit_status);
    else if (h->worker != 0 && lua_rawequal(L, 2, lua_upvalueindex(WORKER)))
        lua_pushinteger(L, h->worker);
    else if (h->worker != 0 && lua_rawequal(L, 2, lua_upvalueindex(WORKERS)))
        lua_pushinteger(L, h->workers);
    else
        lua_pushnil(L);
    return 1;
}

int ahost__open_host(lua_State *L) {
    luaL_newlib(L, functions);
    lua_pushliteral(L, AHOST_VERSION);
    lua_setfield(L, -2, "version");
    push_arguments(L, ahost__of(L));
    lua_setfield(L, -2, "args");
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "exit_status");
    lua_pushliteral(L, "worker");
    lua_pushliteral(L, "workers");
    lua_pushcclosure(L, host_index, WORKERS);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    return 1;
}
