/*
 * The reference for the row `thread_call`: COUNT calls of a Lua function in a
 * thread, one after the other, in plain C on libuv.
 *
 *     bench_thread_call [COUNT]
 *
 * One Lua state, whose function is loaded once; uv_queue_work takes a number to
 * it and brings its result back. Nothing is copied but the number, nothing is
 * protected but the call.
 */
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

struct call {
    uv_work_t work;
    lua_State *L;
    uv_loop_t *loop;
    lua_Integer argument, result;
    long left;
};

static void start(struct call *call);

static void on_work(uv_work_t *work) {
    struct call *call = work->data;
    lua_pushvalue(call->L, 1);
    lua_pushinteger(call->L, call->argument);
    if (lua_pcall(call->L, 1, 1, 0) != LUA_OK)
        abort();
    call->result = lua_tointeger(call->L, -1);
    lua_pop(call->L, 1);
}

static void on_done(uv_work_t *work, int status) {
    struct call *call = work->data;
    if (status != 0 || call->result != call->argument + 1)
        abort();
    call->argument++;
    if (--call->left > 0)
        start(call);
}

static void start(struct call *call) {
    call->work.data = call;
    if (uv_queue_work(call->loop, &call->work, on_work, on_done) != 0)
        abort();
}

static void run(struct call *call, long count) {
    call->left = count;
    start(call);
    uv_run(call->loop, UV_RUN_DEFAULT);
}

int main(int argc, char **argv) {
    long count = argc > 1 ? strtol(argv[1], NULL, 10) : 100000;
    struct call call = {.L = luaL_newstate()};
    uv_loop_t loop;
    uint64_t began;
    if (call.L == NULL || count <= 0 || uv_loop_init(&loop) != 0 ||
        luaL_dostring(call.L, "return function(n) return n + 1 end"))
        return 1;
    call.loop = &loop;
    run(&call, count / 10 + 1);
    began = uv_hrtime();
    run(&call, count);
    printf("operations=%ld\nseconds=%.6f\n", count,
           (double)(uv_hrtime() - began) / 1e9);
    lua_close(call.L);
    return uv_loop_close(&loop) == 0 ? 0 : 1;
}
