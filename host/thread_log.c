/*
 * thread_log.c - ahost.log in a worker: loggers whose records the host writes.
 *
 * Levels are the host's: it drops what does not pass.
 */
#include <lauxlib.h>
#include <string.h>

#include "log.h"
#include "thread.h"

#define LOGGER_TYPE "ahost.logger"

static const char *check_logger(lua_State *L) {
    return luaL_checkudata(L, 1, LOGGER_TYPE);
}

/* Stack: logger, format, arguments. */
static int log_at(lua_State *L, int level) {
    const char *name = check_logger(L), *json = NULL;
    size_t data_size;
    luaL_checkstack(L, LUA_MINSTACK, "too many arguments");
    if (lua_gettop(L) == 1)
        lua_pushnil(L);
    data_size = ahost__push_log_text(L, 2);
    if (lua_istable(L, -1)) {
        lua_pushvalue(L, -1);
        ahost__log_push_json(L);
        json = lua_tostring(L, -1);
        lua_insert(L, 1);
    }
    ahost__threads_log(ahost__thread_state_of(L)->threads, level, name,
                       lua_tostring(L, -3), data_size, json);
    return 0;
}

static int logger_debug(lua_State *L) {
    return log_at(L, AHOST_LOG_DEBUG);
}

static int logger_info(lua_State *L) {
    return log_at(L, AHOST_LOG_INFO);
}

static int logger_notice(lua_State *L) {
    return log_at(L, AHOST_LOG_NOTICE);
}

static int logger_warning(lua_State *L) {
    return log_at(L, AHOST_LOG_WARNING);
}

static int logger_error(lua_State *L) {
    return log_at(L, AHOST_LOG_ERROR);
}

static int logger_critical(lua_State *L) {
    return log_at(L, AHOST_LOG_CRITICAL);
}

/* logger:enabled(level) -> true: the host decides */
static int logger_enabled(lua_State *L) {
    check_logger(L);
    ahost__check_log_level(L, 2);
    lua_pushboolean(L, 1);
    return 1;
}

/* log.get([name]) -> logger */
static int log_get(lua_State *L) {
    const char *name = luaL_optstring(L, 1, "");
    size_t size = strlen(name) + 1;
    memcpy(lua_newuserdatauv(L, size, 0), name, size);
    luaL_setmetatable(L, LOGGER_TYPE);
    return 1;
}

static const luaL_Reg methods[] = {
    {"debug", logger_debug},     {"info", logger_info},
    {"notice", logger_notice},   {"warning", logger_warning},
    {"error", logger_error},     {"critical", logger_critical},
    {"enabled", logger_enabled}, {NULL, NULL}};

static const luaL_Reg functions[] = {{"get", log_get}, {NULL, NULL}};

int ahost__open_thread_log(lua_State *L) {
    if (luaL_newmetatable(L, LOGGER_TYPE)) {
        luaL_newlib(L, methods);
        lua_setfield(L, -2, "__index");
        ahost__open_log_text(L);
    }
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
