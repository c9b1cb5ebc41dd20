/*
 * ready.c - the ready queue: who runs next, and for how long at a stretch.
 *
 * Completions append tasks to one FIFO, which is drained at the end of the
 * libuv callback that filled it. Nothing is resumed inside a resume, so a chain
 * of any length of tasks that wake each other needs no stack.
 */
#include <lauxlib.h>

#include "host.h"

enum {
    DRAIN_RESUMES = 1024,    /* at most in one drain */
    DRAIN_CHECK = 16,        /* resumes between looks at the clock */
    DRAIN_TIME = 2 * 1000000 /* nanoseconds after which timers get a turn */
};

void ahost__ready_push(ahost *h, ahost__task *task) {
    task->state = AHOST__TASK_READY;
    task->next_ready = NULL;
    *h->ready_last = task;
    h->ready_last = &task->next_ready;
}

/* Many tasks do not fit the processor's caches: while one runs, the coroutine
 * of the next and the structure of the one after it are on their way. */
static void prefetch(const ahost__task *next) {
    const char *after = (const char *)next->next_ready;
    for (int i = -64; i < 192; i += 64)
        __builtin_prefetch((const char *)next->co + i);
    for (int i = 0; after != NULL && i < (int)sizeof(*next); i += 64)
        __builtin_prefetch(after + i);
}

static ahost__task *shift(ahost *h) {
    ahost__task *task = h->ready_first;
    if (task == NULL)
        return NULL;
    h->ready_first = task->next_ready;
    if (h->ready_first == NULL)
        h->ready_last = &h->ready_first;
    else
        prefetch(h->ready_first);
    return task;
}

void ahost__task_resume(ahost *h, ahost__task *task, lua_State *from) {
    ahost__task *outer = h->current;
    lua_State *outer_co;
    int unwaitable = h->unwaitable;
    int results, status;
    int arguments = task->started ? 0 : lua_gettop(task->co) - 1;
#ifdef AHOST_GC_STRESS
    lua_gc(h->L, LUA_GCCOLLECT, 0);
#endif
    task->started = 1;
    task->state = AHOST__TASK_RUNNING;
    task->credit = AHOST__CREDIT;
    h->current = task;
    h->unwaitable = 0;
    outer_co = ahost__run_in(h, task->co);
    status = lua_resume(task->co, from, arguments, &results);
    ahost__run_in(h, outer_co);
    task = h->current; /* a series goes on as another task */
    h->unwaitable = unwaitable;
    h->current = outer;
    h->awaiting = 0;
    if (__atomic_load_n(&h->runs.attention, __ATOMIC_RELAXED) && outer == NULL)
        ahost__unattended(h, task);
    if (status != LUA_YIELD)
        ahost__task_ended(task, status);
}

static void run_next(ahost *h, ahost__task *task) {
    if (task->cancelled && !task->started)
        ahost__task_ended(task, LUA_OK);
    else
        ahost__task_resume(h, task, h->L);
}

void ahost__job_post(ahost *h, ahost__job *job) {
    if (!ahost__linked(&job->link))
        ahost__list_append(&h->jobs, &job->link);
}

void ahost__job_post_next(ahost *h, ahost__job *job) {
    if (ahost__linked(&job->link))
        return;
    ahost__list_append(&h->next_jobs, &job->link);
    ahost__ready_soon(h);
}

void ahost__job_drop(ahost__job *job) {
    ahost__list_remove(&job->link);
}

static int call_job(lua_State *L) {
    ahost__job *job = lua_touserdata(L, 1);
    lua_settop(L, 0);
    job->run(L, job);
    return 0;
}

static void run_job(ahost *h, ahost__link *link) {
    lua_State *L = h->L;
    lua_pushcfunction(L, call_job);
    lua_pushlightuserdata(L, ahost__container_of(link, ahost__job, link));
    if (lua_pcall(L, 1, 0, 0) == LUA_OK)
        return;
    ahost__log(h, AHOST_LOG_ERROR, "ahost", "%s",
               lua_isstring(L, -1) ? lua_tostring(L, -1) : "error in a job");
    lua_pop(L, 1);
}

/* Runs one job or task; false when there is none. */
static int run_one(ahost *h) {
    ahost__link *job = ahost__list_shift(&h->jobs);
    ahost__task *task = job == NULL ? shift(h) : NULL;
    if (job == NULL && task == NULL)
        return 0;
    ahost__run_begins(h);
    if (job != NULL)
        run_job(h, job);
    else
        run_next(h, task);
    return 1;
}

static void on_more(uv_idle_t *more) {
    ahost *h = more->data;
    ahost__link *job;
    while ((job = ahost__list_shift(&h->next_jobs)) != NULL)
        ahost__list_append(&h->jobs, job);
    ahost__ready_drain(h);
}

/* An active idle handle keeps the loop from sleeping in its poll. */
static void keep_polling(ahost *h, int work_left) {
    if (work_left)
        uv_idle_start(&h->more, on_more);
    else
        uv_idle_stop(&h->more);
}

void ahost__ready_soon(ahost *h) {
    if (!h->draining)
        keep_polling(h, 1);
}

void ahost__ready_run(ahost *h) {
    h->activity++;
    ahost__lag_event(h);
    ahost__ready_drain(h);
}

/* Runs what is ready within the budget. */
static void run_some(ahost *h) {
    uint64_t end = 0;
    int left = DRAIN_RESUMES;
    while (left > 0 && !h->finished && run_one(h)) {
        if (--left % DRAIN_CHECK != 0)
            continue;
        if (end == 0)
            end = uv_hrtime() + DRAIN_TIME;
        else if (uv_hrtime() > end)
            break;
    }
    h->activity += (uint32_t)(DRAIN_RESUMES - left);
}

/* Runs what is ready up to what the program has just started, until that waits.
 */
static void run_begun(ahost *h) {
    int left = DRAIN_RESUMES;
    h->begun = 0;
    while (left-- > 0 && !h->begun && !h->finished && run_one(h))
        h->activity++;
}

static void drain(ahost *h, void (*run)(ahost *h)) {
    int allowed = h->lua_allowed;
    if (h->draining || h->finished) /* nothing runs any more after the end */
        return;
    h->draining = h->lua_allowed = 1;
    if (h->runs.watchdog != NULL || h->runs.lag != 0)
        ahost__turn_begins(h);
    run(h);
    ahost__run_ends(h);
    if (h->ready_first == NULL && !ahost__list_empty(&h->start_watches))
        ahost__check_starting(h);
    h->draining = 0;
    h->lua_allowed = allowed;
    ahost__check_finished(h);
    keep_polling(h, h->ready_first != NULL || !ahost__list_empty(&h->jobs) ||
                        !ahost__list_empty(&h->next_jobs));
}

void ahost__ready_drain(ahost *h) {
    drain(h, run_some);
}

void ahost__ready_begin(ahost *h) {
    if (h->inside > 0)
        return;
    ahost__watch_runs(h);
    h->inside++;
    drain(h, run_begun);
    h->inside--;
}
