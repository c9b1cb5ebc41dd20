/*
 * watchdog.c - the thread that notices a run which lasts too long.
 *
 * It exists only while a stall is configured, and sleeps while nothing runs.
 * Every quarter of the limit it looks at the number of the run; the same odd
 * number for as long as the limit is a stall. It neither reads nor writes
 * anything of Lua: it leaves what it wants of the run (`wanted`), has the
 * program interrupt the host's thread, and that thread does the rest (stall.c).
 *
 * Sleeping is agreed upon without a fence in the loop: the thread sets `asleep`
 * and goes on for one more period, after which the loop has seen it, or has
 * written a number that the thread sees.
 */
#include "watchdog.h"

#include <signal.h>
#include <pthread.h>

#include "host.h"

static const uint64_t second = 1000000000, least_period = 1000000;

struct ahost__watchdog {
    ahost *host;
    uv_thread_t thread;
    uv_mutex_t mutex; /* of the fields in this group */
    uv_cond_t change;
    uint64_t stall, kill; /* nanoseconds; 0: never */
    int quits;

    /* the thread's own: the run that it watches */
    uint32_t run;
    uint64_t since;  /* when it was seen first */
    uint64_t killed; /* when it was asked to end; 0: not yet */
    uint64_t asked;  /* when a report was asked for; 0: not yet */
    int kills, told;
};

static uint32_t load(const uint32_t *value) {
    return __atomic_load_n(value, __ATOMIC_ACQUIRE);
}

static uint32_t current_run(const ahost *h) {
    return load(&h->runs.number);
}

/* ---- asking ------------------------------------------------------------- */

void ahost__want(ahost *h, int what, uint32_t run) {
    __atomic_store_n(&h->runs.wanted[what], run, __ATOMIC_RELEASE);
    __atomic_store_n(&h->runs.attention, 1, __ATOMIC_RELEASE);
    if (h->runs.interrupt != NULL)
        h->runs.interrupt(h->runs.interrupt_data);
}

/* The code does not come to report itself: it is in a C function. */
static void tell_blocked(ahost__watchdog *dog, uint64_t now) {
    ahost__runs *runs = &dog->host->runs;
    dog->told = 1;
    if (runs->blocked != NULL && load(&runs->wanted[AHOST__REPORT]) == dog->run)
        runs->blocked(runs->blocked_data,
                      (double)(now - dog->since) / (double)second,
                      load(&runs->task));
}

static void ask_to_report(ahost__watchdog *dog, uint64_t now) {
    dog->asked = now;
    __atomic_store_n(&dog->host->runs.since, (uint32_t)(dog->since / 1000000),
                     __ATOMIC_RELEASE);
    ahost__want(dog->host, AHOST__REPORT, dog->run);
}

/* The first time is an error that the code may clean up after; when it goes on
 * as long again, it is raised at every instruction (`strict`). */
static void ask_to_end(ahost__watchdog *dog, uint64_t now) {
    dog->killed = now;
    if (dog->kills++ > 0)
        __atomic_store_n(&dog->host->runs.strict, dog->run, __ATOMIC_RELEASE);
    __atomic_store_n(&dog->host->runs.since, (uint32_t)(dog->since / 1000000),
                     __ATOMIC_RELEASE);
    ahost__want(dog->host, AHOST__KILL, dog->run);
}

static void examine(ahost__watchdog *dog, uint64_t now) {
    uint64_t kill_from = dog->killed != 0 ? dog->killed : dog->since;
    if (dog->stall != 0 && dog->asked == 0 && now - dog->since >= dog->stall)
        ask_to_report(dog, now);
    else if (dog->asked != 0 && !dog->told && now - dog->asked >= dog->stall)
        tell_blocked(dog, now);
    if (dog->kill != 0 && now - kill_from >= dog->kill)
        ask_to_end(dog, now);
}

/* ---- watching ----------------------------------------------------------- */

static void begin_to_watch(ahost__watchdog *dog, uint32_t run, uint64_t now) {
    dog->run = run;
    dog->since = now;
    dog->killed = dog->asked = 0;
    dog->kills = dog->told = 0;
}

static uint64_t period(const ahost__watchdog *dog) {
    uint64_t limit = dog->stall;
    if (limit == 0 || (dog->kill != 0 && dog->kill < limit))
        limit = dog->kill;
    return limit / 4 > least_period ? limit / 4 : least_period;
}

/* Looks at the run, and waits until it is time to look again. */
static void look(ahost__watchdog *dog) {
    ahost__runs *runs = &dog->host->runs;
    uint32_t run = current_run(dog->host);
    int unchanged = run == dog->run;
    uint64_t now = uv_hrtime();
    if (!unchanged)
        begin_to_watch(dog, run, now);
    else if (run % 2 == 1)
        examine(dog, now);
    if (!unchanged || run % 2 == 1) {
        __atomic_store_n(&runs->asleep, 0, __ATOMIC_RELAXED);
    } else if (__atomic_exchange_n(&runs->asleep, 1, __ATOMIC_SEQ_CST)) {
        uv_cond_wait(&dog->change, &dog->mutex);
        return;
    }
    uv_cond_timedwait(&dog->change, &dog->mutex, period(dog));
}

static void watch(void *data) {
    ahost__watchdog *dog = data;
    uv_mutex_lock(&dog->mutex);
    while (!dog->quits)
        look(dog);
    uv_mutex_unlock(&dog->mutex);
}

void ahost__watchdog_wake(ahost *h) {
    ahost__watchdog *dog = h->runs.watchdog;
    __atomic_store_n(&h->runs.asleep, 0, __ATOMIC_RELAXED);
    if (dog == NULL)
        return;
    uv_mutex_lock(&dog->mutex);
    uv_cond_signal(&dog->change);
    uv_mutex_unlock(&dog->mutex);
}

/* ---- start and stop ----------------------------------------------------- */

/* The program's process signals are none of the thread's business. */
static int start_thread(ahost__watchdog *dog) {
    sigset_t all, before;
    int err;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    err = uv_thread_create(&dog->thread, watch, dog);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}

static void free_watchdog(ahost__watchdog *dog) {
    uv_cond_destroy(&dog->change);
    uv_mutex_destroy(&dog->mutex);
    ahost__free(dog->host, dog, sizeof(*dog));
}

static ahost__watchdog *new_watchdog(ahost *h) {
    ahost__watchdog *dog = ahost__alloc(h, sizeof(*dog));
    if (dog == NULL)
        return NULL;
    dog->host = h;
    if (uv_mutex_init(&dog->mutex) != 0) {
        ahost__free(h, dog, sizeof(*dog));
        return NULL;
    }
    if (uv_cond_init(&dog->change) != 0) {
        uv_mutex_destroy(&dog->mutex);
        ahost__free(h, dog, sizeof(*dog));
        return NULL;
    }
    return dog;
}

static int start(ahost *h) {
    ahost__watchdog *dog = new_watchdog(h);
    int err;
    if (dog == NULL)
        return UV_ENOMEM;
    dog->stall = (uint64_t)(h->runs.stall * 1e9);
    dog->kill = (uint64_t)(h->runs.stall_kill * 1e9);
    err = start_thread(dog);
    if (err != 0)
        free_watchdog(dog);
    else
        h->runs.watchdog = dog;
    return err;
}

void ahost__watchdog_stop(ahost *h) {
    ahost__watchdog *dog = h->runs.watchdog;
    if (dog == NULL)
        return;
    uv_mutex_lock(&dog->mutex);
    dog->quits = 1;
    uv_cond_signal(&dog->change);
    uv_mutex_unlock(&dog->mutex);
    uv_thread_join(&dog->thread);
    h->runs.watchdog = NULL;
    __atomic_store_n(&h->runs.asleep, 0, __ATOMIC_RELAXED);
    free_watchdog(dog);
}

int ahost__watchdog_set(ahost *h) {
    ahost__watchdog_stop(h);
    if (h->runs.stall <= 0 && h->runs.stall_kill <= 0)
        return 0;
    return start(h);
}

/* ---- settings ----------------------------------------------------------- */

static double check_seconds(lua_State *L, const char *name, double now) {
    double seconds = ahost__opt_number(L, 1, name, now);
    luaL_argcheck(L, seconds >= 0 && seconds < 1e9, 1,
                  "seconds of a watchdog are >= 0");
    return seconds;
}

static void set_number(lua_State *L, const char *name, double value) {
    lua_pushnumber(L, value);
    lua_setfield(L, -2, name);
}

/* runtime.watchdog([{stall=, stall_kill=, lag=}]) -> the same, as it was
 * before; seconds, 0: not watched. What is left out stays as it is. */
int ahost__component_watchdog(lua_State *L) {
    ahost *h = ahost__of(L);
    double stall = check_seconds(L, "stall", h->runs.stall);
    double kill = check_seconds(L, "stall_kill", h->runs.stall_kill);
    double lag = check_seconds(L, "lag", (double)h->runs.lag / 1e9);
    int changes = stall != h->runs.stall || kill != h->runs.stall_kill;
    lua_createtable(L, 0, 3);
    set_number(L, "stall", h->runs.stall);
    set_number(L, "stall_kill", h->runs.stall_kill);
    set_number(L, "lag", (double)h->runs.lag / 1e9);
    h->runs.stall = stall;
    h->runs.stall_kill = kill;
    h->runs.lag = (uint64_t)(lag * 1e9 + 0.5);
    h->runs.turn_began = 0;
    if (changes && ahost__watchdog_set(h) != 0)
        return luaL_error(L, "cannot start the thread of the watchdog");
    return 1;
}
