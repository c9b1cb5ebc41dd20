/*
 * process.c - the module ahost.process.core: what a script may know of the
 * process that it runs in, and change about it.
 */
#include "process.h"

#include <lauxlib.h>
#include <string.h>
#include <unistd.h>

#include "modules.h"
#include "stream.h"
#include "subprocess.h"

enum { MOST_TEXT = 65536 }; /* bytes of a path or a title */

/* ---- functions ---------------------------------------------------------- */

static lua_Number seconds(const uv_timeval_t *time) {
    return (lua_Number)time->tv_sec + (lua_Number)time->tv_usec / 1e6;
}

/* process.cpu() -> {user=, system=} | nil, err */
static int process_cpu(lua_State *L) {
    uv_rusage_t usage;
    int err = uv_getrusage(&usage);
    if (err != 0)
        return ahost__fail(L, err, "cpu");
    lua_createtable(L, 0, 2);
    lua_pushnumber(L, seconds(&usage.ru_utime));
    lua_setfield(L, -2, "user");
    lua_pushnumber(L, seconds(&usage.ru_stime));
    lua_setfield(L, -2, "system");
    return 1;
}

/* process.memory() -> {rss=, peak=} | nil, err */
static int process_memory(lua_State *L) {
    uv_rusage_t usage;
    size_t rss;
    int err = uv_resident_set_memory(&rss);
    if (err == 0)
        err = uv_getrusage(&usage);
    if (err != 0)
        return ahost__fail(L, err, "memory");
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, (lua_Integer)rss);
    lua_setfield(L, -2, "rss");
    lua_pushinteger(L, (lua_Integer)usage.ru_maxrss * 1024);
    lua_setfield(L, -2, "peak");
    return 1;
}

typedef int text_function(char *buffer, size_t *size);

/* -> string | nil, err */
static int push_text(lua_State *L, text_function *get, const char *op) {
    size_t size = 256;
    for (;;) {
        luaL_Buffer text;
        char *buffer = luaL_buffinitsize(L, &text, size);
        size_t length = size;
        int err = get(buffer, &length);
        if (err == 0) {
            luaL_pushresultsize(&text, length);
            return 1;
        }
        luaL_pushresultsize(&text, 0);
        if (err != UV_ENOBUFS || size >= MOST_TEXT)
            return ahost__fail(L, err, op);
        size *= 2;
    }
}

/* process.cwd() -> path | nil, err */
static int process_cwd(lua_State *L) {
    return push_text(L, uv_cwd, "cwd");
}

/* process.hostname() -> name | nil, err */
static int process_hostname(lua_State *L) {
    return push_text(L, uv_os_gethostname, "hostname");
}

/* process.chdir(path) -> true | nil, err */
static int process_chdir(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    int err = uv_chdir(path);
    if (err != 0)
        return ahost__fail(L, err, "chdir %s", path);
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- fields ------------------------------------------------------------- */

static int get_title(char *buffer, size_t *size) {
    int err = uv_get_process_title(buffer, *size);
    if (err == 0)
        *size = strlen(buffer);
    return err;
}

/* An embedding program that has not called uv_setup_args() has no title. */
static int title_get(lua_State *L) {
    if (push_text(L, get_title, "title") == 1)
        return 1;
    lua_pushnil(L);
    return 1;
}

static void title_set(lua_State *L) {
    int err;
    if (lua_type(L, 3) != LUA_TSTRING)
        luaL_error(L, "a title is a string, not a %s", luaL_typename(L, 3));
    err = uv_set_process_title(lua_tostring(L, 3));
    if (err != 0)
        ahost__raise(L, err, "this program does not let its title be set");
}

static int pid_get(lua_State *L) {
    lua_pushinteger(L, getpid());
    return 1;
}

static int ppid_get(lua_State *L) {
    lua_pushinteger(L, getppid());
    return 1;
}

static int stdin_get(lua_State *L) {
    return ahost__push_standard(L, STDIN_FILENO);
}

static int stdout_get(lua_State *L) {
    return ahost__push_standard(L, STDOUT_FILENO);
}

static int stderr_get(lua_State *L) {
    return ahost__push_standard(L, STDERR_FILENO);
}

/* Fields that are looked up each time. */
static const struct {
    const char *name;
    int (*get)(lua_State *L);
    void (*set)(lua_State *L); /* NULL: cannot be set */
} fields[] = {{"pid", pid_get, NULL},       {"ppid", ppid_get, NULL},
              {"stdin", stdin_get, NULL},   {"stdout", stdout_get, NULL},
              {"stderr", stderr_get, NULL}, {"title", title_get, title_set}};

enum { FIELDS = sizeof(fields) / sizeof(fields[0]) };

/* The place in `fields` of the name at index 2, or -1. */
static int find_field(lua_State *L) {
    if (lua_type(L, 2) == LUA_TSTRING)
        for (int i = 0; i < FIELDS; i++)
            if (strcmp(lua_tostring(L, 2), fields[i].name) == 0)
                return i;
    return -1;
}

static int process_index(lua_State *L) {
    int i = find_field(L);
    return i >= 0 ? fields[i].get(L) : 0;
}

static int process_newindex(lua_State *L) {
    int i = find_field(L);
    if (i < 0) {
        lua_rawset(L, 1);
        return 0;
    }
    if (fields[i].set == NULL)
        return luaL_error(L, "process.%s cannot be set", fields[i].name);
    fields[i].set(L);
    return 0;
}

static const luaL_Reg functions[] = {{"signal", ahost__process_signal},
                                     {"cpu", process_cpu},
                                     {"memory", process_memory},
                                     {"cwd", process_cwd},
                                     {"chdir", process_chdir},
                                     {"hostname", process_hostname},
                                     {"spawn", ahost__process_spawn},
                                     {"descriptor", ahost__process_descriptor},
                                     {"user", ahost__process_user},
                                     {"group", ahost__process_group},
                                     {NULL, NULL}};

static const luaL_Reg meta[] = {
    {"__index", process_index}, {"__newindex", process_newindex}, {NULL, NULL}};

int ahost__open_process(lua_State *L) {
    luaL_requiref(L, "ahost.signal", ahost__open_signal, 0);
    lua_pop(L, 1);
    ahost__open_stream(L);
    ahost__open_child(L);
    luaL_newlib(L, functions);
    ahost__push_environment(L);
    lua_setfield(L, -2, "env");
    luaL_newlib(L, meta);
    lua_setmetatable(L, -2);
    return 1;
}
