/*
 * event.c - events: flags that tasks wait for.
 */
#include "host.h"
#include "sync.h"

#define EVENT_TYPE "ahost.event"

typedef struct event {
    ahost__link waiters;
    int is_set;
} event;

static event *check_event(lua_State *L) {
    return ahost__sync_self(L, EVENT_TYPE);
}

/* event:set(): whoever waits now is woken, even if it is cleared at once */
static int event_set(lua_State *L) {
    event *e = check_event(L);
    e->is_set = 1;
    ahost__settle_all(&e->waiters, 0);
    return 0;
}

/* event:clear() */
static int event_clear(lua_State *L) {
    check_event(L)->is_set = 0;
    return 0;
}

/* event:is_set() -> boolean */
static int event_is_set(lua_State *L) {
    lua_pushboolean(L, check_event(L)->is_set);
    return 1;
}

static int finish_wait(lua_State *L, ahost__wait *w) {
    if (w->status != 0)
        return ahost__fail(L, w->status, "event:wait");
    lua_pushboolean(L, 1);
    return 1;
}

static const ahost__wait_type event_waiting = {"event:wait", finish_wait, NULL,
                                               1};

/* event:wait([timeout]) -> true | nil, err */
static int event_wait(lua_State *L) {
    event *e = check_event(L);
    double timeout = ahost__opt_timeout(L, 2);
    ahost__wait *w;
    if (e->is_set && !ahost__must_yield(L)) {
        lua_pushboolean(L, 1);
        return 1;
    }
    if (e->is_set)
        return ahost__sync_turn(L, &event_waiting);
    w = ahost__wait_begin(L, &event_waiting, e);
    ahost__wait_timeout(w, timeout);
    ahost__list_append(&e->waiters, &w->link);
    return ahost__await(L, w);
}

/* sync.event() -> event */
static int new_event(lua_State *L) {
    event *e = ahost__sync_new(L, sizeof(*e), 0);
    ahost__list_init(&e->waiters);
    return 1;
}

static const luaL_Reg methods[] = {{"set", event_set},
                                   {"clear", event_clear},
                                   {"is_set", event_is_set},
                                   {"wait", event_wait},
                                   {NULL, NULL}};

static const luaL_Reg meta[] = {{NULL, NULL}};

void ahost__open_event(lua_State *L) {
    ahost__sync_type(L, EVENT_TYPE, methods, meta);
    ahost__sync_constructor(L, "event", new_event);
}
