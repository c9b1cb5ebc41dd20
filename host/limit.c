/*
 * limit.c - limits of tests: timeouts in real time that keep nothing alive.
 *
 * Unlike the deadlines of the host, a limit knows no virtual clock, and the
 * loop may end for want of anything else. Then nothing is left that could wake
 * the waiting tasks, and waiting for the limit would be a waste: the newest one
 * ends what it limits at once.
 */
#include <lauxlib.h>
#include <uv.h>

#include "host.h"
#include "testing.h"

struct ahost__limit {
    uv_timer_t timer;
    ahost__frame *frame; /* NULL once it is left */
    ahost__link link;    /* among the host's limits, the newest last */
    int stuck;           /* ended because nothing else could go on */
};

static void on_limit(uv_timer_t *timer) {
    ahost__limit *limit = ahost__container_of(timer, ahost__limit, timer);
    ahost *h = limit->frame->task->host;
    ahost__frame_fire(limit->frame);
    ahost__ready_run(h);
}

/* Gives the frame its limit; false for want of memory. */
static int start(ahost__frame *frame, double seconds) {
    static const double longest = 3.15e9; /* a hundred years */
    ahost *h = frame->task->host;
    ahost__limit *limit = ahost__alloc(h, sizeof(*limit));
    if (limit == NULL)
        return 0;
    limit->frame = frame;
    frame->limit = limit;
    ahost__list_append(&h->limits, &limit->link);
    uv_timer_init(h->loop, &limit->timer);
    uv_unref((uv_handle_t *)&limit->timer);
    uv_update_time(h->loop);
    if (seconds < longest)
        uv_timer_start(&limit->timer, on_limit, (uint64_t)(seconds * 1e3), 0);
    return 1;
}

static void on_closed(uv_handle_t *handle) {
    ahost__limit *limit =
        ahost__container_of((uv_timer_t *)handle, ahost__limit, timer);
    ahost *h = handle->loop->data;
    ahost__free(h, limit, sizeof(*limit));
}

void ahost__limit_end(ahost__limit *limit) {
    limit->frame = NULL;
    ahost__list_remove(&limit->link);
    uv_close((uv_handle_t *)&limit->timer, on_closed);
}

int ahost__limit_wake(ahost *h) {
    for (ahost__link *link = h->limits.prev; link != &h->limits;
         link = link->prev) {
        ahost__limit *limit = ahost__container_of(link, ahost__limit, link);
        if (limit->frame->fired)
            continue;
        limit->stuck = 1;
        ahost__frame_fire(limit->frame);
        return 1;
    }
    return 0;
}

/* Stack: seconds, handler, results or error. -> results | nil, err; raises */
static int limit_done(lua_State *L, int status, lua_KContext context) {
    ahost__frame *frame = (ahost__frame *)context;
    ahost__task *task = frame->task;
    int stuck = frame->limit->stuck;
    int late = frame->fired && !ahost__frame_interrupted(frame);
    task->floor = frame->floor;
    ahost__frame_leave(frame);
    if (ahost__returned(status))
        return lua_gettop(L) - 2;
    if (late && ahost__is_error(L, -1, AHOST__CANCELLED))
        return stuck ? ahost__fail_text(L, "DEADLOCK", NULL,
                                        "nothing is left that could wake it")
                     : ahost__fail(L, AHOST__TIMEDOUT, "limit of %f s",
                                   lua_tonumber(L, 1));
    task->rethrows = 1;
    return lua_error(L);
}

int ahost__testing_limit(lua_State *L) {
    double seconds = luaL_checknumber(L, 1);
    ahost__frame *frame;
    int status;
    luaL_checktype(L, 2, LUA_TFUNCTION);
    luaL_argcheck(L, seconds >= 0, 1, "a limit must be >= 0 seconds");
    lua_pushcfunction(L, ahost__on_raise);
    lua_insert(L, 2);
    frame = ahost__frame_enter(L);
    if (!start(frame, seconds)) {
        ahost__frame_leave(frame);
        return luaL_error(L, "not enough memory");
    }
    status = lua_pcallk(L, lua_gettop(L) - 3, LUA_MULTRET, 2,
                        (lua_KContext)frame, limit_done);
    return limit_done(L, status, (lua_KContext)frame);
}
