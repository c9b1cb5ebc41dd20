/*
 * tls.c - TLS as a transport over another.
 *
 * All plaintext and ciphertext goes through two buffers that the connections of
 * a host share, so that an idle one holds none. Only what the transport below
 * does not take at once is copied, and then nothing more is encrypted until it
 * has gone: the queue of the stream stays the one that grows, and is bounded.
 * Plaintext counts as sent when its ciphertext is.
 */
#include "tls.h"

#include <lauxlib.h>
#include <string.h>

struct ahost__tls {
    ahost__stream *stream;
    const ahost__transport *lower;
    ahost__tls_context *context; /* counted */
    const ahost__tls_engine *engine;
    void *connection;
    ahost__link waiters; /* for the end of the handshake */
    ahost__timer timer;  /* of the handshake */
    uint8_t begins;      /* the handshake is under way */
    uint8_t writes;      /* `flight` is with the transport below */
    uint8_t said_end;    /* our close_notify has been made */
    uint8_t closes_next; /* the stream is closed when all is sent */
    int error;           /* what has ended it, or 0 */
    /* ciphertext that has not been sent: first the one that is with the
     * transport below, then what has come since */
    char *flight, *pending;
    size_t flight_size, pending_size, pending_capacity;
    size_t owed; /* plaintext bytes whose ciphertext is not sent */
    ahost__tls_failure failure;
};

enum {
    CIPHER = 5 * AHOST__TLS_RECORD,                 /* 64 KiB of plaintext */
    PLAIN = AHOST__READ_BUFFER + AHOST__TLS_RECORD, /* of one read */
    /* Unsent ciphertext that no plaintext is behind: answers of the protocol,
     * which a peer can provoke. */
    ANSWERS = 65536
};

struct ahost__tls_buffers {
    char cipher[CIPHER], plain[PLAIN];
};

static const ahost__transport tls_transport;

static int get_buffers(ahost *h) {
    if (h->tls_buffers == NULL)
        h->tls_buffers = ahost__resize(h, NULL, 0, sizeof(*h->tls_buffers));
    return h->tls_buffers != NULL ? 0 : UV_ENOMEM;
}

void ahost__tls_free_buffers(ahost *h) {
    ahost__free(h, h->tls_buffers, sizeof(*h->tls_buffers));
}

static ahost__tls_io output(ahost__tls *t) {
    return (ahost__tls_io){.out = t->stream->host->tls_buffers->cipher,
                           .out_capacity = CIPHER};
}

/* ---- ciphertext on its way ---------------------------------------------- */

static void drop_flight(ahost__tls *t) {
    ahost__free(t->stream->host, t->flight, t->flight_size);
    t->flight = NULL;
    t->flight_size = 0;
}

static void drop_pending(ahost__tls *t) {
    ahost__free(t->stream->host, t->pending, t->pending_capacity);
    t->pending = NULL;
    t->pending_size = t->pending_capacity = 0;
}

static int has_unsent(const ahost__tls *t) {
    return t->writes || t->pending_size > 0;
}

static int keep(ahost__tls *t, const char *data, size_t size) {
    size_t needed = t->pending_size + size;
    char *block =
        ahost__resize(t->stream->host, t->pending, t->pending_capacity, needed);
    if (block == NULL)
        return UV_ENOMEM;
    memcpy(block + t->pending_size, data, size);
    t->pending = block;
    t->pending_size = t->pending_capacity = needed;
    return 0;
}

/* Sends what a call has left in the output, or keeps it: 0 or a code. */
static int send_output(ahost__tls *t, ahost__tls_io *io) {
    size_t size = io->out_size;
    uv_buf_t buf = uv_buf_init(io->out, (unsigned)size);
    int sent = 0;
    if (size == 0)
        return 0;
    io->out_size = 0;
    if (!has_unsent(t))
        sent = t->lower->try_write(t->stream, &buf, 1);
    if (sent == UV_EAGAIN)
        sent = 0;
    if (sent < 0)
        return sent;
    return (size_t)sent < size ? keep(t, io->out + sent, size - (size_t)sent)
                               : 0;
}

/* Hands what is kept to the transport below: 0 or a code. */
static int send_pending(ahost__tls *t) {
    uv_buf_t buf = uv_buf_init(t->pending, (unsigned)t->pending_size);
    int err;
    if (t->writes || t->pending_size == 0)
        return 0;
    err = t->lower->write(t->stream, &buf, 1);
    if (err != 0)
        return err;
    t->writes = 1;
    t->flight = t->pending;
    t->flight_size = t->pending_size;
    t->pending = NULL;
    t->pending_size = t->pending_capacity = 0;
    return 0;
}

/* The same for what no plaintext is behind. */
static int send_answer(ahost__tls *t, ahost__tls_io *io) {
    int err = send_output(t, io);
    if (err == 0 && t->owed == 0)
        err = send_pending(t);
    if (err == 0 && t->pending_size > CIPHER + ANSWERS)
        err = UV_ENOBUFS;
    return err;
}

/* ---- failure ------------------------------------------------------------ */

static void end_handshake(ahost__tls *t, int status) {
    t->begins = 0;
    t->stream->connecting = 0;
    ahost__timer_stop(t->stream->host, &t->timer);
    ahost__settle_all(&t->waiters, status);
}

/* Both directions end. Runs no task. */
static void fail(ahost__tls *t, int code) {
    ahost__stream *s = t->stream;
    if (t->error != 0)
        return;
    t->error = code;
    end_handshake(t, code);
    if (s->in_error == 0)
        ahost__stream_end_input(s, code);
    ahost__stream_fail_output(s, code);
}

static void fail_by_engine(ahost__tls *t) {
    fail(t, t->failure.is_certificate ? AHOST__CERTIFICATE : AHOST__TLS);
}

static void fail_with(ahost__tls *t, int code, const char *reason,
                      const char *text) {
    t->failure = (ahost__tls_failure){0};
    strcpy(t->failure.reason, reason);
    strcpy(t->failure.text, text);
    fail(t, code);
}

/* A closing stream has nothing to wait for any more. */
static void finish_close(ahost__stream *s) {
    if (s->closing && !s->releasing)
        ahost__stream_finish_close(s);
}

static void on_timeout(ahost__timer *timer) {
    ahost__tls *t = ahost__container_of(timer, ahost__tls, timer);
    fail(t, AHOST__TIMEDOUT);
    finish_close(t->stream);
    ahost__ready_run(t->stream->host);
}

/* ---- the handshake ------------------------------------------------------ */

/* The stream goes on: what has gathered meanwhile is sent at the end of the
 * turn. */
static void open_stream(ahost__tls *t) {
    ahost__stream *s = t->stream;
    end_handshake(t, 0);
    if ((s->queued > 0 || s->shut == 1 || s->closing) &&
        !ahost__linked(&s->dirty))
        ahost__list_append(&s->host->dirty, &s->dirty);
}

/* Goes as far as the input allows: 0, or a code when it has failed. */
static int shake_hands(ahost__tls *t, ahost__tls_io *io) {
    ahost__tls_status status;
    int err;
    do {
        status = t->engine->handshake(t->connection, io, &t->failure);
        err = send_answer(t, io);
    } while (status == AHOST__TLS_FULL && err == 0);
    if (status == AHOST__TLS_FAILED)
        fail_by_engine(t);
    else if (err != 0)
        fail(t, err);
    else if (status == AHOST__TLS_DONE)
        open_stream(t);
    return t->error;
}

/* Reading goes on for as long as the handshake does. */
static int begin(ahost__tls *t, double timeout) {
    ahost__stream *s = t->stream;
    ahost__tls_io io = output(t);
    int err = s->reading ? 0 : t->lower->read_start(s);
    if (err != 0)
        return err;
    s->reading = 1;
    s->connecting = 1;
    t->begins = 1;
    if (timeout >= 0)
        ahost__timer_start(s->host, &t->timer, timeout);
    return shake_hands(t, &io);
}

static ahost__tls *new_tls(ahost__stream *s, ahost__tls_context *context,
                           const ahost__tls_start *start) {
    ahost__tls *t = ahost__alloc(s->host, sizeof(*t));
    if (t == NULL)
        return NULL;
    t->connection = context->engine->connection_new(context->native, start);
    if (t->connection == NULL) {
        ahost__free(s->host, t, sizeof(*t));
        return NULL;
    }
    t->stream = s;
    t->lower = s->transport;
    t->context = context;
    context->references++;
    t->engine = context->engine;
    t->timer.fire = on_timeout;
    ahost__list_init(&t->waiters);
    return t;
}

int ahost__tls_start_on(ahost__stream *s, ahost__tls_context *context,
                        const ahost__tls_start *start, double timeout) {
    int err;
    if (get_buffers(s->host) != 0)
        return UV_ENOMEM;
    s->tls = new_tls(s, context, start);
    if (s->tls == NULL)
        return UV_ENOMEM;
    s->transport = &tls_transport;
    err = begin(s->tls, timeout);
    if (err != 0)
        fail(s->tls, err);
    return err;
}

void ahost__tls_accept(ahost__stream *s, ahost__tls_context *context) {
    int err = ahost__tls_start_on(s, context, &(ahost__tls_start){0},
                                  context->timeout);
    if (err == 0 || (s->tls != NULL && s->tls->error != 0))
        return;
    ahost__stream_end_input(s, err); /* never in plain text */
    ahost__stream_fail_output(s, err);
}

int ahost__tls_begins(const ahost__tls *t) {
    return t->begins;
}

int ahost__tls_error(const ahost__tls *t) {
    return t->error;
}

ahost__link *ahost__tls_waiters(ahost__tls *t) {
    return &t->waiters;
}

void ahost__tls_free(ahost__tls *t) {
    t->engine->connection_free(t->connection);
    ahost__tls_context_unref(t->context);
    drop_flight(t);
    drop_pending(t);
    ahost__free(t->stream->host, t, sizeof(*t));
}

/* ---- reading ------------------------------------------------------------ */

/* The connection below has ended, or is broken. */
static void end_below(ahost__tls *t, int error) {
    ahost__stream *s = t->stream;
    if (error == UV_EOF && t->begins)
        fail_with(t, AHOST__TLS, "closed",
                  "the peer has closed the connection during the handshake");
    else if (t->begins)
        fail(t, error);
    else if (error == UV_EOF && !t->context->allow_truncation)
        ahost__stream_deliver(s, NULL, 0, AHOST__TRUNCATED);
    else
        ahost__stream_deliver(s, NULL, 0, error);
}

/* Hands on what the input holds. A task that is run by that may close the
 * stream, but not free it. */
static void decrypt(ahost__tls *t, ahost__tls_io *io) {
    ahost__stream *s = t->stream;
    ahost__tls_status status;
    char *plain = s->host->tls_buffers->plain;
    int err;
    do {
        size_t size = 0;
        status = t->engine->read(t->connection, io, plain, PLAIN, &size,
                                 &t->failure);
        err = send_answer(t, io);
        if (size > 0)
            ahost__stream_deliver(s, plain, size, 0);
        *io = (ahost__tls_io){.in = io->in,
                              .in_size = io->in_size,
                              .out = io->out,
                              .out_capacity = CIPHER};
    } while ((status == AHOST__TLS_DONE || status == AHOST__TLS_FULL) &&
             err == 0 && !s->releasing && !s->draining && s->in_error == 0);
    if (s->releasing || s->draining || s->in_error != 0)
        return;
    if (status == AHOST__TLS_ENDED)
        ahost__stream_deliver(s, NULL, 0, UV_EOF);
    else if (status == AHOST__TLS_FAILED)
        fail_by_engine(t);
    else if (err != 0)
        fail(t, err);
}

void ahost__tls_received(ahost__stream *s, char *data, size_t size, int error) {
    ahost__tls *t = s->tls;
    ahost *h = s->host;
    ahost__tls_io io = output(t);
    if (t->error == 0 && error != 0) {
        end_below(t, error);
    } else if (t->error == 0) {
        io.in = data;
        io.in_size = size;
        if (!t->begins || shake_hands(t, &io) == 0)
            if (!t->begins && s->in_error == 0)
                decrypt(t, &io);
    }
    if (t->error != 0)
        finish_close(s);
    ahost__ready_run(h);
}

static int read_start(ahost__stream *s) {
    return s->tls->error != 0 ? s->tls->error : s->tls->lower->read_start(s);
}

static void read_stop(ahost__stream *s) {
    s->tls->lower->read_stop(s);
}

/* ---- writing ------------------------------------------------------------ */

/* A place in an array of buffers. */
typedef struct cursor {
    const uv_buf_t *buf, *end;
    size_t offset;
} cursor;

/* Encrypts from the cursor on what there is room for: bytes, or a code. */
static int64_t encrypt(ahost__tls *t, ahost__tls_io *io, cursor *at) {
    int64_t total = 0;
    while (at->buf < at->end &&
           io->out_capacity - io->out_size >= AHOST__TLS_RECORD) {
        size_t taken;
        if (t->engine->write(t->connection, io, at->buf->base + at->offset,
                             at->buf->len - at->offset, &taken,
                             &t->failure) != AHOST__TLS_DONE) {
            fail_by_engine(t);
            return t->error;
        }
        total += (int64_t)taken;
        at->offset += taken;
        if (at->offset == at->buf->len) {
            at->offset = 0;
            at->buf++;
        }
    }
    return total;
}

/* Plaintext is taken when its ciphertext is sent; until then it stays the
 * stream's, and `owed` tells how much of it is encrypted already. */
static int try_write(ahost__stream *s, const uv_buf_t *bufs, unsigned count) {
    ahost__tls *t = s->tls;
    cursor at = {bufs, bufs + count, 0};
    int total = 0;
    if (t->error != 0)
        return t->error;
    if (has_unsent(t))
        return UV_EAGAIN;
    while (at.buf < at.end && total < INT32_MAX - CIPHER) {
        ahost__tls_io io = output(t);
        int64_t taken = encrypt(t, &io, &at);
        int err = taken < 0 ? (int)taken : send_output(t, &io);
        if (err != 0)
            return err;
        if (has_unsent(t)) {
            t->owed = (size_t)taken;
            break;
        }
        total += (int)taken;
    }
    return total > 0 ? total : UV_EAGAIN;
}

/* What is encrypted already is sent; it is the first that the stream has. */
static int write_all(ahost__stream *s, const uv_buf_t *bufs, unsigned count) {
    ahost__tls *t = s->tls;
    (void)bufs, (void)count;
    s->in_flight = t->owed < s->queued ? t->owed : s->queued;
    return t->error != 0 ? t->error : send_pending(t);
}

/* Everything is sent. */
static void sent_all(ahost__tls *t) {
    ahost__stream *s = t->stream;
    t->owed = 0;
    if (s->sending)
        ahost__stream_sent(s, 0);
    else if (t->closes_next && !s->releasing)
        ahost__stream_finish_close(s);
}

void ahost__tls_written(ahost__stream *s, int status) {
    ahost__tls *t = s->tls;
    ahost *h = s->host;
    t->writes = 0;
    drop_flight(t);
    if (status == 0 && !s->releasing)
        status = send_pending(t);
    if (s->releasing || status != 0) {
        drop_pending(t);
        if (s->sending)
            ahost__stream_sent(s, status);
        else if (!s->releasing)
            fail(t, status);
        finish_close(s);
    } else if (!t->writes) {
        sent_all(t);
    }
    ahost__ready_run(h);
}

/* ---- the end ------------------------------------------------------------ */

/* 0 or a code. */
static int say_end(ahost__tls *t) {
    ahost__tls_io io = output(t);
    if (t->said_end || t->begins || t->error != 0)
        return 0;
    t->said_end = 1;
    t->engine->end(t->connection, &io);
    return send_answer(t, &io);
}

static int shutdown_output(ahost__stream *s) {
    int err = say_end(s->tls);
    return err != 0 ? err : s->tls->lower->shutdown(s);
}

int ahost__tls_ends(ahost__tls *t) {
    if (t->begins || say_end(t) != 0)
        return 0;
    t->closes_next = 1;
    return t->writes;
}

int ahost__tls_has_alert(const ahost__tls *t) {
    return t != NULL &&
           (t->error == AHOST__TLS || t->error == AHOST__CERTIFICATE);
}

void ahost__tls_end_use(ahost__tls *t) {
    ahost__settle_all(&t->waiters, AHOST__CLOSED);
}

static void close_transport(ahost__stream *s, int reset) {
    ahost__tls *t = s->tls;
    ahost__timer_stop(s->host, &t->timer);
    if (!reset && s->out_error == 0)
        say_end(t); /* as far as it can be sent at once */
    t->lower->close(s, reset);
}

static const ahost__transport tls_transport = {
    "tls",     read_start,      read_stop,      try_write,
    write_all, shutdown_output, close_transport};

/* ---- in Lua ------------------------------------------------------------- */

int ahost__tls_fail(lua_State *L, const ahost__tls *t, int code,
                    const char *op) {
    if (t == NULL || code != t->error ||
        (code != AHOST__TLS && code != AHOST__CERTIFICATE))
        return ahost__fail(L, code, op);
    ahost__fail_text(L, ahost__code_name(code), op, "%s", t->failure.text);
    lua_pushstring(L, t->failure.reason);
    lua_setfield(L, -2, "reason");
    return 2;
}

/* Sets a field of the table on the top, unless the text is empty. */
static void set_text(lua_State *L, const char *name, const char *text) {
    if (text[0] == '\0')
        return;
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

/* The names, one a line, as an array. */
static void set_names(lua_State *L, const char *names) {
    lua_newtable(L);
    for (int i = 1; names[0] != '\0'; i++) {
        size_t size = strcspn(names, "\n");
        lua_pushlstring(L, names, size);
        lua_rawseti(L, -2, i);
        names += size + (names[size] == '\n');
    }
    lua_setfield(L, -2, "names");
}

static void set_peer(lua_State *L, const ahost__tls_description *d) {
    lua_createtable(L, 0, 6);
    set_text(L, "subject", d->subject);
    set_text(L, "issuer", d->issuer);
    set_text(L, "fingerprint", d->fingerprint);
    set_names(L, d->names);
    lua_pushinteger(L, (lua_Integer)d->not_before);
    lua_setfield(L, -2, "not_before");
    lua_pushinteger(L, (lua_Integer)d->not_after);
    lua_setfield(L, -2, "not_after");
    lua_setfield(L, -2, "peer");
}

static void set_session(lua_State *L, ahost__tls *t) {
    char session[8192];
    size_t size =
        t->context->is_server
            ? 0
            : t->engine->session(t->connection, session, sizeof(session));
    if (size == 0)
        return;
    lua_pushlstring(L, session, size);
    lua_setfield(L, -2, "session");
}

void ahost__tls_push_description(lua_State *L, ahost__tls *t) {
    ahost__tls_description d;
    t->engine->describe(t->connection, &d);
    lua_newtable(L);
    set_text(L, "version", d.version);
    set_text(L, "cipher", d.cipher);
    set_text(L, "alpn", d.protocol);
    set_text(L, "server_name", d.server_name);
    lua_pushboolean(L, d.resumed);
    lua_setfield(L, -2, "resumed");
    if (d.has_peer)
        set_peer(L, &d);
    set_session(L, t);
}
