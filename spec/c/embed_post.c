/*
 * embed_post.c - functions posted from other threads, and hosts in threads.
 */
#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ahost.h"

enum { THREADS = 4, POSTS = 2000 };

typedef struct poster {
    ahost *host;
    pthread_t thread;
    int next; /* in the host's thread: what comes next, in order */
    int sent, refused;
} poster;

typedef struct item {
    poster *from;
    int number;
} item;

static int ran, dropped;

static void on_post(ahost *h, void *data) {
    item *one = data;
    assert(one->from->host == h);
    assert(one->number == one->from->next++);
    ran++;
    free(one);
}

static void on_drop(void *data) {
    dropped++;
    free(data);
}

static void *post_all(void *data) {
    poster *self = data;
    for (int i = 0; i < POSTS; i++) {
        item *one = malloc(sizeof(*one));
        int err;
        one->from = self;
        one->number = self->sent;
        while ((err = ahost_post(self->host, on_post, one, on_drop)) ==
               AHOST_FULL)
            sched_yield();
        if (err == AHOST_OK) {
            self->sent++;
        } else {
            assert(err == AHOST_ENDED);
            self->refused++;
            free(one);
        }
    }
    return NULL;
}

static ahost *open_host(int stay, unsigned max_posts) {
    ahost_options options = {
        .size = sizeof(options), .stay = stay, .max_posts = max_posts};
    ahost *h;
    assert(ahost_open(&h, &options) == AHOST_OK);
    return h;
}

/* Every one is called, in the order of its thread. */
static void test_order(void) {
    ahost *h = open_host(1, 100);
    poster posters[THREADS] = {0};
    ran = dropped = 0;
    for (int i = 0; i < THREADS; i++) {
        posters[i].host = h;
        pthread_create(&posters[i].thread, NULL, post_all, &posters[i]);
    }
    while (ran < THREADS * POSTS)
        assert(ahost_step(h, 1000) == 1);
    for (int i = 0; i < THREADS; i++)
        pthread_join(posters[i].thread, NULL);
    assert(dropped == 0);
    ahost_close(h);
}

/* The host stops in the middle: each is called, dropped or refused. */
static void test_the_end(void) {
    for (int round = 0; round < 20; round++) {
        ahost *h = open_host(1, 0);
        poster posters[THREADS] = {0};
        int sent = 0;
        ran = dropped = 0;
        for (int i = 0; i < THREADS; i++) {
            posters[i].host = h;
            pthread_create(&posters[i].thread, NULL, post_all, &posters[i]);
        }
        for (int i = 0; i < round; i++)
            ahost_step(h, 0);
        ahost_stop(h);
        assert(ahost_run(h) == 0);
        for (int i = 0; i < THREADS; i++)
            pthread_join(posters[i].thread, NULL);
        ahost_close(h);
        for (int i = 0; i < THREADS; i++) {
            sent += posters[i].sent;
            assert(posters[i].sent + posters[i].refused == POSTS);
        }
        assert(ran + dropped == sent);
    }
}

static void post_again(ahost *h, void *data) {
    int *left = data;
    assert(ahost_run(h) == AHOST_MISUSE && ahost_step(h, 0) == AHOST_MISUSE);
    assert(ahost_close(h) == AHOST_MISUSE && ahost_adopt(h) == AHOST_MISUSE);
    assert(strstr(ahost_errmsg(h), "ahost_close: not inside a callback") !=
           NULL);
    if (--*left > 0)
        assert(ahost_post(h, post_again, left, NULL) == AHOST_OK);
}

static void test_before_it_ends(void) {
    ahost *h = open_host(0, 2);
    int left = 10, other = 1;
    assert(ahost_post(NULL, post_again, &left, NULL) == AHOST_MISUSE);
    assert(ahost_post(h, NULL, &left, NULL) == AHOST_MISUSE);
    assert(ahost_post(h, post_again, &left, NULL) == AHOST_OK);
    assert(ahost_post(h, post_again, &other, NULL) == AHOST_OK);
    assert(ahost_post(h, post_again, &left, NULL) == AHOST_FULL);
    assert(ahost_run(h) == 0);
    assert(left == 0 && other == 0);
    assert(ahost_post(h, post_again, &left, NULL) == AHOST_ENDED);
    ahost_close(h);

    dropped = 0;
    h = open_host(0, 0); /* closed without having run */
    assert(ahost_post(h, on_post, malloc(1), on_drop) == AHOST_OK);
    ahost_close(h);
    assert(dropped == 1);
}

/* ---- one host a thread --------------------------------------------------- */

static void *live(void *unused) {
    static const char source[] =
        "local task, json = require 'ahost.task', require 'ahost.json'\n"
        "local queue = require 'ahost.sync'.queue(2)\n"
        "task.spawn(function() for i = 1, 50 do queue:put(i) end end)\n"
        "for i = 1, 50 do assert(queue:get() == i) end\n"
        "task.sleep(0.001)\n"
        "assert(json.encode({1}) == '[1]')\n"
        "local log = require 'ahost.log'.get 'thread'\n"
        "log:warning('%d', 1)\n";
    for (int i = 0; i < 10; i++) {
        ahost *h = open_host(0, 0);
        assert(ahost_load_string(h, source, "=thread") == AHOST_OK);
        assert(ahost_run(h) == 0);
        ahost_close(h);
    }
    return unused;
}

static void test_hosts_in_threads(void) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, live, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

/* ---- whose thread it is ---------------------------------------------------
 */

static void *misuse(void *host) {
    ahost *h = host;
    ahost_value *result = NULL;
    static const ahost_type type = {.size = sizeof(type), .name = "x"};
    assert(ahost_run(h) == AHOST_MISUSE);
    assert(ahost_step(h, 0) == AHOST_MISUSE);
    assert(ahost_load_string(h, "", "=x") == AHOST_MISUSE);
    assert(ahost_load_file(h, "x") == AHOST_MISUSE);
    assert(ahost_fd(h) == AHOST_MISUSE);
    assert(ahost_call(h, NULL, "print", NULL, -1, &result) == AHOST_MISUSE);
    assert(ahost_emit(h, "x", NULL) == AHOST_MISUSE);
    assert(ahost_bus_publish(h, "x", NULL) == AHOST_MISUSE);
    assert(ahost_publish(h, "x", h, &type) == AHOST_MISUSE);
    assert(ahost_request(h, "x", &type) == NULL);
    assert(ahost_reload(h, NULL, NULL, NULL) == AHOST_MISUSE);
    assert(ahost_close(h) == AHOST_MISUSE);
    assert(strstr(ahost_errmsg(h), "belongs to another thread") != NULL);
    return NULL;
}

static void *adopt(void *host) {
    assert(ahost_adopt(host) == AHOST_OK);
    assert(ahost_run(host) == 0);
    assert(ahost_close(host) == AHOST_OK);
    return NULL;
}

static void test_threads_of_others(void) {
    ahost *h = open_host(0, 0);
    pthread_t thread;
    assert(pthread_create(&thread, NULL, misuse, h) == 0);
    pthread_join(thread, NULL);
    assert(strcmp(ahost_errmsg(h), "") == 0);
    assert(pthread_create(&thread, NULL, adopt, h) == 0);
    pthread_join(thread, NULL);
    assert(ahost_adopt(NULL) == AHOST_MISUSE);
}

int main(void) {
    alarm(55);
    test_order();
    test_the_end();
    test_before_it_ends();
    test_hosts_in_threads();
    test_threads_of_others();
    return 0;
}
