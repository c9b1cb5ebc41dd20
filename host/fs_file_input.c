/*
 * fs_file_input.c - reading open files, with the names and results of streams.
 *
 * A thread reads ahead, 64 KiB or more, until what is wanted is complete; what
 * has been read ahead is given out without a thread. A reading that is
 * cancelled takes nothing.
 */
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "fs_file.h"

static const size_t chunk = 65536;
static const size_t largest_chunk = 1024 * 1024;
static const lua_Integer default_all = 64 * 1024 * 1024;

typedef enum want { SOME, EXACTLY, LINE, UNTIL, ALL } want;

/* What a reading is to have: of requests `kind`, `limit`, `data` and `offset`.
 */
typedef struct wish {
    want kind;
    size_t size;           /* exactly, or at most */
    const char *delimiter; /* of UNTIL */
    size_t delimiter_size;
} wish;

/* ---- what has been read ahead ------------------------------------------- */

static size_t unread(const ahost__file *file) {
    return file->in.size - file->start;
}

static const char *input(const ahost__file *file) {
    return file->in.data + file->start;
}

static void clear(ahost__file *file) {
    file->start = file->in.size = 0;
    if (file->in.capacity > largest_chunk)
        ahost__bytes_free(file->fs, &file->in);
}

static void consume(ahost__file *file, size_t size) {
    file->start += size;
    if (unread(file) == 0)
        clear(file);
}

/* A pipe has no place to go back to. */
int ahost__file_drop_input(ahost__file *file) {
    if (unread(file) == 0)
        return 0;
    if (lseek(file->fd, -(off_t)unread(file), SEEK_CUR) == -1)
        return errno == ESPIPE ? 0 : -errno;
    clear(file);
    return 0;
}

/* The place of the delimiter, or -1; `*scanned` bytes hold none. */
static ssize_t find(const ahost__file *file, const char *delimiter, size_t size,
                    size_t *scanned) {
    size_t from = *scanned >= size ? *scanned - (size - 1) : 0;
    const char *found = NULL;
    if (unread(file) > from)
        found =
            memmem(input(file) + from, unread(file) - from, delimiter, size);
    *scanned = unread(file);
    return found != NULL ? found - input(file) : -1;
}

static int find_end(const ahost__file *file, const wish *w, size_t *taken,
                    size_t *scanned) {
    const char *delimiter = w->kind == LINE ? "\n" : w->delimiter;
    size_t size = w->kind == LINE ? 1 : w->delimiter_size;
    ssize_t place = find(file, delimiter, size, scanned);
    size_t length = place < 0 ? unread(file) : (size_t)place;
    if (w->kind == LINE && length > 0 && input(file)[length - 1] == '\r')
        length--;
    if (place < 0) /* a part of the delimiter may be there */
        return length > w->size + (size - 1) ? AHOST__TOOLONG : 0;
    *taken = (size_t)place + size;
    return length > w->size ? AHOST__TOOLONG : 1;
}

/* Whether it is complete: 1, 0 or a code. `*taken` are the bytes of it, with
 * the end of the line. */
static int satisfied(const ahost__file *file, const wish *w, size_t *taken,
                     size_t *scanned) {
    *taken = unread(file) < w->size ? unread(file) : w->size;
    switch (w->kind) {
    case SOME:
        return *taken > 0;
    case EXACTLY:
        return unread(file) >= w->size;
    case ALL:
        return unread(file) > w->size ? AHOST__TOOLONG : 0;
    default:
        return find_end(file, w, taken, scanned);
    }
}

/* ---- the thread --------------------------------------------------------- */

/* Reads once more: 1, 0 at the end, or a code. */
static int read_more(const ahost__request *r, const wish *w) {
    ahost__file *file = r->file;
    size_t size = w->kind == SOME && w->size > chunk ? w->size : chunk;
    ssize_t got;
    if (size > largest_chunk)
        size = largest_chunk;
    if (file->start > 0)
        memmove(file->in.data, input(file), unread(file));
    file->in.size -= file->start;
    file->start = 0;
    if (ahost__bytes_reserve(file->fs, &file->in, size) != 0)
        return UV_ENOMEM;
    got = ahost__read_some(r, file->fd, &file->info,
                           file->in.data + file->in.size,
                           file->in.capacity - file->in.size);
    if (got > 0)
        file->in.size += (size_t)got;
    return got > 0 ? 1 : (int)got;
}

static wish wish_of(const ahost__request *r) {
    return (wish){(want)r->kind, r->limit, r->data.data, (size_t)r->offset};
}

/* At the end there is what there is. */
static int take_rest(ahost__request *r) {
    r->flags = 1;
    r->count = unread(r->file);
    return r->kind != EXACTLY && r->count > r->limit ? AHOST__TOOLONG : 0;
}

static int run_read(ahost__request *r) {
    wish w = wish_of(r);
    size_t scanned = 0;
    for (;;) {
        int result = satisfied(r->file, &w, &r->count, &scanned);
        if (result != 0)
            return result < 0 ? result : 0;
        result = read_more(r, &w);
        if (result == 0)
            return take_rest(r);
        if (result < 0)
            return result;
    }
}

/* ---- the loop ----------------------------------------------------------- */

/* Moves what the task is to have to the request, by taking all there is when
 * that is the same. */
static int take(ahost__request *r) {
    ahost__file *file = r->file;
    ahost__bytes_free(r->fs, &r->data); /* the delimiter */
    if (file->start == 0 && r->count == file->in.size && r->count > chunk) {
        r->data = file->in;
        file->in = (ahost__bytes){0};
        return 0;
    }
    if (ahost__bytes_reserve(r->fs, &r->data, r->count) != 0)
        return UV_ENOMEM;
    if (r->count > 0)
        memcpy(r->data.data, input(file), r->count);
    r->data.size = r->count;
    consume(file, r->count);
    return 0;
}

/* Before the next in turn: nothing is taken when nobody waits. */
static void on_read_ended(ahost__request *r) {
    if (r->wait != NULL && r->status == 0)
        r->status = take(r);
    ahost__file_request_ended(r);
}

/* ---- results ------------------------------------------------------------ */

/* Pushes `size` bytes without the delimiter that they may end in. */
static int push_found(lua_State *L, want kind, const char *data, size_t size,
                      size_t delimiter_size, int at_end) {
    if (kind == UNTIL && !at_end)
        size -= delimiter_size;
    if (kind == LINE && !at_end)
        size--;
    if (kind == LINE && !at_end && size > 0 && data[size - 1] == '\r')
        size--;
    lua_pushlstring(L, data, size);
    return 1;
}

static const char *const operations[] = {"read", "read_exactly", "read_line",
                                         "read_until", "read_all"};

/* nil, and an error that holds what there was before the end. */
static int push_partial(lua_State *L, const ahost__request *r) {
    ahost__fail(L, UV_EOF, "read_exactly %s", r->file->path);
    lua_pushlstring(L, r->data.data, r->data.size);
    lua_setfield(L, -2, "partial");
    return 2;
}

static int push_read(lua_State *L, ahost__request *r) {
    want kind = (want)r->kind;
    if (r->flags && r->data.size == 0 && kind != ALL &&
        !(kind == EXACTLY && r->limit == 0)) {
        lua_pushnil(L);
        return 1;
    }
    if (r->flags && kind == EXACTLY)
        return push_partial(L, r);
    return push_found(L, kind, r->data.data, r->data.size, (size_t)r->offset,
                      r->flags);
}

static int fail_read(lua_State *L, ahost__request *r) {
    return ahost__fail(L, r->status, "%s %s", operations[r->kind],
                       r->file->path);
}

static const ahost__request_type read_type = {.wait = AHOST__REQUEST("read"),
                                              .run = run_read,
                                              .push = push_read,
                                              .fail = fail_read,
                                              .ended = on_read_ended};

static int raise_failure(lua_State *L, ahost__request *r) {
    fail_read(L, r);
    return lua_error(L);
}

/* Of iterators, which raise. */
static const ahost__request_type iteration_type = {.wait =
                                                       AHOST__REQUEST("read"),
                                                   .run = run_read,
                                                   .push = push_read,
                                                   .fail = raise_failure,
                                                   .ended = on_read_ended};

/* ---- methods ------------------------------------------------------------ */

/* Without a thread, when it has been read ahead. Returns 0 when it has not. */
static int read_at_once(lua_State *L, ahost__file *file, const wish *w) {
    size_t taken, scanned = 0;
    if (!ahost__file_is_idle(file) || ahost__must_yield(L) ||
        satisfied(file, w, &taken, &scanned) != 1)
        return 0;
    push_found(L, w->kind, input(file), taken, w->delimiter_size, 0);
    consume(file, taken);
    return 1;
}

static void copy_delimiter(lua_State *L, ahost__request *r, const wish *w) {
    if (w->kind != UNTIL)
        return;
    if (ahost__bytes_reserve(r->fs, &r->data, w->delimiter_size) != 0)
        luaL_error(L, "not enough memory");
    memcpy(r->data.data, w->delimiter, w->delimiter_size);
    r->data.size = w->delimiter_size;
    r->offset = (int64_t)w->delimiter_size;
}

static int read_wanted(lua_State *L, const wish *w,
                       const ahost__request_type *type) {
    ahost__file *file = ahost__check_file(L);
    ahost__request *r;
    if (file->closes) {
        ahost__file_is_closed(L, file, operations[w->kind]);
        return type == &iteration_type ? lua_error(L) : 2;
    }
    if (read_at_once(L, file, w))
        return 1;
    r = ahost__file_request(L, file, type);
    r->kind = (int)w->kind;
    r->limit = w->size;
    copy_delimiter(L, r, w);
    return ahost__file_await(L, r);
}

static int read_or_fail(lua_State *L, want kind, lua_Integer size) {
    wish w = {kind, (size_t)size, NULL, 0};
    return read_wanted(L, &w, &read_type);
}

/* The size argument at `arg`, `fallback` when it is left out. */
static lua_Integer check_size(lua_State *L, int arg, lua_Integer least,
                              lua_Integer fallback) {
    lua_Integer size = luaL_optinteger(L, arg, fallback);
    luaL_argcheck(L, size >= least && size<INT_MAX, arg, least> 0
                         ? "a size from 1 byte to 2 GiB is expected"
                         : "a size from 0 bytes to 2 GiB is expected");
    return size;
}

static lua_Integer check_line(lua_State *L, int arg) {
    return check_size(L, arg, 1, ahost__of(L)->defaults.line);
}

/* file:read([max]) -> data | nil [, err] */
static int file_read(lua_State *L) {
    return read_or_fail(L, SOME, check_size(L, 2, 1, (lua_Integer)chunk));
}

/* file:read_exactly(n) -> data | nil [, err] */
static int file_read_exactly(lua_State *L) {
    lua_Integer n = luaL_checkinteger(L, 2);
    return read_or_fail(L, EXACTLY, check_size(L, 2, 0, n));
}

/* file:read_line([limit]) -> line | nil [, err] */
static int file_read_line(lua_State *L) {
    return read_or_fail(L, LINE, check_line(L, 2));
}

/* file:read_until(delimiter, [limit]) -> data | nil [, err] */
static int file_read_until(lua_State *L) {
    wish w = {.kind = UNTIL};
    w.delimiter = luaL_checklstring(L, 2, &w.delimiter_size);
    luaL_argcheck(L, w.delimiter_size > 0 && w.delimiter_size < 65536, 2,
                  "a delimiter has from 1 to 65535 bytes");
    w.size = (size_t)check_line(L, 3);
    return read_wanted(L, &w, &read_type);
}

/* file:read_all([limit]) -> data | nil, err */
static int file_read_all(lua_State *L) {
    return read_or_fail(L, ALL, check_size(L, 2, 1, default_all));
}

/* Upvalues: kind and size. */
static int next_part(lua_State *L) {
    wish w = {(want)lua_tointeger(L, lua_upvalueindex(1)),
              (size_t)lua_tointeger(L, lua_upvalueindex(2)), NULL, 0};
    return read_wanted(L, &w, &iteration_type);
}

static int push_iterator(lua_State *L, want kind, lua_Integer size) {
    ahost__check_file(L);
    lua_pushinteger(L, (lua_Integer)kind);
    lua_pushinteger(L, size);
    lua_pushcclosure(L, next_part, 2);
    lua_pushvalue(L, 1);
    return 2;
}

/* file:lines([limit]) -> iterator, file */
static int file_lines(lua_State *L) {
    return push_iterator(L, LINE, check_line(L, 2));
}

/* file:chunks([max]) -> iterator, file */
static int file_chunks(lua_State *L) {
    return push_iterator(L, SOME, check_size(L, 2, 1, (lua_Integer)chunk));
}

/* ---- reading elsewhere -------------------------------------------------- */

static int run_read_at(ahost__request *r) {
    int fd = r->file->fd;
    int err = ahost__bytes_reserve(r->fs, &r->data, r->limit);
    while (err == 0 && r->data.size < r->limit) {
        ssize_t got =
            pread(fd, r->data.data + r->data.size, r->limit - r->data.size,
                  r->offset + (off_t)r->data.size);
        if (got == 0)
            break;
        if (got > 0)
            r->data.size += (size_t)got;
        else if (errno != EINTR)
            err = -errno;
        if (ahost__given_up(r))
            err = UV_ECANCELED;
    }
    return err;
}

static int push_read_at(lua_State *L, ahost__request *r) {
    if (r->data.size == 0 && r->limit > 0)
        lua_pushnil(L);
    else
        lua_pushlstring(L, r->data.data, r->data.size);
    return 1;
}

static const ahost__request_type read_at_type = {
    .wait = AHOST__REQUEST("read_at"),
    .run = run_read_at,
    .push = push_read_at,
    .fail = ahost__file_request_failed,
    .ended = ahost__file_request_ended};

/* file:read_at(offset, n) -> data | nil [, err] */
static int file_read_at(lua_State *L) {
    ahost__file *file = ahost__check_file(L);
    lua_Integer offset = luaL_checkinteger(L, 2);
    lua_Integer n = luaL_checkinteger(L, 3);
    ahost__request *r;
    luaL_argcheck(L, offset >= 0, 2, "an offset is 0 or more");
    n = check_size(L, 3, 0, n);
    if (file->closes)
        return ahost__file_is_closed(L, file, "read_at");
    r = ahost__file_request(L, file, &read_at_type);
    r->offset = offset;
    r->limit = (size_t)n;
    return ahost__file_await_beside(L, r);
}

static const luaL_Reg methods[] = {{"read", file_read},
                                   {"read_exactly", file_read_exactly},
                                   {"read_line", file_read_line},
                                   {"read_until", file_read_until},
                                   {"read_all", file_read_all},
                                   {"read_at", file_read_at},
                                   {"lines", file_lines},
                                   {"chunks", file_chunks},
                                   {NULL, NULL}};

void ahost__open_file_input(lua_State *L) {
    luaL_setfuncs(L, methods, 0);
}
