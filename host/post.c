/*
 * post.c - ahost_post: functions that other threads have called in the host's.
 */
#include <stdlib.h>

#include "embed.h"
#include "host.h"

struct ahost__post {
    ahost__post *next;
    ahost_post_function *fn;
    ahost_drop_function *dropped;
    void *data;
};

/* ---- any thread --------------------------------------------------------- */

static int append(ahost__posts *posts, ahost__post *post) {
    int err = AHOST_OK;
    uv_mutex_lock(&posts->mutex);
    if (posts->closed) {
        err = AHOST_ENDED;
    } else if (posts->count >= posts->max) {
        err = AHOST_FULL;
    } else {
        *posts->last = post;
        posts->last = &post->next;
        /* Within the mutex, so that the handle is not closed meanwhile. Whoever
         * takes the first one sees to the others. */
        if (posts->count++ == 0)
            uv_async_send(&posts->arrival);
    }
    uv_mutex_unlock(&posts->mutex);
    return err;
}

int ahost_post(ahost *h, ahost_post_function *fn, void *data,
               ahost_drop_function *dropped) {
    ahost__post *post;
    int err;
    if (h == NULL || fn == NULL)
        return AHOST_MISUSE;
    post = malloc(sizeof(*post));
    if (post == NULL)
        return AHOST_NO_MEMORY;
    *post = (ahost__post){.fn = fn, .data = data, .dropped = dropped};
    err = append(&h->posts, post);
    if (err != AHOST_OK)
        free(post);
    return err;
}

/* ---- the host's thread -------------------------------------------------- */

/* The oldest that waits, or NULL; *more: there are others. */
static ahost__post *take(ahost__posts *posts, int *more) {
    ahost__post *post;
    uv_mutex_lock(&posts->mutex);
    post = posts->first;
    if (post != NULL) {
        posts->first = post->next;
        if (posts->first == NULL)
            posts->last = &posts->first;
        posts->count--;
    }
    *more = posts->first != NULL;
    uv_mutex_unlock(&posts->mutex);
    return post;
}

/* One at a time, so that each is a run of its own to the watchdog, and an error
 * that one lets pass is not another's. */
static void run_post(lua_State *L, ahost__job *job) {
    ahost__posts *posts = ahost__container_of(job, ahost__posts, job);
    ahost *h = ahost__of(L);
    int more;
    ahost__post *post = take(posts, &more), own;
    if (more)
        ahost__job_post(h, job);
    if (post == NULL)
        return;
    own = *post;
    free(post);
    own.fn(h, own.data);
}

int ahost__posts_wait(ahost *h) {
    int waits;
    uv_mutex_lock(&h->posts.mutex);
    waits = h->posts.count > 0;
    uv_mutex_unlock(&h->posts.mutex);
    if (waits)
        ahost__job_post(h, &h->posts.job);
    return waits;
}

static void on_arrival(uv_async_t *async) {
    ahost *h = async->data;
    ahost__posts_wait(h);
    ahost__ready_run(h);
}

int ahost__posts_open(ahost *h, unsigned max) {
    ahost__posts *posts = &h->posts;
    int err = uv_async_init(h->loop, &posts->arrival, on_arrival);
    if (err != 0)
        return err;
    uv_unref((uv_handle_t *)&posts->arrival);
    posts->arrival.data = h;
    posts->max = max;
    posts->closed = 0;
    return 0;
}

void ahost__posts_close(ahost *h) {
    ahost__posts *posts = &h->posts;
    ahost__post *post;
    int more;
    uv_mutex_lock(&posts->mutex);
    posts->closed = 1;
    uv_mutex_unlock(&posts->mutex);
    ahost__job_drop(&posts->job);
    h->inside++;
    while ((post = take(posts, &more)) != NULL) {
        if (post->dropped != NULL)
            post->dropped(post->data);
        free(post);
    }
    h->inside--;
}

int ahost__posts_init(ahost *h) {
    h->posts.closed = 1;
    h->posts.last = &h->posts.first;
    h->posts.job.run = run_post;
    return uv_mutex_init(&h->posts.mutex);
}

void ahost__posts_free(ahost *h) {
    uv_mutex_destroy(&h->posts.mutex);
}
