/*
 * udp.h - sockets for datagrams: what their opening and their methods share.
 */
#ifndef AHOST_UDP_H
#define AHOST_UDP_H

#include "host.h"

typedef struct ahost__udp {
    uv_udp_t handle;
    ahost *host;
    ahost__owned owned;
    ahost__link queue;     /* datagrams that nobody has asked for */
    ahost__link delivered; /* those that a settled wait has to take */
    ahost__link receivers; /* waits for one */
    size_t queued, queued_bytes, queue_limit;
    lua_Integer received, sent, dropped;
    int family; /* of the socket */
    uint8_t reading, connected;
    uint8_t closing;           /* uv_close has been called */
    uint8_t closed, collected; /* both: it is freed */
} ahost__udp;

/* Pushes the userdata of a new socket of the family, which belongs to the
 * context. NULL, with *err set, when there is no such socket. */
ahost__udp *ahost__push_udp(lua_State *L, ahost__context *ctx, int family,
                            int *err);

void ahost__udp_close(ahost__udp *u);

int ahost__udp_file(const ahost__udp *u);

/* A socket of both families is told IPv4 addresses as mapped ones. */
void ahost__udp_suit_family(const ahost__udp *u,
                            struct sockaddr_storage *address);

#endif
