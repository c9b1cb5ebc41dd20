/*
 * stream_input.c - reading: what has arrived, and the tasks that want it.
 *
 * Bytes arrive in the host's one read buffer. When a task waits for them it is
 * run before the callback returns and takes them from there; only what is left
 * over is copied to a block of the stream's own, so that an idle stream holds
 * no buffer. Lines and frames are looked for in C as the bytes arrive: a task
 * is woken when what it wants is complete.
 */
#include <lauxlib.h>
#include <limits.h>
#include <string.h>

#include "tls.h"

static const uint32_t default_all = 16 * 1024 * 1024; /* bytes */
static const uint32_t default_chunk = 65536;          /* bytes */

/* ---- the buffer --------------------------------------------------------- */

static void free_block(ahost__stream *s) {
    ahost__free(s->host, s->in_block, s->in_capacity);
    s->in_block = NULL;
    s->in_capacity = 0;
}

void ahost__stream_free_input(ahost__stream *s) {
    free_block(s);
    s->in = NULL;
    s->in_size = s->scanned = 0;
}

/* Room for `size` bytes in all, with what is there at the front. */
static int reserve(ahost__stream *s, size_t size) {
    size_t capacity = s->in_capacity != 0 ? s->in_capacity : 256;
    char *block;
    if (s->in_block != NULL && s->in != s->in_block)
        memmove(s->in_block, s->in, s->in_size);
    if (s->in_block != NULL)
        s->in = s->in_block;
    while (capacity < size)
        capacity *= 2;
    if (capacity == s->in_capacity)
        return 1;
    block = ahost__resize(s->host, s->in_block, s->in_capacity, capacity);
    if (block == NULL)
        return 0;
    s->in = s->in_block = block;
    s->in_capacity = (uint32_t)capacity;
    return 1;
}

static int append(ahost__stream *s, const char *data, size_t size) {
    size_t end = (size_t)(s->in - s->in_block) + s->in_size;
    if (end + size > s->in_capacity && !reserve(s, s->in_size + size))
        return UV_ENOMEM;
    memcpy(s->in + s->in_size, data, size);
    s->in_size += (uint32_t)size;
    return 0;
}

/* Copies bytes that are still in the host's read buffer; 0 or a code. */
static int keep_rest(ahost__stream *s) {
    const char *data = s->in;
    uint32_t size = s->in_size;
    if (size == 0 || s->in_block != NULL)
        return 0;
    s->in = NULL;
    s->in_size = 0;
    return append(s, data, size);
}

static void consume(ahost__stream *s, uint32_t size) {
    s->in += size;
    s->in_size -= size;
    s->scanned = 0;
    if (s->in_size == 0)
        ahost__stream_free_input(s);
}

/* ---- what a reader wants ------------------------------------------------ */

/* The place of the delimiter among the unread bytes, or -1. Each byte is looked
 * at once, however often more arrive. */
static int64_t find_delimiter(ahost__stream *s) {
    uint32_t overlap = s->delimiter_size - 1;
    uint32_t start = s->scanned > overlap ? s->scanned - overlap : 0;
    const char *found;
    if (s->in_size == 0)
        return -1;
    if (s->delimiter_size == 1)
        found = memchr(s->in + start, s->delimiter[0], s->in_size - start);
    else
        found = memmem(s->in + start, s->in_size - start, s->delimiter,
                       s->delimiter_size);
    if (found != NULL)
        return found - s->in;
    s->scanned = s->in_size;
    return -1;
}

/* The bytes of a line that has `size` before its \n. */
static uint32_t line_size(const ahost__stream *s, uint32_t size) {
    return size > 0 && s->in[size - 1] == '\r' ? size - 1 : size;
}

/* Whether what comes before a delimiter is too long already, wherever among the
 * bytes to come the delimiter, or what is missing of it, may be. */
static int is_too_long(const ahost__stream *s) {
    uint32_t begun = s->delimiter_size - 1;
    if (s->in_size <= s->want_size)
        return 0;
    return s->want == AHOST__WANT_LINE ? line_size(s, s->in_size) > s->want_size
                                       : s->in_size - s->want_size > begun;
}

/* Looks for the end of what is delimited; as `satisfied`. */
static int find_end(ahost__stream *s, uint32_t *size) {
    int64_t place = find_delimiter(s);
    if (place < 0)
        return is_too_long(s) ? AHOST__TOOLONG : 0;
    *size = (uint32_t)place;
    if (s->want == AHOST__WANT_LINE)
        place = line_size(s, *size);
    return place > s->want_size ? AHOST__TOOLONG : 1;
}

/* Whether the reader can go on: 1, 0 or a negative code. `*size` is set to what
 * it takes, for lines without the delimiter. */
static int satisfied(ahost__stream *s, uint32_t *size) {
    *size = s->in_size < s->want_size ? s->in_size : s->want_size;
    switch ((ahost__want_kind)s->want) {
    case AHOST__WANT_SOME:
        return s->in_size > 0;
    case AHOST__WANT_EXACTLY:
        return s->in_size >= s->want_size;
    case AHOST__WANT_ALL:
        return s->in_size > s->want_size ? AHOST__TOOLONG : 0;
    case AHOST__WANT_LINE:
    case AHOST__WANT_UNTIL:
        return find_end(s, size);
    }
    return 0;
}

/* Pushes `size` bytes as the reader wants them and consumes them. */
static int push_taken(lua_State *L, ahost__stream *s, uint32_t size) {
    uint32_t shown = size, taken = size;
    if (s->want == AHOST__WANT_LINE) {
        taken++;
        shown = line_size(s, size);
    } else if (s->want == AHOST__WANT_UNTIL) {
        taken += s->delimiter_size;
    }
    lua_pushlstring(L, s->in, shown);
    consume(s, taken);
    return 1;
}

/* Pushes all that is left. */
static int push_rest(lua_State *L, ahost__stream *s) {
    lua_pushlstring(L, s->in, s->in_size);
    consume(s, s->in_size);
    return 1;
}

static const char *const operations[] = {"read", "read_exactly", "read_line",
                                         "read_until", "read_all"};

static int fail_read(lua_State *L, const ahost__stream *s, int error) {
    return ahost__tls_fail(L, s->tls, error, operations[s->want]);
}

/* The input has ended: -> data | nil [, err] */
static int push_end(lua_State *L, ahost__stream *s) {
    int error = s->in_error;
    if (error != UV_EOF)
        return fail_read(L, s, error);
    if (s->want == AHOST__WANT_ALL && s->in_size == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if (s->in_size == 0) {
        lua_pushnil(L);
        return 1;
    }
    if (s->want != AHOST__WANT_EXACTLY)
        return s->in_size > s->want_size ? fail_read(L, s, AHOST__TOOLONG)
                                         : push_rest(L, s);
    fail_read(L, s, error);
    push_rest(L, s);
    lua_setfield(L, -2, "partial");
    return 2;
}

/* Tries to give the reader what it wants. Returns 0 when it has to wait. */
static int try_read(lua_State *L, ahost__stream *s) {
    uint32_t size;
    int ready;
    if (s->closing)
        return fail_read(L, s, AHOST__CLOSED);
    ready = satisfied(s, &size);
    if (ready > 0)
        return push_taken(L, s, size);
    if (ready < 0)
        return fail_read(L, s, ready);
    if (s->out_error != 0 && !s->out_told) {
        s->out_told = 1;
        return fail_read(L, s, s->out_error);
    }
    return s->in_error != 0 ? push_end(L, s) : 0;
}

/* ---- arrival ------------------------------------------------------------ */

void ahost__stream_wake_reader(ahost__stream *s, int status) {
    if (s->reader != NULL)
        ahost__settle(s->reader, status);
}

/* A reader that has been woken keeps its place until it runs, but wants no
 * more. */
static int reader_waits(const ahost__stream *s) {
    return s->reader != NULL && s->reader->status == AHOST__PENDING;
}

static void wake_when_satisfied(ahost__stream *s) {
    uint32_t size;
    if (reader_waits(s) && (s->in_error != 0 || satisfied(s, &size) != 0))
        ahost__stream_wake_reader(s, 0);
}

/* Stops to take in more than anybody wants. */
static void pause_when_full(ahost__stream *s) {
    if (!s->reading || reader_waits(s) || s->in_size < AHOST__IN_ENOUGH)
        return;
    s->transport->read_stop(s);
    s->reading = 0;
}

static void discard(ahost__stream *s, int error) {
    if (error != 0)
        ahost__stream_release(s, 0);
}

/* Nothing more is taken in: what comes after a gap must not be read. */
static void end_input(ahost__stream *s, int error) {
    s->in_error = error;
    if (s->reading)
        s->transport->read_stop(s);
    s->reading = 0;
}

void ahost__stream_end_input(ahost__stream *s, int error) {
    end_input(s, error);
    ahost__stream_wake_reader(s, 0);
}

static void take_in(ahost__stream *s, char *data, size_t size) {
    if (s->in_size == 0) {
        s->in = data;
        s->in_size = (uint32_t)size;
    } else if (append(s, data, size) != 0) {
        end_input(s, UV_ENOMEM);
    }
}

void ahost__stream_deliver(ahost__stream *s, char *data, size_t size,
                           int error) {
    ahost *h = s->host;
    if (error != 0)
        end_input(s, error);
    else
        take_in(s, data, size);
    wake_when_satisfied(s);
    ahost__ready_run(h);
    if (keep_rest(s) != 0) {
        ahost__stream_end_input(s, UV_ENOMEM);
        ahost__ready_run(h);
    }
    pause_when_full(s);
    /* The answer to what has arrived is complete: nothing more arrives here in
     * this turn, and now the socket is still in the processor's caches. */
    if (s->in_size == 0 && ahost__linked(&s->dirty))
        ahost__stream_send(s);
}

void ahost__stream_received(ahost__stream *s, char *data, size_t size,
                            int error) {
    if (s->draining)
        discard(s, error);
    else if (s->tls != NULL)
        ahost__tls_received(s, data, size, error);
    else
        ahost__stream_deliver(s, data, size, error);
}

/* ---- waiting ------------------------------------------------------------ */

static void cancel_read(ahost__wait *w) {
    ahost__stream *s = w->op;
    s->reader = NULL;
}

static void start_input(ahost__stream *s) {
    int err = s->reading ? 0 : s->transport->read_start(s);
    s->reading = err == 0;
    if (err == 0)
        return;
    s->in_error = err;
    ahost__stream_wake_reader(s, 0);
}

/* Makes the task the reader. */
static ahost__wait *begin_wait(lua_State *L, ahost__stream *s,
                               const ahost__wait_type *type) {
    ahost__wait *w = ahost__wait_begin(L, type, s);
    w->value = s->want;
    s->reader = w;
    if (s->accepted)
        ahost__task_serve(ahost__wait_task(w));
    return w;
}

static int wait_for_more(lua_State *L, ahost__stream *s,
                         const ahost__wait_type *type) {
    ahost__wait *w = begin_wait(L, s, type);
    ahost__wait_timeout(w, s->patience);
    start_input(s);
    return ahost__await(L, w);
}

/* The task was woken, or has waited its turn; when its time is up another may
 * read already. -> data | nil [, err] */
static int go_on(lua_State *L, ahost__wait *w, const ahost__wait_type *type) {
    ahost__stream *s = w->op;
    int results;
    if (s->reader == w)
        s->reader = NULL;
    if (w->status != 0)
        return ahost__fail(L, w->status, operations[w->value]);
    results = try_read(L, s);
    return results != 0 ? results : wait_for_more(L, s, type);
}

/* Data may be there, but the task has had its share of this turn. */
static int read_later(lua_State *L, ahost__stream *s,
                      const ahost__wait_type *type) {
    ahost__wait *w = begin_wait(L, s, type);
    ahost__settle(w, 0);
    return ahost__await(L, w);
}

static int read_wanted(lua_State *L, ahost__stream *s, double timeout,
                       const ahost__wait_type *type) {
    int results;
    s->patience = timeout;
    if (ahost__must_yield(L))
        return read_later(L, s, type);
    results = try_read(L, s);
    return results != 0 ? results : wait_for_more(L, s, type);
}

static int finish_read(lua_State *L, ahost__wait *w);
static const ahost__wait_type read_wait = {"read", finish_read, cancel_read};

static int finish_read(lua_State *L, ahost__wait *w) {
    return go_on(L, w, &read_wait);
}

static int read_or_fail(lua_State *L, ahost__stream *s, double timeout) {
    return read_wanted(L, s, timeout, &read_wait);
}

/* ---- methods ------------------------------------------------------------ */

/* The stream at index 1 for a reader; raises when it has one. */
static ahost__stream *start_reading(lua_State *L, ahost__want_kind want,
                                    lua_Integer size) {
    ahost__stream *s = ahost__check_stream(L, 1);
    if (s->reader != NULL)
        luaL_error(L, "another task is reading this stream already");
    s->want = (uint8_t)want;
    s->want_size = (uint32_t)size;
    s->scanned = 0;
    return s;
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

static double read_timeout(lua_State *L, int arg, const ahost__stream *s) {
    return lua_isnoneornil(L, arg) ? s->timeout : ahost__opt_timeout(L, arg);
}

/* stream:read([max] [, timeout]) -> data | nil [, err] */
static int stream_read(lua_State *L) {
    lua_Integer max = check_size(L, 2, 1, default_chunk);
    ahost__stream *s = start_reading(L, AHOST__WANT_SOME, max);
    return read_or_fail(L, s, read_timeout(L, 3, s));
}

/* stream:read_exactly(n [, timeout]) -> data | nil [, err] */
static int stream_read_exactly(lua_State *L) {
    lua_Integer n = luaL_checkinteger(L, 2);
    ahost__stream *s =
        start_reading(L, AHOST__WANT_EXACTLY, check_size(L, 2, 0, n));
    return read_or_fail(L, s, read_timeout(L, 3, s));
}

static ahost__stream *start_line(lua_State *L, lua_Integer limit) {
    ahost__stream *s = start_reading(L, AHOST__WANT_LINE, limit);
    s->delimiter = "\n";
    s->delimiter_size = 1;
    return s;
}

/* stream:read_line([limit [, timeout]]) -> line | nil [, err] */
static int stream_read_line(lua_State *L) {
    ahost__stream *s =
        start_line(L, check_size(L, 2, 1, ahost__of(L)->defaults.line));
    return read_or_fail(L, s, read_timeout(L, 3, s));
}

/* stream:read_until(delimiter [, limit [, timeout]]) -> data | nil [, err] */
static int stream_read_until(lua_State *L) {
    size_t size;
    const char *delimiter = luaL_checklstring(L, 2, &size);
    lua_Integer limit = check_size(L, 3, 1, ahost__of(L)->defaults.line);
    ahost__stream *s;
    luaL_argcheck(L, size > 0 && size < 65536, 2,
                  "a delimiter has from 1 to 65535 bytes");
    s = start_reading(L, AHOST__WANT_UNTIL, limit);
    s->delimiter = delimiter;
    s->delimiter_size = (uint32_t)size;
    return read_or_fail(L, s, read_timeout(L, 4, s));
}

/* stream:read_all([limit [, timeout]]) -> data | nil, err */
static int stream_read_all(lua_State *L) {
    ahost__stream *s =
        start_reading(L, AHOST__WANT_ALL, check_size(L, 2, 1, default_all));
    return read_or_fail(L, s, read_timeout(L, 3, s));
}

/* ---- iterators ---------------------------------------------------------- */

/* Raises the error of a read that came to `nil, err`. */
static int or_raise(lua_State *L, int results) {
    return results == 2 ? lua_error(L) : results;
}

static int finish_iteration(lua_State *L, ahost__wait *w);
static const ahost__wait_type iteration_wait = {"read", finish_iteration,
                                                cancel_read};

static int finish_iteration(lua_State *L, ahost__wait *w) {
    return or_raise(L, go_on(L, w, &iteration_wait));
}

static int read_or_raise(lua_State *L, ahost__stream *s) {
    return or_raise(L, read_wanted(L, s, s->timeout, &iteration_wait));
}

static int next_line(lua_State *L) {
    return read_or_raise(L, start_line(L, ahost__of(L)->defaults.line));
}

/* Upvalue: the limit. */
static int next_limited_line(lua_State *L) {
    return read_or_raise(L,
                         start_line(L, lua_tointeger(L, lua_upvalueindex(1))));
}

/* Upvalue: the greatest size. */
static int next_chunk(lua_State *L) {
    lua_Integer max = lua_tointeger(L, lua_upvalueindex(1));
    return read_or_raise(L, start_reading(L, AHOST__WANT_SOME, max));
}

/* stream:lines([limit]) -> iterator, stream */
static int stream_lines(lua_State *L) {
    ahost__check_stream(L, 1);
    if (lua_isnoneornil(L, 2)) {
        lua_pushcfunction(L, next_line);
    } else {
        lua_pushinteger(L, check_size(L, 2, 1, ahost__of(L)->defaults.line));
        lua_pushcclosure(L, next_limited_line, 1);
    }
    lua_pushvalue(L, 1);
    return 2;
}

/* stream:chunks([max]) -> iterator, stream */
static int stream_chunks(lua_State *L) {
    ahost__check_stream(L, 1);
    lua_pushinteger(L, check_size(L, 2, 1, default_chunk));
    lua_pushcclosure(L, next_chunk, 1);
    lua_pushvalue(L, 1);
    return 2;
}

static const luaL_Reg methods[] = {
    {"read", stream_read},           {"read_exactly", stream_read_exactly},
    {"read_line", stream_read_line}, {"read_until", stream_read_until},
    {"read_all", stream_read_all},   {"lines", stream_lines},
    {"chunks", stream_chunks},       {NULL, NULL}};

void ahost__open_stream_input(lua_State *L) {
    luaL_setfuncs(L, methods, 0);
}
