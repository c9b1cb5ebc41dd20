/*
 * lua_module.c - ahost as a module of a Lua that is not ours: `require "ahost"`
 * in a stock interpreter.
 *
 * The host is attached to the state that the interpreter has made. It lives in
 * a userdata of it, so that it is there as long as any function of it, and it
 * is taken down by the finalizer of that userdata: of all that the module makes
 * it is marked first, hence finalized last. Tasks run in ahost.run only, which
 * turns the loop.
 */
#include <dlfcn.h>
#include <lauxlib.h>
#include <stdio.h>

#include "ahost_lua.h"
#include "host.h"
#include "modules.h"

static const char key; /* of the host's userdata in the registry */

/* There is no program that could be told: what failed is to be seen. */
static void write_record(void *unused, const ahost_record *record) {
    (void)unused;
    fprintf(stderr, "%s: %s\n", record->logger, record->text);
}

/* ---- ahost.run.loop ------------------------------------------------------ */

static int is_over(lua_State *L) {
    int state = ahost__task_handle_state(L, 1);
    return state == AHOST__TASK_DONE || state == AHOST__TASK_FAILED ||
           state == AHOST__TASK_CANCELLED;
}

/* Turns the loop until the task is over. False: nothing can wake it. */
static int run_until_over(lua_State *L, ahost *h) {
    ahost__ready_run(h);
    while (!is_over(L)) {
        h->lua_allowed = 0;
        uv_run(h->loop, UV_RUN_ONCE);
        h->lua_allowed = 1;
        if (!is_over(L) && !uv_loop_alive(h->loop) && h->ready_first == NULL &&
            ahost__list_empty(&h->jobs) && !ahost__posts_wait(h))
            return 0;
    }
    return 1;
}

/* loop.turn(task) -> whether it is over, as opposed to waiting for ever. Only
 * outside the host, which waits by itself. */
static int turn_loop(lua_State *L) {
    ahost *h = ahost__of(L);
    int over;
    ahost__task_handle_state(L, 1); /* is it one? */
    if (!h->attached || h->turning || h->current != NULL)
        return luaL_error(L, "the host is running already");
    h->turning = 1;
    over = run_until_over(L, h);
    h->turning = 0;
    h->lua_allowed = 1;
    lua_pushboolean(L, over);
    return 1;
}

/* loop.in_task() */
static int in_task(lua_State *L) {
    lua_pushboolean(L, ahost__of(L)->current != NULL);
    return 1;
}

static const luaL_Reg functions[] = {
    {"turn", turn_loop}, {"in_task", in_task}, {NULL, NULL}};

int ahost__open_run_loop(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}

/* ---- the module ---------------------------------------------------------- */

static int detach(lua_State *L) {
    ahost *h = lua_touserdata(L, 1);
    if (h->L != NULL)
        ahost__detach(h);
    h->L = NULL;
    return 0;
}

static lua_State *main_coroutine(lua_State *L) {
    lua_State *main;
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    main = lua_tothread(L, -1);
    lua_pop(L, 1);
    return main;
}

/* Coroutines take over whose they are from the main one when they are made; of
 * those that are there already this is the only one to be known. */
static void mark(lua_State *L, ahost *h) {
    *(ahost **)lua_getextraspace(main_coroutine(L)) = h;
    *(ahost **)lua_getextraspace(L) = h;
}

static void attach(lua_State *L) {
    ahost_options options = {.size = sizeof(options), .log = write_record};
    ahost *h = lua_newuserdatauv(L, sizeof(*h), 1);
    *h = (ahost){0};
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, detach);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    mark(L, h);
    h->L = lua_newthread(L);
    lua_setiuservalue(L, -2, 1);
    if (ahost__attach(h, &options) != AHOST_OK) {
        h->L = NULL;
        luaL_error(L, "ahost: not enough memory");
    }
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
}

/* ---- luaopen_ahost, luaopen_ahost_task and so on --------------------------
 */

/* Where in memory the library or program begins that has a function. */
static const void *home_of(const char *function) {
    Dl_info info;
    void *address = dlsym(RTLD_DEFAULT, function);
    return address != NULL && dladdr(address, &info) != 0 ? info.dli_fbase
                                                          : NULL;
}

/* Another Lua has not all the functions of 5.4: those would be called in the
 * library that this one is linked to, with a state that is not theirs. So the
 * error has to be raised by the function that the state knows. */
static void check_version(lua_State *L) {
    int (*raise)(lua_State *, const char *, ...);
    *(void **)&raise = dlsym(RTLD_DEFAULT, "luaL_error");
    if (raise != NULL && home_of("lua_newuserdatauv") != home_of("luaL_error"))
        raise(L, "ahost is a module for Lua 5.4, which this is not");
    luaL_checkversion(L);
}

/* Whichever module the interpreter has asked for first is in this library: from
 * then on the host finds them all. */
static int open_module(lua_State *L, const char *name) {
    check_version(L);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key) == LUA_TNIL)
        attach(L);
    lua_settop(L, 0);
    lua_getglobal(L, "require");
    lua_pushstring(L, name);
    lua_call(L, 1, 1);
    return 1;
}

#define NAMES(X)                                                               \
    X(ahost, "ahost")                                                          \
    X(ahost_bus, "ahost.bus")                                                  \
    X(ahost_busted, "ahost.busted")                                            \
    X(ahost_config, "ahost.config")                                            \
    X(ahost_context, "ahost.context")                                          \
    X(ahost_cron, "ahost.cron")                                                \
    X(ahost_error, "ahost.error")                                              \
    X(ahost_host, "ahost.host")                                                \
    X(ahost_json, "ahost.json")                                                \
    X(ahost_log, "ahost.log")                                                  \
    X(ahost_metrics, "ahost.metrics")                                          \
    X(ahost_net, "ahost.net")                                                  \
    X(ahost_options, "ahost.options")                                          \
    X(ahost_pdict, "ahost.pdict")                                              \
    X(ahost_process, "ahost.process")                                          \
    X(ahost_reference, "ahost.reference")                                      \
    X(ahost_run, "ahost.run")                                                  \
    X(ahost_signal, "ahost.signal")                                            \
    X(ahost_sync, "ahost.sync")                                                \
    X(ahost_task, "ahost.task")                                                \
    X(ahost_testing, "ahost.testing")                                          \
    X(ahost_time, "ahost.time")                                                \
    X(ahost_yaml, "ahost.yaml")

#define OPEN(symbol, name)                                                     \
    AHOST_API int luaopen_##symbol(lua_State *L);                              \
    int luaopen_##symbol(lua_State *L) {                                       \
        return open_module(L, name);                                           \
    }
NAMES(OPEN)
#undef OPEN
