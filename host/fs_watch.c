/*
 * fs_watch.c - notices of the kernel that something happened in directories:
 * what fs.watch is made of, in lua/ahost/fs/watch.lua.
 *
 * Notices are kept in C, as a callback must not make Lua values. Who does not
 * take them in time loses some, and is told so: then he has to look himself.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "fs.h"

#define NOTICES_TYPE "ahost.fs.notices"

typedef struct notices notices;

typedef struct notice {
    ahost__link link;
    int64_t directory;
    int changed;  /* its contents or attributes; else it came or went */
    int taken;    /* somebody looks at it: what comes now comes after it */
    size_t size;  /* of the block */
    char name[1]; /* more follow */
} notice;

typedef struct directory {
    uv_fs_event_t event;
    ahost__link link;
    notices *owner; /* NULL once it is closed */
    ahost *host;
    int64_t id;
    size_t size;     /* of the block */
    const char *own; /* its own name, in `only` */
    char only[1];    /* the one name to be told of, or "": any */
} directory;

struct notices {
    ahost__owned owned;
    ahost *host;
    ahost__link directories;
    ahost__link queue, waiters;
    lua_Integer count, max, dropped;
    int64_t last_id;
    int overflowed; /* since that was last asked */
    int closed;
};

static notices *check_notices(lua_State *L) {
    return luaL_checkudata(L, 1, NOTICES_TYPE);
}

/* ---- notices ------------------------------------------------------------ */

static void free_notice(ahost *h, notice *n) {
    ahost__free(h, n, n->size);
}

static notice *first_notice(const notices *all) {
    return ahost__container_of(all->queue.next, notice, link);
}

static void drop_first(notices *all) {
    notice *n = first_notice(all);
    ahost__list_remove(&n->link);
    all->count--;
    free_notice(all->host, n);
}

static void overflow(notices *all) {
    all->dropped++;
    all->overflowed = 1;
}

/* A file that is written to tells of each part. */
static int is_repeated(const notices *all, int64_t id, const char *name,
                       int changed) {
    const notice *last;
    if (all->count == 0)
        return 0;
    last = ahost__container_of(all->queue.prev, notice, link);
    return !last->taken && last->directory == id && changed && last->changed &&
           strcmp(last->name, name) == 0;
}

static void add_notice(notices *all, int64_t id, const char *name,
                       int changed) {
    size_t size = sizeof(notice) + strlen(name);
    notice *n = NULL;
    if (is_repeated(all, id, name, changed))
        return;
    if (all->count < all->max)
        n = ahost__alloc(all->host, size);
    if (n == NULL) {
        overflow(all);
        return;
    }
    n->directory = id;
    n->changed = changed;
    n->size = size;
    strcpy(n->name, name);
    ahost__list_append(&all->queue, &n->link);
    all->count++;
}

/* What happens to the directory itself comes with its own name. */
static int is_wanted(const directory *d, const char *name) {
    return d->only[0] == '\0' || (name != NULL && (strcmp(name, d->only) == 0 ||
                                                   strcmp(name, d->own) == 0));
}

static void on_event(uv_fs_event_t *event, const char *name, int what,
                     int status) {
    directory *d = ahost__container_of(event, directory, event);
    ahost *h = d->host;
    if (status == 0 && !is_wanted(d, name))
        return;
    if (status != 0)
        overflow(d->owner);
    else
        add_notice(d->owner, d->id, name != NULL ? name : "",
                   !(what & UV_RENAME));
    ahost__settle_all(&d->owner->waiters, 0);
    ahost__ready_run(h);
}

/* ---- directories -------------------------------------------------------- */

static void on_closed(uv_handle_t *handle) {
    directory *d = ahost__container_of(handle, directory, event);
    ahost__free(d->host, d, d->size);
}

static void close_directory(directory *d) {
    ahost__list_remove(&d->link);
    uv_close((uv_handle_t *)&d->event, on_closed);
}

static void close_all(notices *all) {
    ahost__link *link;
    all->closed = 1;
    ahost__disown(&all->owned);
    while ((link = all->directories.next) != &all->directories)
        close_directory(ahost__container_of(link, directory, link));
    while (all->count > 0)
        drop_first(all);
    ahost__settle_all(&all->waiters, AHOST__CLOSED);
}

/* notices:add(path, [name]) -> id | nil, err; of that name alone */
static int notices_add(lua_State *L) {
    notices *all = check_notices(L);
    const char *path = ahost__check_path(L, 2);
    const char *only = luaL_optstring(L, 3, "");
    const char *own = strrchr(path, '/') != NULL ? strrchr(path, '/') : path;
    size_t size = sizeof(directory) + strlen(only) + strlen(own) + 1;
    directory *d;
    int err;
    if (all->closed)
        return ahost__fail(L, AHOST__CLOSED, "watch %s", path);
    d = ahost__alloc(all->host, size);
    if (d == NULL)
        return ahost__fail(L, UV_ENOMEM, "watch %s", path);
    d->size = size;
    strcpy(d->only, only);
    d->own = strcpy(d->only + strlen(only) + 1, *own == '/' ? own + 1 : own);
    d->host = all->host;
    d->owner = all;
    d->id = ++all->last_id;
    err = uv_fs_event_init(all->host->loop, &d->event);
    if (err != 0) {
        ahost__free(all->host, d, d->size);
        return ahost__fail(L, err, "watch %s", path);
    }
    ahost__list_append(&all->directories, &d->link);
    err = uv_fs_event_start(&d->event, on_event, path, 0);
    if (err != 0) {
        close_directory(d);
        return ahost__fail(L, err, "watch %s", path);
    }
    lua_pushinteger(L, d->id);
    return 1;
}

/* notices:remove(id) */
static int notices_remove(lua_State *L) {
    notices *all = check_notices(L);
    lua_Integer id = luaL_checkinteger(L, 2);
    ahost__link *link = all->directories.next;
    for (; link != &all->directories; link = link->next) {
        directory *d = ahost__container_of(link, directory, link);
        if (d->id == id) {
            close_directory(d);
            break;
        }
    }
    return 0;
}

/* ---- taking them -------------------------------------------------------- */

/* -> id, name, changed; or nothing when there is none */
static int push_first(lua_State *L, const notices *all) {
    notice *n;
    if (all->count == 0)
        return 0;
    n = first_notice(all);
    n->taken = 1;
    lua_pushinteger(L, n->directory);
    lua_pushstring(L, n->name);
    lua_pushboolean(L, n->changed);
    return 3;
}

/* notices:first() -> id, name, changed; nothing when there is none */
static int notices_first(lua_State *L) {
    return push_first(L, check_notices(L));
}

/* notices:drop(): takes the first off */
static int notices_drop(lua_State *L) {
    notices *all = check_notices(L);
    if (all->count > 0)
        drop_first(all);
    return 0;
}

static int finish_wait(lua_State *L, ahost__wait *w) {
    lua_pushboolean(L, w->status == 0);
    return 1;
}

static const ahost__wait_type change_wait = {"a change of files", finish_wait,
                                             NULL, 0};

/* notices:wait() -> whether there may be some; false: closed */
static int notices_wait(lua_State *L) {
    notices *all = check_notices(L);
    ahost__wait *w;
    if (all->closed || all->count > 0 || all->overflowed) {
        lua_pushboolean(L, !all->closed);
        return 1;
    }
    w = ahost__wait_begin(L, &change_wait, all);
    ahost__list_append(&all->waiters, &w->link);
    return ahost__await(L, w);
}

/* notices:overflowed() -> whether some are missing since the last call */
static int notices_overflowed(lua_State *L) {
    notices *all = check_notices(L);
    lua_pushboolean(L, all->overflowed);
    all->overflowed = 0;
    return 1;
}

/* notices:dropped() -> how many there was no room for */
static int notices_dropped(lua_State *L) {
    lua_pushinteger(L, check_notices(L)->dropped);
    return 1;
}

/* notices:close() */
static int notices_close(lua_State *L) {
    close_all(check_notices(L));
    return 0;
}

static void on_context_end(ahost__owned *owned) {
    close_all(ahost__container_of(owned, notices, owned));
}

static const ahost__owned_type owned_notices = {"watch", 0, on_context_end};

/* fs.notices(max) -> notices, of the current context */
static int fs_notices(lua_State *L) {
    ahost__context *ctx = ahost__context_current(L);
    lua_Integer max = luaL_checkinteger(L, 1);
    notices *all;
    ahost__context_check_open(L, ctx, "fs.watch");
    all = lua_newuserdatauv(L, sizeof(*all), 0);
    memset(all, 0, sizeof(*all));
    all->host = ahost__of(L);
    all->max = max;
    ahost__list_init(&all->directories);
    ahost__list_init(&all->queue);
    ahost__list_init(&all->waiters);
    luaL_setmetatable(L, NOTICES_TYPE);
    ahost__own(ctx, &all->owned, &owned_notices);
    return 1;
}

static const luaL_Reg methods[] = {{"add", notices_add},
                                   {"remove", notices_remove},
                                   {"first", notices_first},
                                   {"drop", notices_drop},
                                   {"wait", notices_wait},
                                   {"overflowed", notices_overflowed},
                                   {"dropped", notices_dropped},
                                   {"close", notices_close},
                                   {NULL, NULL}};

static const luaL_Reg functions[] = {{"notices", fs_notices}, {NULL, NULL}};

void ahost__open_fs_watch(lua_State *L) {
    luaL_newmetatable(L, NOTICES_TYPE);
    lua_pushcfunction(L, notices_close);
    lua_setfield(L, -2, "__gc");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
