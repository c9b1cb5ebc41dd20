/*
 * virtual_clock.c - time that jumps to the next deadline when everybody waits.
 *
 * While the clock has somewhere to go it keeps the loop turning without sleep,
 * and looks after each poll whether the host is at rest: no task is ready, a
 * whole turn brought no event, no thread is at work for the loop and no child
 * process runs. Then it waits for input for a moment of real time, if there is
 * anything that input could come from, and if none comes it jumps.
 */
#include "virtual_clock.h"

#include <lauxlib.h>
#include <math.h>
#include <poll.h>
#include <time.h>

#include "host.h"
#include "pool.h"
#include "testing.h"
#include "thread.h"

#define CLOCK_TYPE "ahost.clock"

static const double nanoseconds = 1e9;
static const double default_patience = 0.001; /* seconds */

double ahost__wall(const ahost *h) {
    const ahost__virtual_clock *c = &h->virtual_clock;
    struct timespec now;
    if (c->now != 0)
        return c->wall + (double)(c->now - c->started) / nanoseconds;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / nanoseconds;
}

/* ---- where to go -------------------------------------------------------- */

static int is_advancing(const ahost__virtual_clock *c) {
    return !ahost__list_empty(&c->waiter);
}

/* A paused clock goes all the same when its context ends, which may take until
 * stop_timeout and has nobody to advance the clock. */
static int is_paused(const ahost__virtual_clock *c) {
    return c->paused && c->owned.ctx->state == AHOST__CONTEXT_OPEN;
}

/* The latest time that the clock may jump to now. */
static uint64_t horizon(const ahost__virtual_clock *c) {
    if (is_advancing(c))
        return c->target;
    return is_paused(c) ? c->now : AHOST__NEVER - 1;
}

static int has_goal(const ahost *h) {
    const ahost__virtual_clock *c = &h->virtual_clock;
    return is_advancing(c) ||
           (h->timers != NULL && h->timers->due <= horizon(c));
}

static void keep_polling(ahost__virtual_clock *c, int active);

void ahost__virtual_clock_wake(ahost *h) {
    if (has_goal(h))
        keep_polling(&h->virtual_clock, 1);
}

/* ---- rest --------------------------------------------------------------- */

/* What the handles of the loop may bring about. */
typedef struct outlook {
    const ahost *host;
    int input;    /* something can come from outside */
    int children; /* a child process runs */
} outlook;

static void look_at(uv_handle_t *handle, void *data) {
    outlook *o = data;
    switch (handle->type) {
    case UV_TIMER:
    case UV_IDLE:
    case UV_PREPARE:
    case UV_CHECK:
        o->input |= uv_is_closing(handle);
        break;
    case UV_PROCESS:
        o->children |= uv_is_active(handle);
        break;
    default:
        o->input |= handle != (const uv_handle_t *)&o->host->stop_request &&
                    !ahost__pools_have(o->host, handle) &&
                    !ahost__threads_have(o->host, handle) &&
                    (uv_is_active(handle) || uv_is_closing(handle));
    }
}

/* Requests to threads; those to sockets may take for ever, as their peer
 * likes. A worker that is blocked in a channel waits for somebody, too. */
static int is_work_in_flight(const ahost *h) {
    return h->loop->active_reqs.count > h->socket_requests ||
           h->works > ahost__threads_blocked(h);
}

/* Whether an event has come that the loop has not seen. */
static int has_event(const ahost *h, int milliseconds) {
    struct pollfd loop = {.fd = uv_backend_fd(h->loop), .events = POLLIN};
    return poll(&loop, 1, milliseconds) != 0;
}

static int is_at_work(const ahost *h) {
    return h->ready_first != NULL || !ahost__list_empty(&h->jobs) ||
           !ahost__list_empty(&h->next_jobs) || !ahost__list_empty(&h->dirty);
}

/* What the last turn brought may have asked for more events, which only the
 * next poll looks for: so a whole turn has to be quiet. */
static int was_turn_quiet(ahost *h) {
    ahost__virtual_clock *c = &h->virtual_clock;
    int quiet = c->activity == h->activity && !is_at_work(h);
    c->activity = h->activity;
    return quiet;
}

static int is_at_rest(ahost *h) {
    const ahost__virtual_clock *c = &h->virtual_clock;
    outlook o = {.host = h};
    int work;
    if (!was_turn_quiet(h))
        return 0;
    uv_walk(h->loop, look_at, &o);
    work = is_work_in_flight(h) || h->works > 0; /* a blocked one may wake up */
    if (has_event(h, o.input || o.children || work ? c->patience : 0))
        return 0;
    return !is_work_in_flight(h) && (!o.children || is_advancing(c));
}

/* ---- going on ----------------------------------------------------------- */

static void go_on(ahost *h) {
    ahost__virtual_clock *c = &h->virtual_clock;
    if (h->timers != NULL && h->timers->due <= horizon(c)) {
        c->now = h->timers->due;
        ahost__timers_fire(h, c->now);
    } else if (is_advancing(c)) {
        c->now = c->target;
        ahost__settle_all(&c->waiter, 0);
    }
    ahost__ready_run(h);
}

static void on_polled(uv_check_t *polled) {
    ahost *h = polled->data;
    ahost__virtual_clock *c = &h->virtual_clock;
    if (h->timers != NULL && h->timers->due <= c->now) {
        ahost__timers_fire(h, c->now);
        ahost__ready_run(h);
    } else if (!has_goal(h)) {
        keep_polling(c, 0);
    } else if (is_at_rest(h)) {
        go_on(h);
    }
}

/* An active idle handle keeps the loop alive and from sleeping. */
static void on_polling(uv_idle_t *polling) {
    (void)polling;
}

static void keep_polling(ahost__virtual_clock *c, int active) {
    if (active == uv_is_active((uv_handle_t *)&c->polling))
        return;
    if (active) {
        uv_idle_start(&c->polling, on_polling);
        uv_ref((uv_handle_t *)&c->polling);
        uv_check_start(&c->polled, on_polled);
    } else {
        uv_idle_stop(&c->polling);
        uv_unref((uv_handle_t *)&c->polling);
        uv_check_stop(&c->polled);
    }
}

/* ---- start and stop ----------------------------------------------------- */

int ahost__virtual_clock_open(ahost *h) {
    ahost__virtual_clock *c = &h->virtual_clock;
    int err = uv_idle_init(h->loop, &c->polling);
    if (err == 0)
        err = uv_check_init(h->loop, &c->polled);
    if (err != 0)
        return err;
    uv_unref((uv_handle_t *)&c->polling);
    uv_unref((uv_handle_t *)&c->polled);
    c->polling.data = c->polled.data = h;
    ahost__list_init(&c->waiter);
    return 0;
}

void ahost__virtual_clock_stop(ahost *h) {
    ahost__virtual_clock *c = &h->virtual_clock;
    if (c->now == 0)
        return;
    ahost__disown(&c->owned);
    c->offset = c->now - uv_hrtime();
    c->now = 0;
    keep_polling(c, 0);
    ahost__settle_all(&c->waiter, AHOST__CLOSED);
    ahost__ready_soon(h);
    ahost__timers_rearm(h);
}

static void close_owned(ahost__owned *owned) {
    ahost__virtual_clock_stop(
        ahost__container_of(owned, ahost, virtual_clock.owned));
}

static const ahost__owned_type owned_clock = {"clock", 0, close_owned};

static void start(ahost *h, ahost__context *ctx) {
    ahost__virtual_clock *c = &h->virtual_clock;
    c->wall = ahost__wall(h);
    c->now = c->started = ahost__now(h);
    c->id++;
    ahost__own(ctx, &c->owned, &owned_clock);
    ahost__timers_rearm(h);
}

/* ---- the clock in Lua --------------------------------------------------- */

/* The userdata is the number of the clock: there is one at a time. */
static int is_on(lua_State *L, int arg) {
    const lua_Integer *id = luaL_checkudata(L, arg, CLOCK_TYPE);
    const ahost__virtual_clock *c = &ahost__of(L)->virtual_clock;
    return c->now != 0 && c->id == *id;
}

static ahost__virtual_clock *check_clock(lua_State *L) {
    if (!is_on(L, 1))
        luaL_error(L, "the clock is closed");
    return &ahost__of(L)->virtual_clock;
}

/* clock:now() -> seconds */
static int clock_now(lua_State *L) {
    const ahost__virtual_clock *c = check_clock(L);
    lua_pushnumber(L, (double)(c->now - c->started) / nanoseconds);
    return 1;
}

/* -> true | nil, err */
static int finish_advance(lua_State *L, ahost__wait *w) {
    if (w->status != 0)
        return ahost__fail(L, w->status, "advance the clock");
    lua_pushboolean(L, 1);
    return 1;
}

static const ahost__wait_type advance_wait = {"advance the clock",
                                              finish_advance, NULL};

/* clock:advance(seconds) -> true | nil, err */
static int clock_advance(lua_State *L) {
    ahost__virtual_clock *c = check_clock(L);
    double seconds = luaL_checknumber(L, 2);
    ahost__wait *w;
    luaL_argcheck(L, seconds >= 0, 2, "a clock goes forward only");
    luaL_argcheck(L, seconds < (double)(AHOST__NEVER - c->now) / nanoseconds, 2,
                  "later than the clock can tell");
    if (is_advancing(c))
        return luaL_error(L, "another task is advancing the clock");
    w = ahost__wait_begin(L, &advance_wait, c);
    c->target = c->now + (seconds > 0 ? ahost__nanoseconds(seconds) : 0);
    ahost__list_append(&c->waiter, &w->link);
    ahost__virtual_clock_wake(ahost__of(L));
    return ahost__await(L, w);
}

/* clock:pause() */
static int clock_pause(lua_State *L) {
    check_clock(L)->paused = 1;
    return 0;
}

/* clock:resume() */
static int clock_resume(lua_State *L) {
    check_clock(L)->paused = 0;
    ahost__virtual_clock_wake(ahost__of(L));
    return 0;
}

/* clock:close() */
static int clock_close(lua_State *L) {
    if (is_on(L, 1))
        ahost__virtual_clock_stop(ahost__of(L));
    return 0;
}

static int clock_tostring(lua_State *L) {
    const ahost__virtual_clock *c = &ahost__of(L)->virtual_clock;
    if (!is_on(L, 1))
        lua_pushliteral(L, "clock (closed)");
    else
        lua_pushfstring(L, "clock (%f s%s)",
                        (double)(c->now - c->started) / nanoseconds,
                        c->paused ? ", paused" : "");
    return 1;
}

static const luaL_Reg methods[] = {
    {"now", clock_now},     {"advance", clock_advance},
    {"pause", clock_pause}, {"resume", clock_resume},
    {"close", clock_close}, {NULL, NULL}};

void ahost__open_clock(lua_State *L) {
    if (luaL_newmetatable(L, CLOCK_TYPE)) {
        luaL_newlib(L, methods);
        lua_setfield(L, -2, "__index");
        lua_pushcfunction(L, clock_close);
        lua_setfield(L, -2, "__close");
        lua_pushcfunction(L, clock_tostring);
        lua_setfield(L, -2, "__tostring");
    }
    lua_pop(L, 1);
}

static int opt_manual(lua_State *L, int arg) {
    int manual;
    if (lua_isnoneornil(L, arg))
        return 0;
    luaL_checktype(L, arg, LUA_TTABLE);
    lua_getfield(L, arg, "manual");
    manual = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return manual;
}

/* testing.clock([opts]) -> clock */
int ahost__testing_clock(lua_State *L) {
    ahost *h = ahost__of(L);
    ahost__virtual_clock *c = &h->virtual_clock;
    ahost__context *ctx = ahost__context_current(L);
    int manual = opt_manual(L, 1);
    double patience = ahost__opt_number(L, 1, "patience", default_patience);
    lua_Integer *box;
    luaL_argcheck(L, patience >= 0 && patience <= 60, 1,
                  "option 'patience': 0 to 60 seconds expected");
    ahost__context_check_open(L, ctx, "a new clock");
    if (c->now != 0)
        return luaL_error(L, "there is a virtual clock already");
    if (ahost__now(h) > AHOST__NEVER / 2)
        return luaL_error(L, "virtual clocks have taken this host too far "
                             "ahead");
    box = lua_newuserdatauv(L, sizeof(*box), 0);
    *box = c->id + 1;
    luaL_setmetatable(L, CLOCK_TYPE);
    c->paused = (uint8_t)manual;
    c->patience = (int)ceil(patience * 1e3);
    start(h, ctx);
    return 1;
}
