/*
 * bus.h - buses: messages by name, for whoever has subscribed to them.
 */
#ifndef AHOST_BUS_H
#define AHOST_BUS_H

#include <lua.h>
#include "listeners.h"

/* One message of a bus with those who want it; there while there are any. */
typedef struct ahost__channel {
    ahost__listeners listeners;
    ahost__link taps;  /* of subscribers, oldest first */
    uint8_t collected; /* by Lua */
} ahost__channel;

/* Pushes a new bus; the module ahost.bus must have been opened. */
void ahost__push_bus(lua_State *L);

/* Pops `arguments` values, the name of a message and what goes with it, and
 * publishes them by the bus at `index`. To be called in a task or a job. Raises
 * only when memory is short. */
void ahost__bus_publish(lua_State *L, int index, int arguments);

/* Raises unless the value at `arg` is a bus. */
void ahost__check_bus(lua_State *L, int arg);

/* Pushes the channel of the message at `message` of the bus at `bus`, a new one
 * if need be. */
ahost__channel *ahost__push_channel(lua_State *L, int bus, int message);

/* Pushes a message with its arguments, from stack index `first` to `last`, as
 * one value, and pushes those again. Returns how many. */
void ahost__pack_message(lua_State *L, int first, int last);
int ahost__unpack_message(lua_State *L, int index);

/* ---- subscribers: bus_subscriber.c -------------------------------------- */

/* Gives the message, with its arguments from index 2 to `last`, to the
 * subscribers of a channel. */
void ahost__channel_tell(lua_State *L, ahost__channel *channel, int last);

/* bus:subscriber */
int ahost__bus_subscriber(lua_State *L);

void ahost__open_subscriber(lua_State *L);
int ahost__open_bus(lua_State *L);

#endif
