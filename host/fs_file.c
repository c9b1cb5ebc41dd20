/*
 * fs_file.c - open files: their life, and who has his turn.
 */
#include "fs_file.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_TYPE "ahost.fs.file"

void ahost__file_unref(ahost__file *file) {
    ahost__fs *fs = file->fs;
    if (__atomic_sub_fetch(&file->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (file->fd >= 0)
        close(file->fd);
    ahost__bytes_free(fs, &file->in);
    free(file->path);
    free(file);
    ahost__fs_unref(fs);
}

static ahost__file *file_ref(ahost__file *file) {
    __atomic_add_fetch(&file->references, 1, __ATOMIC_RELAXED);
    return file;
}

static ahost__file *new_file(ahost__fs *fs, ahost *h, const char *path) {
    ahost__file *file = calloc(1, sizeof(*file));
    if (file == NULL)
        return NULL;
    file->path = strdup(path);
    if (file->path == NULL) {
        free(file);
        return NULL;
    }
    file->references = 1;
    file->fs = fs;
    ahost__fs_ref(fs);
    file->host = h;
    file->fd = -1;
    ahost__list_init(&file->waiting);
    ahost__list_init(&file->under_way);
    ahost__list_init(&file->closers);
    return file;
}

/* ---- closing ------------------------------------------------------------ */

static int run_close(ahost__request *r) {
    int fd = r->file->fd;
    r->file->fd = -1;
    return ahost__close_after(fd, 0);
}

static void closed(ahost__file *file, int status) {
    file->closed = 1;
    file->close_status = status;
    ahost__settle_all(&file->closers, 0);
}

static void on_close_ended(ahost__request *r) {
    closed(r->file, r->status);
}

static const ahost__request_type close_type = {
    .wait = AHOST__REQUEST("close"), .run = run_close, .ended = on_close_ended};

/* No thread is at it any more. Without memory or threads it blocks. */
static void close_now(ahost__file *file) {
    ahost__request *r = file->closing;
    int fd = file->fd;
    file->closing = NULL;
    file->close_begun = 1;
    if (r != NULL && ahost__request_submit(r) == 0)
        return;
    file->fd = -1;
    closed(file, ahost__close_after(fd, 0));
    if (r != NULL)
        ahost__request_free(r);
}

/* Whoever waits is told; what a thread is at goes on until it looks. */
static void wake_all(ahost__link *requests) {
    ahost__link *link = requests->next, *next;
    for (; link != requests; link = next) {
        ahost__request *r = ahost__container_of(link, ahost__request, link);
        next = link->next;
        if (r->wait != NULL)
            ahost__request_give_up(r, AHOST__CLOSED);
    }
}

/* After the end of the host the last one who has the file closes it. */
static void start_close(ahost__file *file) {
    if (file->closes)
        return;
    file->closes = 1;
    ahost__disown(&file->owned);
    if (file->host->fs_closed)
        return;
    file->closing = ahost__request_plain(file->host, &close_type, NULL);
    if (file->closing != NULL)
        file->closing->file = file_ref(file);
    wake_all(&file->waiting);
    wake_all(&file->under_way);
    if (ahost__list_empty(&file->under_way) && !file->close_begun)
        close_now(file);
}

/* ---- turns -------------------------------------------------------------- */

/* To a thread: 0 or a code. */
static int begin(ahost__request *r) {
    int err = ahost__request_submit(r);
    if (err == 0)
        ahost__list_append(&r->file->under_way, &r->link);
    return err;
}

/* The next in turn that can be begun. */
static void advance(ahost__file *file) {
    ahost__link *link;
    while (file->active == NULL &&
           (link = ahost__list_shift(&file->waiting)) != NULL) {
        ahost__request *r = ahost__container_of(link, ahost__request, link);
        int err;
        file->active = r;
        err = begin(r);
        if (err == 0)
            return;
        file->active = NULL;
        ahost__settle(r->wait, err);
    }
}

void ahost__file_request_ended(ahost__request *r) {
    ahost__file *file = r->file;
    ahost__list_remove(&r->link);
    if (file->active == r) {
        file->active = NULL;
        advance(file);
    }
    if (file->closes && ahost__list_empty(&file->under_way) &&
        !file->close_begun)
        close_now(file);
}

int ahost__file_is_idle(const ahost__file *file) {
    return file->active == NULL && ahost__list_empty(&file->waiting);
}

int ahost__file_await(lua_State *L, ahost__request *r) {
    ahost__wait *w = ahost__wait_begin(L, &r->type->wait, r);
    ahost__request_waits(r, w);
    ahost__list_append(&r->file->waiting, &r->link);
    advance(r->file);
    return ahost__await(L, w);
}

int ahost__file_await_beside(lua_State *L, ahost__request *r) {
    ahost__wait *w = ahost__wait_begin(L, &r->type->wait, r);
    int err;
    ahost__request_waits(r, w);
    err = begin(r);
    if (err != 0)
        ahost__settle(w, err);
    return ahost__await(L, w);
}

ahost__request *ahost__file_request(lua_State *L, ahost__file *file,
                                    const ahost__request_type *type) {
    ahost__request *r = ahost__request_new(L, type, NULL, NULL);
    r->file = file_ref(file);
    return r;
}

int ahost__file_request_failed(lua_State *L, ahost__request *r) {
    return ahost__fail(L, r->status, "%s %s", r->type->wait.what,
                       r->file->path);
}

int ahost__file_is_closed(lua_State *L, const ahost__file *file,
                          const char *what) {
    return ahost__fail(L, AHOST__CLOSED, "%s %s", what, file->path);
}

/* ---- opening ------------------------------------------------------------ */

static int run_open(ahost__request *r) {
    int fd = ahost__open_for(r, r->path, r->flags, r->mode);
    if (fd < 0)
        return fd;
    r->file->fd = fd;
    r->file->info = r->info;
    return 0;
}

static void on_context_end(ahost__owned *owned) {
    start_close(ahost__container_of(owned, ahost__file, owned));
}

static void describe(lua_State *L, ahost__owned *owned) {
    const ahost__file *file = ahost__container_of(owned, ahost__file, owned);
    lua_pushstring(L, file->path);
    lua_setfield(L, -2, "path");
}

static const ahost__owned_type owned_file = {
    .what = "file", .close = on_context_end, .describe = describe};

/* -> file | nil, err */
static int push_file(lua_State *L, ahost__request *r) {
    ahost__context *ctx = ahost__context_current(L);
    ahost__file **box = lua_newuserdatauv(L, sizeof(ahost__file *), 0);
    *box = NULL;
    luaL_setmetatable(L, FILE_TYPE);
    if (ctx->state == AHOST__CONTEXT_CLOSED)
        return ahost__fail(L, AHOST__CLOSED, "open %s", r->path);
    *box = file_ref(r->file);
    ahost__own(ctx, &r->file->owned, &owned_file);
    return 1;
}

static const ahost__request_type open_type = {
    .wait = AHOST__REQUEST("open"), .run = run_open, .push = push_file};

/* The flags that a mode stands for, or -1. */
static int flags_of(const char *mode) {
    int flags = *mode == 'r'   ? 0
                : *mode == 'w' ? O_CREAT | O_TRUNC
                : *mode == 'a' ? O_CREAT | O_APPEND
                               : -1;
    int both = 0, first = *mode;
    if (flags == -1)
        return -1;
    for (mode++; *mode != '\0'; mode++) {
        if (*mode == '+')
            both = 1;
        else if (*mode == 'x' && first == 'w')
            flags |= O_EXCL;
        else if (*mode != 'b')
            return -1;
    }
    return flags | (both ? O_RDWR : first == 'r' ? O_RDONLY : O_WRONLY);
}

/* fs.open(path, [mode, [permissions]]) -> file | nil, err */
static int fs_open(lua_State *L) {
    const char *path = ahost__check_path(L, 1);
    int flags = flags_of(luaL_optstring(L, 2, "r"));
    mode_t mode = lua_isnoneornil(L, 3) ? 0666 : ahost__check_mode(L, 3);
    ahost__request *r;
    luaL_argcheck(L, flags != -1, 2,
                  "a mode is \"r\", \"w\", \"a\", \"wx\" (a new file), or one "
                  "of them with \"+\"");
    ahost__context_check_open(L, ahost__context_current(L), "fs.open");
    r = ahost__request_new(L, &open_type, path, NULL);
    r->file = new_file(r->fs, r->host, path);
    if (r->file == NULL)
        return luaL_error(L, "not enough memory");
    r->flags = flags;
    r->mode = mode;
    return ahost__request_await(L, r);
}

/* ---- methods ------------------------------------------------------------ */

ahost__file *ahost__check_file(lua_State *L) {
    ahost__file **box = luaL_checkudata(L, 1, FILE_TYPE);
    luaL_argcheck(L, *box != NULL, 1, "this file was never open");
    return *box;
}

static int finish_close(lua_State *L, ahost__wait *w) {
    const ahost__file *file = w->op;
    if (file->close_status != 0)
        return ahost__fail(L, file->close_status, "close %s", file->path);
    lua_pushboolean(L, 1);
    return 1;
}

static const ahost__wait_type close_wait = {"close", finish_close, NULL, 0};

/* It is closed whatever happens to who waits for that.
 * file:close() -> true | nil, err */
static int file_close(lua_State *L) {
    ahost__file *file = ahost__check_file(L);
    ahost__wait *w;
    start_close(file);
    if (file->closed || !ahost__can_wait(L)) {
        lua_pushboolean(L, 1);
        return 1;
    }
    w = ahost__wait_begin(L, &close_wait, file);
    ahost__list_append(&file->closers, &w->link);
    return ahost__await(L, w);
}

static int file_gc(lua_State *L) {
    ahost__file **box = luaL_checkudata(L, 1, FILE_TYPE);
    if (*box == NULL)
        return 0;
    start_close(*box);
    ahost__file_unref(*box);
    *box = NULL;
    return 0;
}

static int file_tostring(lua_State *L) {
    const ahost__file *file = ahost__check_file(L);
    lua_pushfstring(L, "file (%s%s)", file->path,
                    file->closes ? ", closed" : "");
    return 1;
}

static const luaL_Reg methods[] = {{"close", file_close}, {NULL, NULL}};

static const luaL_Reg meta[] = {{"__close", file_close},
                                {"__gc", file_gc},
                                {"__tostring", file_tostring},
                                {NULL, NULL}};

static const luaL_Reg functions[] = {{"open", fs_open}, {NULL, NULL}};

void ahost__open_fs_files(lua_State *L) {
    luaL_newmetatable(L, FILE_TYPE);
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    ahost__open_file_input(L);
    ahost__open_file_output(L);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
