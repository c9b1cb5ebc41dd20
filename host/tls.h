/*
 * tls.h - TLS between a stream and its transport.
 *
 * A stream on which TLS has been started has another transport, which encrypts
 * for the one below and decrypts what comes from there. Everything above stays
 * as it is. Until the handshake is over output is gathered and readers wait; so
 * nobody has to wait for it.
 */
#ifndef AHOST_TLS_H
#define AHOST_TLS_H

#include <lua.h>

#include "stream.h"
#include "tls_engine.h"

typedef struct ahost__tls ahost__tls;

/* What TLS connections have in common; counted. */
typedef struct ahost__tls_context {
    ahost *host;
    const ahost__tls_engine *engine;
    void *native; /* replaced when certificates are loaded anew */
    int references;
    int is_server;
    int allow_truncation;
    double timeout; /* seconds for a handshake; negative: none */
} ahost__tls_context;

void ahost__tls_context_unref(ahost__tls_context *context);

/* The context in field `name` of the table at `arg`, or NULL. It is borrowed.
 */
ahost__tls_context *ahost__opt_tls_context(lua_State *L, int arg,
                                           const char *name);

/* ---- connections -------------------------------------------------------- */

/* Starts TLS on a stream with nothing queued and nothing unread: 0 or a code,
 * and then the stream is of no use any more. `timeout` is for the handshake,
 * in seconds; negative: none. */
int ahost__tls_start_on(ahost__stream *s, ahost__tls_context *context,
                        const ahost__tls_start *start, double timeout);

/* The same for an accepted connection; what goes wrong is told by its reads and
 * writes. */
void ahost__tls_accept(ahost__stream *s, ahost__tls_context *context);

/* Whether the handshake is under way. */
int ahost__tls_begins(const ahost__tls *t);

/* What has ended the connection, or 0. */
int ahost__tls_error(const ahost__tls *t);

/* Where waits for the end of the handshake stand. */
ahost__link *ahost__tls_waiters(ahost__tls *t);

/* -> nil, err: what a code of ours stands for on this connection */
int ahost__tls_fail(lua_State *L, const ahost__tls *t, int code,
                    const char *op);

/* Pushes a table that describes the connection. */
void ahost__tls_push_description(lua_State *L, ahost__tls *t);

/* ---- for the stream ----------------------------------------------------- */

/* What came from, or went to, the transport below. */
void ahost__tls_received(ahost__stream *s, char *data, size_t size, int error);
void ahost__tls_written(ahost__stream *s, int status);

/* Nobody uses the stream any more. */
void ahost__tls_end_use(ahost__tls *t);

/* Tells the peer that nothing more comes. True while that is on its way:
 * ahost__stream_finish_close is called when it is sent. */
int ahost__tls_ends(ahost__tls *t);

/* Whether the peer has been told what went wrong. */
int ahost__tls_has_alert(const ahost__tls *t);

void ahost__tls_free(ahost__tls *t);

/* The buffers that the connections of a host share. */
void ahost__tls_free_buffers(ahost *h);

/* package.preload["ahost.tls.core"] */
int ahost__open_tls(lua_State *L);

/* Adds `starttls` and `tls` to the table of methods on the top. */
void ahost__open_stream_tls(lua_State *L);

#endif
