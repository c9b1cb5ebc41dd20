/*
 * stall.c - code that runs for too long, seen from the loop's own thread.
 *
 * Somebody else (the watchdog, ahost_interrupt) wants something of the run of a
 * certain number and sets `attention`. Lua code can only be stopped by a hook
 * of the coroutine that runs, and that coroutine can only be told, and its hook
 * set, on the thread that runs it: from another thread it would be a race with
 * every call and return of the code. So the hook is set by ahost__attend, which
 * is called on that thread
 *
 *  - from the program's signal handler, by ahost_interrupted(). lua_sethook is
 *    made to be called so (lua.c does it), and `runs.L`, written around each
 *    resume, is alive whenever the handler looks: it is on its way to run, or
 *    has just stopped to, but is still held by who resumed it;
 *  - when Lua allocates memory, for programs that offer no handler.
 *
 * A hook that comes late, in another run, finds that nothing is wanted and goes
 * away. In between there is none.
 */
#include <lauxlib.h>

#include "host.h"

enum { LAG_PAUSE = 10 }; /* seconds between two records */

static const char logger[] = "ahost.watchdog";

static uint32_t load(const uint32_t *value) {
    return __atomic_load_n(value, __ATOMIC_ACQUIRE);
}

/* Takes a wish; whether it is about the run that goes on. */
static int take(ahost *h, int what) {
    uint32_t run = h->runs.number;
    return run % 2 == 1 &&
           __atomic_compare_exchange_n(&h->runs.wanted[what], &run, 0, 0,
                                       __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* ---- reports ------------------------------------------------------------ */

static double seconds_so_far(ahost *h) {
    uint32_t now = (uint32_t)(uv_hrtime() / 1000000);
    return (double)(now - load(&h->runs.since)) / 1000;
}

static const char *push_what_runs(lua_State *L, ahost__task *task) {
    if (task == NULL)
        return lua_pushliteral(L, "work of the host");
    return ahost__task_push_name(L, task);
}

/* Pushes the traceback of the code that has called a C function, with that of
 * the task when it is in a coroutine of the program's. */
static void push_traceback(lua_State *L, const ahost__task *task) {
    luaL_traceback(L, L, NULL, 1);
    if (task == NULL || task->co == L)
        return;
    lua_pushliteral(L, "\nin a coroutine of\n");
    luaL_traceback(L, task->co, NULL, 0);
    lua_concat(L, 3);
}

/* (seconds). Runs in the code that hogs the loop. Code that was asked long ago
 * was in a C function until now. */
static int report(lua_State *L) {
    ahost *h = ahost__of(L);
    double seconds = lua_tonumber(L, 1);
    int late = seconds > 2 * h->runs.stall;
    const char *what = push_what_runs(L, h->current);
    push_traceback(L, h->current);
    ahost__log(h, AHOST_LOG_WARNING, logger, "%s keeps the loop for %.2f s%s%s",
               what, seconds, late ? ", in a C function called here:\n" : ":\n",
               lua_tostring(L, -1));
    return 0;
}

/* (seconds, task as light userdata or nil): what was in C all the time. */
static int report_unattended(lua_State *L) {
    ahost__task *task = lua_touserdata(L, 2);
    const char *what = push_what_runs(L, task);
    const char *place = "";
    if (task != NULL && task->co != NULL && task->wait.type != NULL)
        place = ahost__push_place(L, task->wait.L);
    ahost__log(ahost__of(L), AHOST_LOG_WARNING, logger,
               "%s kept the loop for %.2f s, in a C function%s%s", what,
               lua_tonumber(L, 1), *place != '\0' ? " before " : "", place);
    return 0;
}

/* Calls a report protected: one that finds no memory is no reason to end what
 * it is about. */
static void call_report(lua_State *L, lua_CFunction fn, ahost__task *task) {
    double seconds = seconds_so_far(ahost__of(L));
    if (!lua_checkstack(L, 4))
        return;
    lua_pushcfunction(L, fn);
    lua_pushnumber(L, seconds);
    lua_pushlightuserdata(L, task);
    if (lua_pcall(L, 2, 0, 0) == LUA_OK)
        return;
    ahost__log(ahost__of(L), AHOST_LOG_WARNING, logger,
               "something keeps the loop for %.2f s", seconds);
    lua_pop(L, 1);
}

void ahost__unattended(ahost *h, ahost__task *task) {
    __atomic_store_n(&h->runs.attention, 0, __ATOMIC_RELAXED);
    if (take(h, AHOST__REPORT))
        call_report(h->L, report_unattended, task);
}

/* ---- the hook ----------------------------------------------------------- */

static void unhook(ahost *h, lua_State *L) {
    ahost__runs *runs = &h->runs;
    if (runs->hooked == L)
        lua_sethook(L, runs->hook, runs->hook_mask, runs->hook_count);
    else
        lua_sethook(L, NULL, 0, 0);
    runs->hooked = NULL;
}

static int raise_stalled(lua_State *L) {
    return ahost__raise(L, AHOST__FAILED, "stalled: kept the loop for %f s",
                        seconds_so_far(ahost__of(L)));
}

static int is_strict(ahost *h) {
    return load(&h->runs.strict) == h->runs.number;
}

/* Runs between two instructions of whatever coroutine was told to stop. In a
 * strict run others are told as well, as soon as they go on. */
static void on_hook(lua_State *L, lua_Debug *unused) {
    ahost *h = ahost__of(L);
    (void)unused;
    __atomic_store_n(&h->runs.attention, is_strict(h), __ATOMIC_SEQ_CST);
    if (!is_strict(h))
        unhook(h, L);
    if (take(h, AHOST__REPORT))
        call_report(L, report, NULL);
    if (take(h, AHOST__INTERRUPT))
        ahost__raise(L, AHOST__FAILED, "interrupted");
    if (take(h, AHOST__KILL) || is_strict(h))
        raise_stalled(L);
}

void ahost__attend(ahost *h) {
    ahost__runs *runs = &h->runs;
    lua_State *L = runs->L;
    if (L == NULL || runs->number % 2 == 0 || lua_gethook(L) == on_hook)
        return;
    if (h->current != NULL)
        __atomic_store_n(&runs->task, h->current->id, __ATOMIC_RELEASE);
    runs->hook = lua_gethook(L);
    runs->hook_mask = lua_gethookmask(L);
    runs->hook_count = lua_gethookcount(L);
    runs->hooked = L;
    lua_sethook(L, on_hook, LUA_MASKCOUNT, 1);
}

/* ---- interruption ------------------------------------------------------- */

int ahost_interrupt(ahost *h) {
    uint32_t run;
    if (h == NULL)
        return 0;
    run = load(&h->runs.number);
    if (run % 2 == 0)
        return 0;
    ahost__want(h, AHOST__INTERRUPT, run);
    return 1;
}

void ahost_interrupted(ahost *h) {
    if (h != NULL && __atomic_load_n(&h->runs.attention, __ATOMIC_ACQUIRE))
        ahost__attend(h);
}

/* Not in a signal handler, but in the code itself. */
static void on_count(lua_State *L, lua_Debug *unused) {
    (void)unused;
    ahost_interrupted(ahost__of(L));
}

/* Coroutines have the hook of the one that makes them. */
void ahost__interrupt_every(ahost *h, int instructions) {
    lua_sethook(h->L, on_count, LUA_MASKCOUNT, instructions);
}

/* ---- late turns --------------------------------------------------------- */

void ahost__turn_begins(ahost *h) {
    if (__atomic_load_n(&h->runs.asleep, __ATOMIC_RELAXED))
        ahost__watchdog_wake(h);
    if (h->runs.lag != 0 && h->runs.turn_began == 0)
        h->runs.turn_began = uv_hrtime();
}

void ahost__turn_ends(ahost *h) {
    ahost__runs *runs = &h->runs;
    uint64_t now = uv_hrtime(), took = now - runs->turn_began;
    runs->turn_began = 0;
    if (took < runs->lag || ++runs->lags == 0)
        return;
    if (runs->lag_reported != 0 &&
        now - runs->lag_reported < (uint64_t)LAG_PAUSE * 1000000000)
        return;
    ahost__log(h, AHOST_LOG_WARNING, logger,
               "a turn of the loop took %.3f s (%u such turns since the last "
               "record)",
               (double)took / 1e9, runs->lags);
    runs->lag_reported = now;
    runs->lags = 0;
}
