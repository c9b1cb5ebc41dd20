/*
 * socket_keeper.c - the listening sockets of workers.
 *
 * Of a TCP address each worker has a socket of its own, all with SO_REUSEPORT:
 * the kernel spreads connections over them. Who replaces a worker gets the same
 * socket, with what waits in its backlog. Unix sockets, and those that this
 * program was started with, are shared by all.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "net.h"
#include "supervisor.h"

enum { MOST_WORKERS = 1024 }; /* that are told apart */

typedef struct kept_socket {
    ahost__link link;
    struct sockaddr_storage address; /* that was asked for */
    uint64_t owner;
    int ordinal;
    int worker; /* 0: all */
    int fd;
    uint8_t users[MOST_WORKERS / 8]; /* bits of the workers that have it */
    ahost__passed_socket *passed;    /* whose descriptor it is, or NULL */
    char path[sizeof(((ahost__address *)0)->path)]; /* to be removed, or "" */
} kept_socket;

void ahost__keeper_open(ahost *h, ahost__keeper *keeper) {
    keeper->host = h;
    ahost__list_init(&keeper->sockets);
}

/* ---- finding ------------------------------------------------------------ */

/* One of the same address, of this worker or (-1) of any. */
static kept_socket *find(const ahost__keeper *keeper, const kept_socket *like,
                         int worker) {
    ahost__link *link;
    for (link = keeper->sockets.next; link != &keeper->sockets;
         link = link->next) {
        kept_socket *s = ahost__container_of(link, kept_socket, link);
        if ((worker == -1 || s->worker == worker) && s->owner == like->owner &&
            s->ordinal == like->ordinal &&
            memcmp(&s->address, &like->address, sizeof(s->address)) == 0)
            return s;
    }
    return NULL;
}

static int port_of(const kept_socket *s) {
    struct sockaddr_storage name = {0};
    socklen_t size = sizeof(name);
    getsockname(s->fd, (struct sockaddr *)&name, &size);
    /* both families have the port at the same place */
    return ntohs(((const struct sockaddr_in *)&name)->sin_port);
}

/* ---- users -------------------------------------------------------------- */

/* What the last one has given back is closed. A worker that ends gives nothing
 * back: who replaces it is to have it. */
static void set_user(kept_socket *s, int worker, int uses) {
    unsigned i = (unsigned)worker % MOST_WORKERS;
    if (uses)
        s->users[i / 8] |= (uint8_t)(1u << i % 8);
    else
        s->users[i / 8] &= (uint8_t) ~(1u << i % 8);
}

static int has_users(const kept_socket *s) {
    for (size_t i = 0; i < sizeof(s->users); i++)
        if (s->users[i] != 0)
            return 1;
    return 0;
}

/* ---- making ------------------------------------------------------------- */

/* 0 when nobody else has the address, whose port others of the same user could
 * share unnoticed; else a code. */
static int probe(const struct sockaddr_storage *address) {
    const struct sockaddr *sa = (const struct sockaddr *)address;
    int fd = ahost__new_socket(sa->sa_family, SOCK_STREAM), on = 1, off = 0;
    int err = 0;
    if (fd < 0)
        return fd;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (sa->sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, sa, ahost__sockaddr_length(sa)) != 0)
        err = -errno;
    close(fd);
    return err;
}

/* A socket that listens, or a code. The first for any port decides which one
 * it is for all workers. */
static int make(const ahost__keeper *keeper, kept_socket *wanted,
                const ahost__lender_request *request) {
    ahost__listen_options options = {request->backlog, 1, request->mode, 0};
    ahost__address address = request->address;
    const kept_socket *sibling;
    int err, is_unix;
    if (address.is_passed) {
        err = ahost__passed_socket_use(keeper->host, address.host,
                                       &wanted->passed, &is_unix);
        return err != 0 ? err : wanted->passed->fd;
    }
    if (address.is_unix)
        return ahost__listening_socket(&address, &options);
    sibling = find(keeper, wanted, -1);
    if (sibling != NULL) {
        address.port = port_of(sibling);
    } else if (address.port != 0) {
        err = probe(&wanted->address);
        if (err != 0)
            return err;
    }
    return ahost__listening_socket(&address, &options);
}

/* Fills in what is asked for: 0 or a code. */
static int read_request(kept_socket *wanted, int worker,
                        const ahost__lender_request *request) {
    const ahost__address *address = &request->address;
    int shared = address->is_unix || address->is_passed;
    *wanted = (kept_socket){.owner = request->owner,
                            .ordinal = request->ordinal,
                            .worker = shared ? 0 : worker};
    return ahost__lease_name(address, &wanted->address);
}

static int lend_new(ahost__keeper *keeper, kept_socket wanted, int worker,
                    const ahost__lender_request *request) {
    const ahost__address *address = &request->address;
    kept_socket *s = ahost__alloc(keeper->host, sizeof(*s));
    if (s == NULL)
        return UV_ENOMEM;
    wanted.fd = make(keeper, &wanted, request);
    if (wanted.fd < 0) {
        ahost__free(keeper->host, s, sizeof(*s));
        return wanted.fd;
    }
    *s = wanted;
    if (address->is_unix && address->path[0] != '@')
        strcpy(s->path, address->path);
    ahost__list_append(&keeper->sockets, &s->link);
    set_user(s, worker, 1);
    return s->fd;
}

int ahost__keeper_lend(ahost__keeper *keeper, int worker,
                       const ahost__lender_request *request) {
    kept_socket wanted, *s;
    int err = read_request(&wanted, worker, request);
    if (err != 0)
        return err;
    s = find(keeper, &wanted, wanted.worker);
    if (s == NULL)
        return lend_new(keeper, wanted, worker, request);
    set_user(s, worker, 1);
    return s->fd;
}

/* ---- the end ------------------------------------------------------------ */

static void close_socket(ahost__keeper *keeper, kept_socket *s) {
    ahost__list_remove(&s->link);
    if (s->path[0] != '\0')
        unlink(s->path);
    if (s->passed != NULL)
        ahost__passed_socket_release(s->passed);
    else
        close(s->fd);
    ahost__free(keeper->host, s, sizeof(*s));
}

void ahost__keeper_take_back(ahost__keeper *keeper, int worker,
                             const ahost__lender_request *request) {
    kept_socket like, *s;
    if (read_request(&like, worker, request) != 0)
        return;
    s = find(keeper, &like, like.worker);
    if (s == NULL)
        return;
    set_user(s, worker, 0);
    if (!has_users(s))
        close_socket(keeper, s);
}

void ahost__keeper_close(ahost__keeper *keeper) {
    while (!ahost__list_empty(&keeper->sockets))
        close_socket(keeper, ahost__container_of(keeper->sockets.next,
                                                 kept_socket, link));
}
