/*
 * time.c - the module ahost.time: clocks and timers that call functions.
 *
 * A timer is one userdata. While it is started it is owned by the context
 * where it was made and anchored in the registry, so that it runs on when the
 * program has forgotten it; a stopped one is garbage like any other value. The
 * loop's callback only posts a job, which starts the task of the handler.
 */
#include <math.h>
#include <stdio.h>
#include <time.h>

#include "host.h"
#include "modules.h"

#define TIMER_TYPE "ahost.timer"

static const double nanoseconds = 1e9;
static const double longest = 3.15e9; /* seconds, a hundred years */

/* ---- clocks ------------------------------------------------------------- */

/* time.now() -> seconds */
static int time_now(lua_State *L) {
    lua_pushnumber(L, (double)ahost__now(ahost__of(L)) / nanoseconds);
    return 1;
}

/* time.wall() -> seconds */
static int time_wall(lua_State *L) {
    lua_pushnumber(L, ahost__wall(ahost__of(L)));
    return 1;
}

/* time.iso([t]) -> string: RFC 3339 knows the years 0 to 9999 */
static int time_iso(lua_State *L) {
    static const double year_0 = -62167219200, year_10000 = 253402300800;
    double t = lua_isnoneornil(L, 1) ? ahost__wall(ahost__of(L))
                                     : luaL_checknumber(L, 1);
    double whole = floor(t);
    long micros = lround((t - whole) * 1e6);
    char text[64];
    struct tm utc;
    time_t seconds;
    if (micros == 1000000) {
        whole++;
        micros = 0;
    }
    luaL_argcheck(L, whole >= year_0 && whole < year_10000, 1,
                  "a time in the years 0 to 9999 expected");
    seconds = (time_t)whole;
    gmtime_r(&seconds, &utc);
    snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ",
             utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour,
             utc.tm_min, utc.tm_sec, micros);
    lua_pushstring(L, text);
    return 1;
}

/* ---- timers ------------------------------------------------------------- */

enum { HANDLER = 1, RUN }; /* user values: the function, its last task */

typedef struct timer {
    ahost__context *ctx; /* counted: where the handler runs */
    ahost__owned owned;  /* by the context, while started */
    ahost__timer deadline;
    ahost__job job;   /* starts the handler, or lets go of the anchor */
    ahost__task *run; /* of the handler, the last one; kept by RUN */
    uint64_t period;  /* nanoseconds; 0 when it does not repeat */
    uint64_t next;    /* the deadline, on the clock of ahost__now() */
    lua_Integer skipped;
    int anchor; /* in the registry; LUA_NOREF while stopped */
    int autorestart, closed;
} timer;

static timer *check_timer(lua_State *L) {
    return luaL_checkudata(L, 1, TIMER_TYPE);
}

static int is_started(const timer *t) {
    return t->owned.ctx != NULL;
}

static void release_anchor(lua_State *L, timer *t) {
    luaL_unref(L, LUA_REGISTRYINDEX, t->anchor);
    t->anchor = LUA_NOREF;
}

/* A run that is in the ready queue for the first time. */
static int is_about_to_run(const ahost__task *run) {
    return run != NULL && run->state == AHOST__TASK_READY && !run->started;
}

static int is_running(const ahost__task *run) {
    return run != NULL && run->state != AHOST__TASK_FREE &&
           run->state < AHOST__TASK_DONE;
}

static void disarm(lua_State *L, timer *t) {
    ahost__timer_stop(t->ctx->host, &t->deadline);
    ahost__job_drop(&t->job);
    ahost__disown(&t->owned);
    release_anchor(L, t);
}

static void stop(lua_State *L, timer *t) {
    if (is_about_to_run(t->run))
        ahost__task_cancel(t->run);
    disarm(L, t);
}

/* Stack: timer, handler. Starts the handler in a task of the context. */
static void start_run(lua_State *L, timer *t) {
    ahost__task *run;
    t->run = NULL;
    run = ahost__spawn(L, t->ctx, 0);
    if (t->owned.serving)
        ahost__task_serve(run);
    ahost__push_task(L, run);
    lua_setiuservalue(L, -2, RUN);
    t->run = run;
}

/* The job: the time is up, or the context has ended. */
static void run_handler(lua_State *L, ahost__job *job) {
    timer *t = ahost__container_of(job, timer, job);
    int ended = !is_started(t);
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->anchor);
    if (ended || t->period == 0) {
        ahost__disown(&t->owned);
        release_anchor(L, t);
    }
    if (ended || t->ctx->state != AHOST__CONTEXT_OPEN)
        return;
    lua_getiuservalue(L, -1, HANDLER);
    start_run(L, t);
}

/* Arms the next period. The periods follow the start, not the handler: those
 * that passed meanwhile, the loop being busy, are left out. */
static void advance(timer *t) {
    uint64_t now = ahost__now(t->ctx->host);
    t->next += t->period;
    if (t->next <= now) {
        uint64_t missed = (now - t->next) / t->period + 1;
        t->skipped += (lua_Integer)missed;
        t->next += missed * t->period;
    }
    ahost__timer_start(t->ctx->host, &t->deadline,
                       (double)(t->next - now) / nanoseconds);
}

static void on_deadline(ahost__timer *deadline) {
    timer *t = ahost__container_of(deadline, timer, deadline);
    if (t->period != 0)
        advance(t);
    if (ahost__linked(&t->job.link) || is_running(t->run))
        t->skipped += t->period != 0;
    else
        ahost__job_post(t->ctx->host, &t->job);
}

static void close_owned(ahost__owned *owned) {
    timer *t = ahost__container_of(owned, timer, owned);
    ahost__timer_stop(t->ctx->host, &t->deadline);
    ahost__job_post(t->ctx->host, &t->job);
}

/* A connection may start it again, as a timer of its own. */
static void retire(ahost__owned *owned) {
    ahost__disown(owned);
    close_owned(owned);
}

static const ahost__owned_type owned_timer = {"timer", 1, close_owned, 1,
                                              .retire = retire};

static double check_seconds(lua_State *L, const timer *t) {
    double seconds = luaL_checknumber(L, 2);
    if (t->closed)
        luaL_error(L, "timer is closed");
    ahost__context_check_open(L, t->ctx, "timer");
    luaL_argcheck(L, seconds >= 0, 2, "cannot wait less than 0 seconds");
    luaL_argcheck(L, seconds > 0 || !t->autorestart, 2,
                  "a period must be longer than 0 seconds");
    return fmin(seconds, longest);
}

static void start(lua_State *L, timer *t, double seconds) {
    uint64_t length = ahost__nanoseconds(seconds);
    lua_pushvalue(L, 1);
    t->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
    ahost__own(t->ctx, &t->owned, &owned_timer);
    t->next = ahost__now(t->ctx->host) + length;
    t->period = t->autorestart ? length : 0;
    t->deadline.fire = on_deadline;
    ahost__timer_start(t->ctx->host, &t->deadline, seconds);
}

/* timer:start(seconds) */
static int timer_start(lua_State *L) {
    timer *t = check_timer(L);
    double seconds = check_seconds(L, t);
    if (is_started(t))
        return luaL_error(L, "timer is already started");
    start(L, t, seconds);
    return 0;
}

/* timer:restart(seconds) */
static int timer_restart(lua_State *L) {
    timer *t = check_timer(L);
    double seconds = check_seconds(L, t);
    stop(L, t);
    start(L, t, seconds);
    return 0;
}

/* timer:stop() */
static int timer_stop(lua_State *L) {
    stop(L, check_timer(L));
    return 0;
}

/* timer:started() -> boolean */
static int timer_started(lua_State *L) {
    lua_pushboolean(L, is_started(check_timer(L)));
    return 1;
}

/* timer:close() */
static int timer_close(lua_State *L) {
    timer *t = check_timer(L);
    stop(L, t);
    t->closed = 1;
    return 0;
}

/* A timer that is done may be collected before its run begins. */
static int timer_gc(lua_State *L) {
    timer *t = check_timer(L);
    disarm(L, t);
    ahost__context_unref(t->ctx);
    return 0;
}

/* Methods, and the one field `skipped`. */
static int timer_index(lua_State *L) {
    timer *t = check_timer(L);
    lua_settop(L, 2);
    if (lua_rawequal(L, 2, lua_upvalueindex(2)))
        lua_pushinteger(L, t->skipped);
    else
        lua_rawget(L, lua_upvalueindex(1));
    return 1;
}

static int opt_autorestart(lua_State *L, int arg) {
    int autorestart;
    if (lua_isnoneornil(L, arg))
        return 0;
    luaL_checktype(L, arg, LUA_TTABLE);
    lua_getfield(L, arg, "autorestart");
    autorestart = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return autorestart;
}

/* time.timer(fn, [opts]) -> timer */
static int time_timer(lua_State *L) {
    int autorestart = opt_autorestart(L, 2);
    timer *t;
    luaL_checktype(L, 1, LUA_TFUNCTION);
    ahost__context_check_open(L, ahost__context_current(L), "a new timer");
    t = lua_newuserdatauv(L, sizeof(*t), 2);
    *t = (timer){.ctx = ahost__context_current(L),
                 .job.run = run_handler,
                 .anchor = LUA_NOREF,
                 .autorestart = autorestart};
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, HANDLER);
    ahost__context_ref(t->ctx);
    luaL_setmetatable(L, TIMER_TYPE);
    return 1;
}

/* ---- registration ------------------------------------------------------- */

static const luaL_Reg methods[] = {
    {"start", timer_start}, {"restart", timer_restart},
    {"stop", timer_stop},   {"started", timer_started},
    {"close", timer_close}, {NULL, NULL}};

static const luaL_Reg meta[] = {
    {"__close", timer_close}, {"__gc", timer_gc}, {NULL, NULL}};

static const luaL_Reg functions[] = {{"now", time_now},
                                     {"wall", time_wall},
                                     {"iso", time_iso},
                                     {"timer", time_timer},
                                     {NULL, NULL}};

int ahost__open_time(lua_State *L) {
    if (luaL_newmetatable(L, TIMER_TYPE)) {
        luaL_setfuncs(L, meta, 0);
        luaL_newlib(L, methods);
        lua_pushliteral(L, "skipped");
        lua_pushcclosure(L, timer_index, 2);
        lua_setfield(L, -2, "__index");
    }
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
