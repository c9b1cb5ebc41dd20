/*
 * host.h - the host itself: what its parts share.
 */
#ifndef AHOST_HOST_H
#define AHOST_HOST_H

#include <lua.h>
#include <lauxlib.h>
#include <uv.h>
#include "ahost.h"
#include "context.h"
#include "embed.h"
#include "error.h"
#include "frame.h"
#include "lag.h"
#include "list.h"
#include "memory.h"
#include "slabs.h"
#include "task.h"
#include "timers.h"
#include "virtual_clock.h"
#include "watchdog.h"

/* One buffer for what the kernel delivers, shared by all streams: whoever needs
 * the bytes beyond the callback copies them. */
enum { AHOST__READ_BUFFER = 65536 };

typedef struct ahost__logging ahost__logging;
enum { AHOST__LOG_LEVELS = 6 }; /* debug to critical */

typedef struct ahost__activation ahost__activation;
typedef struct ahost__tls_buffers ahost__tls_buffers;
typedef struct ahost__start_watch ahost__start_watch;
typedef struct ahost__stops ahost__stops;
typedef struct ahost__lender ahost__lender;
typedef struct ahost__guest ahost__guest;
typedef struct ahost__threads ahost__threads;
typedef struct ahost__children ahost__children;

typedef struct ahost__pool_slot {
    lua_State *co;
    uint32_t slot;
} ahost__pool_slot;

/* What is taken where a program does not say how much. */
typedef struct ahost__defaults {
    uint32_t connections; /* of a server at once */
    uint32_t line;        /* bytes of a line, or up to a delimiter */
    lua_Integer events;   /* waiting for an iterator or a subscriber */
    lua_Integer items;    /* in a queue */
    uint32_t threads;     /* for files */
    uint32_t callers;     /* threads of thread.call; 0: one a processor */
} ahost__defaults;

struct ahost {
    lua_State *L; /* main coroutine: runs openings, jobs and the last close */
    int attached; /* to a state that is not ours, in a coroutine of it */
    int turning;  /* the state is inside ahost.run */
    uv_loop_t *loop;
    uv_loop_t own_loop;

    /* the ready queue */
    ahost__task *ready_first, **ready_last;
    ahost__task *current; /* the running task; NULL outside tasks */
    ahost__link jobs;
    ahost__link next_jobs; /* for the next turn of the loop */
    ahost__link requests;  /* waits for resources that nobody has published */
    ahost__link stages;    /* of generations that are being started */
    ahost__link start_watches;
    int draining;      /* inside ahost__ready_run */
    uint32_t activity; /* grows with every event and every task that runs */
    uint64_t commits;  /* how often generations have come and gone */
    int nesting;       /* of ahost__run_series */
    int awaiting;      /* the coroutine that just yielded did so to wait */
    int unwaitable;    /* inside a coroutine.close, which cannot be waited in */
    int lua_allowed;   /* false in libuv callbacks (rule 4) */
    ahost__runs runs;  /* what the watchdog looks at */
    uv_idle_t more;    /* active while ready tasks wait for the next turn */

    /* streams with gathered output, sent at the end of the turn */
    ahost__link dirty;
    uv_prepare_t before_poll;
    uv_check_t after_poll;
    ahost__lag lag;
    char *read_buffer;
    ahost__tls_buffers *tls_buffers; /* NULL until TLS is used */
    size_t lingering;        /* closed streams that still send; processes that
                              * have been asked to end */
    size_t connections;      /* of servers, open */
    size_t closing_journals; /* given up, and still at work */

    /* listening, as one of several processes perhaps */
    size_t accepted;      /* streams that have not been released */
    int retired;          /* no more connections are accepted */
    ahost__link retirees; /* waits for the end of the last one */
    ahost__link leases;   /* listening sockets */
    ahost__link udp_sockets;
    ahost__link drains;    /* waits for generations to serve no more */
    ahost__lender *lender; /* of listening sockets, or NULL: our own */
    int worker, workers;   /* which one of how many; or 0 */

    /* metatables, to be told by their identity */
    const void *stream_meta, *timed_stream_meta, *task_meta, *named_task_meta;
    int task_meta_ref, named_task_meta_ref; /* registry references */

    ahost__timer *timers; /* root of the heap */
    uv_timer_t clock;
    uint64_t clock_due; /* milliseconds that the clock is armed for */
    uint32_t timer_starts;
    ahost__virtual_clock virtual_clock;
    ahost__link limits;            /* of tests */
    ahost__activation *activation; /* sockets it was started with, or NULL */
    unsigned socket_requests;      /* connects and writes that libuv is at */

    /* tasks and their pooled coroutines */
    ahost__link task_slabs;
    ahost__task *free_tasks;
    ahost__pool_slot *pool;
    size_t pool_size, pool_capacity;
    size_t pool_idle;  /* the least that was in it since the last collection */
    size_t pool_empty; /* slots at its bottom whose coroutine is given up */
    uint32_t task_ids;
    uint32_t co_slots;
    size_t task_count;   /* not ended, without the host's own */
    size_t keeper_count; /* open things that keep a script running */

    ahost__link pools; /* of threads that do what blocks */
    int pools_ended;   /* there are none any more, and will be none */
    size_t works;      /* in them, not yet told of */
    struct ahost__fs *fs;
    ahost__link file_requests; /* that Lua frees */
    int fs_closed;             /* no more are taken */

    ahost__threads *threads; /* what worker threads share, or NULL */

    ahost__context *root; /* of the main task and what it spawns */
    int loaded;           /* how many scripts have been loaded */
    int running;          /* it ends when nothing is left to do */
    int finishing;        /* the root context is being closed */
    int finished;         /* it is closed */

    /* registry references of the tables that hold Lua sides by index */
    int task_handles, task_sides, coroutines, context_sides;

    uv_async_t stop_request;
    int stop_requests;   /* of the program so far; atomic */
    int stops_seen;      /* of those */
    int stop_count;      /* requests of any kind */
    ahost__stops *stops; /* of the application that takes them, or NULL */
    ahost__job report_job, stuck_job;

    /* process signals by their bits: those that the program passes on, those
     * that have arrived (atomic), those that somebody hears (atomic) */
    uint64_t passed_signals, arrived_signals, heeded_signals;
    ahost__link process_signals;
    ahost__children *children; /* what is kept about child processes */
    int standard_flags[3]; /* of shared descriptors, to be restored; or -1 */

    int exit_status;
    double stop_timeout;

    ahost_log_function *log;
    void *log_data;
    int log_level;           /* of names that no rule is about */
    ahost__link log_rules;   /* levels by names */
    uint32_t log_version;    /* grows when levels change */
    ahost__link captures;    /* of records; open ones, oldest first */
    ahost__logging *logging; /* where records go instead of `log`, or NULL */
    size_t log_pending;      /* records that wait to be written there; atomic */
    uint64_t log_counts[AHOST__LOG_LEVELS]; /* of records written, by level */
    size_t memory, memory_limit;
    ahost__defaults defaults;
    ahost__slabs slabs;
#ifdef AHOST_CHECKS
    long refuse_after; /* the last of `refusals` allocations that fail */
    long refusals;
#endif
    int argc;
    char **argv;

    /* the program in C that has opened the host */
    uv_thread_t thread;  /* that it belongs to */
    int inside;          /* calls into the host, whose callbacks may not nest */
    int stays;           /* it does not end for want of things to do */
    int watched;         /* the watchdog has been started, if there is one */
    int stuck;           /* it has ended, though its root could not be closed */
    uv_timer_t step;     /* ends the wait of a step */
    ahost__guest *guest; /* of the program's loop, or NULL */
    ahost__posts posts;
    ahost__task *loading;         /* the main task until its first await */
    int load_code;                /* how that went */
    int begun;                    /* what the program has started runs */
    ahost__owned application_end; /* owned by, when there is one: */
    ahost__context *application;  /* where components publish */
    ahost__link calls;            /* of Lua functions, under way */
    ahost__link program_ends;     /* its connections to signals and the bus */
    char *errmsg;
    int errmsg_lost; /* there was no memory for it */
    int error_code;  /* of the error that is being described */
};

/* The host of a Lua state: any coroutine of it will do. */
static inline ahost *ahost__of(lua_State *L) {
    return *(ahost **)lua_getextraspace(L);
}

/* The host's monotonic time in nanoseconds; it never goes back. */
static inline uint64_t ahost__now(const ahost *h) {
    uint64_t now = h->virtual_clock.now;
    return now != 0 ? now : uv_hrtime() + h->virtual_clock.offset;
}

/* A run begins, or ends: the watchdog sees the number change. One thread writes
 * it, so that no atomic addition is needed. */
static inline void ahost__run_begins(ahost *h) {
    __atomic_store_n(&h->runs.number, (h->runs.number + 2) | 1,
                     __ATOMIC_RELEASE);
}

static inline void ahost__run_ends(ahost *h) {
    __atomic_store_n(&h->runs.number, h->runs.number & ~1u, __ATOMIC_RELEASE);
}

/* From now on L is the coroutine that runs; returns the one before. What looks
 * at it may be a signal handler. */
static inline lua_State *ahost__run_in(ahost *h, lua_State *L) {
    lua_State *outer = h->runs.L;
    __atomic_store_n(&h->runs.L, L, __ATOMIC_RELEASE);
    return outer;
}

/* Opens a host in memory of the caller's, zeroed but for h->L: a coroutine of
 * a state that goes on to belong to somebody else. */
int ahost__attach(ahost *h, const ahost_options *options);

/* Frees what it has, but not `h` itself; for finalizers: what is left of tasks
 * does not run any more. */
void ahost__detach(ahost *h);

/* Something failed that nobody handles: the exit status is at least 1. */
void ahost__host_failed(ahost *h);

/* One more or, with -1, one less thing keeps the host running. */
void ahost__keep_running(ahost *h, int more);

/* Starts to end the host when nothing keeps it running any more. */
void ahost__check_finished(ahost *h);

/* The root context is closed: ahost_run may end. */
void ahost__finished(ahost *h);

/* Somebody wants the host to end: the application is told, if there is one. */
void ahost__request_stop(ahost *h);

/* The ready queue has run dry: tells those who watch the start of an
 * application when it is stuck. */
void ahost__check_starting(ahost *h);

/* Pushes "file:line" of the innermost Lua function of a coroutine (NULL: of
 * none), of the program's own if there is one, or "". */
const char *ahost__push_place(lua_State *L, lua_State *co);

/* Logs the task's name, what it waits for and where in its code, after "task
 * NAME" and the text. */
void ahost__log_waiting(lua_State *L, int level, ahost__task *task,
                        const char *text);

/* Closes the root context, then ends ahost_run. Does nothing twice. */
void ahost__finish(ahost *h);

/* Logs a formatted record (printf formats, any length), if the level of the
 * logger lets it pass. May be called anywhere. */
void ahost__log(ahost *h, int level, const char *logger, const char *format,
                ...) __attribute__((format(printf, 4, 5)));

/* Makes field `id` of the table of a registry reference false: forgets it,
 * without allocating. */
void ahost__table_forget(ahost *h, int table, uint32_t id);

/* Reads opts[name] of the table at `arg` (none or nil: the fallback). */
double ahost__opt_number(lua_State *L, int arg, const char *name,
                         double fallback);

#endif
