/*
 * timers.h - one-shot timers of a host: a pairing heap behind one uv_timer_t.
 *
 * The node is embedded in whatever has a deadline, so that starting a timer
 * takes no memory and cannot fail. Times are nanoseconds of uv_hrtime().
 */
#ifndef AHOST_TIMERS_H
#define AHOST_TIMERS_H

#include <stdint.h>
#include "ahost.h"

typedef struct ahost__timer {
    struct ahost__timer *child, *next,
        *prev;    /* prev: parent of a first child */
    uint64_t due; /* 0 while stopped */
    void (*fire)(struct ahost__timer *timer);
} ahost__timer;

int ahost__timers_open(ahost *h);

/* Arms a timer; `fire` runs on the loop once `seconds` have passed. An armed
 * timer is moved. Seconds are clamped to [0, some 100 years]. */
void ahost__timer_start(ahost *h, ahost__timer *timer, double seconds);

/* Does nothing when the timer is not armed. */
void ahost__timer_stop(ahost *h, ahost__timer *timer);

static inline int ahost__timer_armed(const ahost__timer *timer) {
    return timer->due != 0;
}

#endif
