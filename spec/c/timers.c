/*
 * The heap of timers against a sorted model: random starts, moves and stops,
 * and then everything fires in the order of its deadline.
 */
#include "timers.h"

#include <assert.h>
#include <stdlib.h>

#include "host.h"

enum { TIMERS = 2000, STEPS = 100000 };

typedef struct model {
    ahost__timer timer;
    int armed;
} model;

static model models[TIMERS];
static ahost *the_host;
static int fired;

static void on_fire(ahost__timer *timer) {
    model *m = ahost__container_of(timer, model, timer);
    assert(m->armed && !ahost__timer_armed(timer));
    m->armed = 0;
    fired++;
}

/* The earliest of all armed timers by looking at each. */
static uint64_t earliest(void) {
    uint64_t due = UINT64_MAX;
    for (int i = 0; i < TIMERS; i++)
        if (models[i].armed && models[i].timer.due < due)
            due = models[i].timer.due;
    return due;
}

static void check_root(const ahost *h, int step) {
    if (step % 100 != 0)
        return;
    if (h->timers == NULL)
        assert(earliest() == UINT64_MAX);
    else
        assert(h->timers->due == earliest());
}

static void change_one(ahost *h) {
    model *m = &models[rand() % TIMERS];
    if (rand() % 3 == 0) {
        ahost__timer_stop(h, &m->timer);
        m->armed = 0;
    } else {
        ahost__timer_start(h, &m->timer, rand() % 1000 + 1000);
        m->armed = 1;
    }
    assert(ahost__timer_armed(&m->timer) == m->armed);
}

/* Stops the root until nothing is left: the order must be the sorted one. */
static void test_random_order(ahost *h) {
    uint64_t latest = 0;
    for (int step = 0; step < STEPS; step++) {
        change_one(h);
        check_root(h, step);
    }
    while (h->timers != NULL) {
        ahost__timer *first = h->timers;
        assert(first->due >= latest);
        latest = first->due;
        ahost__timer_stop(h, first);
        ahost__container_of(first, model, timer)->armed = 0;
    }
    assert(earliest() == UINT64_MAX);
}

/* Fires what is due, which starts others and stops others meanwhile. */
static void on_fire_and_change(ahost__timer *timer) {
    on_fire(timer);
    if (fired < 2 * TIMERS) {
        model *m = &models[rand() % TIMERS];
        ahost__timer_start(the_host, &m->timer, rand() % 10 / 1e4);
        m->armed = 1;
        m = &models[rand() % TIMERS];
        ahost__timer_stop(the_host, &m->timer);
        m->armed = 0;
    }
}

static void test_firing(ahost *h) {
    the_host = h;
    for (int i = 0; i < TIMERS; i++) {
        models[i].timer.fire = on_fire_and_change;
        models[i].armed = 1;
        ahost__timer_start(h, &models[i].timer, rand() % 100 / 1e4);
    }
    while (h->timers != NULL)
        uv_run(h->loop, UV_RUN_ONCE);
    assert(earliest() == UINT64_MAX && fired > TIMERS / 2);
}

/* Times that are no times at all are clamped. */
static void test_extremes(ahost *h) {
    static const double seconds[] = {0, -1, 1e-12, 1e300};
    ahost__timer *timer = &models[0].timer;
    for (int i = 0; i < 4; i++) {
        ahost__timer_start(h, timer, seconds[i]);
        assert(ahost__timer_armed(timer));
    }
    ahost__timer_stop(h, timer);
    ahost__timer_stop(h, timer);
    assert(h->timers == NULL);
}

int main(void) {
    ahost *h;
    srand(1);
    assert(ahost_open(&h, NULL) == AHOST_OK);
    test_random_order(h);
    test_firing(h);
    test_extremes(h);
    ahost_close(h);
    return 0;
}
