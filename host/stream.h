/*
 * stream.h - two-way byte connections: buffered input, gathered output.
 *
 * A stream reads and writes through a transport (a libuv stream, a file, TLS),
 * so that everything above is the same for all. Input is taken from the
 * transport while somebody wants it or little is buffered; output is gathered
 * during a turn of the loop and sent at its end.
 */
#ifndef AHOST_STREAM_H
#define AHOST_STREAM_H

#include <lua.h>
#include <uv.h>

#include "host.h"

typedef struct ahost__stream ahost__stream;
typedef struct ahost__chunk ahost__chunk;

/* What carries the bytes of a stream. Codes are 0 or negative. */
typedef struct ahost__transport {
    const char *what; /* "tcp", "pipe"... */
    /* From now on ahost__stream_received is called for what arrives. */
    int (*read_start)(ahost__stream *s);
    void (*read_stop)(ahost__stream *s);
    /* Sends without waiting: the number of bytes taken, or a negative code;
     * UV_EAGAIN when there is no room now. */
    int (*try_write)(ahost__stream *s, const uv_buf_t *bufs, unsigned count);
    /* Sends all of it, or the first s->in_flight bytes if it lowers that; the
     * buffers stay valid until ahost__stream_written is called, which may not
     * be before this returns. */
    int (*write)(ahost__stream *s, const uv_buf_t *bufs, unsigned count);
    /* Ends the sending side once everything is sent. */
    int (*shutdown)(ahost__stream *s);
    /* Lets go; `reset` discards what the kernel still holds. Calls
     * ahost__stream_released, perhaps later. */
    void (*close)(ahost__stream *s, int reset);
} ahost__transport;

/* What a reading task waits for. */
typedef enum ahost__want_kind {
    AHOST__WANT_SOME,    /* at least one byte, at most `size` */
    AHOST__WANT_EXACTLY, /* `size` bytes */
    AHOST__WANT_LINE,    /* a line of at most `size` bytes */
    AHOST__WANT_UNTIL,   /* up to the delimiter, at most `size` bytes */
    AHOST__WANT_ALL      /* everything up to the end, at most `size` bytes */
} ahost__want_kind;

struct ahost__stream {
    /* what is seldom touched stands first, away from the handle */
    union {
        struct { /* until it is closed */
            ahost__owned owned;
            ahost__link writers; /* waits for room, or until all is sent */
        };
        ahost__timer linger; /* from then on */
    };
    double timeout;     /* seconds of each wait; negative: none */
    float close_linger; /* seconds, for who closes without saying how long */
    uint32_t size;      /* of the whole block */
    uint8_t drains;     /* our own connection: closing reads what is left */
    uint8_t accepted;   /* counted in host->accepted */
    uint8_t out_told;   /* a call has returned `out_error` */
    uint8_t boxed;      /* Lua holds it */
    uint8_t lingers;    /* counted in host->lingering */
    uint8_t released;   /* the transport has let go */

    ahost *host;
    const ahost__transport *transport;
    struct ahost__tls *tls; /* between it and what it is on, or NULL */
    uint8_t releasing;      /* the transport was asked to let go */
    uint8_t closing;        /* close was called; queued output is still sent */
    uint8_t draining;       /* input is discarded until the peer ends */
    uint8_t shut;           /* shutdown: 1 wanted, 2 done */
    uint8_t reading, sending;
    uint8_t connecting; /* nothing can be sent yet */
    uint8_t want;       /* ahost__want_kind of the reader */

    /* input */
    char *in;         /* the first unread byte, in `in_block` or borrowed */
    char *in_block;   /* what we own of it; NULL when nothing is kept */
    uint32_t in_size; /* unread bytes */
    uint32_t in_capacity;
    ahost__wait *reader;   /* until it has run */
    const char *delimiter; /* of the reader, on its stack */
    uint32_t delimiter_size;
    uint32_t want_size;
    uint32_t scanned; /* unread bytes known to hold no delimiter */
    float patience;   /* seconds that the reader waits; negative: for ever */
    int in_error;     /* UV_EOF or what ended the input */

    /* output */
    int out_error;     /* what ended the output */
    ahost__chunk *out; /* oldest first */
    ahost__chunk **out_last;
    size_t queued;     /* bytes, with those in flight */
    size_t in_flight;  /* bytes given to transport->write */
    ahost__link dirty; /* among the streams to send at the end of the turn */

    /* the libuv handle, where there is one: must be last, its size varies */
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
        uv_tty_t tty;
    } uv;
};

enum {
    AHOST__HIGH_WATER = 65536, /* bytes queued above which a writer waits */
    AHOST__LOW_WATER = 16384,  /* bytes at which it goes on */
    AHOST__IN_ENOUGH = 65536   /* bytes buffered at which reading pauses */
};

/* ---- host --------------------------------------------------------------- */

int ahost__streams_open(ahost *h);
void ahost__streams_free(ahost *h);

/* ---- lifetime ----------------------------------------------------------- */

/* A stream with a block of its own of `size` bytes (sizeof, or less when the
 * handle is smaller), or NULL. No context owns it yet, Lua does not hold it. */
ahost__stream *ahost__stream_new(ahost *h, const ahost__transport *transport,
                                 size_t size);

/* Pushes an empty userdata; ahost__stream_set_box makes it stand for a stream.
 * In two steps, so that nothing can raise once the stream exists. */
ahost__stream **ahost__stream_push_box(lua_State *L);
void ahost__stream_set_box(ahost__stream **box, ahost__stream *s);

/* Gives the stream to a context. */
void ahost__stream_own(ahost__stream *s, ahost__context *ctx);

/* The stream at `arg`; raises for anything else. */
ahost__stream *ahost__check_stream(lua_State *L, int arg);

/* Sends what is queued for `linger` seconds at most, then lets go. */
void ahost__stream_close(ahost__stream *s, double linger);

/* Everything that a closing stream had to send is sent. */
void ahost__stream_finish_close(ahost__stream *s);

/* Lets go at once. */
void ahost__stream_release(ahost__stream *s, int reset);

/* The transport has let go: frees the stream when Lua does not hold it. */
void ahost__stream_released(ahost__stream *s);

/* ---- input -------------------------------------------------------------- */

/* Called by the transport in the loop: `size` bytes at `data`, valid during the
 * call, or with size 0 a negative code, UV_EOF at the end. Runs ready tasks. */
void ahost__stream_received(ahost__stream *s, char *data, size_t size,
                            int error);

/* The same for what is the stream's own, not that of a transport below it. */
void ahost__stream_deliver(ahost__stream *s, char *data, size_t size,
                           int error);

/* Nothing more is taken in; the reader is woken. Runs no task. */
void ahost__stream_end_input(ahost__stream *s, int error);

/* Wakes the reader with a code. */
void ahost__stream_wake_reader(ahost__stream *s, int status);

/* Frees what is buffered. */
void ahost__stream_free_input(ahost__stream *s);

/* Adds read, read_line... to the table of methods on the top. */
void ahost__open_stream_input(lua_State *L);

/* ---- output ------------------------------------------------------------- */

/* Called by the transport when its write has ended. Runs ready tasks. */
void ahost__stream_written(ahost__stream *s, int status);

/* The same for what is the stream's own. */
void ahost__stream_sent(ahost__stream *s, int status);

/* Sends what has been gathered. */
void ahost__stream_send(ahost__stream *s);

/* Ends the output: drops what is queued, wakes the writers. */
void ahost__stream_fail_output(ahost__stream *s, int error);

/* Adds write, flush... to the table of methods on the top. */
void ahost__open_stream_output(lua_State *L);

/* ---- libuv transports --------------------------------------------------- */

extern const ahost__transport ahost__uv_transport;

/* The same for one end of a pipe: `shutdown` closes it. */
extern const ahost__transport ahost__pipe_transport;

/* A stream on an initialised but unconnected handle of this type (UV_TCP,
 * UV_NAMED_PIPE), or NULL with *err set. */
ahost__stream *ahost__uv_stream_new(ahost *h, uv_handle_type type, int *err);

/* The same on a connected descriptor, which is closed on failure. */
ahost__stream *ahost__uv_stream_open(ahost *h, uv_handle_type type, int fd,
                                     int *err);

/* Makes the metatable of streams. */
void ahost__open_stream(lua_State *L);

#endif
