/*
 * host.c - opening, stopping and closing a host.
 */
#include "host.h"

#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "activation.h"
#include "fs.h"
#include "lease.h"
#include "loader.h"
#include "log.h"
#include "process.h"
#include "stream.h"
#include "testing.h"
#include "thread.h"
#include "value.h"

static const double log_flush_time = 2;
static const double work_time = 2;

/* ---- the end ------------------------------------------------------------ */

void ahost__host_failed(ahost *h) {
    if (h->exit_status == 0)
        h->exit_status = 1;
}

void ahost__finish(ahost *h) {
    if (h->finishing)
        return;
    h->finishing = 1;
    ahost__virtual_clock_stop(h); /* stop_timeout is a promise */
    ahost__context_close(h->root);
}

void ahost__finished(ahost *h) {
    h->finished = 1;
    ahost__leases_close(h);
    uv_stop(h->loop); /* the loop is ours alone */
}

void ahost__check_finished(ahost *h) {
    if (h->running && h->task_count == 0 && h->keeper_count == 0 &&
        !ahost__posts_wait(h))
        ahost__finish(h);
}

/* Calls log_waiting for the tasks of a context and of those below it. */
static void log_tree(lua_State *L, int level, ahost__context *ctx,
                     const char *text) {
    ahost__link *link;
    for (link = ctx->tasks.next; link != &ctx->tasks; link = link->next)
        ahost__log_waiting(L, level,
                           ahost__container_of(link, ahost__task, link), text);
    for (link = ctx->children.next; link != &ctx->children; link = link->next)
        log_tree(L, level, ahost__container_of(link, ahost__context, link),
                 text);
}

static void report_stop(lua_State *L, ahost__job *job) {
    ahost *h = ahost__container_of(job, ahost, report_job);
    if (h->finished)
        return;
    ahost__log(h, AHOST_LOG_WARNING, "ahost", "still stopping: %zu tasks left",
               h->task_count);
    log_tree(L, AHOST_LOG_WARNING, h->root, "is still waited for");
}

/* The loop has nothing to wait for, yet tasks are left. */
static void report_stuck(lua_State *L, ahost__job *job) {
    ahost *h = ahost__container_of(job, ahost, stuck_job);
    if (ahost__limit_wake(h))
        return;
    ahost__log(h, AHOST_LOG_CRITICAL, "ahost",
               "nothing is left that could wake the waiting tasks");
    ahost__host_failed(h);
    ahost__finish(h);
    log_tree(L, AHOST_LOG_CRITICAL, h->root, "waits for ever");
}

static void on_stop_request(uv_async_t *async) {
    ahost *h = async->data;
    int requests = __atomic_load_n(&h->stop_requests, __ATOMIC_SEQ_CST);
    if (ahost__take_passed_signals(h) || requests > h->stops_seen) {
        if (h->finishing || h->stop_count > 0)
            ahost__job_post(h, &h->report_job);
        ahost__request_stop(h);
    }
    h->stops_seen = requests;
    ahost__ready_run(h);
}

void ahost_stop(ahost *h) {
    if (h == NULL)
        return;
    __atomic_add_fetch(&h->stop_requests, 1, __ATOMIC_SEQ_CST);
    uv_async_send(&h->stop_request);
}

/* ---- opening ------------------------------------------------------------ */

/* Handles that serve the host and keep no loop alive. */
static int open_handles(ahost *h, const ahost_options *options) {
    uv_loop_t *loop = h->loop;
    int err = ahost__timers_open(h);
    if (err == 0)
        err = ahost__posts_open(h, options->max_posts);
    if (err == 0)
        err = uv_async_init(loop, &h->stop_request, on_stop_request);
    if (err != 0)
        return err;
    uv_unref((uv_handle_t *)&h->stop_request);
    uv_timer_init(loop, &h->step);
    uv_unref((uv_handle_t *)&h->step);
    err = uv_idle_init(loop, &h->more);
    h->stop_request.data = h->more.data = h;
    return err != 0 ? err : ahost__streams_open(h);
}

/* Sets a field of `package`, unless there is nothing to set. */
static void set_path(lua_State *L, const char *name, const char *path) {
    if (path == NULL)
        return;
    lua_getglobal(L, "package");
    lua_pushstring(L, path);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
}

/* (options as light userdata) */
static int open_state(lua_State *L) {
    ahost *h = ahost__of(L);
    const ahost_options *options = lua_touserdata(L, 1);
    lua_settop(L, 0);
    if (!h->attached)
        luaL_openlibs(L);
    ahost__open_modules(L);
    set_path(L, "path", options->path);
    set_path(L, "cpath", options->cpath);
    ahost__open_values(L);
    ahost__tasks_open(L);
    lua_newtable(L);
    h->context_sides = luaL_ref(L, LUA_REGISTRYINDEX);
    luaL_requiref(L, "ahost.error", ahost__open_error, 0);
    luaL_requiref(L, "ahost.context", ahost__open_context, 0);
    luaL_requiref(L, "ahost.task.core", ahost__open_task, 0);
    return 0;
}

static int open_lua(ahost *h, const ahost_options *options) {
    if (!h->attached)
        h->L = lua_newstate(ahost__lua_alloc, h);
    if (h->L == NULL)
        return AHOST_NO_MEMORY;
    *(ahost **)lua_getextraspace(h->L) = h;
    h->runs.L = h->L;
    if (options->interrupt_every > 0)
        ahost__interrupt_every(h, options->interrupt_every);
    lua_pushcfunction(h->L, open_state);
    lua_pushlightuserdata(h->L, (void *)(uintptr_t)options);
    return lua_pcall(h->L, 1, 0, 0) == LUA_OK ? AHOST_OK : AHOST_NO_MEMORY;
}

static void init_lists(ahost *h) {
    h->ready_last = &h->ready_first;
    ahost__list_init(&h->jobs);
    ahost__list_init(&h->next_jobs);
    ahost__list_init(&h->log_rules);
    ahost__list_init(&h->captures);
    ahost__list_init(&h->requests);
    ahost__list_init(&h->stages);
    ahost__list_init(&h->start_watches);
    ahost__list_init(&h->dirty);
    ahost__list_init(&h->limits);
    ahost__list_init(&h->task_slabs);
    ahost__list_init(&h->process_signals);
    ahost__list_init(&h->retirees);
    ahost__list_init(&h->pools);
    ahost__list_init(&h->calls);
    ahost__list_init(&h->program_ends);
    ahost__list_init(&h->file_requests);
    ahost__list_init(&h->leases);
    ahost__list_init(&h->udp_sockets);
    ahost__list_init(&h->drains);
    for (int i = 0; i < 3; i++)
        h->standard_flags[i] = -1;
    h->report_job.run = report_stop;
    h->stuck_job.run = report_stuck;
    h->lua_allowed = 1;
}

/* Afterwards whatever there is can be freed. */
static int init(ahost *h, const ahost_options *options) {
    init_lists(h);
    h->thread = uv_thread_self();
    h->loop = &h->own_loop;
    if (uv_loop_init(h->loop) != 0)
        return AHOST_NO_MEMORY;
    h->loop->data = h;
    if (ahost__posts_init(h) != 0) {
        uv_loop_close(h->loop);
        return AHOST_NO_MEMORY;
    }
    ahost__memory_open(h);
    ahost__read_options(h, options);
    return AHOST_OK;
}

static int open_rest(ahost *h, const ahost_options *options) {
    if (open_handles(h, options) != 0)
        return AHOST_NO_MEMORY;
    h->root = ahost__context_new(h, NULL);
    return h->root != NULL ? open_lua(h, options) : AHOST_NO_MEMORY;
}

int ahost_open(ahost **host, const ahost_options *given) {
    ahost_options options;
    ahost *h;
    int err;
    if (host == NULL)
        return AHOST_MISUSE;
    *host = NULL;
    err = ahost__take_options(given, &options);
    if (err != AHOST_OK)
        return err;
    h = calloc(1, sizeof(*h));
    if (h == NULL)
        return AHOST_NO_MEMORY;
    if (init(h, &options) != AHOST_OK) {
        free(h);
        return AHOST_NO_MEMORY;
    }
    err = open_rest(h, &options);
    if (err != AHOST_OK) {
        ahost_close(h);
        return err;
    }
    if (options.stay)
        ahost__keep_running(h, 1);
    h->stays = options.stay != 0;
    *host = h;
    return AHOST_OK;
}

int ahost__attach(ahost *h, const ahost_options *given) {
    ahost_options options;
    int err = ahost__take_options(given, &options);
    h->attached = 1;
    h->inside = 1; /* it is nothing that a program could run or close */
    if (err != AHOST_OK || init(h, &options) != AHOST_OK)
        return AHOST_NO_MEMORY;
    err = open_rest(h, &options);
    if (err != AHOST_OK)
        ahost__detach(h);
    else /* a task's failure is no reason for the next run to fail */
        h->root->on_error = AHOST__ON_ERROR_LOG;
    return err;
}

/* ---- closing ------------------------------------------------------------ */

static void close_left_over(uv_handle_t *handle, void *unused) {
    (void)unused;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

#ifdef AHOST_CHECKS
/* Rule 8: a handle that is still open now has escaped its context. */
static void check_handle(uv_handle_t *handle, void *data) {
    ahost *h = data;
    if (uv_is_closing(handle) || !uv_has_ref(handle) ||
        handle == (uv_handle_t *)&h->clock || handle == (uv_handle_t *)&h->more)
        return;
    ahost__log(h, AHOST_LOG_CRITICAL, "ahost", "a %s handle was left open",
               uv_handle_type_name(handle->type));
    abort();
}
#endif

/* Lets streams send what is queued, for as long as they linger, and closes the
 * loop. */
static void close_loop(ahost *h) {
    h->lua_allowed = 0;
    while (h->lingering > 0 && uv_run(h->loop, UV_RUN_ONCE) != 0)
        continue;
    uv_run(h->loop, UV_RUN_NOWAIT); /* the callbacks of what is closed */
#ifdef AHOST_CHECKS
    uv_walk(h->loop, check_handle, h);
#endif
    uv_walk(h->loop, close_left_over, NULL);
    uv_run(h->loop, UV_RUN_DEFAULT);
    h->lua_allowed = 1;
    uv_loop_close(h->loop);
}

/* Nobody waits any more for what threads are at, but a file is to be complete.
 */
static void end_work(ahost *h) {
    size_t left;
    ahost__fs_close(h);
    left = ahost__pools_end(h, work_time);
    if (left > 0)
        ahost__log(h, AHOST_LOG_WARNING, "ahost",
                   "%zu jobs in threads have not ended and are abandoned",
                   left);
}

static void close_parts(ahost *h) {
    end_work(h);
    ahost__threads_detach(h);
    ahost__tell_ended(h);
    if (h->stays)
        ahost__keep_running(h, -1);
    ahost__log_detach(h);
    close_loop(h);
    ahost__watchdog_stop(h);
    ahost__standard_restore(h);
}

/* Everything ends: tasks, contexts, what waits for it. */
static void end(ahost *h) {
    if (h->L != NULL && !h->finished) {
        ahost__finish(h);
        ahost__run_to_the_end(h);
    }
    close_parts(h);
}

static void free_parts(ahost *h) {
    ahost__threads_free(h);
    ahost__connections_free(h);
    ahost__context_unref(h->root);
    ahost__tasks_free(h);
    ahost__streams_free(h);
    ahost__log_close(h, log_flush_time);
    ahost__activation_free(h);
    ahost__log_levels_free(h);
    ahost__memory_close(h);
    ahost__posts_free(h);
    free(h->errmsg);
}

int ahost_close(ahost *h) {
    int err;
    if (h == NULL)
        return AHOST_OK;
    err = ahost__check(h, "ahost_close", AHOST__OUTSIDE);
    if (err != AHOST_OK)
        return err;
    if (h->guest != NULL)
        ahost__guest_leave(h);
    h->inside++; /* callbacks find everything closed */
    end(h);
    h->finished = 1;
    if (h->L != NULL)
        lua_close(h->L);
    free_parts(h);
    free(h);
    return AHOST_OK;
}

/* Closes what contexts own, innermost first, and leaves their tasks alone. */
static void end_tree(ahost__context *ctx) {
    while (!ahost__list_empty(&ctx->children))
        end_tree(ahost__container_of(ctx->children.prev, ahost__context, link));
    while (!ahost__list_empty(&ctx->tasks)) {
        ahost__task *task =
            ahost__container_of(ctx->tasks.prev, ahost__task, link);
        ahost__task_leave_context(task);
        task->abandoned = 1;
    }
    ahost__context_end(ctx);
}

void ahost__detach(ahost *h) {
    h->finishing = h->finished = 1; /* no Lua code runs any more */
    h->current = NULL;              /* perhaps it has ended the program */
    if (h->root != NULL)
        end_tree(h->root);
    close_parts(h);
    free_parts(h);
    h->root = NULL;
}
