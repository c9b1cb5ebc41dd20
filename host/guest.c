/*
 * guest.c - a host on a loop that the program runs: the host's own loop is
 * polled by it, through the descriptor of its backend.
 *
 * Each turn of the program's loop first asks the host how long it may sleep,
 * and afterwards, when there is anything to do, gives it a turn of its own.
 * The handles in the program's loop outlive the host by the turn that it takes
 * to close them.
 */
#include <stdlib.h>

#include "ahost_lua.h"
#include "host.h"

struct ahost__guest {
    ahost *host; /* NULL once it is closed */
    uv_poll_t poll;
    uv_timer_t timer;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle;
    int handles; /* that are not closed yet */
    int due;     /* the host has something to do */
    ahost_ended_function *ended;
    void *data;
};

static void on_readable(uv_poll_t *poll, int status, int events) {
    (void)status;
    (void)events;
    ((ahost__guest *)poll->data)->due = 1;
}

static void on_time(uv_timer_t *timer) {
    ((ahost__guest *)timer->data)->due = 1;
}

/* It only keeps the program's loop from sleeping. */
static void on_idle(uv_idle_t *idle) {
    (void)idle;
}

/* The program's loop is about to sleep: not for longer than the host may. */
static void on_prepare(uv_prepare_t *prepare) {
    ahost__guest *guest = prepare->data;
    int timeout = ahost_timeout(guest->host);
    uv_timer_stop(&guest->timer);
    uv_idle_stop(&guest->idle);
    if (timeout == 0)
        guest->due = 1;
    if (guest->due) {
        uv_idle_start(&guest->idle, on_idle);
    } else if (timeout > 0) {
        uv_update_time(prepare->loop);
        uv_timer_start(&guest->timer, on_time, (uint64_t)timeout, 0);
    }
}

/* Nothing of the host keeps the program's loop alive any more. */
static void rest(ahost__guest *guest) {
    uv_poll_stop(&guest->poll);
    uv_timer_stop(&guest->timer);
    uv_prepare_stop(&guest->prepare);
    uv_check_stop(&guest->check);
    uv_idle_stop(&guest->idle);
}

static void on_check(uv_check_t *check) {
    ahost__guest *guest = check->data;
    ahost *h = guest->host;
    if (!guest->due)
        return;
    guest->due = 0;
    if (h->inside > 0 || ahost__step(h, 0))
        return;
    rest(guest);
    if (guest->ended != NULL)
        guest->ended(h, guest->data, h->exit_status);
}

static void on_closed(uv_handle_t *handle) {
    ahost__guest *guest = handle->data;
    if (--guest->handles == 0)
        free(guest);
}

static void add_handle(ahost__guest *guest, uv_handle_t *handle) {
    handle->data = guest;
    guest->handles++;
}

/* 0 or a negative code of libuv. */
static int enter(ahost__guest *guest, uv_loop_t *loop) {
    int err =
        uv_poll_init(loop, &guest->poll, uv_backend_fd(guest->host->loop));
    if (err != 0)
        return err;
    add_handle(guest, (uv_handle_t *)&guest->poll);
    uv_timer_init(loop, &guest->timer);
    add_handle(guest, (uv_handle_t *)&guest->timer);
    uv_prepare_init(loop, &guest->prepare);
    add_handle(guest, (uv_handle_t *)&guest->prepare);
    uv_check_init(loop, &guest->check);
    add_handle(guest, (uv_handle_t *)&guest->check);
    uv_idle_init(loop, &guest->idle);
    add_handle(guest, (uv_handle_t *)&guest->idle);
    uv_prepare_start(&guest->prepare, on_prepare);
    uv_check_start(&guest->check, on_check);
    return uv_poll_start(&guest->poll, UV_READABLE, on_readable);
}

void ahost__guest_leave(ahost *h) {
    ahost__guest *guest = h->guest;
    h->guest = NULL;
    guest->host = NULL;
    if (guest->handles == 0) {
        free(guest);
        return;
    }
    rest(guest);
    uv_close((uv_handle_t *)&guest->poll, on_closed);
    uv_close((uv_handle_t *)&guest->timer, on_closed);
    uv_close((uv_handle_t *)&guest->prepare, on_closed);
    uv_close((uv_handle_t *)&guest->check, on_closed);
    uv_close((uv_handle_t *)&guest->idle, on_closed);
}

int ahost_open_on_loop(ahost **host, const ahost_options *options,
                       uv_loop_t *loop, ahost_ended_function *ended,
                       void *data) {
    ahost__guest *guest;
    int err;
    if (host == NULL)
        return AHOST_MISUSE;
    *host = NULL;
    if (loop == NULL)
        return AHOST_MISUSE;
    err = ahost_open(host, options);
    if (err != AHOST_OK)
        return err;
    guest = calloc(1, sizeof(*guest));
    if (guest != NULL) {
        guest->host = *host;
        guest->ended = ended;
        guest->data = data;
        (*host)->guest = guest;
        if (enter(guest, loop) == 0)
            return AHOST_OK;
    }
    ahost_close(*host);
    *host = NULL;
    return AHOST_NO_MEMORY;
}
