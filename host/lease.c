/*
 * lease.c - the side of a lease that borrows.
 */
#include "lease.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE = 30000 }; /* milliseconds that an answer may take */

/* Where the listening sockets of a host come from. */
struct ahost__lender {
    ahost__owned owned; /* by the root context */
    ahost *host;
    ahost__link leases; /* sockets in use */
    int fd;
    uint64_t requests;
};

/* ---- names -------------------------------------------------------------- */

/* FNV-1a */
uint64_t ahost__lease_hash(const char *text) {
    uint64_t hash = 0xcbf29ce484222325;
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
    return hash;
}

int ahost__lease_address(const ahost__address *address,
                         struct sockaddr_storage *out) {
    memset(out, 0, sizeof(*out));
    return address->is_passed ? 0 : ahost__address_numeric(address, out);
}

/* ---- opening ------------------------------------------------------------ */

static void close_lender(ahost__owned *owned) {
    ahost__lender *lender = ahost__container_of(owned, ahost__lender, owned);
    lender->host->lender = NULL;
    close(lender->fd);
    ahost__free(lender->host, lender, sizeof(*lender));
}

static const ahost__owned_type owned_lender = {"lender of sockets", 0,
                                               close_lender, 0};

int ahost__lease_open(ahost *h, int fd) {
    ahost__lender *lender = ahost__alloc(h, sizeof(*lender));
    if (lender == NULL)
        return UV_ENOMEM;
    lender->host = h;
    lender->fd = fd;
    ahost__list_init(&lender->leases);
    ahost__own(h->root, &lender->owned, &owned_lender);
    h->lender = lender;
    return 0;
}

/* ---- asking ------------------------------------------------------------- */

static int send_request(int fd, const ahost__lease_request *request) {
    ssize_t sent;
    do
        sent = send(fd, request, sizeof(*request), MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

/* The descriptor that came with a packet, or -1. */
static int descriptor_of(struct msghdr *message) {
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    int fd = -1;
    if (header != NULL && header->cmsg_level == SOL_SOCKET &&
        header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len == CMSG_LEN(sizeof(fd)))
        memcpy(&fd, CMSG_DATA(header), sizeof(fd));
    return fd;
}

/* 0 or a code; *socket is the descriptor or -1. */
static int receive_answer(int fd, ahost__lease_answer *answer, int *socket) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec data = {answer, sizeof(*answer)};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    ssize_t size = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    *socket = size < 0 ? -1 : descriptor_of(&message);
    if (size < 0)
        return -errno;
    if (size == sizeof(*answer))
        return 0;
    if (*socket != -1)
        close(*socket);
    return size == 0 ? UV_ECONNRESET : UV_EPROTO;
}

/* Waits for something to receive: 0 or a code. */
static int wait_for_answer(int fd, uint64_t deadline) {
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    int n;
    do {
        uint64_t now = uv_hrtime() / 1000000;
        n = poll(&readable, 1, now < deadline ? (int)(deadline - now) : 0);
    } while (n < 0 && errno == EINTR);
    return n > 0 ? 0 : n == 0 ? UV_ETIMEDOUT : -errno;
}

/* Answers to requests that were given up are passed over. */
static int ask(ahost__lender *lender, ahost__lease_request *request) {
    uint64_t deadline = uv_hrtime() / 1000000 + PATIENCE;
    ahost__lease_answer answer;
    int socket = -1, err;
    request->number = ++lender->requests;
    err = send_request(lender->fd, request);
    while (err == 0) {
        err = wait_for_answer(lender->fd, deadline);
        if (err == 0)
            err = receive_answer(lender->fd, &answer, &socket);
        if (err == 0 && answer.number == request->number)
            break;
        if (err == 0 && socket != -1)
            close(socket);
    }
    if (err != 0)
        return err;
    return answer.error != 0 ? answer.error : socket == -1 ? UV_EPROTO : socket;
}

/* ---- taking ------------------------------------------------------------- */

static int is_in_use(const ahost__lender *lender, const ahost__lease *lease) {
    const ahost__link *link;
    for (link = lender->leases.next; link != &lender->leases;
         link = link->next) {
        const ahost__lease *other =
            ahost__container_of(link, ahost__lease, link);
        if (other->owner == lease->owner && other->ordinal == lease->ordinal &&
            memcmp(&other->address, &lease->address, sizeof(lease->address)) ==
                0)
            return 1;
    }
    return 0;
}

/* Each socket for any port is another one, and there may be several passed ones
 * of a name; the rest there is once. */
static int find_free(const ahost__lender *lender, ahost__lease *lease,
                     int several) {
    while (is_in_use(lender, lease)) {
        if (!several)
            return UV_EADDRINUSE;
        lease->ordinal++;
    }
    return 0;
}

int ahost__lease_take(ahost *h, ahost__listener *listener,
                      const ahost__address *address,
                      const ahost__listen_options *options) {
    ahost__lease *lease = &listener->lease;
    int any_port =
        !address->is_unix && !address->is_passed && address->port == 0;
    ahost__lease_request request;
    int err = ahost__lease_address(address, &lease->address), fd;
    lease->owner = address->is_passed ? ahost__lease_hash(address->host)
                   : any_port         ? options->owner
                                      : 0;
    if (err == 0)
        err = find_free(h->lender, lease, any_port || address->is_passed);
    if (err != 0)
        return err;
    memset(&request, 0, sizeof(request)); /* the holes too */
    request.address = *address;
    request.owner = lease->owner;
    request.ordinal = lease->ordinal;
    request.backlog = options->backlog;
    request.mode = options->mode;
    fd = ask(h->lender, &request);
    if (fd >= 0)
        ahost__list_append(&h->lender->leases, &lease->link);
    return fd;
}

void ahost__lease_drop(ahost__listener *listener) {
    ahost__list_remove(&listener->lease.link);
}
