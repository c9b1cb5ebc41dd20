/*
 * What it costs a program in C to have a host: each figure beside that of the
 * same with a bare Lua state, or bare libuv.
 *
 *     bench_embedding
 */
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "ahost.h"

enum { STATES = 500, CALLS = 300000, POSTS = 300000, LATENCIES = 20000 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void check(int ok, const char *what) {
    if (ok)
        return;
    fprintf(stderr, "%s failed\n", what);
    exit(1);
}

static void print_row(const char *what, double ours, double theirs,
                      const char *unit) {
    printf("%-28s %12.3f %12.3f %s   ratio %.2f\n", what, ours, theirs, unit,
           ours / theirs);
}

static ahost *open_host(int stay) {
    ahost_options options = {.size = sizeof(options), .stay = stay};
    ahost *h;
    check(ahost_open(&h, &options) == AHOST_OK, "ahost_open");
    return h;
}

static lua_State *open_state(void) {
    lua_State *L = luaL_newstate();
    check(L != NULL, "luaL_newstate");
    luaL_openlibs(L);
    return L;
}

/* ---- open and close --------------------------------------------------------
 */

static double resident(void) {
    long pages = 0, unused;
    FILE *file = fopen("/proc/self/statm", "r");
    check(file != NULL && fscanf(file, "%ld %ld", &unused, &pages) == 2,
          "statm");
    fclose(file);
    return (double)(pages * sysconf(_SC_PAGESIZE)) / 1024;
}

static void measure_opening(void) {
    double begun = now(), ours, theirs;
    for (int i = 0; i < STATES; i++)
        ahost_close(open_host(0));
    ours = (now() - begun) / STATES;
    begun = now();
    for (int i = 0; i < STATES; i++)
        lua_close(open_state());
    theirs = (now() - begun) / STATES;
    print_row("open and close", ours * 1e6, theirs * 1e6, "us");
}

static void measure_memory(void) {
    static ahost *hosts[100];
    static lua_State *states[100];
    double before = resident(), ours;
    for (int i = 0; i < 100; i++)
        hosts[i] = open_host(0);
    ours = (resident() - before) / 100;
    before = resident();
    for (int i = 0; i < 100; i++)
        states[i] = open_state();
    print_row("memory of an idle one", ours, (resident() - before) / 100,
              "KiB");
    for (int i = 0; i < 100; i++) {
        ahost_close(hosts[i]);
        lua_close(states[i]);
    }
}

/* ---- calls -----------------------------------------------------------------
 */

static const char function[] = "function add(n) return n + 1 end";

static double call_host(void) {
    ahost *h = open_host(1);
    ahost_value *arguments = ahost_make_list(), *result;
    double begun;
    ahost_list_add(arguments, ahost_make_integer(1));
    check(ahost_load_string(h, function, "=x") == AHOST_OK, "load");
    begun = now();
    for (int i = 0; i < CALLS; i++) {
        check(ahost_call(h, NULL, "add", arguments, -1, &result) == AHOST_OK,
              "ahost_call");
        ahost_value_free(result);
    }
    begun = now() - begun;
    ahost_value_free(arguments);
    ahost_close(h);
    return begun / CALLS;
}

/* A call by name in a coroutine of its own, which may yield. */
static double call_state(void) {
    lua_State *L = open_state();
    double begun;
    int results;
    check(luaL_dostring(L, function) == LUA_OK, "load");
    begun = now();
    for (int i = 0; i < CALLS; i++) {
        lua_State *co = lua_newthread(L);
        lua_getglobal(co, "add");
        lua_pushinteger(co, 1);
        check(lua_resume(co, L, 1, &results) == LUA_OK, "lua_resume");
        check(lua_tointeger(co, -1) == 2, "add");
        lua_pop(L, 1);
    }
    begun = now() - begun;
    lua_close(L);
    return begun / CALLS;
}

static int method(ahost_invocation *call, void *pointer) {
    int64_t n = ahost_value_integer(ahost_argument(call, 1, AHOST_INTEGER), 0);
    (void)pointer;
    return ahost_return(call, ahost_make_integer(n + 1));
}

static const ahost_method methods[] = {{"add", method}, {NULL, NULL}};
static const ahost_type type = {
    .size = sizeof(type), .name = "adder", .methods = methods};

static double call_method(void) {
    static int thing;
    ahost *h = open_host(1);
    double begun;
    check(ahost_publish(h, "adder", &thing, &type) == AHOST_OK, "publish");
    begun = now();
    check(ahost_load_string(h,
                            "local a = "
                            "require('ahost.context').current():get 'adder'\n"
                            "for i = 1, 300000 do a:add(i) end",
                            "=x") == AHOST_OK,
          "load");
    begun = now() - begun;
    ahost_close(h);
    return begun / CALLS;
}

static int l_add(lua_State *L) {
    luaL_checkudata(L, 1, "adder");
    lua_pushinteger(L, luaL_checkinteger(L, 2) + 1);
    return 1;
}

static double call_function(void) {
    lua_State *L = open_state();
    double begun;
    lua_newuserdatauv(L, 0, 0);
    luaL_newmetatable(L, "adder");
    lua_newtable(L);
    lua_pushcfunction(L, l_add);
    lua_setfield(L, -2, "add");
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_setglobal(L, "a");
    begun = now();
    check(luaL_dostring(L, "local a = a for i = 1, 300000 do a:add(i) end") ==
              LUA_OK,
          "loop");
    begun = now() - begun;
    lua_close(L);
    return begun / CALLS;
}

/* ---- posts -----------------------------------------------------------------
 */

static int arrived, echoed;
static ahost *receiver;

static void on_post(ahost *h, void *data) {
    (void)data;
    if (++arrived == POSTS)
        ahost_stop(h);
}

static void *post_all(void *unused) {
    for (int i = 0; i < POSTS; i++)
        while (ahost_post(receiver, on_post, NULL, NULL) == AHOST_FULL)
            usleep(10);
    return unused;
}

static double measure_posts(void) {
    pthread_t thread;
    double begun = now();
    receiver = open_host(1);
    arrived = 0;
    pthread_create(&thread, NULL, post_all, NULL);
    ahost_run(receiver);
    begun = now() - begun;
    pthread_join(thread, NULL);
    ahost_close(receiver);
    return POSTS / begun;
}

static void on_ping(ahost *h, void *data) {
    (void)h;
    (void)data;
    __atomic_add_fetch(&echoed, 1, __ATOMIC_SEQ_CST);
}

static void *ping(void *unused) {
    for (int i = 0; i < LATENCIES; i++) {
        ahost_post(receiver, on_ping, NULL, NULL);
        while (__atomic_load_n(&echoed, __ATOMIC_SEQ_CST) == i)
            continue;
    }
    ahost_stop(receiver);
    return unused;
}

static double measure_latency(void) {
    pthread_t thread;
    double begun = now();
    receiver = open_host(1);
    echoed = 0;
    pthread_create(&thread, NULL, ping, NULL);
    ahost_run(receiver);
    begun = now() - begun;
    pthread_join(thread, NULL);
    ahost_close(receiver);
    return begun / LATENCIES;
}

/* The same by uv_async_send alone. */
static uv_async_t bare;

static void on_bare(uv_async_t *async) {
    if (__atomic_add_fetch(&echoed, 1, __ATOMIC_SEQ_CST) == LATENCIES)
        uv_close((uv_handle_t *)async, NULL);
}

static void *ping_bare(void *unused) {
    for (int i = 0; i < LATENCIES; i++) {
        uv_async_send(&bare);
        while (__atomic_load_n(&echoed, __ATOMIC_SEQ_CST) == i)
            continue;
    }
    return unused;
}

static double measure_bare_latency(void) {
    pthread_t thread;
    uv_loop_t loop;
    double begun = now();
    uv_loop_init(&loop);
    uv_async_init(&loop, &bare, on_bare);
    echoed = 0;
    pthread_create(&thread, NULL, ping_bare, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    begun = now() - begun;
    pthread_join(thread, NULL);
    uv_loop_close(&loop);
    return begun / LATENCIES;
}

int main(void) {
    printf("%-28s %12s %12s\n", "", "host", "bare");
    measure_memory();
    measure_opening();
    print_row("call of a Lua function", call_host() * 1e9, call_state() * 1e9,
              "ns");
    print_row("call of a C method", call_method() * 1e9, call_function() * 1e9,
              "ns");
    print_row("post, there", measure_latency() * 1e6,
              measure_bare_latency() * 1e6, "us");
    printf("%-28s %12.0f /s\n", "posts of one thread", measure_posts());
    return 0;
}
