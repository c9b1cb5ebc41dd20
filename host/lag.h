/*
 * lag.h - the lag of the loop: how long each of its turns kept it from looking
 * at the world again.
 *
 * A turn lasts from the end of a poll to the beginning of the next, and holds
 * all that callbacks and tasks did. It is measured in real time, always: two
 * looks at the clock a turn.
 */
#ifndef AHOST_LAG_H
#define AHOST_LAG_H

#include <lua.h>
#include <stdint.h>
#include "ahost.h"

enum { AHOST__LAG_BOUNDS = 19 };

/* Times are nanoseconds of uv_hrtime(). */
typedef struct ahost__lag {
    uint64_t began; /* the turn that lasts; 0 during a poll */
    uint64_t
        turns[AHOST__LAG_BOUNDS + 1]; /* by length; the last: longer ones */
    uint64_t total;                   /* of all turns */
    uint64_t longest; /* since somebody asked for a new beginning */
} ahost__lag;

/* An event has come, after a poll or at the start. Cheap while a turn lasts. */
void ahost__lag_event(ahost *h);

/* The poll is over and its callbacks have run. */
void ahost__lag_polled(ahost *h);

/* The turn has ended: the next poll begins. */
void ahost__lag_turn_ended(ahost *h);

/* Pushes {turns=, total=, longest=, bounds={seconds...}, counts={...}}. */
void ahost__lag_push(lua_State *L, const ahost *h);

#endif
