/*
 * task.h - tasks: coroutines that the host resumes, and how they wait.
 *
 * A task waits for one thing at a time, so the wait is part of the task. An
 * operation that makes its caller wait is written like this:
 *
 *     ahost__wait *w = ahost__wait_begin(L, &read_wait, stream);
 *     ahost__wait_timeout(w, seconds);          // when there is one
 *     ahost__list_append(&stream->readers, &w->link);
 *     return ahost__await(L, w);
 *
 * and its completion, in a libuv callback or in another task, says
 * ahost__settle(w, status). Whichever of completion, timeout and cancellation
 * settles the wait first wins. The type's `finish` then runs in the task and
 * pushes the results; it is the only part that may allocate in Lua or raise.
 */
#ifndef AHOST_TASK_H
#define AHOST_TASK_H

#include <lua.h>
#include <stdint.h>
#include "list.h"
#include "timers.h"

typedef struct ahost__task ahost__task;
typedef struct ahost__task_handle ahost__task_handle;
typedef struct ahost__wait ahost__wait;
typedef struct ahost__frame ahost__frame;
typedef struct ahost__context ahost__context;
typedef struct ahost__series ahost__series;

typedef struct ahost__wait_type {
    const char *what; /* for reports of where tasks wait: "sleep", "read" */
    /* Runs in the task, with the waiting function's stack as it was plus what
     * ahost__wait_value pushed. w->status is 0 or a negative code, never
     * AHOST__CANCELLED. Returns the number of results on the top. */
    int (*finish)(lua_State *L, ahost__wait *w);
    /* The wait ends without the operation: forget it. NULL when leaving the
     * list of waiters, which is done already, is enough. */
    void (*cancel)(ahost__wait *w);
    int inner; /* it ends only by what other tasks of the host do */
    /* The task's generation is the current one from now on. NULL: that is
     * nothing to the wait. Must not wait, fail or use Lua. */
    void (*activate)(ahost__wait *w);
} ahost__wait_type;

struct ahost__wait {
    const ahost__wait_type *type; /* NULL while the task does not wait */
    void *op;                     /* the operation's own object */
    lua_State *L;       /* the coroutine that waits, the task's or a user's */
    ahost__link link;   /* place among the operation's waiters */
    ahost__timer timer; /* the timeout */
    uint32_t sequence;  /* grows with each wait of the task, and wraps */
    int status;         /* AHOST__PENDING until settled */
    int64_t value;      /* the operation's own */
};

enum { AHOST__PENDING = 1 };

/* Results without waiting that a task may have in one resume. */
enum { AHOST__CREDIT = 128 };

typedef enum ahost__task_state {
    AHOST__TASK_FREE,
    AHOST__TASK_READY,   /* in the ready queue */
    AHOST__TASK_RUNNING, /* now, or in a resume that started another */
    AHOST__TASK_WAITING,
    AHOST__TASK_DONE,
    AHOST__TASK_FAILED,
    AHOST__TASK_CANCELLED
} ahost__task_state;

struct ahost__task {
    /* what every resume touches stands together */
    ahost *host;
    lua_State *co;           /* pooled coroutine; NULL once ended */
    ahost__task *next_ready; /* in the ready queue, or the next free task */
    ahost__frame *frames;    /* innermost timeout or scope */
    int32_t floor;           /* frames up to this depth are masked; -1: none */
    int32_t credit;          /* immediate completions left before a yield */
    uint8_t state;           /* ahost__task_state */
    uint8_t started;         /* false until its first run */
    uint8_t cancelled;       /* asked to end; sticky */
    uint8_t has_side;        /* a name, reason or traceback is kept in Lua */
    uint8_t rethrows;        /* raises an error whose traceback is kept */
    uint8_t abandoned;       /* did not end in time; its context is gone */
    uint8_t ends_context;    /* its end closes `ctx` (of a connection) */
    uint8_t label;  /* where its coroutine keeps a name for its failure; 0 */
    uint8_t serves; /* it belongs to a connection */
    ahost__wait wait;

    ahost__context *ctx;     /* whose task it is; NULL for the host's own */
    ahost__context *current; /* where it spawns and publishes now */
    ahost__link link;        /* among the tasks of `ctx` */
    ahost__series *series;   /* that its coroutine is to go on with, or NULL */
    ahost__task_handle *handle; /* what Lua holds of it, or NULL */
    const char *logger; /* hears of its failure; NULL: its context does */
    uint32_t id;        /* index of its Lua side, stable for the struct */
    uint32_t co_slot;   /* of the pooled coroutine */
};

static inline ahost__task *ahost__wait_task(ahost__wait *w) {
    return ahost__container_of(w, ahost__task, wait);
}

/* ---- waiting ------------------------------------------------------------ */

/* Prepares the running task to wait. Raises, before anything has begun, when
 * the caller may not wait here or a cancellation is due. Between this and
 * ahost__await nothing may raise. */
ahost__wait *ahost__wait_begin(lua_State *L, const ahost__wait_type *type,
                               void *op);

/* Whether code that runs in L may wait at all. */
int ahost__can_wait(lua_State *L);

/* Ends the wait with AHOST__TIMEDOUT after `seconds`; negative: never. */
void ahost__wait_timeout(ahost__wait *w, double seconds);

/* Waits: `return ahost__await(L, w);`. A wait that is settled already takes
 * its turn in the ready queue all the same. */
int ahost__await(lua_State *L, ahost__wait *w);

/* Ends a wait; later calls, and those for a wait that is over, do nothing. May
 * be called anywhere; allocates nothing. The task runs in its turn. */
void ahost__settle(ahost__wait *w, int status);

/* Settles all waits of a list, oldest first. */
void ahost__settle_all(ahost__link *waiters, int status);

/* The oldest wait of a list, or NULL. */
ahost__wait *ahost__wait_first(ahost__link *waiters);

/* Moves the value on the top of L to the waiting function's stack, where its
 * `finish` finds it on the top. False, with nothing moved, when memory for the
 * stack is short. To be called before ahost__settle, by code in a task. */
int ahost__wait_value(lua_State *L, ahost__wait *w);

/* Counts a result that came without waiting. True when the task has had so many
 * in a row that it must let others run: then wait as usual, and settle the
 * wait at once. Never true outside a task or where waiting is impossible. */
int ahost__must_yield(lua_State *L);

/* The optional timeout argument at `arg`: seconds, or -1 for none. */
double ahost__opt_timeout(lua_State *L, int arg);

/* ---- tasks -------------------------------------------------------------- */

/* Makes a task of the function and its `nargs` arguments on the top of L and
 * pops them; it runs in its turn. `ctx` may be NULL for a task of the host's
 * own. Raises when memory is short or the context does not take tasks. */
ahost__task *ahost__spawn(lua_State *L, ahost__context *ctx, int nargs);

/* Makes a task whose coroutine runs `body` with `values` values from the top of
 * L, popped, below which it finds ahost__on_raise at index 1. Nobody runs it
 * yet, and it has no context. Raises when memory is short. */
ahost__task *ahost__task_create(lua_State *L, lua_CFunction body, int values);

/* The call of a task's body came to an end: its results or error are on the
 * stack above `base`. Tells those concerned; what it raises is caught by the
 * resume. */
void ahost__task_end(lua_State *L, int status, int base);

/* The running task has ended; its coroutine goes on as a new task of `ctx`,
 * which is returned. Raises when memory is short. */
ahost__task *ahost__task_renew(lua_State *L, ahost__context *ctx);

/* Pushes the task's handle, always the same one. May raise for memory. */
void ahost__push_task(lua_State *L, ahost__task *task);

/* The state of the task, ended or not, whose handle is at `arg`. */
int ahost__task_handle_state(lua_State *L, int arg);

/* task:join, for others that call it with lua_callk. */
int ahost__task_join(lua_State *L);

/* Asks a task to end. Its await raises CANCELLED in its turn; a task that has
 * not run yet ends at once. */
void ahost__task_cancel(ahost__task *task);

/* Wakes a waiting task when a cancellation or a fired frame is due. */
void ahost__task_interrupt(ahost__task *task);

/* The rare strings of a task, kept in Lua; they go when it has ended. */
enum { AHOST__TASK_NAME = 1, AHOST__TASK_REASON, AHOST__TASK_TRACEBACK };

/* Pushes one of them, or nil. */
void ahost__task_push_text(lua_State *L, ahost__task *task, int which);

/* Pops the value on the top and keeps it as one of them. */
void ahost__task_set_text(lua_State *L, ahost__task *task, int which);

/* Pushes the given name or "task N". */
const char *ahost__task_push_name(lua_State *L, ahost__task *task);

/* The task belongs to a connection from now on: it goes on when its component
 * is replaced. */
void ahost__task_serve(ahost__task *task);

/* Takes an unfinished task off its context, which goes on without it. */
void ahost__task_leave_context(ahost__task *task);

/* The coroutine of a task ran to its end, or was given up before its first run
 * (status LUA_OK). Called by the ready queue, outside the coroutine. */
void ahost__task_ended(ahost__task *task, int status);

int ahost__open_task(lua_State *L);

/* The tables and the pool; tasks_free comes after the Lua state is closed. */
void ahost__tasks_open(lua_State *L);
void ahost__tasks_free(ahost *h);

/* ---- series ------------------------------------------------------------- */

/* How deeply tasks that are started at once may nest (the one exception to rule
 * 3); beyond that they are queued. */
enum { AHOST__NESTING = 8 };

/* Calls to be made one after the other, each in a task of its own. */
struct ahost__series {
    int values;         /* on the top of the stack: what `next` needs, and */
    int arguments;      /* among them, last, the arguments of every call */
    const char *logger; /* hears of failures */
    int labelled;       /* the first argument, a string, tells calls apart */
    /* Moves on to the next call: pushes its function and returns its context,
     * which is not closed; NULL, with nothing pushed, at the end. The values
     * start at index `at` of L. */
    ahost__context *(*next)(lua_State *L, ahost__series *series, int at);
    /* Is told of each call's task before the call, or NULL. */
    void (*started)(lua_State *L, ahost__series *series, int at,
                    ahost__task *task);
    ahost__task *task; /* the last one started */
    int done;
};

/* Makes the calls, pops the values. Each runs up to its first await before the
 * next starts; in their turn when nested deeply. Calls that do not wait share
 * one coroutine. `series` need not outlive this. */
void ahost__run_series(lua_State *L, ahost__series *series);

/* ---- the ready queue ---------------------------------------------------- */

/* Appends a task that has something to do. */
void ahost__ready_push(ahost *h, ahost__task *task);

/* Runs a task until it waits or ends, nested in the code that runs now. `from`
 * is the coroutine of that code. */
void ahost__task_resume(ahost *h, ahost__task *task, lua_State *from);

/* Runs ready tasks and jobs within a budget; what is left runs on the next
 * turn of the loop. To be called at the end of every libuv callback. */
void ahost__ready_run(ahost *h);

/* The same where nothing has happened, in what is called on every turn. */
void ahost__ready_drain(ahost *h);

/* Runs what the program has just started up to its first await, unless the
 * program is in a callback. */
void ahost__ready_begin(ahost *h);

/* Has them run on the next turn of the loop, for those who cannot end with
 * ahost__ready_run. */
void ahost__ready_soon(ahost *h);

/* Work that a libuv callback leaves to be done where Lua may be used: `run` is
 * called from the ready queue, protected, outside any task; it must not wait.
 * A job that is posted already stays where it is. */
typedef struct ahost__job {
    ahost__link link;
    void (*run)(lua_State *L, struct ahost__job *job);
} ahost__job;

void ahost__job_post(ahost *h, ahost__job *job);

/* The same for the next turn of the loop, when what is ready now has run. */
void ahost__job_post_next(ahost *h, ahost__job *job);

/* Takes a job back; harmless when it is not posted. */
void ahost__job_drop(ahost__job *job);

#endif
