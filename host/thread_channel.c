/*
 * thread_channel.c - channels: bounded queues of copied values between tasks
 * and threads.
 *
 * One object for both sides. A task waits, a worker's thread is blocked. The
 * waits of tasks belong to the loop: a thread that puts or takes something has
 * the host look whether that lets a task go on. Who is awake takes what is
 * there; a wake-up too many does no harm, and whoever is woken and goes away
 * without its value wakes the next.
 */
#include "thread_channel.h"

#include <stdlib.h>

/* ---- lifetime ----------------------------------------------------------- */

void ahost__channel_ref(ahost__channel *channel) {
    __atomic_add_fetch(&channel->references, 1, __ATOMIC_RELAXED);
}

/* Frees values, without a lock: they may be the last to hold other channels. */
static void free_values(ahost__packed *packed) {
    while (packed != NULL) {
        ahost__packed *next = packed->next;
        ahost__packed_free(packed);
        packed = next;
    }
}

static void free_channel(ahost__channel *channel) {
    ahost__threads *threads = channel->threads;
    free_values(channel->first);
    uv_cond_destroy(&channel->readable);
    uv_cond_destroy(&channel->writable);
    uv_mutex_destroy(&channel->mutex);
    free(channel);
    ahost__threads_unref(threads);
}

/* With the lock of `threads`. A channel may be the last to hold another, and
 * that a third: they are freed one after the other, not one in the other. */
static void free_doomed(ahost__threads *threads) {
    ahost__link *link;
    threads->frees = 1;
    while ((link = ahost__list_shift(&threads->doomed)) != NULL) {
        uv_mutex_unlock(&threads->mutex);
        free_channel(ahost__container_of(link, ahost__channel, all));
        uv_mutex_lock(&threads->mutex);
    }
    threads->frees = 0;
}

void ahost__channel_unref(ahost__channel *channel) {
    ahost__threads *threads = channel->threads;
    if (__atomic_sub_fetch(&channel->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    __atomic_add_fetch(&threads->references, 1, __ATOMIC_RELAXED);
    uv_mutex_lock(&threads->mutex);
    ahost__list_remove(&channel->all);
    ahost__list_append(&threads->doomed, &channel->all);
    if (!threads->frees)
        free_doomed(threads);
    uv_mutex_unlock(&threads->mutex);
    ahost__threads_unref(threads);
}

/* Takes a reference unless the last one has just gone. */
static int ref_living(ahost__channel *channel) {
    int count = __atomic_load_n(&channel->references, __ATOMIC_RELAXED);
    while (count > 0)
        if (__atomic_compare_exchange_n(&channel->references, &count, count + 1,
                                        0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return 1;
    return 0;
}

ahost__channel *ahost__channel_next(ahost__link *channels) {
    ahost__link *link;
    while ((link = ahost__list_shift(channels)) != NULL) {
        ahost__channel *channel =
            ahost__container_of(link, ahost__channel, all);
        if (ref_living(channel))
            return channel;
    }
    return NULL;
}

int ahost__channel_mark(ahost__channel *channel, ahost__link *woken) {
    if (ahost__linked(&channel->woken))
        return 0;
    ahost__channel_ref(channel);
    ahost__list_append(woken, &channel->woken);
    return 1;
}

ahost__channel *ahost__channel_shift(ahost__link *woken) {
    ahost__link *link = ahost__list_shift(woken);
    if (link == NULL)
        return NULL;
    return ahost__container_of(link, ahost__channel, woken);
}

ahost__channel *ahost__channel_new(ahost__threads *threads, lua_Integer max) {
    ahost__channel *channel = calloc(1, sizeof(*channel));
    if (channel == NULL)
        return NULL;
    channel->threads = threads;
    channel->references = 1;
    channel->last = &channel->first;
    channel->max = max;
    uv_mutex_init(&channel->mutex);
    uv_cond_init(&channel->readable);
    uv_cond_init(&channel->writable);
    ahost__list_init(&channel->getters);
    ahost__list_init(&channel->putters);
    uv_mutex_lock(&threads->mutex);
    if (threads->wake == NULL)
        channel->closed = 1; /* the host has gone */
    else
        ahost__list_append(&threads->channels, &channel->all);
    uv_mutex_unlock(&threads->mutex);
    return channel;
}

/* ---- values, with the channel locked ------------------------------------ */

static void append(ahost__channel *c, ahost__packed *packed) {
    packed->next = NULL;
    *c->last = packed;
    c->last = &packed->next;
    c->count++;
    uv_cond_signal(&c->readable);
}

static ahost__packed *shift(ahost__channel *c) {
    ahost__packed *packed = c->first;
    c->first = packed->next;
    if (c->first == NULL)
        c->last = &c->first;
    c->count--;
    uv_cond_signal(&c->writable);
    return packed;
}

static int has_room(const ahost__channel *c) {
    return c->count < c->max;
}

ahost__packed *ahost__channel_value(const ahost__wait *w) {
    return (ahost__packed *)(uintptr_t)w->value;
}

static void serve_putters(ahost__channel *c) {
    ahost__wait *w;
    while (!c->closed && has_room(c) &&
           (w = ahost__wait_first(&c->putters)) != NULL) {
        append(c, ahost__channel_value(w));
        w->value = 0;
        ahost__settle(w, 0);
    }
}

static void serve_getters(ahost__channel *c) {
    ahost__wait *w;
    while (c->count > 0 && (w = ahost__wait_first(&c->getters)) != NULL) {
        w->value = (int64_t)(uintptr_t)shift(c);
        ahost__settle(w, 0);
        serve_putters(c);
    }
}

void ahost__channel_serve(ahost__channel *c) {
    serve_putters(c);
    serve_getters(c);
    if (c->closed) {
        ahost__settle_all(&c->putters, AHOST__CLOSED);
        ahost__settle_all(&c->getters, AHOST__CLOSED);
    }
    c->tasks_wait =
        !ahost__list_empty(&c->getters) || !ahost__list_empty(&c->putters);
}

void ahost__channel_attend(ahost__channel *c) {
    uv_mutex_lock(&c->mutex);
    ahost__channel_serve(c);
    uv_mutex_unlock(&c->mutex);
}

/* A thread has changed something: tasks may want to know. */
static void tell_tasks(ahost__channel *c) {
    if (c->tasks_wait)
        ahost__threads_wake(c->threads, c);
}

void ahost__channel_close(ahost__channel *c, int empty) {
    ahost__packed *forgotten = NULL;
    uv_mutex_lock(&c->mutex);
    c->closed = 1;
    if (empty) {
        forgotten = c->first;
        c->first = NULL;
        c->last = &c->first;
        c->count = 0;
    }
    uv_cond_broadcast(&c->readable);
    uv_cond_broadcast(&c->writable);
    tell_tasks(c);
    uv_mutex_unlock(&c->mutex);
    free_values(forgotten);
}

void ahost__channel_stir(ahost__channel *c) {
    uv_mutex_lock(&c->mutex);
    uv_cond_broadcast(&c->readable);
    uv_cond_broadcast(&c->writable);
    uv_mutex_unlock(&c->mutex);
}

int ahost__channel_offer(ahost__channel *c, ahost__packed *packed,
                         int in_host) {
    if (c->closed)
        return AHOST__CLOSED;
    if (!has_room(c) || (in_host && !ahost__list_empty(&c->putters)))
        return 1;
    append(c, packed);
    if (in_host)
        ahost__channel_serve(c);
    else
        tell_tasks(c);
    return 0;
}

ahost__packed *ahost__channel_poll(ahost__channel *c, int in_host) {
    ahost__packed *packed;
    if (c->count == 0)
        return NULL;
    packed = shift(c);
    if (in_host)
        ahost__channel_serve(c);
    else
        tell_tasks(c);
    return packed;
}
