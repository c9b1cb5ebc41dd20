/*
 * primes.c - a component in C: it publishes a function that counts primes in
 * a thread of libuv's pool, while the task that called it waits.
 */
#include <ahost_lua.h>
#include <lauxlib.h>
#include <stdlib.h>

/* One count. It belongs to the pool until on_counted, then to its task. */
struct count {
    uv_work_t work;
    ahost_ticket ticket; /* stands for the wait of the task */
    lua_Integer limit, found;
    int cancelled; /* the task waits no more */
};

/* ---- in a thread of the pool: neither Lua nor ahost -------------------- */

static int is_prime(lua_Integer n) {
    if (n < 2)
        return 0;
    for (lua_Integer d = 2; d <= n / d; d++)
        if (n % d == 0)
            return 0;
    return 1;
}

static void count_primes(uv_work_t *work) {
    struct count *c = work->data;
    for (lua_Integer n = 2; n <= c->limit; n++)
        c->found += is_prime(n);
}

/* ---- in the host's thread ---------------------------------------------- */

/* libuv's callback: ends the wait. */
static void on_counted(uv_work_t *work, int status) {
    struct count *c = work->data;
    if (c->cancelled)
        free(c);
    else
        ahost_settle(&c->ticket, status);
}

/* The task has been cancelled: a count that has not begun never does. */
static void cancel(void *data) {
    struct count *c = data;
    c->cancelled = 1;
    uv_cancel((uv_req_t *)&c->work);
}

/* The wait is over, in the task: -> number | nil, message */
static int finish(lua_State *L, void *data, int status) {
    struct count *c = data;
    lua_Integer found = c->found;
    if (status == AHOST_TIMED_OUT) {
        luaL_pushfail(L);
        lua_pushliteral(L, "counting takes too long");
        return 2; /* it goes on, and `cancel` has been called: not ours */
    }
    free(c);
    lua_pushinteger(L, found);
    return 1;
}

static const ahost_operation counting = {"counting primes", finish, cancel};

/* count(limit [, timeout]); upvalue: the greatest limit */
static int count(lua_State *L) {
    lua_Integer limit = luaL_checkinteger(L, 1);
    lua_Number timeout = luaL_optnumber(L, 2, -1);
    uv_loop_t *loop = ahost_loop(ahost_from_lua(L));
    struct count *c;
    ahost_ticket ticket;
    luaL_argcheck(L, limit <= lua_tointeger(L, lua_upvalueindex(1)), 1,
                  "above the component's max");
    c = calloc(1, sizeof(*c));
    if (c == NULL)
        return luaL_error(L, "not enough memory");
    c->work.data = c;
    c->limit = limit;
    ahost_wait_begin(L, &counting, c, &c->ticket);
    ticket = c->ticket;
    uv_queue_work(loop, &c->work, count_primes, on_counted);
    return ahost_await(L, &ticket, timeout);
}

/* ---- the component ------------------------------------------------------ */

/* start(self, ctx): ctx:publish("primes.count", count) */
static int start(lua_State *L) {
    lua_getfield(L, 2, "publish");
    lua_pushvalue(L, 2);
    lua_pushliteral(L, "primes.count");
    lua_getfield(L, 1, "config");
    lua_getfield(L, -1, "max");
    lua_remove(L, -2);
    lua_pushcclosure(L, count, 1);
    lua_call(L, 3, 0);
    return 0;
}

/* -> options, in which `max` is checked before `start` is called */
static const char options[] =
    "return {max = {type = 'integer', default = 1000000, min = 2,"
    "               doc = 'the greatest number that may be counted to'}}";

int luaopen_primes(lua_State *L);

int luaopen_primes(lua_State *L) {
    lua_newtable(L);
    lua_pushcfunction(L, start);
    lua_setfield(L, -2, "start");
    if (luaL_dostring(L, options) != LUA_OK)
        return lua_error(L);
    lua_setfield(L, -2, "options");
    return 1;
}
