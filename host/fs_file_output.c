/*
 * fs_file_output.c - open files: writing, the position, and the file as such.
 */
#include <errno.h>
#include <lauxlib.h>
#include <string.h>
#include <unistd.h>

#include "fs_file.h"

/* A new request in turn of the file at index 1, or NULL with nil and an error
 * pushed, when that is closed. */
static ahost__request *new_request(lua_State *L,
                                   const ahost__request_type *type) {
    ahost__file *file = ahost__check_file(L);
    if (!file->closes)
        return ahost__file_request(L, file, type);
    ahost__file_is_closed(L, file, type->wait.what);
    return NULL;
}

/* ---- writing ------------------------------------------------------------ */

static int run_write(ahost__request *r) {
    int err = ahost__file_drop_input(r->file);
    return err != 0
               ? err
               : ahost__write_all(r, r->file->fd, r->data.data, r->data.size);
}

static const ahost__request_type write_type = {
    .wait = AHOST__REQUEST("write"),
    .run = run_write,
    .fail = ahost__file_request_failed,
    .ended = ahost__file_request_ended};

/* file:write(data, ...) -> true | nil, err */
static int file_write(lua_State *L) {
    int last = lua_gettop(L);
    ahost__request *r;
    luaL_checkany(L, 2);
    r = new_request(L, &write_type);
    if (r == NULL)
        return 2;
    ahost__collect_data(L, r, 2, last);
    return ahost__file_await(L, r);
}

static int run_write_at(ahost__request *r) {
    size_t done = 0;
    while (done < r->data.size) {
        ssize_t written = pwrite(r->file->fd, r->data.data + done,
                                 r->data.size - done, r->offset + (off_t)done);
        if (written >= 0)
            done += (size_t)written;
        else if (errno != EINTR)
            return -errno;
        if (ahost__given_up(r))
            return UV_ECANCELED;
    }
    return 0;
}

static const ahost__request_type write_at_type = {
    .wait = AHOST__REQUEST("write_at"),
    .run = run_write_at,
    .fail = ahost__file_request_failed,
    .ended = ahost__file_request_ended};

/* file:write_at(offset, data, ...) -> true | nil, err */
static int file_write_at(lua_State *L) {
    int last = lua_gettop(L);
    lua_Integer offset = luaL_checkinteger(L, 2);
    ahost__request *r;
    luaL_argcheck(L, offset >= 0, 2, "an offset is 0 or more");
    luaL_checkany(L, 3);
    r = new_request(L, &write_at_type);
    if (r == NULL)
        return 2;
    r->offset = offset;
    ahost__collect_data(L, r, 3, last);
    return ahost__file_await_beside(L, r);
}

/* Its turn is all that it waits for. */
static int run_flush(ahost__request *r) {
    (void)r;
    return 0;
}

static const ahost__request_type flush_type = {
    .wait = AHOST__REQUEST("flush"),
    .run = run_flush,
    .fail = ahost__file_request_failed,
    .ended = ahost__file_request_ended};

/* file:flush() -> true | nil, err */
static int file_flush(lua_State *L) {
    ahost__request *r = new_request(L, &flush_type);
    return r != NULL ? ahost__file_await(L, r) : 2;
}

static int run_sync(ahost__request *r) {
    return fsync(r->file->fd) != 0 ? -errno : 0;
}

static const ahost__request_type sync_type = {
    .wait = AHOST__REQUEST("sync"),
    .run = run_sync,
    .fail = ahost__file_request_failed,
    .ended = ahost__file_request_ended};

/* file:sync() -> true | nil, err */
static int file_sync(lua_State *L) {
    ahost__request *r = new_request(L, &sync_type);
    return r != NULL ? ahost__file_await(L, r) : 2;
}

/* ---- position and size -------------------------------------------------- */

static int run_seek(ahost__request *r) {
    static const int whence[] = {SEEK_SET, SEEK_CUR, SEEK_END};
    int err = ahost__file_drop_input(r->file);
    off_t place;
    if (err != 0)
        return err;
    place = lseek(r->file->fd, r->offset, whence[r->kind]);
    r->offset = place;
    return place == -1 ? -errno : 0;
}

static int push_place(lua_State *L, ahost__request *r) {
    lua_pushinteger(L, r->offset);
    return 1;
}

static const ahost__request_type seek_type = {
    .wait = AHOST__REQUEST("seek"),
    .run = run_seek,
    .push = push_place,
    .fail = ahost__file_request_failed,
    .ended = ahost__file_request_ended};

/* file:seek([whence, [offset]]) -> position | nil, err */
static int file_seek(lua_State *L) {
    static const char *const names[] = {"set", "cur", "end", NULL};
    int whence = luaL_checkoption(L, 2, "cur", names);
    lua_Integer offset = luaL_optinteger(L, 3, 0);
    ahost__request *r = new_request(L, &seek_type);
    if (r == NULL)
        return 2;
    r->kind = whence;
    r->offset = offset;
    return ahost__file_await(L, r);
}

static int run_truncate(ahost__request *r) {
    int err = ahost__file_drop_input(r->file);
    if (err == 0 && ftruncate(r->file->fd, r->offset) != 0)
        err = -errno;
    return err;
}

static const ahost__request_type truncate_type = {
    .wait = AHOST__REQUEST("truncate"),
    .run = run_truncate,
    .fail = ahost__file_request_failed,
    .ended = ahost__file_request_ended};

/* file:truncate([size]) -> true | nil, err */
static int file_truncate(lua_State *L) {
    lua_Integer size = luaL_optinteger(L, 2, 0);
    ahost__request *r;
    luaL_argcheck(L, size >= 0, 2, "a size is 0 or more");
    r = new_request(L, &truncate_type);
    if (r == NULL)
        return 2;
    r->offset = size;
    return ahost__file_await(L, r);
}

static int run_stat(ahost__request *r) {
    return fstat(r->file->fd, &r->info) != 0 ? -errno : 0;
}

static const ahost__request_type stat_type = {
    .wait = AHOST__REQUEST("stat"),
    .run = run_stat,
    .push = ahost__push_stat,
    .fail = ahost__file_request_failed,
    .ended = ahost__file_request_ended};

/* file:stat() -> {type=, size=, ...} | nil, err */
static int file_stat(lua_State *L) {
    ahost__request *r = new_request(L, &stat_type);
    return r != NULL ? ahost__file_await_beside(L, r) : 2;
}

static const luaL_Reg methods[] = {
    {"write", file_write}, {"write_at", file_write_at},
    {"flush", file_flush}, {"sync", file_sync},
    {"seek", file_seek},   {"truncate", file_truncate},
    {"stat", file_stat},   {NULL, NULL}};

void ahost__open_file_output(lua_State *L) {
    luaL_setfuncs(L, methods, 0);
}
