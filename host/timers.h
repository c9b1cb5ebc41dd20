/*
 * timers.h - one-shot timers of a host: a pairing heap behind one uv_timer_t.
 *
 * The node is embedded in whatever has a deadline, so that starting a timer
 * takes no memory and cannot fail. Times are nanoseconds of ahost__now().
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
    uint32_t order; /* of the start, among those due at the same time */
} ahost__timer;

/* The deadline of what never comes, though it keeps the loop alive. */
#define AHOST__NEVER (UINT64_MAX / 2)

int ahost__timers_open(ahost *h);

/* Seconds, which are positive and less than a hundred years, in nanoseconds:
 * rounded up but for the error of the number, and never to nothing. */
static inline uint64_t ahost__nanoseconds(double seconds) {
    double exact = seconds * 1e9;
    uint64_t whole = (uint64_t)exact;
    return whole + (exact - (double)whole > 1e-3 || whole == 0);
}

/* Arms a timer; `fire` runs on the loop once `seconds` have passed. An armed
 * timer is moved. Less than 0 seconds are 0, a hundred years are never. */
void ahost__timer_start(ahost *h, ahost__timer *timer, double seconds);

/* Does nothing when the timer is not armed. */
void ahost__timer_stop(ahost *h, ahost__timer *timer);

/* Fires what is due at `now`, in the order of deadlines, then of starts. */
void ahost__timers_fire(ahost *h, uint64_t now);

/* Another clock goes with the deadlines from now on. */
void ahost__timers_rearm(ahost *h);

static inline int ahost__timer_armed(const ahost__timer *timer) {
    return timer->due != 0;
}

#endif
