/*
 * mailbox.h - a bounded queue of Lua values and the tasks that wait for them:
 * what iterators of events and subscribers of buses have in common.
 */
#ifndef AHOST_MAILBOX_H
#define AHOST_MAILBOX_H

#include <lua.h>
#include "list.h"

/* Embedded in a userdata whose first user value is the table of the values. */
typedef struct ahost__mailbox {
    ahost__link waiters;
    lua_Integer max, first, count; /* of the ring; first is from 0 */
    lua_Integer dropped;           /* values that came when it was full */
} ahost__mailbox;

/* The mailbox of the userdata on the top. */
void ahost__mailbox_init(lua_State *L, ahost__mailbox *m, lua_Integer max);

/* Hands the value at `item` to the task that has waited longest, whose wait has
 * `value` 1 then, or appends it; counts it as dropped when there is no room.
 * `box` is the index of the userdata. */
void ahost__mailbox_deliver(lua_State *L, ahost__mailbox *m, int box, int item);

/* Pushes the oldest value and takes it off; there is one. */
void ahost__mailbox_take(lua_State *L, ahost__mailbox *m, int box);

/* Forgets all values. */
void ahost__mailbox_clear(lua_State *L, ahost__mailbox *m, int box);

/* Field `max` of the table at `arg` (none or nil: the host's); raises unless
 * it is a positive integer. */
lua_Integer ahost__mailbox_opt_max(lua_State *L, int arg);

#endif
