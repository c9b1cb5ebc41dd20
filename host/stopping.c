/*
 * stopping.c - requests to end the host, by a process signal, by the program or
 * by host.stop. An application takes them itself, for it has things to do
 * before anything is cancelled; without one the root context is closed.
 */
#include <lauxlib.h>

#include "component.h"
#include "host.h"

#define STOPS_TYPE "ahost.component.stops"

struct ahost__stops {
    ahost__owned owned;
    ahost *host;
    ahost__link waiters;
    int seen; /* of the requests that the host has counted */
};

void ahost__request_stop(ahost *h) {
    h->stop_count++;
    if (h->stops == NULL)
        ahost__finish(h);
    else
        ahost__settle_all(&h->stops->waiters, 0);
}

static void close_stops(ahost__owned *owned) {
    ahost__stops *stops = ahost__container_of(owned, ahost__stops, owned);
    stops->host->stops = NULL;
    ahost__settle_all(&stops->waiters, AHOST__CLOSED);
}

static const ahost__owned_type owned_stops = {"requests to stop", 0,
                                              close_stops, 0};

/* runtime.stops(ctx) -> an object that takes the requests from now on until ctx
 * is closed, or nil when another application takes them */
int ahost__component_stops(lua_State *L) {
    ahost__context *ctx = ahost__check_context(L, 1);
    ahost *h = ctx->host;
    ahost__stops *stops;
    ahost__context_check_open(L, ctx, "stops");
    if (h->stops != NULL)
        return 0;
    stops = lua_newuserdatauv(L, sizeof(*stops), 0);
    *stops = (ahost__stops){.host = h, .seen = h->stop_count};
    ahost__list_init(&stops->waiters);
    luaL_setmetatable(L, STOPS_TYPE);
    ahost__own(ctx, &stops->owned, &owned_stops);
    h->stops = stops;
    return 1;
}

static ahost__stops *check_stops(lua_State *L) {
    return luaL_checkudata(L, 1, STOPS_TYPE);
}

static int finish_wait(lua_State *L, ahost__wait *w) {
    ahost__stops *stops = w->op;
    if (w->status != 0)
        return 0;
    stops->seen++;
    lua_pushboolean(L, 1);
    return 1;
}

static const ahost__wait_type request_wait = {"a request to stop", finish_wait,
                                              NULL};

/* stops:wait() -> true for each request, nothing when closed */
static int stops_wait(lua_State *L) {
    ahost__stops *stops = check_stops(L);
    ahost__wait *w = ahost__wait_begin(L, &request_wait, stops);
    if (stops->owned.ctx == NULL)
        ahost__settle(w, AHOST__CLOSED);
    else if (stops->seen < stops->host->stop_count)
        ahost__settle(w, 0);
    else
        ahost__list_append(&stops->waiters, &w->link);
    return ahost__await(L, w);
}

static int stops_close(lua_State *L) {
    ahost__stops *stops = check_stops(L);
    if (stops->owned.ctx == NULL)
        return 0;
    ahost__disown(&stops->owned);
    close_stops(&stops->owned);
    return 0;
}

static const luaL_Reg methods[] = {
    {"wait", stops_wait}, {"close", stops_close}, {NULL, NULL}};

static const luaL_Reg meta[] = {
    {"__gc", stops_close}, {"__close", stops_close}, {NULL, NULL}};

void ahost__open_stopping(lua_State *L) {
    luaL_newmetatable(L, STOPS_TYPE);
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
