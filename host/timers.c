/*
 * timers.c - one-shot timers of a host: a pairing heap behind one uv_timer_t.
 *
 * Insertion is a comparison and a few stores, which suits deadlines: most are
 * stopped long before they fire. A stopped earliest timer leaves the uv timer
 * armed; it finds nothing due then and arms itself anew, which is cheaper than
 * a re-arming at every stop.
 */
#include "timers.h"

#include "host.h"

static const double longest = 3.15e9; /* seconds, a hundred years */

/* Deadlines are equal when time is virtual. The number of starts wraps. */
static int is_earlier(const ahost__timer *a, const ahost__timer *b) {
    if (a->due != b->due)
        return a->due < b->due;
    return (int32_t)(a->order - b->order) < 0;
}

/* Makes the later of two heaps the first child of the other. */
static ahost__timer *meld(ahost__timer *a, ahost__timer *b) {
    if (a == NULL)
        return b;
    if (b == NULL)
        return a;
    if (is_earlier(b, a)) {
        ahost__timer *earlier = b;
        b = a;
        a = earlier;
    }
    b->prev = a;
    b->next = a->child;
    if (b->next != NULL)
        b->next->prev = b;
    a->child = b;
    return a;
}

/* Melds siblings pairwise, then the pairs from the last to the first. */
static ahost__timer *meld_siblings(ahost__timer *first) {
    ahost__timer *pairs = NULL, *heap = NULL;
    while (first != NULL) {
        ahost__timer *a = first, *b = a->next, *pair;
        first = b != NULL ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b != NULL)
            b->next = b->prev = NULL;
        pair = meld(a, b);
        pair->next = pairs;
        pairs = pair;
    }
    while (pairs != NULL) {
        ahost__timer *pair = pairs;
        pairs = pair->next;
        pair->next = NULL;
        heap = meld(heap, pair);
    }
    return heap;
}

static void unlink_timer(ahost *h, ahost__timer *timer) {
    ahost__timer *children = meld_siblings(timer->child);
    if (timer == h->timers) {
        h->timers = children;
    } else {
        if (timer->prev->child == timer)
            timer->prev->child = timer->next;
        else
            timer->prev->next = timer->next;
        if (timer->next != NULL)
            timer->next->prev = timer->prev;
        h->timers = meld(h->timers, children);
    }
    timer->child = timer->next = timer->prev = NULL;
    timer->due = 0;
}

static void on_clock(uv_timer_t *clock);

/* Points the uv timer at the earliest deadline. Both use the same clock but for
 * an offset, so an absolute time avoids the error of the loop's cached "now".
 */
static void arm(ahost *h) {
    uint64_t due, now;
    if (h->virtual_clock.now != 0) {
        ahost__virtual_clock_wake(h);
        return;
    }
    if (h->timers == NULL) {
        uv_timer_stop(&h->clock);
        return;
    }
    due = (h->timers->due - h->virtual_clock.offset + 999999) / 1000000;
    if (uv_is_active((uv_handle_t *)&h->clock) && h->clock_due <= due)
        return;
    now = uv_now(h->loop);
    h->clock_due = due;
    uv_timer_start(&h->clock, on_clock, due > now ? due - now : 0, 0);
}

static void on_clock(uv_timer_t *clock) {
    ahost *h = clock->data;
    ahost__timers_fire(h, ahost__now(h));
    ahost__ready_run(h);
}

void ahost__timers_fire(ahost *h, uint64_t now) {
    while (h->timers != NULL && h->timers->due <= now) {
        ahost__timer *timer = h->timers;
        unlink_timer(h, timer);
        timer->fire(timer);
    }
    arm(h);
}

void ahost__timers_rearm(ahost *h) {
    uv_timer_stop(&h->clock);
    arm(h);
}

void ahost__timer_start(ahost *h, ahost__timer *timer, double seconds) {
    if (timer->due != 0)
        unlink_timer(h, timer);
    timer->due = ahost__now(h);
    if (seconds >= longest)
        timer->due = AHOST__NEVER;
    else if (seconds > 0)
        timer->due += ahost__nanoseconds(seconds);
    timer->order = h->timer_starts++;
    h->timers = meld(h->timers, timer);
    if (h->timers == timer || h->virtual_clock.now != 0)
        arm(h);
}

void ahost__timer_stop(ahost *h, ahost__timer *timer) {
    if (timer->due == 0)
        return;
    unlink_timer(h, timer);
    if (h->timers == NULL)
        uv_timer_stop(&h->clock);
}

int ahost__timers_open(ahost *h) {
    h->clock.data = h;
    uv_timer_init(h->loop, &h->clock);
    return ahost__virtual_clock_open(h);
}
