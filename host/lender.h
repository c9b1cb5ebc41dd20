/*
 * lender.h - listening sockets that another process keeps and lends.
 *
 * A worker's listening sockets are opened by its supervisor, which outlives it:
 * what waits in their backlogs stays there while a worker is replaced. One
 * packet asks for a socket, one answers, with the descriptor beside it.
 */
#ifndef AHOST_LENDER_H
#define AHOST_LENDER_H

#include <stdint.h>

#include "address.h"
#include "lease.h"

typedef struct ahost__lender_request {
    uint64_t number; /* of the request, which the answer repeats */
    ahost__address address;
    /* Who asks for any port, or the name of a passed socket: a hash; 0 for
     * other addresses. */
    uint64_t owner;
    int ordinal; /* among the sockets of this owner for any port */
    int backlog, mode;
} ahost__lender_request;

typedef struct ahost__lender_answer {
    uint64_t number;
    int error; /* 0: a descriptor is with it; else a negative code */
} ahost__lender_answer;

/* From now on the host borrows its listening sockets through the descriptor, a
 * connected socket of packets, which belongs to the host from then on. 0 or a
 * code. */
int ahost__lender_open(ahost *h, int fd);

/* Borrows the socket that the lease, which has no descriptor yet, is to be of:
 * a descriptor, or a negative code. Blocks until the other process has
 * answered, which does nothing else. */
int ahost__lender_borrow(ahost *h, const ahost__lease *lease,
                         const ahost__address *address);

#endif
