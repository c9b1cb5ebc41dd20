/*
 * log_module.c - ahost.log: loggers, and their levels.
 */
#include <string.h>

#include "log.h"

#define LOGGER_TYPE "ahost.logger"

typedef struct logger {
    int level;        /* its lowest, when */
    uint32_t version; /* the host's levels had this version */
    char name[];
} logger;

static const char loggers_key; /* of the loggers by name, weak */

/* ---- logging ------------------------------------------------------------ */

static logger *check_logger(lua_State *L) {
    return luaL_checkudata(L, 1, LOGGER_TYPE);
}

/* The same in methods, where the metatable is at hand. */
static logger *check_self(lua_State *L) {
    logger *self = lua_touserdata(L, 1);
    int same;
    if (self == NULL || !lua_getmetatable(L, 1))
        return check_logger(L);
    same = lua_rawequal(L, -1, lua_upvalueindex(1));
    lua_pop(L, 1);
    return same ? self : check_logger(L);
}

static int is_enabled(const ahost *h, logger *self, int level) {
    if (self->version != h->log_version) {
        self->level = ahost__log_level(h, self->name);
        self->version = h->log_version;
    }
    return level >= self->level && ahost__log_heard(h);
}

/* Stack: level, logger, format, arguments. */
static int write_record(lua_State *L) {
    ahost *h = ahost__of(L);
    ahost__log_record record = {.level = (int)lua_tointeger(L, 1)};
    record.logger = ((logger *)lua_touserdata(L, 2))->name;
    record.data_size = ahost__push_log_text(L, 3);
    record.text = lua_tostring(L, -3);
    ahost__log_count(h, record.level);
    if (!ahost__list_empty(&h->captures) && !ahost__capture_values(L, &record))
        return 0;
    if (lua_istable(L, -1) && ahost__log_wants_json(h)) {
        ahost__log_push_json(L);
        record.json = lua_tostring(L, -1);
    }
    ahost__log_deliver(h, &record);
    return 0;
}

/* Writes what can be written when a record cannot be made. Stack: logger,
 * format. */
static void write_plainly(lua_State *L, const logger *self, int level) {
    ahost__log_record record = {.level = level, .logger = self->name};
    record.text = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2)
                                                : "(a record without text)";
    ahost__log_write(ahost__of(L), &record);
}

/* Stack: logger, format, arguments. Raises only when it is called wrongly. */
static int log_at(lua_State *L, int level) {
    logger *self = check_self(L);
    int last = lua_gettop(L);
    if (!is_enabled(ahost__of(L), self, level))
        return 0;
    if (last == 1) {
        lua_pushnil(L);
        last++;
    }
    if (!lua_checkstack(L, last + LUA_MINSTACK)) {
        write_plainly(L, self, level);
        return 0;
    }
    lua_pushcfunction(L, write_record);
    lua_pushinteger(L, level);
    for (int i = 1; i <= last; i++)
        lua_pushvalue(L, i);
    if (lua_pcall(L, last + 1, 0, 0) != LUA_OK)
        write_plainly(L, self, level);
    return 0;
}

/* logger:debug(format, ...) and so on */
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

/* logger:enabled(level) -> boolean */
static int logger_enabled(lua_State *L) {
    logger *self = check_self(L);
    int level = ahost__check_log_level(L, 2);
    lua_pushboolean(L, is_enabled(ahost__of(L), self, level));
    return 1;
}

static int logger_tostring(lua_State *L) {
    lua_pushfstring(L, "logger: %s", check_logger(L)->name);
    return 1;
}

/* ---- loggers and levels ------------------------------------------------- */

/* The name of a logger at `arg`, by default "". */
static const char *check_name(lua_State *L, int arg) {
    size_t length;
    const char *name;
    if (lua_isnoneornil(L, arg))
        return "";
    luaL_checktype(L, arg, LUA_TSTRING);
    name = lua_tolstring(L, arg, &length);
    luaL_argcheck(L, strlen(name) == length, arg,
                  "the name of a logger must not contain a zero byte");
    return name;
}

static logger *push_new_logger(lua_State *L, const char *name) {
    size_t length = strlen(name);
    logger *self = lua_newuserdatauv(L, sizeof(*self) + length + 1, 0);
    memcpy(self->name, name, length + 1);
    self->version = ahost__of(L)->log_version;
    self->level = ahost__log_level(ahost__of(L), name);
    luaL_setmetatable(L, LOGGER_TYPE);
    return self;
}

/* log.get([name]) -> logger */
static int log_get(lua_State *L) {
    const char *name = check_name(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &loggers_key);
    lua_pushstring(L, name);
    if (lua_rawget(L, -2) != LUA_TNIL)
        return 1;
    lua_pop(L, 1);
    push_new_logger(L, name);
    lua_pushstring(L, name);
    lua_pushvalue(L, -2);
    lua_rawset(L, -4);
    return 1;
}

/* log.set_level(name, level) */
static int log_set_level(lua_State *L) {
    const char *name = check_name(L, 1);
    int level = lua_isnil(L, 2) ? 0 : ahost__check_log_level(L, 2);
    if (!ahost__log_set_level(ahost__of(L), name, level))
        return luaL_error(L, "not enough memory");
    return 0;
}

/* log.level([name]) -> level */
static int log_level(lua_State *L) {
    const char *name = check_name(L, 1);
    lua_pushstring(L,
                   ahost__log_level_name(ahost__log_level(ahost__of(L), name)));
    return 1;
}

/* ---- where records go --------------------------------------------------- */

/* log.configure(values, [place]) -> true | nil, err */
static int log_configure(lua_State *L) {
    lua_getglobal(L, "require");
    lua_pushliteral(L, "ahost.log.configuration");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "apply");
    lua_insert(L, 1);
    lua_pop(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

/* log.rotate() */
static int log_rotate(lua_State *L) {
    ahost__log_rotate(ahost__of(L));
    return 0;
}

static int log_stats(lua_State *L) {
    return ahost__log_push_stats(L);
}

static const luaL_Reg methods[] = {
    {"debug", logger_debug},     {"info", logger_info},
    {"notice", logger_notice},   {"warning", logger_warning},
    {"error", logger_error},     {"critical", logger_critical},
    {"enabled", logger_enabled}, {NULL, NULL}};

static const luaL_Reg functions[] = {{"get", log_get},
                                     {"set_level", log_set_level},
                                     {"level", log_level},
                                     {"capture", ahost__log_capture},
                                     {"configure", log_configure},
                                     {"rotate", log_rotate},
                                     {"stats", log_stats},
                                     {NULL, NULL}};

/* Stack: the metatable of loggers. */
static void open_methods(lua_State *L) {
    lua_pushcfunction(L, logger_tostring);
    lua_setfield(L, -2, "__tostring");
    luaL_newlibtable(L, methods);
    lua_pushvalue(L, -2);
    luaL_setfuncs(L, methods, 1);
    lua_setfield(L, -2, "__index");
}

static void open_loggers(lua_State *L) {
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "v");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &loggers_key);
}

int ahost__open_log(lua_State *L) {
    if (luaL_newmetatable(L, LOGGER_TYPE)) {
        open_methods(L);
        open_loggers(L);
        ahost__open_log_text(L);
        ahost__open_captures(L);
    }
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
