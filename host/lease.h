/*
 * lease.h - the listening sockets of a host.
 *
 * A listener (listener.h) holds one. Beside its holder a socket may have a
 * successor: a listener of a staged generation, which takes over when that is
 * activated, so that nobody who connects meanwhile is refused. The connections
 * go to the holder alone. A socket without either is closed, unless it is kept
 * for somebody who is to come.
 */
#ifndef AHOST_LEASE_H
#define AHOST_LEASE_H

#include <lua.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#include "activation.h"
#include "address.h"
#include "list.h"
#include "listening_socket.h"
#include "task.h"

typedef struct ahost__listener ahost__listener;

typedef enum ahost__lease_origin {
    AHOST__LEASE_OWN,
    AHOST__LEASE_PASSED,  /* the program was started with it */
    AHOST__LEASE_BORROWED /* of a supervisor (lender.h) */
} ahost__lease_origin;

typedef struct ahost__lease {
    ahost *host;
    ahost__link link; /* among those of the host */
    uv_poll_t poll;
    int fd;

    /* what tells it from others: the address as the kernel has it, the
     * component that asked for any port or the name of a passed socket (a hash,
     * 0 for other addresses), and which one of those it is */
    struct sockaddr_storage name;
    uint64_t owner;
    int ordinal;

    ahost__address address; /* that was asked for */
    int backlog, mode;      /* as they are set */
    uint8_t origin;         /* ahost__lease_origin */
    uint8_t is_unix, watching;
    uint8_t listening;            /* false while it is only bound */
    uint8_t kept;                 /* stays open without a holder */
    ahost__passed_socket *passed; /* whose descriptor it is, or NULL */
    ahost__listener *holder, *successor;
} ahost__lease;

uint64_t ahost__lease_hash(const char *text);

/* What the kernel calls the address: 0 or a code. All zeros for passed sockets,
 * which have names. */
int ahost__lease_name(const ahost__address *address,
                      struct sockaddr_storage *out);

/* Gives the listener, whose context is set, a socket: that of a generation
 * which it is to follow, one that is kept, or a new one. 0 or a code. The
 * address needs no lookup. A staged listener's new socket is only bound. */
int ahost__lease_take(ahost *h, ahost__listener *listener,
                      const ahost__address *address,
                      const ahost__listen_options *options);

/* Makes the listener, if it is the successor, the holder. */
void ahost__lease_pass_on(ahost__listener *listener);

/* The listener lets go of its socket. */
void ahost__lease_leave(ahost__listener *listener);

/* Looks for connections if the holder wants some. */
void ahost__lease_watch(ahost__lease *lease);

/* Has all sockets that are only bound listen: 0, or a code, and nil and the
 * error, which names the address, are pushed. */
int ahost__leases_prepare(lua_State *L);

/* The sockets of a context and of those below it stay open without a holder, so
 * that connections wait in their backlogs, until they are released. Those of
 * connections are not meant. */
void ahost__leases_keep(ahost__context *ctx);

/* Closes those kept that nobody has taken. */
void ahost__leases_release(ahost *h);

/* The host ends. */
void ahost__leases_close(ahost *h);

#endif
