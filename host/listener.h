/*
 * listener.h - accepting connections of a listening socket (lease.h).
 *
 * libuv's uv_listen accepts by itself and answers "too many open files" by
 * closing what waits; here a connection is accepted when somebody takes it, so
 * a limit, a pause or a lack of descriptors leaves it in the backlog.
 */
#ifndef AHOST_LISTENER_H
#define AHOST_LISTENER_H

#include <lua.h>

#include "lease.h"
#include "stream.h"

struct ahost__listener {
    ahost *host;
    ahost__lease *lease; /* NULL once closed */
    ahost__context *ctx; /* that it ends with */
    ahost__timer retry;  /* after a lack of descriptors */
    /* Called in the loop while a connection may be waiting. */
    void (*ready)(ahost__listener *listener);
    int backlog, mode; /* that it has asked for */
    uint8_t wanted;    /* connections are */
    uint8_t exhausted;
    uint8_t serving; /* what opened it belongs to a connection */
};

/* Listens for a context; 0 or a code. The address needs no lookup. A passed
 * socket is what it is: options change nothing. In a worker the socket is the
 * supervisor's. A staged listener has connections only when it is activated. */
int ahost__listener_open(ahost__context *ctx, ahost__listener *listener,
                         const ahost__address *address,
                         const ahost__listen_options *options);

/* -> nil, err: why that has failed */
int ahost__listener_fail(lua_State *L, int err, const ahost__address *address);

/* Starts and stops the calls of `ready`. */
void ahost__listener_start(ahost__listener *listener);
void ahost__listener_stop(ahost__listener *listener);

/* Accepts a connection: a stream without owner, or NULL with *err UV_EAGAIN
 * when none waits. A lack of descriptors or memory is logged once, pauses the
 * listener for a moment, and reads as UV_EAGAIN too. */
ahost__stream *ahost__listener_accept(ahost__listener *listener, int *err);

/* Connections cannot be taken for want of something: says it once, and calls
 * `ready` again in a moment. */
void ahost__listener_exhausted(ahost__listener *listener, int err);

/* From now on no listener of the host accepts anything. */
void ahost__listeners_retire(ahost *h);

/* A connection has been released, or its handler has ended: if it was the last
 * one, those who wait for that are told. */
void ahost__check_retired(ahost *h);

/* Lets go of the socket. May be done twice. */
void ahost__listener_close(ahost__listener *listener);

/* Pushes the address that is listened on. */
void ahost__listener_push_address(lua_State *L,
                                  const ahost__listener *listener);

#endif
