/*
 * lender.h - listening sockets that another process keeps and lends.
 *
 * A worker's listening sockets are opened by its supervisor, which outlives it:
 * what waits in their backlogs stays there while a worker is replaced. One
 * packet asks for a socket, one answers, with the descriptor beside it. One
 * that gives a socket back is not answered.
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
    int returns; /* it is given back: the worker has no use for it any more */
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

/* Gives the socket of a lease back: the program goes on without it. Not at the
 * end of a worker, whose successor is to have it. */
void ahost__lender_return(ahost *h, const ahost__lease *lease);

#endif
