/*
 * stream_output.c - writing: gathered during a turn, sent at its end.
 *
 * What is written is copied into chunks, so that the caller may forget it. At
 * the end of the turn (or when 64 KiB have gathered) everything leaves in one
 * system call. A large write leaves at once, with what has gathered before it
 * and from where it is: one call all the same, without the copy. What the
 * kernel does not take goes to an asynchronous write; the chunks in flight stay
 * where they are until it ends.
 */
#include <lauxlib.h>
#include <string.h>

#include "tls.h"

struct ahost__chunk {
    ahost__chunk *next;
    uint32_t start, end, capacity; /* unsent bytes are data[start..end) */
    char data[];
};

enum {
    FIRST_CHUNK = 1000, /* small enough for malloc's fast bins */
    CHUNK = 16384,
    BUFFERS = 64,  /* of one system call */
    LARGE = 8192,  /* bytes of a write that is not copied... */
    LARGE_ARGS = 8 /* ...if it has no more arguments than these */
};

/* ---- chunks ------------------------------------------------------------- */

static ahost__chunk *new_chunk(ahost *h, size_t capacity) {
    ahost__chunk *chunk = ahost__resize(h, NULL, 0, sizeof(*chunk) + capacity);
    if (chunk != NULL)
        *chunk = (ahost__chunk){.capacity = (uint32_t)capacity};
    return chunk;
}

static void free_chunk(ahost *h, ahost__chunk *chunk) {
    ahost__free(h, chunk, sizeof(*chunk) + chunk->capacity);
}

/* The last chunk, if bytes may still be added to it. */
static ahost__chunk *open_chunk(ahost__stream *s) {
    if (s->out == NULL || s->queued == s->in_flight)
        return NULL;
    return ahost__container_of(s->out_last, ahost__chunk, next);
}

/* A chunk with room for some of `size` bytes, or NULL for want of memory. A
 * chunk in flight is never added to: its size has been told to the kernel. */
static ahost__chunk *chunk_for(ahost__stream *s, size_t size) {
    ahost__chunk *last = open_chunk(s), *chunk;
    size_t capacity = last != NULL ? CHUNK : FIRST_CHUNK;
    if (last != NULL && last->end < last->capacity)
        return last;
    chunk = new_chunk(s->host, size > capacity ? size : capacity);
    if (chunk == NULL)
        return NULL;
    *s->out_last = chunk;
    s->out_last = &chunk->next;
    return chunk;
}

static int queue_bytes(ahost__stream *s, const char *data, size_t size) {
    while (size > 0) {
        ahost__chunk *chunk = chunk_for(s, size);
        size_t room, part;
        if (chunk == NULL)
            return UV_ENOMEM;
        room = chunk->capacity - chunk->end;
        part = size < room ? size : room;
        memcpy(chunk->data + chunk->end, data, part);
        chunk->end += (uint32_t)part;
        s->queued += part;
        data += part;
        size -= part;
    }
    return 0;
}

/* Drops the oldest `size` bytes, which have been sent. */
static void drop_sent(ahost__stream *s, size_t size) {
    s->queued -= size;
    while (s->out != NULL) {
        ahost__chunk *chunk = s->out;
        size_t held = chunk->end - chunk->start;
        if (size < held) {
            chunk->start += (uint32_t)size;
            return;
        }
        size -= held;
        s->out = chunk->next;
        free_chunk(s->host, chunk);
    }
    s->out_last = &s->out;
}

static void drop_all(ahost__stream *s) {
    drop_sent(s, s->queued);
    s->in_flight = 0;
}

/* ---- writers ------------------------------------------------------------ */

/* Wakes those who wait for as little as is queued now; closing has woken all.
 */
static void wake_writers(ahost__stream *s) {
    ahost__link *link;
    if (s->closing)
        return;
    link = s->writers.next;
    while (link != &s->writers) {
        ahost__wait *w = ahost__container_of(link, ahost__wait, link);
        link = link->next;
        if ((int64_t)s->queued <= w->value)
            ahost__settle(w, 0);
    }
}

/* A connection that is gone ends the input too, behind what has arrived; of any
 * other failure a reader would never hear. */
static int shows_in_input(int error) {
    return error == UV_EPIPE || error == UV_ECONNRESET;
}

void ahost__stream_fail_output(ahost__stream *s, int error) {
    if (s->out_error == 0)
        s->out_error = error;
    drop_all(s);
    ahost__list_remove(&s->dirty);
    if (!s->closing)
        ahost__settle_all(&s->writers, s->out_error);
    if (!shows_in_input(error))
        ahost__stream_wake_reader(s, 0);
}

/* ---- sending ------------------------------------------------------------ */

/* The oldest chunks as at most `most` buffers; returns how many and their
 * bytes. */
static unsigned gather(const ahost__stream *s, uv_buf_t *bufs, unsigned most,
                       size_t *bytes) {
    unsigned count = 0;
    *bytes = 0;
    for (ahost__chunk *c = s->out; c != NULL && count < most; c = c->next) {
        bufs[count] = uv_buf_init(c->data + c->start, c->end - c->start);
        *bytes += bufs[count++].len;
    }
    return count;
}

/* Sends as much as the kernel takes at once: 0, or a negative code. */
static int send_now(ahost__stream *s) {
    while (s->queued > 0) {
        uv_buf_t bufs[BUFFERS];
        size_t bytes;
        unsigned count = gather(s, bufs, BUFFERS, &bytes);
        int sent = s->transport->try_write(s, bufs, count);
        if (sent < 0)
            return sent;
        drop_sent(s, (size_t)sent);
        if ((size_t)sent < bytes)
            return UV_EAGAIN;
    }
    return 0;
}

/* Leaves the rest to an asynchronous write. */
static int send_later(ahost__stream *s) {
    uv_buf_t bufs[BUFFERS];
    size_t bytes;
    unsigned count = gather(s, bufs, BUFFERS, &bytes);
    int err;
    s->in_flight = bytes;
    err = s->transport->write(s, bufs, count);
    s->sending = err == 0;
    if (err != 0)
        s->in_flight = 0;
    return err;
}

/* Everything is sent: what was to come after that. */
static void sent_all(ahost__stream *s) {
    if (s->shut == 1) {
        int err = s->out_error == 0 ? s->transport->shutdown(s) : 0;
        s->shut = 2;
        if (err != 0)
            ahost__stream_fail_output(s, err);
    }
    if (s->closing)
        ahost__stream_finish_close(s);
}

void ahost__stream_send(ahost__stream *s) {
    int err;
    ahost__list_remove(&s->dirty);
    if (s->sending || s->releasing || s->connecting)
        return;
    err = send_now(s);
    if (err == UV_EAGAIN)
        err = send_later(s);
    if (err != 0)
        ahost__stream_fail_output(s, err);
    else
        wake_writers(s);
    if (s->queued == 0)
        sent_all(s);
}

void ahost__stream_sent(ahost__stream *s, int status) {
    ahost *h = s->host;
    s->sending = 0;
    if (s->releasing || status != 0) {
        s->in_flight = 0;
        ahost__stream_fail_output(s, status != 0 ? status : AHOST__CLOSED);
        if (!s->releasing && s->closing)
            ahost__stream_finish_close(s);
    } else {
        drop_sent(s, s->in_flight);
        s->in_flight = 0;
        ahost__stream_send(s);
    }
    ahost__ready_run(h);
}

void ahost__stream_written(ahost__stream *s, int status) {
    if (s->tls != NULL)
        ahost__tls_written(s, status);
    else
        ahost__stream_sent(s, status);
}

/* To be sent at the end of the turn, or at once when much has gathered. */
static void send_soon(ahost__stream *s) {
    if (s->queued - s->in_flight >= AHOST__HIGH_WATER)
        ahost__stream_send(s);
    else if (!ahost__linked(&s->dirty) && !s->sending)
        ahost__list_append(&s->host->dirty, &s->dirty);
}

/* ---- methods ------------------------------------------------------------ */

/* -> true | nil, err */
static int write_result(lua_State *L, ahost__stream *s, int status,
                        const char *op) {
    if (status == 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    if (status == s->out_error)
        s->out_told = 1;
    return ahost__tls_fail(L, s->tls, status, op);
}

static int finish_write(lua_State *L, ahost__wait *w) {
    return write_result(L, w->op, w->status, "write");
}

static int finish_flush(lua_State *L, ahost__wait *w) {
    return write_result(L, w->op, w->status, "flush");
}

static const ahost__wait_type write_wait = {"write", finish_write, NULL};
static const ahost__wait_type flush_wait = {"flush", finish_flush, NULL};

/* Waits until at most `level` bytes are queued. */
static int wait_for_room(lua_State *L, ahost__stream *s, size_t level,
                         double timeout, const ahost__wait_type *type) {
    ahost__wait *w;
    if (s->closing) /* a finalizer has closed it meanwhile */
        return write_result(L, s, AHOST__CLOSED, type->what);
    w = ahost__wait_begin(L, type, s);
    w->value = (int64_t)level;
    ahost__list_append(&s->writers, &w->link);
    ahost__wait_timeout(w, timeout);
    return ahost__await(L, w);
}

/* There is room, but the task has had its share of this turn. */
static int write_later(lua_State *L, ahost__stream *s) {
    ahost__wait *w = ahost__wait_begin(L, &write_wait, s);
    ahost__settle(w, 0);
    return ahost__await(L, w);
}

/* Why nothing can be written any more, or 0. */
static int refusal(const ahost__stream *s) {
    if (s->closing)
        return AHOST__CLOSED;
    return s->shut ? UV_EPIPE : s->out_error;
}

/* Queues the string or the array of strings at `arg`, but for the first bytes
 * of strings, `*sent` in all, which have left already. */
static int queue_value(lua_State *L, ahost__stream *s, int arg, size_t *sent) {
    size_t size, skip;
    const char *data;
    int err = 0;
    if (!lua_istable(L, arg)) {
        data = lua_tolstring(L, arg, &size);
        skip = *sent < size ? *sent : size;
        *sent -= skip;
        return queue_bytes(s, data + skip, size - skip);
    }
    for (lua_Integer i = 1, n = (lua_Integer)lua_rawlen(L, arg);
         i <= n && err == 0; i++) {
        lua_rawgeti(L, arg, i);
        data = lua_tolstring(L, -1, &size);
        err = queue_bytes(s, data, size);
        lua_pop(L, 1);
    }
    return err;
}

/* Checks the whole before a byte of it is queued; returns the size of what can
 * be sent from where it is. */
static size_t check_value(lua_State *L, int arg) {
    size_t size;
    if (!lua_istable(L, arg)) {
        luaL_checklstring(L, arg, &size);
        return size;
    }
    for (lua_Integer i = 1, n = (lua_Integer)lua_rawlen(L, arg); i <= n; i++) {
        lua_rawgeti(L, arg, i);
        if (!lua_isstring(L, -1))
            luaL_error(L,
                       "bad element %d of the array to write: a string is "
                       "expected, got %s",
                       (int)i, luaL_typename(L, -1));
        lua_pop(L, 1);
    }
    return 0;
}

/* The strings from index 2 to `top`, behind what has gathered. */
static unsigned gather_arguments(lua_State *L, const ahost__stream *s, int top,
                                 uv_buf_t *bufs, size_t *bytes) {
    unsigned count = gather(s, bufs, BUFFERS - LARGE_ARGS, bytes);
    if (*bytes < s->queued)
        return count;
    for (int arg = 2; arg <= top && !lua_istable(L, arg); arg++) {
        size_t size;
        const char *data = lua_tolstring(L, arg, &size);
        bufs[count++] = uv_buf_init((char *)(uintptr_t)data, (unsigned)size);
        *bytes += size;
    }
    return count;
}

/* Sends the strings from index 2 on without a copy. Returns how many of their
 * bytes the kernel took, or a negative code. */
static int64_t send_arguments(lua_State *L, ahost__stream *s, int top) {
    uv_buf_t bufs[BUFFERS];
    size_t bytes, queued = s->queued;
    unsigned count = gather_arguments(L, s, top, bufs, &bytes);
    int sent;
    if (bytes <= queued) /* an array comes first, or much is queued */
        return 0;
    sent = s->transport->try_write(s, bufs, count);
    if (sent < 0)
        return sent == UV_EAGAIN ? 0 : sent;
    if ((size_t)sent <= queued) {
        drop_sent(s, (size_t)sent);
        return 0;
    }
    drop_sent(s, queued);
    return (int64_t)((size_t)sent - queued);
}

/* Queues, or sends, the arguments from index 2 to `top`: 0 or a code. */
static int write_arguments(lua_State *L, ahost__stream *s, int top) {
    size_t size = 0, sent = 0;
    int err = refusal(s);
    for (int arg = 2; arg <= top; arg++)
        size += check_value(L, arg);
    if (size >= LARGE && top <= LARGE_ARGS && err == 0 && !s->sending) {
        int64_t taken = send_arguments(L, s, top);
        if (taken < 0)
            ahost__stream_fail_output(s, (int)taken);
        else
            sent = (size_t)taken;
        err = s->out_error;
    }
    for (int arg = 2; arg <= top && err == 0; arg++)
        err = queue_value(L, s, arg, &sent);
    return err;
}

/* The usual case, strings for which there is room: false, with nothing written,
 * when it is not. */
static int write_short(lua_State *L, ahost__stream *s, int top) {
    ahost__chunk *chunk = open_chunk(s);
    uint32_t end;
    if (chunk == NULL || refusal(s) != 0)
        return 0;
    end = chunk->end;
    for (int arg = 2; arg <= top; arg++) {
        size_t size;
        const char *data;
        if (lua_type(L, arg) != LUA_TSTRING)
            return 0;
        data = lua_tolstring(L, arg, &size);
        if (size > chunk->capacity - end)
            return 0;
        memcpy(chunk->data + end, data, size);
        end += (uint32_t)size;
    }
    s->queued += end - chunk->end;
    chunk->end = end;
    return 1;
}

/* stream:write(data, ...) -> true | nil, err */
static int stream_write(lua_State *L) {
    ahost__stream *s = ahost__check_stream(L, 1);
    int top = lua_gettop(L), err = 0;
    if (!write_short(L, s, top))
        err = write_arguments(L, s, top);
    if (err == 0 && s->queued > 0)
        send_soon(s);
    if (err == 0)
        err = s->out_error;
    if (err == 0 && s->queued > AHOST__HIGH_WATER)
        return wait_for_room(L, s, AHOST__LOW_WATER, s->timeout, &write_wait);
    if (err == 0 && ahost__must_yield(L))
        return write_later(L, s);
    return write_result(L, s, err, "write");
}

/* stream:flush([timeout]) -> true | nil, err */
static int stream_flush(lua_State *L) {
    ahost__stream *s = ahost__check_stream(L, 1);
    double timeout =
        lua_isnoneornil(L, 2) ? s->timeout : ahost__opt_timeout(L, 2);
    if (s->closing)
        return ahost__fail(L, AHOST__CLOSED, "flush");
    if (s->queued > 0)
        ahost__stream_send(s);
    if (s->out_error == 0 && s->queued > 0)
        return wait_for_room(L, s, 0, timeout, &flush_wait);
    return write_result(L, s, s->out_error, "flush");
}

/* stream:shutdown() -> true | nil, err: the end, behind what is queued */
static int stream_shutdown(lua_State *L) {
    ahost__stream *s = ahost__check_stream(L, 1);
    int err = refusal(s);
    if (err == 0) {
        s->shut = 1;
        ahost__stream_send(s);
        err = s->closing ? 0 : s->out_error; /* closing may be the way to it */
    }
    return write_result(L, s, err, "shutdown");
}

static const luaL_Reg methods[] = {{"write", stream_write},
                                   {"flush", stream_flush},
                                   {"shutdown", stream_shutdown},
                                   {NULL, NULL}};

void ahost__open_stream_output(lua_State *L) {
    luaL_setfuncs(L, methods, 0);
}

/* ---- the end of the turn ------------------------------------------------ */

static void send_dirty(ahost *h) {
    ahost__link *link;
    while ((link = ahost__list_shift(&h->dirty)) != NULL)
        ahost__stream_send(ahost__container_of(link, ahost__stream, dirty));
    ahost__ready_drain(h);
}

static void before_poll(uv_prepare_t *prepare) {
    ahost *h = prepare->data;
    send_dirty(h);
    ahost__lag_turn_ended(h);
    if (h->runs.turn_began != 0)
        ahost__turn_ends(h);
}

static void after_poll(uv_check_t *check) {
    ahost__lag_polled(check->data);
    send_dirty(check->data);
}

/* What timers wrote is sent before the loop sleeps, what input brought about
 * is sent after it. */
int ahost__streams_open(ahost *h) {
    int err;
    h->read_buffer = ahost__alloc(h, AHOST__READ_BUFFER);
    if (h->read_buffer == NULL)
        return UV_ENOMEM;
    err = uv_prepare_init(h->loop, &h->before_poll);
    if (err != 0)
        return err;
    h->before_poll.data = h;
    uv_prepare_start(&h->before_poll, before_poll);
    uv_unref((uv_handle_t *)&h->before_poll);
    err = uv_check_init(h->loop, &h->after_poll);
    if (err != 0)
        return err;
    h->after_poll.data = h;
    uv_check_start(&h->after_poll, after_poll);
    uv_unref((uv_handle_t *)&h->after_poll);
    return 0;
}

void ahost__streams_free(ahost *h) {
    ahost__free(h, h->read_buffer, AHOST__READ_BUFFER);
    ahost__tls_free_buffers(h);
}
