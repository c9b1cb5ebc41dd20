/*
 * log_sinks.c - the module ahost.log.sinks: what ahost.log.configuration makes
 * of handlers, and their installation.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host.h"
#include "log.h"
#include "log_sink.h"

#define SINK_TYPE "ahost.log.sink"

/* ---- options ------------------------------------------------------------ */

/* opts[name] of the table at index 1 as a malloc'ed string, or NULL. */
static char *copy_string(lua_State *L, const char *name) {
    const char *value;
    char *copy = NULL;
    if (lua_getfield(L, 1, name) != LUA_TNIL) {
        value = luaL_checkstring(L, -1);
        copy = strdup(value);
        if (copy == NULL)
            luaL_error(L, "not enough memory");
    }
    lua_pop(L, 1);
    return copy;
}

/* The string stays in the table. */
static const char *get_string(lua_State *L, const char *name) {
    const char *value;
    lua_getfield(L, 1, name);
    value = luaL_optstring(L, -1, NULL);
    lua_pop(L, 1);
    return value;
}

static lua_Integer get_integer(lua_State *L, const char *name,
                               lua_Integer fallback) {
    lua_Integer value;
    lua_getfield(L, 1, name);
    value = luaL_optinteger(L, -1, fallback);
    lua_pop(L, 1);
    return value;
}

static int get_boolean(lua_State *L, const char *name) {
    int value;
    lua_getfield(L, 1, name);
    value = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

/* ---- sinks -------------------------------------------------------------- */

static ahost__log_sink **check_box(lua_State *L, int index) {
    return luaL_checkudata(L, index, SINK_TYPE);
}

/* Pushes the box of a sink that is still to come: it cannot be lost then. */
static ahost__log_sink **push_box(lua_State *L) {
    ahost__log_sink **box = lua_newuserdatauv(L, sizeof(*box), 0);
    *box = NULL;
    luaL_setmetatable(L, SINK_TYPE);
    return box;
}

static int box_gc(lua_State *L) {
    ahost__log_sink **box = check_box(L, 1);
    if (*box != NULL)
        ahost__log_sink_release(*box);
    *box = NULL;
    return 0;
}

static void read_format(lua_State *L, ahost__log_format *format) {
    static const char *const kinds[] = {"text", "json", "rfc5424", "rfc3164",
                                        NULL};
    lua_getfield(L, 1, "kind");
    format->kind =
        (ahost__log_format_kind)luaL_checkoption(L, -1, "text", kinds);
    lua_pop(L, 1);
    format->pattern = copy_string(L, "format");
    format->datefmt = copy_string(L, "datefmt");
    format->sd_id = copy_string(L, "sd_id");
    format->app_name = copy_string(L, "app_name");
    format->host_name = copy_string(L, "host_name");
    format->utc = get_boolean(L, "utc");
    format->colours = get_boolean(L, "colours");
    format->facility = (int)get_integer(L, "facility", 0);
    format->limit = (size_t)get_integer(L, "max_length", 0);
}

/* Completes the sink in the box on the top. Stack: options at 1. */
static int finish_sink(lua_State *L, ahost__log_sink *sink) {
    sink->level = (int)get_integer(L, "level", 0);
    sink->max_records =
        (size_t)get_integer(L, "queue_records", AHOST__LOG_RECORDS);
    sink->max_bytes = (size_t)get_integer(L, "queue_bytes", AHOST__LOG_BYTES);
    read_format(L, &sink->format);
    return 1;
}

/* sinks.console(options) -> sink */
static int sinks_console(lua_State *L) {
    ahost__log_sink **box;
    luaL_checktype(L, 1, LUA_TTABLE);
    box = push_box(L);
    *box = ahost__log_console_new(
        (int)get_integer(L, "descriptor", STDERR_FILENO));
    if (*box == NULL)
        return luaL_error(L, "not enough memory");
    return finish_sink(L, *box);
}

/* sinks.file(options) -> sink | nil, err */
static int sinks_file(lua_State *L) {
    ahost__log_file_options options = {0};
    ahost__log_sink **box;
    int err;
    luaL_checktype(L, 1, LUA_TTABLE);
    options.path = get_string(L, "path");
    luaL_argcheck(L, options.path != NULL, 1, "path expected");
    options.backup_count = (int)get_integer(L, "backup_count", 0);
    options.max_size = (size_t)get_integer(L, "max_size", 0);
    options.rotate_every = ahost__opt_number(L, 1, "rotate_every", 0);
    box = push_box(L);
    *box = ahost__log_file_new(&options, &err);
    if (*box == NULL)
        return ahost__fail(L, err, "open log file %s", options.path);
    return finish_sink(L, *box);
}

/* sinks.syslog(options) -> sink */
static int sinks_syslog(lua_State *L) {
    static const char *const transports[] = {"udp", "tcp", "unix",
                                             "unix-stream", NULL};
    ahost__log_syslog_options options = {0};
    ahost__log_sink **box;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_getfield(L, 1, "transport");
    options.transport =
        (ahost__log_transport)luaL_checkoption(L, -1, NULL, transports);
    options.host = get_string(L, "host");
    options.port = get_string(L, "port");
    options.newlines = get_boolean(L, "newlines");
    luaL_argcheck(L, options.host != NULL, 1, "host expected");
    box = push_box(L);
    *box = ahost__log_syslog_new(&options);
    if (*box == NULL)
        return luaL_error(L, "not enough memory");
    return finish_sink(L, *box);
}

/* ---- installation ------------------------------------------------------- */

/* Fills a new route from the one on the top: {name=, propagate=, sinks = {box,
 * ...}}. */
static void read_route(lua_State *L, ahost__log_route *route) {
    int at = lua_gettop(L);
    lua_getfield(L, at, "name");
    route->name = strdup(luaL_checkstring(L, -1));
    lua_getfield(L, at, "propagate");
    route->propagates = lua_toboolean(L, -1);
    lua_getfield(L, at, "sinks");
    route->sinks = calloc(lua_rawlen(L, -1) + 1, sizeof(*route->sinks));
    if (route->name == NULL || route->sinks == NULL)
        luaL_error(L, "not enough memory");
    while (lua_rawgeti(L, -1, route->count + 1) != LUA_TNIL) {
        route->sinks[route->count++] = *check_box(L, -1);
        lua_pop(L, 1);
    }
    lua_settop(L, at);
}

/* Stack: sinks, routes, the place of the first route. */
static int read_routes(lua_State *L) {
    ahost__log_route **place = lua_touserdata(L, 3);
    for (int i = 1; lua_rawgeti(L, 2, i) != LUA_TNIL; i++) {
        *place = calloc(1, sizeof(**place));
        if (*place == NULL)
            return luaL_error(L, "not enough memory");
        read_route(L, *place);
        place = &(*place)->next;
        lua_pop(L, 1);
    }
    return 0;
}

/* Stack: boxes, routes, room for the sinks. The boxes are empty afterwards, if
 * all went well. */
static int install(lua_State *L, ahost__log_route *routes) {
    int count = (int)lua_rawlen(L, 1), err;
    ahost__log_sink **sinks = lua_touserdata(L, 3);
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, 1, i + 1);
        sinks[i] = *(ahost__log_sink **)lua_touserdata(L, -1);
        lua_pop(L, 1);
    }
    err = ahost__log_install(ahost__of(L), sinks, count, routes);
    for (int i = 0; i < count && err == 0; i++) {
        lua_rawgeti(L, 1, i + 1);
        *(ahost__log_sink **)lua_touserdata(L, -1) = NULL;
        lua_pop(L, 1);
    }
    return err;
}

/* sinks.install({sink, ...}, {route, ...}): in place of all there are. Routes
 * with longer names come first. */
static int sinks_install(lua_State *L) {
    ahost__log_route *routes = NULL;
    int count, err;
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TTABLE);
    count = (int)lua_rawlen(L, 1);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, 1, i);
        luaL_argcheck(L, *check_box(L, -1) != NULL, 1, "a sink was used twice");
        lua_pop(L, 1);
    }
    lua_settop(L, 2);
    lua_newuserdatauv(L, sizeof(ahost__log_sink *) * (size_t)(count + 1), 0);
    lua_pushcfunction(L, read_routes);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_pushlightuserdata(L, &routes);
    if (lua_pcall(L, 3, 0, 0) != LUA_OK) {
        ahost__log_route_free(routes);
        return lua_error(L);
    }
    err = install(L, routes);
    if (err == 0)
        return 0;
    ahost__log_route_free(routes);
    return luaL_error(L, "%s", ahost__code_message(err));
}

/* sinks.pattern_fault(pattern) -> the rest of it from where it is wrong | nil
 */
static int sinks_pattern_fault(lua_State *L) {
    lua_pushstring(L, ahost__log_pattern_fault(luaL_checkstring(L, 1)));
    return 1;
}

/* sinks.is_terminal([descriptor]) -> boolean */
static int sinks_is_terminal(lua_State *L) {
    lua_pushboolean(L, isatty((int)luaL_optinteger(L, 1, STDERR_FILENO)));
    return 1;
}

/* sinks.host_name() -> string */
static int sinks_host_name(lua_State *L) {
    char name[UV_MAXHOSTNAMESIZE];
    size_t size = sizeof(name);
    lua_pushstring(L, uv_os_gethostname(name, &size) == 0 ? name : "-");
    return 1;
}

static const luaL_Reg functions[] = {{"console", sinks_console},
                                     {"file", sinks_file},
                                     {"syslog", sinks_syslog},
                                     {"install", sinks_install},
                                     {"pattern_fault", sinks_pattern_fault},
                                     {"is_terminal", sinks_is_terminal},
                                     {"host_name", sinks_host_name},
                                     {NULL, NULL}};

int ahost__open_log_sinks(lua_State *L) {
    if (luaL_newmetatable(L, SINK_TYPE)) {
        lua_pushcfunction(L, box_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
