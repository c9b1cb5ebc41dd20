/*
 * udp.h - sockets for datagrams: what their opening and their methods share.
 */
#ifndef AHOST_UDP_H
#define AHOST_UDP_H

#include <net/if.h>

#include "host.h"

enum { AHOST__UDP_UNSET = -1 };

typedef struct ahost__udp_options {
    int reuseaddr, reuseport, broadcast;
    int ttl, multicast_ttl, multicast_loop;
    char multicast_interface[IF_NAMESIZE]; /* "": the system's choice */
} ahost__udp_options;

/* One of those read: its bytes follow. */
typedef struct ahost__datagram {
    ahost__link link;
    struct sockaddr_storage from;
    int status; /* a code instead of bytes: an error of the socket */
    size_t size;
    char data[];
} ahost__datagram;

typedef struct ahost__udp ahost__udp;

struct ahost__udp {
    uv_udp_t handle;
    ahost *host;
    ahost__owned owned;
    ahost__link queue;     /* datagrams that nobody has asked for */
    ahost__link delivered; /* those that a settled wait has to take */
    ahost__link receivers; /* waits for one */
    size_t queued, queued_bytes, queue_limit;
    lua_Integer received, sent, dropped;
    ahost__udp_options options;
    int family; /* of the socket */
    uint8_t reading, connected;
    uint8_t closing;           /* uv_close has been called */
    uint8_t closed, collected; /* both: it is freed */

    /* generations: see udp_succession.c */
    ahost__link link; /* among those of the host with a port of their own */
    struct sockaddr_storage local, remote; /* that were asked for */
    ahost__udp *predecessor, *successor;   /* with the same socket, or NULL */
    uint8_t paused;                        /* it reads when it is activated */
    uint8_t wants;                         /* and is to, then */
    uint8_t shares;                        /* its socket was another one's */
    uint8_t retired;                       /* it reads no more */
};

/* Pushes the userdata of a new socket of the family, which belongs to the
 * context. NULL, with *err set, when there is no such socket. */
ahost__udp *ahost__push_udp(lua_State *L, ahost__context *ctx, int family,
                            int *err);

void ahost__udp_close(ahost__udp *u);

int ahost__udp_file(const ahost__udp *u);

/* Reads ahead, once it is not paused: 0 or a code. */
int ahost__udp_read_start(ahost__udp *u);
void ahost__udp_read_stop(ahost__udp *u);

/* Gives what is in the queue to those who wait. */
void ahost__udp_serve_receivers(ahost__udp *u);

/* Sets the options but those that binding takes: 0 or a code. */
int ahost__udp_set_options(const ahost__udp *u);

/* The socket that one of a staged context for these addresses is to follow, or
 * NULL. Of a socket that is not connected the remote one is all zeros. */
ahost__udp *ahost__udp_predecessor(ahost__context *ctx,
                                   const struct sockaddr_storage *local,
                                   const struct sockaddr_storage *remote);

/* Makes the new socket, of no family yet, the successor: 0 or a code. */
int ahost__udp_follow(ahost__udp *u, ahost__udp *predecessor);

/* The socket is bound; it is closed. */
void ahost__udp_enlist(ahost__udp *u, const struct sockaddr_storage *local,
                       const struct sockaddr_storage *remote);
void ahost__udp_delist(ahost__udp *u);

void ahost__udp_retire(ahost__owned *owned);
void ahost__udp_activate(ahost__owned *owned);

/* A socket of both families (AF_INET6) is told IPv4 addresses as mapped ones.
 */
void ahost__udp_suit_family(int family, struct sockaddr_storage *address);

#endif
