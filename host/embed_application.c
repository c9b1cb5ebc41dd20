/*
 * embed_application.c - ahost.embedding.host: the application of the host, as
 * the program's functions find it.
 */
#include <lauxlib.h>

#include "component.h"
#include "embed.h"
#include "host.h"

static void on_end(ahost__owned *owned) {
    ahost *h = ahost__container_of(owned, ahost, application_end);
    h->application = NULL;
}

static const ahost__owned_type owned_end = {"application of the program", 0,
                                            on_end, 0};

/* core.opened(ctx, bus): an application has been opened; with several at once
 * (as in tests) the latest counts. */
static int opened(lua_State *L) {
    ahost__context *ctx = ahost__check_context(L, 1);
    ahost *h = ctx->host;
    ahost__context_check_open(L, ctx, "opened");
    ahost__disown(&h->application_end);
    h->application = ctx;
    ahost__own(ctx, &h->application_end, &owned_end);
    ahost__attach_connections(L, 2);
    return 0;
}

/* core.application() -> ctx of the application, or nil */
static int application(lua_State *L) {
    const ahost *h = ahost__of(L);
    if (h->application == NULL)
        return 0;
    ahost__push_context(L, h->application);
    return 1;
}

/* core.refuse(message) -> whether the program hears of it: what it loads, in
 * the task that calls, is wrong */
static int refuse(lua_State *L) {
    ahost *h = ahost__of(L);
    const char *message = luaL_checkstring(L, 1);
    int hears = h->loading != NULL && h->loading == h->current;
    if (hears)
        ahost__load_failed(h, AHOST_CONFIG, message);
    lua_pushboolean(L, hears);
    return 1;
}

static const luaL_Reg functions[] = {
    {"opened", opened},
    {"application", application},
    {"refuse", refuse},
    {"registered", ahost__component_registered},
    {NULL, NULL}};

int ahost__open_embedding(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
