/*
 * thread.h - worker threads: what they share with the host, the values that
 * are copied between them, channels, and the Lua states of workers.
 *
 * A worker's Lua state has no host (ahost__of gives NULL): what it uses lives
 * in malloc's memory and is counted by references, so that a thread which the
 * host has given up may go on after the host's end.
 *
 * Locks are taken in this order: a state's, a channel's, that of what is
 * shared.
 */
#ifndef AHOST_THREAD_H
#define AHOST_THREAD_H

#include <lua.h>
#include <uv.h>

#include "list.h"
#include "task.h"

typedef struct ahost__threads ahost__threads;
typedef struct ahost__channel ahost__channel;
typedef struct ahost__packed ahost__packed;
typedef struct ahost__thread_state ahost__thread_state;
typedef struct ahost__thread_states ahost__thread_states;
typedef struct ahost__call ahost__call;
typedef struct ahost__thread_record ahost__thread_record;

/* ---- what all share: thread_share.c ------------------------------------- */

struct ahost__threads {
    uv_mutex_t mutex;
    int references;       /* atomic */
    size_t blocked;       /* workers in operations of channels; atomic */
    ahost *host;          /* for the host's thread only */
    uv_async_t *wake;     /* NULL once the host has gone */
    ahost__link channels; /* all there are */
    ahost__link woken;    /* those with news for tasks */
    ahost__link doomed;   /* those that nobody has any more */
    int frees;            /* a thread is at freeing these */
    ahost__thread_record *records, **last_record;
    size_t record_count, dropped_records;
};

/* What the threads of the host share, made when needed; one reference for the
 * caller. NULL for want of memory or handles. */
ahost__threads *ahost__threads_get(ahost *h);
void ahost__threads_unref(ahost__threads *threads);

/* Has the host look at a channel. Any thread. */
void ahost__threads_wake(ahost__threads *threads, ahost__channel *channel);

/* Does what workers have asked for. */
void ahost__threads_attend(ahost__threads *threads);

/* The host ends: channels are closed, and nobody wakes it any more. */
void ahost__threads_detach(ahost *h);

/* The last that the host does with it, when its Lua state is closed. */
void ahost__threads_free(ahost *h);

/* Whether a handle of the loop is ours, which brings nothing from outside. */
int ahost__threads_have(const ahost *h, const uv_handle_t *handle);

/* Gives a record to the host's log; `json` may be NULL. Any thread. */
void ahost__threads_log(ahost__threads *threads, int level, const char *logger,
                        const char *text, size_t data_size, const char *json);

/* How many workers are blocked in operations of channels. */
size_t ahost__threads_blocked(const ahost *h);

/* ---- values: thread_value.c --------------------------------------------- */

enum { AHOST__PROBLEM = 256 };

/* Values on their way from one Lua state to another. */
struct ahost__packed {
    ahost__packed *next; /* in a channel */
    int count;           /* of values */
    int shared;          /* a table is in it more than once */
    size_t size, capacity;
    ahost__channel **channels; /* that are in it; counted */
    size_t channel_count, channel_capacity;
    char bytes[];
};

/* Copies `count` values from index `first` on; raises nothing once it has
 * begun. NULL: `problem` says which cannot be copied, or is empty for want of
 * memory. The values are "argument 1" and so on, `what` being "argument"; or
 * simply `what` when that begins with "the ". */
ahost__packed *ahost__pack(lua_State *L, int first, int count, const char *what,
                           char problem[AHOST__PROBLEM]);

/* The same, or raises. */
ahost__packed *ahost__pack_checked(lua_State *L, int first, int count,
                                   const char *what);

/* Pushes the values and frees them, also when it raises for want of memory.
 * Returns how many. */
int ahost__unpack(lua_State *L, ahost__packed *packed);

/* NULL is fine. */
void ahost__packed_free(ahost__packed *packed);

/* ---- channels: thread_channel.c ----------------------------------------- */

#define AHOST__CHANNEL_TYPE "ahost.channel"

void ahost__channel_ref(ahost__channel *channel);
void ahost__channel_unref(ahost__channel *channel);

/* The channel in the userdata at `index`, whose type is known. */
ahost__channel *ahost__channel_of(lua_State *L, int index);

/* Pushes a userdata for the channel. May raise. */
void ahost__channel_push(lua_State *L, ahost__channel *channel);

/* Lets waiting tasks take what there is and put what has room. */
void ahost__channel_attend(ahost__channel *channel);

/* Closes it; `empty`: and forgets what is in it. */
void ahost__channel_close(ahost__channel *channel, int empty);

/* Wakes the threads that are blocked in it, to look whether they are to go on
 * being so. */
void ahost__channel_stir(ahost__channel *channel);

/* A channel of the list of all, with a reference, which is taken out of it; or
 * NULL at its end. With the lock of what is shared. */
ahost__channel *ahost__channel_next(ahost__link *channels);

/* The first of those with news, whose reference passes to the caller. */
ahost__channel *ahost__channel_shift(ahost__link *woken);

/* Notes news for tasks; false when that is known. With the same lock. */
int ahost__channel_mark(ahost__channel *channel, ahost__link *woken);

/* Adds thread.channel to the module on the top. */
void ahost__open_channel(lua_State *L);

/* ---- the Lua states of workers: thread_state.c -------------------------- */

struct ahost__thread_state {
    ahost__thread_state *next; /* among the idle ones */
    lua_State *L;
    ahost__threads *threads;
    size_t memory, limit; /* 0: no limit */
    int exhausted;        /* memory was refused in this call */
    int interruptible;
    unsigned raised; /* how often it has been told that it is cancelled */
    int polls;       /* the code asks for itself whether it is cancelled */
    uint64_t told;   /* since when it could have known; 0: it could not */
    unsigned path_version;
    uv_mutex_t mutex; /* of the next two */
    ahost__channel *blocked_in;
    int cancelled; /* read without the lock */
};

/* The states of a pool, taken by whichever thread runs a call. */
struct ahost__thread_states {
    uv_mutex_t mutex;
    ahost__threads *threads;
    ahost__thread_state *idle;
    char *path, *cpath; /* of package */
    unsigned path_version;
    size_t limit;
    int interruptible;
    int closed;
    int references; /* atomic */
};

/* The worker that a Lua state belongs to. */
ahost__thread_state *ahost__thread_state_of(lua_State *L);

/* NULL for want of memory. The reference to `threads` is taken over, also
 * then. */
ahost__thread_states *ahost__thread_states_new(ahost__threads *threads,
                                               size_t limit, int interruptible);
void ahost__thread_states_unref(ahost__thread_states *states);

/* No state is kept any more. */
void ahost__thread_states_close(ahost__thread_states *states);

/* What package.path and cpath of the states are to be: 0 or UV_ENOMEM. */
int ahost__thread_states_set_path(ahost__thread_states *states,
                                  const char *path, const char *cpath);

/* A state of the caller's own; NULL for want of memory. */
ahost__thread_state *ahost__thread_state_take(ahost__thread_states *states);

/* Gives it back, to be used again if it is fit for that. */
void ahost__thread_state_give(ahost__thread_states *states,
                              ahost__thread_state *state);

/* Asks the code that runs in it to end. Any thread. */
void ahost__thread_state_cancel(ahost__thread_state *state);

static inline int ahost__thread_cancelled(const ahost__thread_state *state) {
    return __atomic_load_n(&state->cancelled, __ATOMIC_ACQUIRE);
}

/* Raises CANCELLED. */
int ahost__thread_raise_cancelled(lua_State *L, ahost__thread_state *state);

/* Replaces what a worker must not have, and lets `require` find the modules
 * that it may: thread_modules.c. */
void ahost__thread_open_modules(lua_State *L);

/* ---- calls: thread_run.c, in the worker --------------------------------- */

typedef enum ahost__call_outcome {
    AHOST__CALL_RETURNED,  /* `values`: the results */
    AHOST__CALL_RAISED,    /* `values`: the error and its traceback */
    AHOST__CALL_REFUSED,   /* `problem`: a result cannot be copied */
    AHOST__CALL_EXHAUSTED, /* memory */
    AHOST__CALL_CANCELLED
} ahost__call_outcome;

/* What is to be run, and what has come of it. */
typedef struct ahost__errand {
    char *code; /* of a function, or its reference; `name` in messages */
    size_t code_size;
    int is_reference;
    char *name;
    ahost__packed *values; /* the arguments, then the outcome */
    ahost__call_outcome outcome;
    char problem[AHOST__PROBLEM];
} ahost__errand;

void ahost__errand_run(ahost__thread_state *state, ahost__errand *errand);
void ahost__errand_free(ahost__errand *errand);

int ahost__open_thread(lua_State *L);

/* The loggers of workers: thread_log.c. */
int ahost__open_thread_log(lua_State *L);

#endif
