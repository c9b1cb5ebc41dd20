/*
 * lua_interface.c - ahost_lua.h: the await primitive for other people's C.
 */
#include "ahost_lua.h"

#include <lauxlib.h>

#include "host.h"

lua_State *ahost_lua(ahost *h) {
    return h->L;
}

uv_loop_t *ahost_loop(ahost *h) {
    return h->loop;
}

ahost *ahost_from_lua(lua_State *L) {
    return ahost__of(L);
}

/* (name, function) as light userdata */
static int preload(lua_State *L) {
    const char *name = lua_touserdata(L, 1);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushvalue(L, 2);
    lua_setfield(L, -2, name);
    return 0;
}

int ahost_preload(ahost *h, const char *name, lua_CFunction open) {
    lua_State *L;
    int err;
    if (h == NULL || name == NULL || open == NULL)
        return AHOST_MISUSE;
    L = h->L;
    lua_pushcfunction(L, preload);
    lua_pushlightuserdata(L, (void *)(uintptr_t)name);
    lua_pushcfunction(L, open);
    err = lua_pcall(L, 2, 0, 0);
    if (err != LUA_OK)
        lua_pop(L, 1);
    return err == LUA_OK ? AHOST_OK : AHOST_NO_MEMORY;
}

/* ---- waiting ------------------------------------------------------------ */

static const ahost_operation *operation_of(const ahost__wait *w) {
    return (const ahost_operation *)(uintptr_t)w->value;
}

static int finish(lua_State *L, ahost__wait *w) {
    return operation_of(w)->finish(L, w->op, w->status);
}

static void cancel(ahost__wait *w) {
    if (operation_of(w)->cancel != NULL)
        operation_of(w)->cancel(w->op);
}

static const ahost__wait_type program_wait = {"a function of the program",
                                              finish, cancel};

void ahost_wait_begin(lua_State *L, const ahost_operation *operation,
                      void *data, ahost_ticket *ticket) {
    ahost__wait *w = ahost__wait_begin(L, &program_wait, data);
    w->value = (int64_t)(uintptr_t)operation;
    ticket->wait = w;
    ticket->sequence = w->sequence;
}

int ahost_await(lua_State *L, const ahost_ticket *ticket, double timeout) {
    ahost__wait *w = ticket->wait;
    ahost__wait_timeout(w, timeout);
    return ahost__await(L, w);
}

void ahost_settle(const ahost_ticket *ticket, int status) {
    ahost__wait *w = ticket->wait;
    if (w == NULL || w->sequence != ticket->sequence)
        return;
    ahost__settle(w, status);
    ahost__ready_soon(ahost__wait_task(w)->host);
}
