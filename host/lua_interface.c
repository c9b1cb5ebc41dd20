/*
 * lua_interface.c - ahost_lua.h: the await primitive for other people's C.
 */
#include "ahost_lua.h"

#include <lauxlib.h>

#include "host.h"

lua_State *ahost_lua(ahost *h) {
    return ahost__is_own_thread(h) ? h->L : NULL;
}

uv_loop_t *ahost_loop(ahost *h) {
    return ahost__is_own_thread(h) ? h->loop : NULL;
}

ahost *ahost_from_lua(lua_State *L) {
    return ahost__of(L);
}

typedef struct module {
    const char *name;
    lua_CFunction open;
} module;

/* (module) */
static int preload(lua_State *L) {
    const module *m = lua_touserdata(L, 1);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, m->open);
    lua_setfield(L, -2, m->name);
    return 0;
}

int ahost_preload(ahost *h, const char *name, lua_CFunction open) {
    module m = {name, open};
    int err = ahost__check(h, "ahost_preload", AHOST__GOING_ON);
    if (err != AHOST_OK)
        return err;
    if (name == NULL || open == NULL)
        return ahost__refuse(h, AHOST_MISUSE,
                             "ahost_preload: no name, or no function");
    return ahost__protect(h, preload, &m);
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
