/*
 * running.c - running a host: to its end, in steps, or by a main loop of the
 * program's.
 */
#include "embed.h"
#include "host.h"

/* ---- turns -------------------------------------------------------------- */

/* The loop has nothing to wait for: then what is posted is still to be done,
 * and tasks that are left wait for nothing. */
static int go_on_without_loop(ahost *h) {
    if (!ahost__posts_wait(h)) {
        if (h->finishing) { /* even the closing waits for nothing */
            h->stuck = 1;
            return 0;
        }
        ahost__job_post(h, &h->stuck_job);
    }
    ahost__ready_run(h);
    return !h->finished;
}

static void on_step_over(uv_timer_t *timer) {
    (void)timer;
}

static void turn(ahost *h, int milliseconds) {
    h->lua_allowed = 0;
    h->inside++;
    if (milliseconds > 0) {
        uv_update_time(h->loop);
        uv_timer_start(&h->step, on_step_over, (uint64_t)milliseconds, 0);
    }
    uv_run(h->loop, milliseconds == 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
    uv_timer_stop(&h->step);
    h->inside--;
    h->lua_allowed = 1;
}

static int go_on(ahost *h) {
    if (h->finished)
        return 0;
    return uv_loop_alive(h->loop) || go_on_without_loop(h);
}

int ahost__turn(ahost *h, int milliseconds) {
    turn(h, milliseconds);
    return go_on(h);
}

int ahost__turn_to_wait(ahost *h, int milliseconds) {
    if (!uv_loop_alive(h->loop)) {
        if (!ahost__posts_wait(h))
            return 0;
        ahost__ready_soon(h);
    }
    turn(h, milliseconds);
    return !h->finished;
}

void ahost__watch_runs(ahost *h) {
    if (h->watched)
        return;
    h->watched = 1;
    if (ahost__watchdog_set(h) != 0)
        ahost__log(h, AHOST_LOG_WARNING, "ahost.watchdog",
                   "there is no thread to be had: stalls are not noticed");
}

/* From now on the host ends when nothing is left to do. Whether this is the
 * first time, and what was ready has run. */
static int begin(ahost *h) {
    if (h->running)
        return 0;
    h->running = 1;
    ahost__watch_runs(h);
    h->inside++;
    ahost__ready_run(h);
    h->inside--;
    return 1;
}

/* ---- running to the end ------------------------------------------------- */

void ahost__run_to_the_end(ahost *h) {
    h->inside++;
    ahost__ready_run(h);
    while (!h->finished && !h->stuck) {
        h->lua_allowed = 0;
        uv_run(h->loop, UV_RUN_DEFAULT);
        h->lua_allowed = 1;
        if (!go_on(h))
            break;
    }
    h->lua_allowed = 1;
    h->inside--;
}

void ahost__tell_ended(ahost *h) {
    ahost__calls_end(h);
    ahost__posts_close(h);
}

static int refuse_foreign(ahost *h, const char *function) {
    return ahost__refuse(
        h, AHOST_MISUSE,
        "%s: this host runs on the program's own loop: run that", function);
}

int ahost_run(ahost *h) {
    int err = ahost__check(h, "ahost_run", AHOST__OUTSIDE);
    if (err != AHOST_OK)
        return err;
    if (h->guest != NULL)
        return refuse_foreign(h, "ahost_run");
    if (!ahost_has_ended(h)) {
        begin(h);
        ahost__run_to_the_end(h);
        ahost__tell_ended(h);
    }
    return h->exit_status;
}

/* ---- steps -------------------------------------------------------------- */

int ahost__step(ahost *h, int milliseconds) {
    if (ahost_has_ended(h))
        return 0;
    if (begin(h))
        milliseconds = 0; /* something has happened */
    if (!h->finished && ahost__turn(h, milliseconds))
        return 1;
    ahost__tell_ended(h);
    return 0;
}

int ahost_step(ahost *h, int milliseconds) {
    int err = ahost__check(h, "ahost_step", AHOST__OUTSIDE);
    if (err != AHOST_OK)
        return err;
    if (h->guest != NULL)
        return refuse_foreign(h, "ahost_step");
    return ahost__step(h, milliseconds);
}

int ahost_fd(ahost *h) {
    int err = ahost__check(h, "ahost_fd", 0);
    return err != AHOST_OK ? err : uv_backend_fd(h->loop);
}

/* A loop that is not alive says 0: there is something to be done about it. */
int ahost_timeout(ahost *h) {
    if (ahost__check(h, "ahost_timeout", 0) != AHOST_OK || ahost_has_ended(h) ||
        !h->running)
        return 0;
    uv_update_time(h->loop);
    return uv_backend_timeout(h->loop);
}
