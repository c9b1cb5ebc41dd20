/*
 * virtual_clock.h - the clock of a host, which tests can take into their hands.
 *
 * All deadlines, sleeps and times of the host are read here. As a rule that is
 * the monotonic clock of the system; while a virtual clock is on, it is a time
 * that stands still while anybody has something to do, and then jumps.
 */
#ifndef AHOST_VIRTUAL_CLOCK_H
#define AHOST_VIRTUAL_CLOCK_H

#include <lua.h>
#include <stdint.h>
#include <uv.h>

#include "context.h"

typedef struct ahost__virtual_clock {
    uint64_t now;       /* nanoseconds; 0 while real time counts */
    uint64_t offset;    /* of the host's time from uv_hrtime(), else */
    uint64_t started;   /* `now` at the start */
    uint64_t target;    /* where an advance ends */
    double wall;        /* at the start */
    lua_Integer id;     /* of the last clock that was started */
    ahost__link waiter; /* the wait of an advance */
    ahost__owned owned; /* by the context that it ends with */
    uv_idle_t polling;  /* active while it has something to go to */
    uv_check_t polled;
    uint32_t activity; /* of the host, when last looked at */
    int patience;      /* milliseconds without input before a jump */
    uint8_t paused;    /* goes only when it is advanced */
} ahost__virtual_clock;

int ahost__virtual_clock_open(ahost *h);

/* Something has been given a deadline while the clock is on. */
void ahost__virtual_clock_wake(ahost *h);

/* Real time counts again, from where the clock stands. Harmless when none is
 * on. */
void ahost__virtual_clock_stop(ahost *h);

/* The host's time of day, in seconds since 1970. */
double ahost__wall(const ahost *h);

/* testing.clock([opts]) -> clock */
int ahost__testing_clock(lua_State *L);

/* The type of clocks. */
void ahost__open_clock(lua_State *L);

#endif
