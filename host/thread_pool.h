/*
 * thread_pool.h - a pool of threads for calls, and a call: what their parts
 * share. All of it belongs to the loop, unless it says otherwise.
 */
#ifndef AHOST_THREAD_POOL_H
#define AHOST_THREAD_POOL_H

#include "host.h"
#include "pool.h"
#include "thread.h"

#define AHOST__POOL_TYPE "ahost.thread.pool"

typedef struct ahost__executor {
    ahost__owned owned;
    ahost *host;
    ahost__pool *pool; /* NULL once it is closed */
    ahost__threads *threads;
    ahost__thread_states *states;
    void *box;         /* the userdata; NULL once collected */
    ahost__link calls; /* that the loop has not been told of */
    size_t call_count, size, max_queue;
    size_t promised;     /* places, to callers that have been woken for them */
    ahost__link room;    /* waits of those who want to call */
    ahost__link drained; /* waits for the last call's end */
    int closed;          /* no more calls */
    char name[32];
} ahost__executor;

struct ahost__call {
    ahost__work work;
    ahost__link link;          /* among the calls */
    ahost__executor *executor; /* not for the thread */
    ahost__wait *wait;         /* of the caller; NULL when nobody waits */
    ahost__thread_states *states;
    ahost__errand errand; /* the thread's, while it is under way */
    uv_mutex_t mutex;     /* of the next two */
    ahost__thread_state *state;
    int cancelled;
};

/* ---- what is called: thread_function.c ---------------------------------- */

/* Places on the stack of a call. */
enum { AHOST__CALL_SELF = 1, AHOST__CALL_FUNCTION = 2 };

/* Raises for what cannot be called in a thread. */
void ahost__check_function(lua_State *L, int is_method);

/* Copies the function. Raises nothing; false for want of memory. */
int ahost__describe_function(lua_State *L, ahost__errand *errand);

/* ---- calls: thread_call.c ----------------------------------------------- */

/* The pool at index 1. Raises when it has been collected. */
ahost__executor *ahost__check_executor(lua_State *L);

/* pool:call(fn, ...) -> ... | nil, err */
int ahost__pool_call(lua_State *L);

/* core.caller(make) -> call */
int ahost__pool_caller(lua_State *L);

/* Asks the code to end. */
void ahost__call_ask_to_end(ahost__call *c);

/* No thread has it. */
void ahost__call_free(ahost__call *c);

/* Frees the executor when nothing refers to it. */
void ahost__executor_free_unused(ahost__executor *e);

#endif
