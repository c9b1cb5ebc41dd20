/*
 * host.c - opening, running and closing a host.
 */
#include "host.h"

#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "activation.h"
#include "lease.h"
#include "loader.h"
#include "log.h"
#include "pool.h"
#include "process.h"
#include "stream.h"
#include "testing.h"
#include "thread.h"

static const double default_stop_timeout = 10;
static const double log_flush_time = 2;
static const double work_time = 2;

static void keep_errmsg(ahost *h, const char *text) {
    free(h->errmsg);
    h->errmsg = strdup(text != NULL ? text : "not enough memory");
}

const char *ahost_errmsg(const ahost *h) {
    return h != NULL && h->errmsg != NULL ? h->errmsg : "";
}

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
    uv_stop(h->loop);
}

void ahost__check_finished(ahost *h) {
    if (h->running && h->task_count == 0 && h->keeper_count == 0)
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
static int open_handles(ahost *h) {
    uv_loop_t *loop = h->loop;
    int err = ahost__timers_open(h);
    if (err == 0)
        err = uv_async_init(loop, &h->stop_request, on_stop_request);
    if (err != 0)
        return err;
    uv_unref((uv_handle_t *)&h->stop_request);
    err = uv_idle_init(loop, &h->more);
    h->stop_request.data = h->more.data = h;
    return err != 0 ? err : ahost__streams_open(h);
}

static int open_state(lua_State *L) {
    ahost *h = ahost__of(L);
    ahost__open_modules(L);
    ahost__tasks_open(L);
    lua_newtable(L);
    h->context_sides = luaL_ref(L, LUA_REGISTRYINDEX);
    luaL_requiref(L, "ahost.error", ahost__open_error, 0);
    luaL_requiref(L, "ahost.context", ahost__open_context, 0);
    luaL_requiref(L, "ahost.task.core", ahost__open_task, 0);
    return 0;
}

static int open_lua(ahost *h) {
    h->L = lua_newstate(ahost__lua_alloc, h);
    if (h->L == NULL)
        return AHOST_NO_MEMORY;
    *(ahost **)lua_getextraspace(h->L) = h;
    h->runs.L = h->L;
    lua_pushcfunction(h->L, open_state);
    if (lua_pcall(h->L, 0, 0, 0) == LUA_OK)
        return AHOST_OK;
    keep_errmsg(h, lua_tostring(h->L, -1));
    return AHOST_NO_MEMORY;
}

static void read_options(ahost *h, const ahost_options *given) {
    ahost_options options = {0};
    if (given != NULL)
        memcpy(&options, given,
               given->size < sizeof(options) ? given->size : sizeof(options));
    h->log = options.log;
    h->log_data = options.log_data;
    h->log_level =
        options.log_level != 0 ? options.log_level : AHOST_LOG_NOTICE;
    h->memory_limit = options.memory_limit;
    h->stop_timeout =
        options.stop_timeout > 0 ? options.stop_timeout : default_stop_timeout;
    for (const int *n = options.signals; n != NULL && *n != 0; n++)
        if (*n > 0 && *n <= 64)
            h->passed_signals |= (uint64_t)1 << (*n - 1);
    h->runs.stall = options.stall > 0 ? options.stall : 0;
    h->runs.stall_kill = options.stall_kill > 0 ? options.stall_kill : 0;
    h->runs.lag = options.lag > 0 ? (uint64_t)(options.lag * 1e9) : 0;
    h->runs.interrupt = options.interrupt;
    h->runs.interrupt_data = options.interrupt_data;
    h->runs.blocked = options.blocked;
    h->runs.blocked_data = options.blocked_data;
    h->argc = options.argc;
    h->argv = options.argv;
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
    ahost__list_init(&h->leases);
    ahost__list_init(&h->udp_sockets);
    ahost__list_init(&h->drains);
    for (int i = 0; i < 3; i++)
        h->standard_flags[i] = -1;
    h->report_job.run = report_stop;
    h->stuck_job.run = report_stuck;
    h->lua_allowed = 1;
    h->defaults = (ahost__defaults){
        .connections = UINT32_MAX, .line = 65536, .events = 100, .items = 1000};
}

int ahost_open(ahost **host, const ahost_options *options) {
    ahost *h;
    int err = AHOST_NO_MEMORY;
    if (host == NULL || (options != NULL && options->size == 0))
        return AHOST_MISUSE;
    *host = NULL;
    h = calloc(1, sizeof(*h));
    if (h == NULL)
        return AHOST_NO_MEMORY;
    init_lists(h);
    ahost__memory_open(h);
    read_options(h, options);
    h->loop = &h->own_loop;
    if (uv_loop_init(h->loop) != 0) {
        free(h);
        return AHOST_NO_MEMORY;
    }
    h->loop->data = h;
    if (open_handles(h) == 0) {
        h->root = ahost__context_new(h, NULL);
        err = h->root != NULL ? open_lua(h) : AHOST_NO_MEMORY;
    }
    if (err != AHOST_OK) {
        ahost_close(h);
        return err;
    }
    *host = h;
    return AHOST_OK;
}

/* ---- loading ------------------------------------------------------------ */

/* Whether the value on the top is a component: a table with one of the fields
 * that make one. */
static int is_component(lua_State *L) {
    static const char *const fields[] = {"start", "prepare", "run", "init",
                                         "components"};
    int found = 0;
    for (int i = 0; i < 5 && !found && lua_istable(L, -1); i++) {
        lua_pushstring(L, fields[i]);
        found = lua_rawget(L, -2) != LUA_TNIL;
        lua_pop(L, 1);
    }
    return found;
}

static int nothing_more(lua_State *L, int status, lua_KContext unused) {
    (void)L;
    (void)status;
    (void)unused;
    return 0;
}

/* A component that the main function returned becomes an application. */
static int main_returned(lua_State *L, int status, lua_KContext unused) {
    if (!is_component(L))
        return nothing_more(L, status, unused);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "ahost.application");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "run_component");
    lua_pushvalue(L, -3);
    lua_callk(L, 1, 0, 0, nothing_more);
    return nothing_more(L, status, unused);
}

/* The body of the main task. Stack: the main function and its arguments. */
static int run_main(lua_State *L) {
    lua_callk(L, lua_gettop(L) - 1, 1, 0, main_returned);
    return main_returned(L, LUA_OK, 0);
}

/* Stack: the main function, to be spawned with the arguments of the host. */
static int spawn_main(lua_State *L) {
    ahost *h = ahost__of(L);
    ahost__task *task;
    luaL_checkstack(L, h->argc + 1, "too many arguments");
    lua_pushcfunction(L, run_main);
    lua_insert(L, -2);
    for (int i = 0; i < h->argc; i++)
        lua_pushstring(L, h->argv[i]);
    task = ahost__spawn(L, h->root, h->argc + 1);
    lua_pushliteral(L, "main");
    ahost__task_set_text(L, task, AHOST__TASK_NAME);
    h->loaded = 1;
    return 0;
}

/* Makes the main task of the loaded chunk or reports why it did not load. */
static int start_main(ahost *h, int load_status) {
    lua_State *L = h->L;
    int err = AHOST_OK;
    if (load_status == LUA_OK) {
        lua_pushcfunction(L, spawn_main);
        lua_insert(L, -2);
        load_status = lua_pcall(L, 1, 0, 0);
    }
    if (load_status != LUA_OK) {
        keep_errmsg(h, lua_tostring(L, -1));
        err = load_status == LUA_ERRFILE     ? AHOST_NOT_FOUND
              : load_status == LUA_ERRSYNTAX ? AHOST_SYNTAX
                                             : AHOST_NO_MEMORY;
    }
    lua_settop(L, 0);
    return err;
}

/* Stack: path. -> the main function, or a message and the status of the load.
 */
static int load_file(lua_State *L) {
    const char *path = lua_touserdata(L, 1);
    int status;
    ahost__search_beside(L, path);
    status = luaL_loadfilex(L, path, NULL);
    lua_pushinteger(L, status);
    return 2;
}

int ahost_load_file(ahost *h, const char *path) {
    int status;
    if (h == NULL || path == NULL || h->loaded)
        return AHOST_MISUSE;
    lua_pushcfunction(h->L, load_file);
    lua_pushlightuserdata(h->L, (void *)(uintptr_t)path);
    if (lua_pcall(h->L, 1, 2, 0) != LUA_OK)
        return start_main(h, LUA_ERRMEM);
    status = (int)lua_tointeger(h->L, -1);
    lua_pop(h->L, 1);
    return start_main(h, status);
}

int ahost_load_string(ahost *h, const char *source, const char *name) {
    if (h == NULL || source == NULL || name == NULL || h->loaded)
        return AHOST_MISUSE;
    return start_main(
        h, luaL_loadbufferx(h->L, source, strlen(source), name, "t"));
}

/* ---- running ------------------------------------------------------------ */

static void run_to_the_end(ahost *h) {
    ahost__ready_run(h);
    while (!h->finished) {
        h->lua_allowed = 0;
        uv_run(h->loop, UV_RUN_DEFAULT);
        if (h->finished || uv_loop_alive(h->loop))
            continue;
        if (h->finishing) /* even the closing waits for nothing */
            break;
        ahost__job_post(h, &h->stuck_job);
        ahost__ready_run(h);
    }
    h->lua_allowed = 1;
}

int ahost_run(ahost *h) {
    if (h == NULL || h->running)
        return 2;
    h->running = 1;
    if (ahost__watchdog_set(h) != 0)
        ahost__log(h, AHOST_LOG_WARNING, "ahost.watchdog",
                   "there is no thread to be had: stalls are not noticed");
    run_to_the_end(h);
    return h->exit_status;
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
    size_t left = ahost__pools_end(h, work_time);
    if (left > 0)
        ahost__log(h, AHOST_LOG_WARNING, "ahost",
                   "%zu jobs in threads have not ended and are abandoned",
                   left);
}

void ahost_close(ahost *h) {
    if (h == NULL)
        return;
    if (h->L != NULL && !h->finished) {
        ahost__finish(h);
        run_to_the_end(h);
    }
    end_work(h);
    ahost__threads_detach(h);
    ahost__log_detach(h);
    close_loop(h);
    ahost__watchdog_stop(h);
    ahost__standard_restore(h);
    if (h->L != NULL)
        lua_close(h->L);
    ahost__threads_free(h);
    ahost__context_unref(h->root);
    ahost__tasks_free(h);
    ahost__streams_free(h);
    ahost__log_close(h, log_flush_time);
    ahost__activation_free(h);
    ahost__log_levels_free(h);
    ahost__memory_close(h);
    free(h->errmsg);
    free(h);
}
