/*
 * listener.h - listening sockets of our own, watched by the loop.
 *
 * libuv's uv_listen accepts by itself and answers "too many open files" by
 * closing what waits; here a connection is accepted when somebody takes it, so
 * a limit, a pause or a lack of descriptors leaves it in the backlog.
 */
#ifndef AHOST_LISTENER_H
#define AHOST_LISTENER_H

#include <lua.h>

#include "activation.h"
#include "address.h"
#include "stream.h"

typedef struct ahost__listener ahost__listener;

/* A socket that another process lends (lease.h): what tells it from others. */
typedef struct ahost__lease {
    ahost__link link; /* among those in use */
    struct sockaddr_storage address;
    uint64_t owner;
    int ordinal;
} ahost__lease;

struct ahost__listener {
    ahost *host;
    int fd; /* -1 once closed */
    uv_poll_t poll;
    ahost__timer retry; /* after a lack of descriptors */
    /* Called in the loop while a connection may be waiting. */
    void (*ready)(ahost__listener *listener);
    void (*released)(ahost__listener *listener); /* the handle is closed */
    uint8_t is_unix, watching, exhausted;
    ahost__passed_socket *passed; /* whose descriptor it is, or NULL */
    char path[sizeof(((ahost__address *)0)->path)]; /* to be removed, or "" */
    ahost__lease lease;
};

typedef struct ahost__listen_options {
    int backlog, reuseport, mode; /* mode of a Unix socket; -1: as it comes */
    uint64_t owner; /* the component that listens: a hash of its path, or 0 */
} ahost__listen_options;

/* Reads the options of the table at `arg`. */
void ahost__listen_options_read(lua_State *L, int arg,
                                ahost__listen_options *options);

/* A bound and listening socket, or a negative code. The address needs no
 * lookup. The mode is set before anybody can connect. */
int ahost__listening_socket(const ahost__address *address,
                            const ahost__listen_options *options);

/* Listens; 0 or a code. The address needs no lookup. A passed socket is what it
 * is: options change nothing. In a worker the socket is the supervisor's. */
int ahost__listener_open(ahost *h, ahost__listener *listener,
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

/* Closes the socket; `released` is called later. */
void ahost__listener_close(ahost__listener *listener);

/* Pushes the address that is listened on. */
void ahost__listener_push_address(lua_State *L,
                                  const ahost__listener *listener);

#endif
