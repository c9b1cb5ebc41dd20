/*
 * udp_succession.c - the sockets for datagrams of generations that follow each
 * other.
 *
 * A staged generation that asks for the address of the one that it is to follow
 * gets a duplicate of its socket, which reads when it is activated. What is in
 * the kernel's buffer is read then, and what the other one has read ahead moves
 * over, so that no datagram is lost. Sockets for any port are left out: nobody
 * knows their ports, and a generation that starts may need answers.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "udp.h"

/* ---- finding ------------------------------------------------------------ */

static int port_of(const struct sockaddr_storage *name) {
    return name->ss_family == AF_INET6
               ? ((const struct sockaddr_in6 *)name)->sin6_port
               : ((const struct sockaddr_in *)name)->sin_port;
}

void ahost__udp_enlist(ahost__udp *u, const struct sockaddr_storage *local,
                       const struct sockaddr_storage *remote) {
    u->local = *local;
    u->remote = *remote;
    if (port_of(local) != 0)
        ahost__list_append(&u->host->udp_sockets, &u->link);
}

static int can_be_followed(const ahost__udp *u) {
    return u->successor == NULL && !u->retired && !u->owned.serving &&
           u->owned.ctx != NULL && ahost__context_is_replaced(u->owned.ctx);
}

ahost__udp *ahost__udp_predecessor(ahost__context *ctx,
                                   const struct sockaddr_storage *local,
                                   const struct sockaddr_storage *remote) {
    ahost__link *list = &ctx->host->udp_sockets, *link;
    if (!ctx->staged)
        return NULL;
    for (link = list->next; link != list; link = link->next) {
        ahost__udp *u = ahost__container_of(link, ahost__udp, link);
        if (memcmp(&u->local, local, sizeof(*local)) == 0 &&
            memcmp(&u->remote, remote, sizeof(*remote)) == 0 &&
            can_be_followed(u))
            return u;
    }
    return NULL;
}

/* ---- following ---------------------------------------------------------- */

/* uv_udp_open lets others bind the address, which is not for it to decide. */
static int adopt(ahost__udp *u, int file) {
    int reuse = 0, err;
    socklen_t size = sizeof(reuse);
    getsockopt(file, SOL_SOCKET, SO_REUSEADDR, &reuse, &size);
    err = uv_udp_open(&u->handle, file);
    setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
    return err;
}

int ahost__udp_follow(ahost__udp *u, ahost__udp *predecessor) {
    int file = fcntl(ahost__udp_file(predecessor), F_DUPFD_CLOEXEC, 0), err;
    if (file < 0)
        return -errno;
    err = adopt(u, file);
    if (err != 0) {
        close(file);
        return err;
    }
    u->family = predecessor->family;
    u->connected = predecessor->connected;
    u->paused = u->shares = 1;
    u->predecessor = predecessor;
    predecessor->successor = u;
    ahost__udp_enlist(u, &predecessor->local, &predecessor->remote);
    return 0;
}

/* Moves what has been read ahead in front of what the other one has. */
static void pass_queue(ahost__udp *from, ahost__udp *to) {
    while (!ahost__list_empty(&from->queue)) {
        ahost__link *last = from->queue.prev;
        ahost__list_remove(last);
        ahost__list_append(to->queue.next, last);
    }
    to->queued += from->queued;
    to->queued_bytes += from->queued_bytes;
    from->queued = from->queued_bytes = 0;
    ahost__udp_serve_receivers(to);
}

/* Reads no more; the successor has what it has read. */
static void hand_over(ahost__udp *u) {
    u->retired = 1;
    ahost__udp_read_stop(u);
    if (u->successor != NULL)
        pass_queue(u, u->successor);
}

/* It may send until its context ends. */
void ahost__udp_retire(ahost__owned *owned) {
    ahost__udp *u = ahost__container_of(owned, ahost__udp, owned);
    hand_over(u);
    ahost__settle_all(&u->receivers, AHOST__CLOSED);
}

static void part(ahost__udp *u) {
    if (u->predecessor != NULL)
        u->predecessor->successor = NULL;
    u->predecessor = NULL;
}

void ahost__udp_activate(ahost__owned *owned) {
    ahost__udp *u = ahost__container_of(owned, ahost__udp, owned);
    int err = 0;
    if (!u->paused)
        return;
    if (u->predecessor != NULL)
        hand_over(u->predecessor);
    part(u);
    u->paused = 0;
    if (ahost__udp_set_options(u) != 0)
        ahost__log(u->host, AHOST_LOG_ERROR, "ahost.net",
                   "the options of a UDP socket cannot be set");
    if (u->wants)
        err = ahost__udp_read_start(u);
    if (err != 0)
        ahost__settle_all(&u->receivers, err);
}

void ahost__udp_delist(ahost__udp *u) {
    ahost__list_remove(&u->link);
    if (u->successor != NULL) {
        hand_over(u);
        part(u->successor);
    }
    part(u);
}
