/*
 * pool.c - threads for work that blocks.
 *
 * A pool is malloc's memory that its threads and its handle hold references to,
 * so that a thread which the host could not wait for finds it when it comes
 * back from the kernel at last. What the mutex guards is marked; the rest
 * belongs to the host's thread.
 */
#include "pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "host.h"

static const uint64_t idle_time = 10ull * 1000 * 1000 * 1000; /* ns */
static const size_t stack_size = (size_t)2 * 1024 * 1024;

enum { NAME_SIZE = 16 }; /* what the kernel keeps of a thread's name */

enum { NEW, QUEUED, RUNNING, DONE };

typedef struct worker {
    ahost__link link; /* among the pool's workers */
    ahost__pool *pool;
    uv_thread_t thread;
    int ended; /* mutex: it has said its last word, and can be joined */
} worker;

struct ahost__pool {
    ahost *host;
    ahost__link link; /* among the host's */
    ahost__link workers;
    uv_async_t wake;
    char name[NAME_SIZE];
    size_t outstanding; /* submitted, and not yet told of */
    size_t most_queued;
    int closes;     /* nothing more is taken */
    int references; /* atomic: threads, and the handle */

    uv_mutex_t mutex;
    uv_cond_t change;        /* for threads: there is work, or an end */
    uv_cond_t settled;       /* for ahost__pools_end */
    ahost__link queue, done; /* mutex */
    size_t queued, running;  /* mutex */
    unsigned threads, idle;  /* mutex */
    unsigned most;           /* mutex */
    int quits;               /* mutex: threads are to end */
    int abandoned;           /* mutex: nobody is told any more */
};

static void unref(ahost__pool *pool) {
    if (__atomic_sub_fetch(&pool->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    uv_mutex_destroy(&pool->mutex);
    uv_cond_destroy(&pool->change);
    uv_cond_destroy(&pool->settled);
    free(pool);
}

static ahost__work *work_of(ahost__link *link) {
    return ahost__container_of(link, ahost__work, link);
}

/* ---- the threads; all with the mutex ------------------------------------ */

/* The next work, or NULL when the thread is to end. */
static ahost__work *next_work(ahost__pool *pool) {
    int late = 0;
    while (pool->threads <= pool->most && ahost__list_empty(&pool->queue)) {
        if (pool->quits || late)
            return NULL;
        pool->idle++;
        late = uv_cond_timedwait(&pool->change, &pool->mutex, idle_time) != 0;
        pool->idle--;
    }
    if (pool->threads > pool->most)
        return NULL;
    pool->queued--;
    pool->running++;
    return work_of(ahost__list_shift(&pool->queue));
}

static void run(ahost__pool *pool, ahost__work *work) {
    work->state = RUNNING;
    uv_mutex_unlock(&pool->mutex);
    work->run(work);
    uv_mutex_lock(&pool->mutex);
    pool->running--;
}

static void hand_back(ahost__pool *pool, ahost__work *work) {
    if (pool->abandoned) {
        work->abandoned(work);
        return;
    }
    work->state = DONE;
    if (ahost__list_empty(&pool->done))
        uv_async_send(&pool->wake);
    ahost__list_append(&pool->done, &work->link);
    uv_cond_signal(&pool->settled);
}

/* The loop joins the thread. The handle is open unless nobody is told. */
static void leave(ahost__pool *pool, worker *own) {
    pool->threads--;
    uv_cond_signal(&pool->change); /* to one that this one was woken for */
    own->ended = 1;
    if (pool->abandoned)
        free(own);
    else
        uv_async_send(&pool->wake);
}

static void serve(void *data) {
    worker *own = data;
    ahost__pool *pool = own->pool;
    ahost__work *work;
    pthread_setname_np(pthread_self(), pool->name);
    uv_mutex_lock(&pool->mutex);
    while ((work = next_work(pool)) != NULL) {
        run(pool, work);
        hand_back(pool, work);
    }
    leave(pool, own);
    uv_mutex_unlock(&pool->mutex);
    unref(pool);
}

/* ---- starting and joining them ------------------------------------------ */

/* Process signals are not for these threads. */
static int create_thread(worker *own) {
    uv_thread_options_t options = {UV_THREAD_HAS_STACK_SIZE, stack_size};
    sigset_t all, before;
    int err;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    err = uv_thread_create_ex(&own->thread, &options, serve, own);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}

/* With the mutex: 0 or a code. */
static int add_thread(ahost__pool *pool) {
    worker *own = calloc(1, sizeof(*own));
    int err;
    if (own == NULL)
        return UV_ENOMEM;
    own->pool = pool;
    err = create_thread(own);
    if (err != 0) {
        free(own);
        return err;
    }
    ahost__list_append(&pool->workers, &own->link);
    __atomic_add_fetch(&pool->references, 1, __ATOMIC_RELAXED);
    pool->threads++;
    return 0;
}

/* With the mutex: joins those that have ended. */
static void reap(ahost__pool *pool) {
    ahost__link *link = pool->workers.next, *next;
    for (; link != &pool->workers; link = next) {
        worker *one = ahost__container_of(link, worker, link);
        next = link->next;
        if (!one->ended)
            continue;
        uv_thread_join(&one->thread);
        ahost__list_remove(&one->link);
        free(one);
    }
}

/* With the mutex: those that are still at work end by themselves. */
static void let_go_of_threads(ahost__pool *pool) {
    ahost__link *link;
    reap(pool);
    while ((link = ahost__list_shift(&pool->workers)) != NULL)
        pthread_detach(ahost__container_of(link, worker, link)->thread);
}

/* ---- the loop ----------------------------------------------------------- */

/* Counts what is under way, which keeps the loop alive. */
static void count(ahost__pool *pool, int change) {
    pool->outstanding += (size_t)change;
    pool->host->works += (size_t)change;
    if (pool->outstanding == 0)
        uv_unref((uv_handle_t *)&pool->wake);
    else
        uv_ref((uv_handle_t *)&pool->wake);
}

static void on_closed(uv_handle_t *wake) {
    unref(ahost__container_of(wake, ahost__pool, wake));
}

/* Ends threads that have nothing to do, all of them. */
static void join_all(ahost__pool *pool) {
    uv_mutex_lock(&pool->mutex);
    pool->quits = 1;
    uv_cond_broadcast(&pool->change);
    uv_mutex_unlock(&pool->mutex);
    while (!ahost__list_empty(&pool->workers)) {
        worker *one = ahost__container_of(pool->workers.next, worker, link);
        uv_thread_join(&one->thread);
        ahost__list_remove(&one->link);
        free(one);
    }
}

static void finish_close(ahost__pool *pool) {
    join_all(pool);
    ahost__list_remove(&pool->link);
    uv_close((uv_handle_t *)&pool->wake, on_closed);
}

static ahost__work *take_done(ahost__pool *pool) {
    ahost__link *link;
    uv_mutex_lock(&pool->mutex);
    link = ahost__list_shift(&pool->done);
    uv_mutex_unlock(&pool->mutex);
    return link != NULL ? work_of(link) : NULL;
}

static void tell_done(ahost__pool *pool) {
    ahost__work *work;
    while ((work = take_done(pool)) != NULL) {
        count(pool, -1);
        work->state = NEW;
        work->done(work);
    }
}

static void on_wake(uv_async_t *wake) {
    ahost__pool *pool = ahost__container_of(wake, ahost__pool, wake);
    ahost *h = pool->host;
    uv_mutex_lock(&pool->mutex);
    reap(pool);
    uv_mutex_unlock(&pool->mutex);
    tell_done(pool);
    if (pool->closes && pool->outstanding == 0 &&
        !uv_is_closing((uv_handle_t *)wake))
        finish_close(pool);
    ahost__ready_run(h);
}

/* ---- making a pool ------------------------------------------------------ */

static int init_locks(ahost__pool *pool) {
    if (uv_mutex_init(&pool->mutex) != 0)
        return 0;
    if (uv_cond_init(&pool->change) == 0) {
        if (uv_cond_init(&pool->settled) == 0)
            return 1;
        uv_cond_destroy(&pool->change);
    }
    uv_mutex_destroy(&pool->mutex);
    return 0;
}

ahost__pool *ahost__pool_new(ahost *h, const char *name, unsigned threads,
                             size_t queued) {
    ahost__pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL)
        return NULL;
    if (!init_locks(pool)) {
        free(pool);
        return NULL;
    }
    pool->references = 1;
    if (uv_async_init(h->loop, &pool->wake, on_wake) != 0) {
        unref(pool);
        return NULL;
    }
    uv_unref((uv_handle_t *)&pool->wake);
    snprintf(pool->name, sizeof(pool->name), "ahost:%s", name);
    pool->host = h;
    pool->most = threads;
    pool->most_queued = queued;
    ahost__list_init(&pool->workers);
    ahost__list_init(&pool->queue);
    ahost__list_init(&pool->done);
    ahost__list_append(&h->pools, &pool->link);
    return pool;
}

void ahost__pool_limit(ahost__pool *pool, unsigned threads) {
    uv_mutex_lock(&pool->mutex);
    pool->most = threads;
    uv_cond_broadcast(&pool->change);
    uv_mutex_unlock(&pool->mutex);
}

int ahost__pools_have(const ahost *h, const uv_handle_t *handle) {
    const ahost__link *link;
    for (link = h->pools.next; link != &h->pools; link = link->next)
        if (handle ==
            (const uv_handle_t *)&ahost__container_of(link, ahost__pool, link)
                ->wake)
            return 1;
    return 0;
}

/* ---- work --------------------------------------------------------------- */

/* With the mutex: has a thread for the work that was queued last; 0 or a
 * code. */
static int provide_thread(ahost__pool *pool) {
    int err = 0;
    if (pool->idle < pool->queued && pool->threads < pool->most)
        err = add_thread(pool);
    uv_cond_signal(&pool->change);
    return pool->threads > 0 ? 0 : err;
}

/* With the mutex. */
static int enqueue(ahost__pool *pool, ahost__work *work) {
    int err;
    if (pool->most_queued != 0 && pool->queued >= pool->most_queued)
        return UV_ENOBUFS;
    work->state = QUEUED;
    ahost__list_append(&pool->queue, &work->link);
    pool->queued++;
    err = provide_thread(pool);
    if (err == 0)
        return 0;
    ahost__list_remove(&work->link);
    pool->queued--;
    return err;
}

int ahost__pool_submit(ahost__pool *pool, ahost__work *work) {
    int err;
    if (pool->closes)
        return AHOST__CLOSED;
    uv_mutex_lock(&pool->mutex);
    err = enqueue(pool, work);
    uv_mutex_unlock(&pool->mutex);
    if (err == 0)
        count(pool, 1);
    return err;
}

int ahost__pool_cancel(ahost__pool *pool, ahost__work *work) {
    int queued;
    uv_mutex_lock(&pool->mutex);
    queued = work->state == QUEUED;
    if (queued) {
        ahost__list_remove(&work->link);
        work->state = NEW;
        pool->queued--;
    }
    uv_mutex_unlock(&pool->mutex);
    if (queued)
        count(pool, -1);
    if (queued && pool->closes)
        uv_async_send(&pool->wake);
    return queued;
}

/* ---- the end ------------------------------------------------------------ */

void ahost__pool_close(ahost__pool *pool) {
    pool->closes = 1;
    uv_async_send(&pool->wake);
    uv_ref((uv_handle_t *)&pool->wake); /* it has something to do yet */
}

/* Waits until all work is done, or it is `end` by uv_hrtime(). */
static void wait_until(ahost__pool *pool, uint64_t end) {
    uv_mutex_lock(&pool->mutex);
    while (pool->queued + pool->running > 0) {
        uint64_t now = uv_hrtime();
        if (now >= end)
            break;
        uv_cond_timedwait(&pool->settled, &pool->mutex, end - now);
    }
    uv_mutex_unlock(&pool->mutex);
}

static void abandon_all(ahost__link *works) {
    ahost__link *link;
    while ((link = ahost__list_shift(works)) != NULL)
        work_of(link)->abandoned(work_of(link));
}

/* Gives up what is not done, and what has been since that was looked at. */
static size_t abandon(ahost__pool *pool) {
    size_t left = pool->outstanding;
    uv_mutex_lock(&pool->mutex);
    pool->abandoned = pool->quits = 1;
    abandon_all(&pool->queue);
    abandon_all(&pool->done);
    pool->queued = 0;
    let_go_of_threads(pool);
    uv_cond_broadcast(&pool->change);
    uv_mutex_unlock(&pool->mutex);
    pool->host->works -= left;
    ahost__list_remove(&pool->link);
    uv_close((uv_handle_t *)&pool->wake, on_closed);
    return left;
}

static size_t end_pool(ahost__pool *pool, uint64_t end) {
    pool->closes = 1;
    wait_until(pool, end);
    tell_done(pool);
    if (pool->outstanding > 0)
        return abandon(pool);
    finish_close(pool);
    return 0;
}

size_t ahost__pools_end(ahost *h, double seconds) {
    uint64_t end = uv_hrtime() + (uint64_t)(seconds * 1e9);
    ahost__link *link;
    size_t left = 0;
    h->pools_ended = 1;
    while ((link = h->pools.next) != &h->pools)
        left += end_pool(ahost__container_of(link, ahost__pool, link), end);
    return left;
}
