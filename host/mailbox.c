/*
 * mailbox.c - a bounded queue of Lua values and the tasks that wait for them.
 */
#include "mailbox.h"

#include <lauxlib.h>

#include "host.h"

enum { VALUES = 1 };

void ahost__mailbox_init(lua_State *L, ahost__mailbox *m, lua_Integer max) {
    ahost__list_init(&m->waiters);
    m->max = max;
    lua_newtable(L);
    lua_setiuservalue(L, -2, VALUES);
}

/* Appends the value, unless there is no room. */
static void put(lua_State *L, ahost__mailbox *m, int box, int item) {
    if (m->count == m->max) {
        m->dropped++;
        return;
    }
    lua_getiuservalue(L, box, VALUES);
    lua_pushvalue(L, item);
    lua_rawseti(L, -2, (m->first + m->count) % m->max + 1);
    lua_pop(L, 1);
    m->count++;
}

/* False when nobody waits, or memory is short. */
static int hand_over(lua_State *L, ahost__mailbox *m, int item) {
    ahost__wait *waiting = ahost__wait_first(&m->waiters);
    if (waiting == NULL)
        return 0;
    lua_pushvalue(L, item);
    if (!ahost__wait_value(L, waiting)) {
        lua_pop(L, 1);
        return 0;
    }
    waiting->value = 1;
    ahost__settle(waiting, 0);
    return 1;
}

void ahost__mailbox_deliver(lua_State *L, ahost__mailbox *m, int box,
                            int item) {
    if (!hand_over(L, m, item))
        put(L, m, box, item);
}

/* An empty ring starts from the beginning, so that one that never fills stays
 * small. */
void ahost__mailbox_take(lua_State *L, ahost__mailbox *m, int box) {
    lua_getiuservalue(L, box, VALUES);
    lua_rawgeti(L, -1, m->first + 1);
    lua_pushnil(L);
    lua_rawseti(L, -3, m->first + 1);
    lua_remove(L, -2);
    m->first = --m->count > 0 ? (m->first + 1) % m->max : 0;
}

void ahost__mailbox_clear(lua_State *L, ahost__mailbox *m, int box) {
    m->first = m->count = 0;
    lua_newtable(L);
    lua_setiuservalue(L, box, VALUES);
}

lua_Integer ahost__mailbox_opt_max(lua_State *L, int arg) {
    lua_Integer max = ahost__of(L)->defaults.events;
    if (lua_isnoneornil(L, arg))
        return max;
    luaL_checktype(L, arg, LUA_TTABLE);
    lua_getfield(L, arg, "max");
    if (!lua_isnil(L, -1)) {
        luaL_argcheck(L, lua_isinteger(L, -1), arg, "max must be an integer");
        max = lua_tointeger(L, -1);
    }
    luaL_argcheck(L, max > 0, arg, "max must be 1 or more");
    lua_pop(L, 1);
    return max;
}
