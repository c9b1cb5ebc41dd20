/*
 * pool.c - threads for work that blocks: all of it is done once, what has not
 * begun can be taken back, and neither the end of a pool nor that of its host
 * is held up by what does not end.
 */
#include "pool.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host.h"

enum { JOBS = 2000 };

typedef struct job {
    ahost__work work;
    ahost__pool *pool;
    int again; /* times to be submitted once more */
    int ran, done;
    uv_thread_t thread;
} job;

static unsigned active, most_active; /* jobs in threads; atomic */
static int gate;                     /* atomic: while 0, `wait_run` waits */
static int freed;                    /* atomic: abandoned jobs */

static void set_gate(int open) {
    __atomic_store_n(&gate, open, __ATOMIC_SEQ_CST);
}

static job *job_of(ahost__work *work) {
    return ahost__container_of(work, job, work);
}

static void plain_run(ahost__work *work) {
    unsigned now = __atomic_add_fetch(&active, 1, __ATOMIC_SEQ_CST);
    unsigned most = __atomic_load_n(&most_active, __ATOMIC_SEQ_CST);
    while (now > most &&
           !__atomic_compare_exchange_n(&most_active, &most, now, 0,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        continue;
    job_of(work)->ran++;
    job_of(work)->thread = uv_thread_self();
    __atomic_sub_fetch(&active, 1, __ATOMIC_SEQ_CST);
}

static void wait_run(ahost__work *work) {
    while (!__atomic_load_n(&gate, __ATOMIC_SEQ_CST))
        usleep(500);
    plain_run(work);
}

static void plain_done(ahost__work *work) {
    job *one = job_of(work);
    one->done++;
    if (one->again-- > 0)
        assert(ahost__pool_submit(one->pool, work) == 0);
}

static void must_not_be_abandoned(ahost__work *work) {
    (void)work;
    abort();
}

static void count_abandoned(ahost__work *work) {
    free(job_of(work));
    __atomic_add_fetch(&freed, 1, __ATOMIC_SEQ_CST);
}

static void set_up(job *one, ahost__pool *pool, int waits) {
    *one = (job){.work = {.run = waits ? wait_run : plain_run,
                          .done = plain_done,
                          .abandoned = must_not_be_abandoned},
                 .pool = pool};
}

static ahost *open_host(void) {
    ahost *h;
    assert(ahost_open(&h, NULL) == AHOST_OK);
    h->lua_allowed = 0;
    return h;
}

static void close_host(ahost *h) {
    h->lua_allowed = 1;
    ahost_close(h);
}

/* Runs the loop until no work is left in it. */
static void run_all(ahost *h) {
    while (h->works > 0)
        uv_run(h->loop, UV_RUN_ONCE);
}

static void test_all_is_done_once(void) {
    static job jobs[JOBS];
    ahost *h = open_host();
    ahost__pool *pool = ahost__pool_new(h, "test", 3, 0);
    most_active = 0;
    for (int i = 0; i < JOBS; i++) {
        set_up(&jobs[i], pool, 0);
        jobs[i].again = i % 3;
        assert(ahost__pool_submit(pool, &jobs[i].work) == 0);
    }
    assert(h->works == JOBS);
    run_all(h);
    for (int i = 0; i < JOBS; i++) {
        uv_thread_t self = uv_thread_self();
        assert(jobs[i].done == 1 + i % 3 && jobs[i].ran == jobs[i].done);
        assert(!uv_thread_equal(&self, &jobs[i].thread));
    }
    assert(most_active >= 1 && most_active <= 3);
    close_host(h);
}

static void test_what_has_not_begun_is_taken_back(void) {
    job first, second;
    ahost *h = open_host();
    ahost__pool *pool = ahost__pool_new(h, "test", 1, 1);
    set_gate(0);
    set_up(&first, pool, 1);
    set_up(&second, pool, 0);
    assert(ahost__pool_submit(pool, &first.work) == 0);
    while (ahost__pool_submit(pool, &second.work) == UV_ENOBUFS)
        usleep(500); /* until the thread has taken the first */
    assert(ahost__pool_cancel(pool, &second.work));
    assert(!ahost__pool_cancel(pool, &second.work));
    assert(!ahost__pool_cancel(pool, &first.work));
    assert(ahost__pool_submit(pool, &second.work) == 0);
    assert(ahost__pool_cancel(pool, &second.work));
    set_gate(1);
    run_all(h);
    assert(first.done == 1 && second.done == 0 && second.ran == 0);
    close_host(h);
}

static void test_the_queue_is_bounded(void) {
    job jobs[5];
    int taken = 0;
    ahost *h = open_host();
    ahost__pool *pool = ahost__pool_new(h, "test", 1, 2);
    set_gate(0);
    for (int i = 0; i < 5; i++) {
        set_up(&jobs[i], pool, 1);
        taken += ahost__pool_submit(pool, &jobs[i].work) == 0;
    }
    assert(taken == 2 || taken == 3); /* one may have begun */
    set_gate(1);
    run_all(h);
    for (int i = 0; i < 5; i++)
        taken -= jobs[i].done;
    assert(taken == 0);
    close_host(h);
}

static void test_a_closed_pool_ends_its_work(void) {
    static job jobs[100];
    ahost *h = open_host();
    ahost__pool *pool = ahost__pool_new(h, "test", 4, 0);
    ahost__pool *idle = ahost__pool_new(h, "idle", 4, 0);
    for (int i = 0; i < 100; i++) {
        set_up(&jobs[i], pool, 0);
        assert(ahost__pool_submit(pool, &jobs[i].work) == 0);
    }
    ahost__pool_close(pool);
    assert(ahost__pool_submit(pool, &jobs[0].work) == AHOST__CLOSED);
    ahost__pool_close(idle);
    while (!ahost__list_empty(&h->pools))
        uv_run(h->loop, UV_RUN_ONCE);
    for (int i = 0; i < 100; i++)
        assert(jobs[i].done == 1);
    close_host(h);
}

static void test_the_limit_changes(void) {
    static job jobs[200];
    ahost *h = open_host();
    ahost__pool *pool = ahost__pool_new(h, "test", 8, 0);
    for (int limit = 8; limit > 0; limit -= 7) {
        ahost__pool_limit(pool, (unsigned)limit);
        for (int i = 0; i < 200; i++) {
            set_up(&jobs[i], pool, 0);
            assert(ahost__pool_submit(pool, &jobs[i].work) == 0);
        }
        run_all(h);
        for (int i = 0; i < 200; i++)
            assert(jobs[i].done == 1);
    }
    close_host(h);
}

static void test_the_end_waits(void) {
    job one;
    ahost *h = open_host();
    ahost__pool *pool = ahost__pool_new(h, "test", 1, 0);
    set_gate(1);
    set_up(&one, pool, 1);
    assert(ahost__pool_submit(pool, &one.work) == 0);
    assert(ahost__pools_end(h, 60) == 0);
    assert(one.done == 1);
    close_host(h);
}

static void test_the_end_abandons(void) {
    ahost *h = open_host();
    ahost__pool *pool = ahost__pool_new(h, "test", 2, 0);
    set_gate(0);
    for (int i = 0; i < 5; i++) {
        job *one = malloc(sizeof(*one));
        assert(one != NULL);
        set_up(one, pool, 1);
        one->work.abandoned = count_abandoned;
        assert(ahost__pool_submit(pool, &one->work) == 0);
    }
    assert(ahost__pools_end(h, 0.01) == 5);
    assert(h->works == 0);
    close_host(h);
    set_gate(1);
    while (__atomic_load_n(&freed, __ATOMIC_SEQ_CST) < 5)
        usleep(500);
}

static void look_at_mask(ahost__work *work) {
    sigset_t mask;
    char name[16];
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert(sigismember(&mask, SIGINT) && sigismember(&mask, SIGTERM));
    pthread_getname_np(pthread_self(), name, sizeof(name));
    assert(strcmp(name, "ahost:test") == 0);
    plain_run(work);
}

static void test_threads_are_named_and_take_no_signals(void) {
    job one;
    ahost *h = open_host();
    ahost__pool *pool = ahost__pool_new(h, "test", 2, 0);
    set_up(&one, pool, 0);
    one.work.run = look_at_mask;
    assert(ahost__pool_submit(pool, &one.work) == 0);
    run_all(h);
    assert(one.done == 1);
    close_host(h);
}

int main(void) {
    alarm(50);
    test_all_is_done_once();
    test_what_has_not_begun_is_taken_back();
    test_the_queue_is_bounded();
    test_a_closed_pool_ends_its_work();
    test_the_limit_changes();
    test_the_end_waits();
    test_the_end_abandons();
    test_threads_are_named_and_take_no_signals();
    return 0;
}
