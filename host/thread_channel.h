/*
 * thread_channel.h - what a channel is: for its operations, and for its
 * methods in Lua.
 */
#ifndef AHOST_THREAD_CHANNEL_H
#define AHOST_THREAD_CHANNEL_H

#include "host.h"
#include "thread.h"

struct ahost__channel {
    ahost__threads *threads;
    ahost__link all;   /* among all channels; with the lock of `threads` */
    ahost__link woken; /* among those with news; the same */
    int references;    /* atomic */

    uv_mutex_t mutex; /* of what follows */
    uv_cond_t readable, writable;
    ahost__packed *first, **last;
    lua_Integer count, max;
    int closed;
    int tasks_wait; /* the host is to be told of changes */

    ahost__link getters, putters; /* waits of tasks: the loop's own */
};

/* Takes the reference to `threads` over, but for want of memory (NULL). */
ahost__channel *ahost__channel_new(ahost__threads *threads, lua_Integer max);

/* All of the following with the channel locked. */

/* Lets waiting tasks of the host go on, in the host. */
void ahost__channel_serve(ahost__channel *c);

/* The value of a wait: of a putter, or of a getter that has been settled, which
 * is to unpack or free it. */
ahost__packed *ahost__channel_value(const ahost__wait *w);

/* Appends the value, unless there is no room for it or somebody waits for that:
 * 0, 1 when it is full, AHOST__CLOSED. */
int ahost__channel_offer(ahost__channel *c, ahost__packed *packed, int in_host);

/* Takes the oldest value, or NULL. */
ahost__packed *ahost__channel_poll(ahost__channel *c, int in_host);

#endif
