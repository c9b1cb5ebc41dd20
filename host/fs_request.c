/*
 * fs_request.c - requests to the threads that work on files.
 */
#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "fs.h"

#define BOX_TYPE "ahost.fs.request"

/* ---- memory ------------------------------------------------------------- */

void ahost__fs_ref(ahost__fs *fs) {
    __atomic_add_fetch(&fs->references, 1, __ATOMIC_RELAXED);
}

void ahost__fs_unref(ahost__fs *fs) {
    if (__atomic_sub_fetch(&fs->references, 1, __ATOMIC_ACQ_REL) == 0)
        free(fs);
}

ahost__fs *ahost__fs_of(ahost *h) {
    ahost__fs *fs;
    if (h->fs != NULL || h->fs_closed)
        return h->fs;
    fs = calloc(1, sizeof(*fs));
    if (fs == NULL)
        return NULL;
    fs->references = 1;
    fs->pool = ahost__pool_new(h, "fs", h->defaults.threads, 0);
    if (fs->pool == NULL) {
        free(fs);
        return NULL;
    }
    h->fs = fs;
    return fs;
}

/* What the host has left, for requests that begin now. */
static void set_room(ahost *h, ahost__fs *fs) {
    size_t room = SIZE_MAX / 2;
    if (h->memory_limit != 0)
        room = h->memory < h->memory_limit ? h->memory_limit - h->memory : 0;
    __atomic_store_n(&fs->room, room, __ATOMIC_RELAXED);
}

/* Counts bytes; false when there is no room for them. */
static int take(ahost__fs *fs, size_t size) {
    size_t used = __atomic_add_fetch(&fs->used, size, __ATOMIC_RELAXED);
    if (used <= __atomic_load_n(&fs->room, __ATOMIC_RELAXED))
        return 1;
    __atomic_sub_fetch(&fs->used, size, __ATOMIC_RELAXED);
    return 0;
}

static void give(ahost__fs *fs, size_t size) {
    __atomic_sub_fetch(&fs->used, size, __ATOMIC_RELAXED);
}

int ahost__bytes_reserve(ahost__fs *fs, ahost__bytes *bytes, size_t more) {
    size_t capacity = bytes->size + more;
    char *data;
    if (capacity < more)
        return UV_ENOMEM;
    if (capacity <= bytes->capacity)
        return 0;
    if (bytes->size > 0 && capacity < bytes->capacity * 2)
        capacity = bytes->capacity * 2;
    if (!take(fs, capacity - bytes->capacity))
        return UV_ENOMEM;
    data = realloc(bytes->data, capacity);
    if (data == NULL) {
        give(fs, capacity - bytes->capacity);
        return UV_ENOMEM;
    }
    bytes->data = data;
    bytes->capacity = capacity;
    return 0;
}

void ahost__bytes_free(ahost__fs *fs, ahost__bytes *bytes) {
    free(bytes->data);
    give(fs, bytes->capacity);
    *bytes = (ahost__bytes){0};
}

/* ---- life --------------------------------------------------------------- */

/* Nothing of Lua's frees it any more. */
static void unbox(ahost__request *r) {
    if (r->box == NULL)
        return;
    *r->box = NULL;
    r->box = NULL;
    ahost__list_remove(&r->boxed);
}

static void release(ahost__request *r) {
    ahost__fs *fs = r->fs;
    ahost__bytes_free(fs, &r->data);
    if (r->file != NULL)
        ahost__file_unref(r->file);
    free(r->path);
    free(r->target);
    free(r);
    ahost__fs_unref(fs);
}

void ahost__request_free(ahost__request *r) {
    unbox(r);
    release(r);
}

/* Nobody is there to take what the thread has made. */
static void undo(ahost__request *r) {
    if (r->ran && r->status == 0 && r->type->undo != NULL)
        r->type->undo(r);
}

/* Requests that a thread is at belong to it from now on: no task runs any more,
 * and the host may not be there when they are done. */
void ahost__fs_close(ahost *h) {
    ahost__link *link;
    while ((link = ahost__list_shift(&h->file_requests)) != NULL) {
        ahost__request *r = ahost__container_of(link, ahost__request, boxed);
        *r->box = NULL;
        r->box = NULL;
        r->wait = NULL;
        __atomic_store_n(&r->given_up, 1, __ATOMIC_RELAXED);
        ahost__list_remove(&r->link);
        if (r->submitted)
            continue;
        undo(r);
        release(r);
    }
    if (h->fs != NULL)
        ahost__fs_unref(h->fs);
    h->fs = NULL;
    h->fs_closed = 1;
}

/* The coroutine that waited is gone without having been resumed: a thread may
 * still be at it. */
static int box_gc(lua_State *L) {
    ahost__request **box = lua_touserdata(L, 1), *r = *box;
    if (r == NULL)
        return 0;
    unbox(r);
    r->wait = NULL;
    if (r->submitted) {
        __atomic_store_n(&r->given_up, 1, __ATOMIC_RELAXED);
        return 0;
    }
    ahost__list_remove(&r->link);
    undo(r);
    release(r);
    return 0;
}

static void run(ahost__work *work) {
    ahost__request *r = ahost__container_of(work, ahost__request, work);
    r->status = r->type->run(r);
}

static void done(ahost__work *work) {
    ahost__request *r = ahost__container_of(work, ahost__request, work);
    r->submitted = 0;
    r->ran = 1;
    if (r->type->ended != NULL)
        r->type->ended(r);
    if (r->wait != NULL) {
        ahost__settle(r->wait, r->status);
        return;
    }
    undo(r);
    release(r);
}

static void abandoned(ahost__work *work) {
    release(ahost__container_of(work, ahost__request, work));
}

ahost__request *ahost__request_plain(ahost *h, const ahost__request_type *type,
                                     const char *path) {
    ahost__fs *fs = ahost__fs_of(h);
    ahost__request *r = fs != NULL ? calloc(1, sizeof(*r)) : NULL;
    if (r == NULL)
        return NULL;
    r->path = path != NULL ? strdup(path) : NULL;
    if (path != NULL && r->path == NULL) {
        free(r);
        return NULL;
    }
    r->work = (ahost__work){.run = run, .done = done, .abandoned = abandoned};
    r->type = type;
    r->host = h;
    r->fs = fs;
    ahost__fs_ref(fs);
    set_room(h, fs);
    return r;
}

static void push_box(lua_State *L) {
    ahost__request **box = lua_newuserdatauv(L, sizeof(ahost__request *), 0);
    *box = NULL;
    if (luaL_newmetatable(L, BOX_TYPE)) {
        lua_pushcfunction(L, box_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
}

ahost__request *ahost__request_new(lua_State *L,
                                   const ahost__request_type *type,
                                   const char *path, const char *target) {
    ahost__request *r;
    push_box(L);
    r = ahost__request_plain(ahost__of(L), type, path);
    if (r == NULL)
        luaL_error(L, "not enough memory");
    r->box = lua_touserdata(L, -1);
    *r->box = r;
    ahost__list_append(&r->host->file_requests, &r->boxed);
    if (target != NULL && (r->target = strdup(target)) == NULL)
        luaL_error(L, "not enough memory");
    return r;
}

/* ---- waiting ------------------------------------------------------------ */

int ahost__request_submit(ahost__request *r) {
    int err = ahost__pool_submit(r->fs->pool, &r->work);
    r->submitted = err == 0;
    if (err != 0) /* else it is the thread's to say */
        r->status = err;
    return err;
}

void ahost__request_waits(ahost__request *r, ahost__wait *w) {
    r->wait = w;
    w->value = (int64_t)(uintptr_t)r->type->wait.what;
}

int ahost__request_await(lua_State *L, ahost__request *r) {
    ahost__wait *w = ahost__wait_begin(L, &r->type->wait, r);
    int err;
    ahost__request_waits(r, w);
    err = ahost__request_submit(r);
    if (err != 0)
        ahost__settle(w, err);
    return ahost__await(L, w);
}

/* Cuts it off from who waits. */
static void orphan(ahost__request *r) {
    r->wait = NULL;
    __atomic_store_n(&r->given_up, 1, __ATOMIC_RELAXED);
    if (r->submitted && !ahost__pool_cancel(r->fs->pool, &r->work)) {
        unbox(r); /* `done` frees it */
        return;
    }
    r->submitted = 0;
    r->status = UV_ECANCELED;
    ahost__list_remove(&r->link);
    if (r->type->ended != NULL)
        r->type->ended(r);
    ahost__request_free(r);
}

void ahost__request_cancel(ahost__wait *w) {
    orphan(w->op);
}

/* The wait keeps no hold of the request: `finish` must not look at it. */
void ahost__request_give_up(ahost__request *r, int status) {
    ahost__wait *w = r->wait;
    if (w != NULL)
        w->op = NULL;
    orphan(r);
    if (w != NULL)
        ahost__settle(w, status);
}

int ahost__given_up(const ahost__request *r) {
    return __atomic_load_n(&r->given_up, __ATOMIC_RELAXED);
}

static int fail(lua_State *L, ahost__request *r) {
    const char *what = r->type->wait.what;
    if (r->type->fail != NULL)
        return r->type->fail(L, r);
    if (r->target != NULL)
        return ahost__fail(L, r->status, "%s %s -> %s", what, r->path,
                           r->target);
    return ahost__fail(L, r->status, "%s %s", what, r->path);
}

static int push(lua_State *L, ahost__request *r) {
    if (r->type->push != NULL)
        return r->type->push(L, r);
    lua_pushboolean(L, 1);
    return 1;
}

/* What raises here leaves the request to the box. */
int ahost__request_finish(lua_State *L, ahost__wait *w) {
    ahost__request *r = w->op;
    int results;
    if (r == NULL)
        return ahost__fail(L, w->status, "%s",
                           (const char *)(uintptr_t)w->value);
    r->wait = NULL;
    results = w->status == 0 ? push(L, r) : fail(L, r);
    ahost__request_free(r);
    return results;
}
