/*
 * lease.h - listening sockets that another process keeps and lends.
 *
 * A worker's listening sockets are opened by its supervisor, which outlives it:
 * what waits in their backlogs stays there while a worker is replaced. One
 * packet asks for a socket, one answers, with the descriptor beside it.
 */
#ifndef AHOST_LEASE_H
#define AHOST_LEASE_H

#include <stdint.h>

#include "address.h"
#include "listener.h"

typedef struct ahost__lease_request {
    uint64_t number; /* of the request, which the answer repeats */
    ahost__address address;
    /* Who asks for any port, or the name of a passed socket: a hash; 0 for
     * other addresses. */
    uint64_t owner;
    int ordinal; /* among the sockets of this owner for any port */
    int backlog, mode;
} ahost__lease_request;

typedef struct ahost__lease_answer {
    uint64_t number;
    int error; /* 0: a descriptor is with it; else a negative code */
} ahost__lease_answer;

uint64_t ahost__lease_hash(const char *text);

/* What the kernel calls the address: 0 or a code. All zeros for passed sockets,
 * which have names. */
int ahost__lease_address(const ahost__address *address,
                         struct sockaddr_storage *out);

/* From now on the host borrows its listening sockets through the descriptor, a
 * connected socket of packets, which belongs to the host from then on. 0 or a
 * code. */
int ahost__lease_open(ahost *h, int fd);

/* Borrows a socket for a listener: its descriptor, or a negative code. Blocks
 * until the other process has answered, which does nothing else. */
int ahost__lease_take(ahost *h, ahost__listener *listener,
                      const ahost__address *address,
                      const ahost__listen_options *options);

/* The listener has closed its copy. */
void ahost__lease_drop(ahost__listener *listener);

#endif
