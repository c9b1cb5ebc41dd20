/*
 * pool.h - threads for work that blocks: files, and Lua code beside the loop.
 *
 * A pool starts threads when there is work and lets them end when there has
 * been none for a while. Work is embedded in the caller's own structure; it is
 * queued, runs in a thread, and its outcome is told in the loop. Work under way
 * keeps the loop alive; a pool alone does not.
 *
 * But for `run` and `abandoned` everything belongs to the host's thread.
 */
#ifndef AHOST_POOL_H
#define AHOST_POOL_H

#include <stddef.h>
#include <uv.h>
#include "ahost.h"
#include "list.h"

typedef struct ahost__pool ahost__pool;
typedef struct ahost__work ahost__work;

struct ahost__work {
    ahost__link link;
    /* In a thread: must touch neither Lua nor the host. */
    void (*run)(ahost__work *work);
    /* In the loop, when `run` has returned; ready tasks run afterwards. The
     * pool knows the work no more. */
    void (*done)(ahost__work *work);
    /* Instead of `done`, when the host could not wait for it: the host is gone,
     * or about to be. To free what is malloc's, without the pool. In a thread
     * after `run`, or in the host's when it has not begun. */
    void (*abandoned)(ahost__work *work);
    int state;
};

/* A pool of at most `threads` threads, named "ahost:NAME" (9 characters), with
 * at most `queued` works that wait for one; 0: any number. NULL for want of
 * memory. */
ahost__pool *ahost__pool_new(ahost *h, const char *name, unsigned threads,
                             size_t queued);

/* Queues work: 0, AHOST__CLOSED, UV_ENOBUFS when too much is queued already, or
 * why there is no thread. After a failure nothing is called. */
int ahost__pool_submit(ahost__pool *pool, ahost__work *work);

/* Takes work back that has not begun: true, and nothing is called. False when
 * it has begun: `done` will be called. */
int ahost__pool_cancel(ahost__pool *pool, ahost__work *work);

/* From now on no more than so many threads; those at work finish it. */
void ahost__pool_limit(ahost__pool *pool, unsigned threads);

/* Takes no more work, and is not to be used any more. What it has runs to its
 * end; then the pool is freed, in the loop. */
void ahost__pool_close(ahost__pool *pool);

/* The host ends: closes all its pools, blocks until they have done their work,
 * for so many seconds at most, and abandons the rest. Returns how many works
 * that were. */
size_t ahost__pools_end(ahost *h, double seconds);

/* Whether a handle of the loop is one of ours, which brings nothing from
 * outside. */
int ahost__pools_have(const ahost *h, const uv_handle_t *handle);

#endif
