/*
 * lag.c - measures how long the turns of the loop last.
 *
 * libuv calls what waits for input from within its poll, so the end of the poll
 * itself is seen by nobody: what counts is the first event that comes to us. A
 * callback of somebody else before it is noticed by the loop's own time, which
 * libuv takes when the poll ends, in whole milliseconds.
 */
#include "lag.h"

#include "host.h"

/* The longest of each class of turns, in microseconds. */
static const uint32_t bounds[AHOST__LAG_BOUNDS] = {
    10,     20,      50,      100,     200,     500,    1000,
    2000,   5000,    10000,   20000,   50000,   100000, 200000,
    500000, 1000000, 2000000, 5000000, 10000000};

static void count(ahost__lag *lag, uint64_t length) {
    int i = 0;
    while (i < AHOST__LAG_BOUNDS && length > bounds[i] * (uint64_t)1000)
        i++;
    lag->turns[i]++;
    lag->total += length;
    if (length > lag->longest)
        lag->longest = length;
}

void ahost__lag_event(ahost *h) {
    if (h->lag.began == 0)
        h->lag.began = uv_hrtime();
}

void ahost__lag_polled(ahost *h) {
    uint64_t latest = (uv_now(h->loop) + 1) * 1000000;
    ahost__lag_event(h);
    if (h->lag.began > latest)
        h->lag.began = latest;
}

void ahost__lag_turn_ended(ahost *h) {
    uint64_t now = uv_hrtime();
    if (h->lag.began != 0)
        count(&h->lag, now > h->lag.began ? now - h->lag.began : 0);
    h->lag.began = 0;
}

static void set_seconds(lua_State *L, const char *name, uint64_t time) {
    lua_pushnumber(L, (double)time / 1e9);
    lua_setfield(L, -2, name);
}

static lua_Integer push_counts(lua_State *L, const ahost__lag *lag) {
    uint64_t turns = 0;
    lua_createtable(L, AHOST__LAG_BOUNDS + 1, 0);
    for (int i = 0; i <= AHOST__LAG_BOUNDS; i++) {
        lua_pushinteger(L, (lua_Integer)lag->turns[i]);
        lua_rawseti(L, -2, i + 1);
        turns += lag->turns[i];
    }
    return (lua_Integer)turns;
}

void ahost__lag_push(lua_State *L, const ahost *h) {
    lua_createtable(L, 0, 5);
    lua_createtable(L, AHOST__LAG_BOUNDS, 0);
    for (int i = 0; i < AHOST__LAG_BOUNDS; i++) {
        lua_pushnumber(L, bounds[i] / 1e6);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "bounds");
    lua_pushinteger(L, push_counts(L, &h->lag));
    lua_setfield(L, -3, "turns");
    lua_setfield(L, -2, "counts");
    set_seconds(L, "total", h->lag.total);
    set_seconds(L, "longest", h->lag.longest);
}
