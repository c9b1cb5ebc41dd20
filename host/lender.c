/*
 * lender.c - asking the lender of listening sockets.
 */
#include "lender.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host.h"

enum { PATIENCE = 30000 }; /* milliseconds that an answer may take */

/* Where the listening sockets of a host come from. */
struct ahost__lender {
    ahost__owned owned; /* by the root context */
    ahost *host;
    int fd;
    uint64_t requests;
};

/* ---- opening ------------------------------------------------------------ */

static void close_lender(ahost__owned *owned) {
    ahost__lender *lender = ahost__container_of(owned, ahost__lender, owned);
    lender->host->lender = NULL;
    close(lender->fd);
    ahost__free(lender->host, lender, sizeof(*lender));
}

static const ahost__owned_type owned_lender = {"lender of sockets", 0,
                                               close_lender, 0};

int ahost__lender_open(ahost *h, int fd) {
    ahost__lender *lender = ahost__alloc(h, sizeof(*lender));
    if (lender == NULL)
        return UV_ENOMEM;
    lender->host = h;
    lender->fd = fd;
    ahost__own(h->root, &lender->owned, &owned_lender);
    h->lender = lender;
    return 0;
}

/* ---- asking ------------------------------------------------------------- */

static int send_request(int fd, const ahost__lender_request *request,
                        int flags) {
    ssize_t sent;
    do
        sent = send(fd, request, sizeof(*request), MSG_NOSIGNAL | flags);
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
static int receive_answer(int fd, ahost__lender_answer *answer, int *socket) {
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
static int ask(ahost__lender *lender, ahost__lender_request *request) {
    uint64_t deadline = uv_hrtime() / 1000000 + PATIENCE;
    ahost__lender_answer answer;
    int socket = -1, err;
    request->number = ++lender->requests;
    err = send_request(lender->fd, request, 0);
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

/* The socket's name in packets. */
static ahost__lender_request name_of(const ahost__lease *lease,
                                     const ahost__address *address) {
    ahost__lender_request request;
    memset(&request, 0, sizeof(request)); /* the holes too */
    request.address = *address;
    request.owner = lease->owner;
    request.ordinal = lease->ordinal;
    return request;
}

int ahost__lender_borrow(ahost *h, const ahost__lease *lease,
                         const ahost__address *address) {
    ahost__lender_request request = name_of(lease, address);
    request.backlog = lease->backlog;
    request.mode = lease->mode;
    return ask(h->lender, &request);
}

void ahost__lender_return(ahost *h, const ahost__lease *lease) {
    ahost__lender_request request = name_of(lease, &lease->address);
    int err;
    request.returns = 1;
    request.number = ++h->lender->requests;
    err = send_request(h->lender->fd, &request, MSG_DONTWAIT);
    if (err != 0)
        ahost__log(h, AHOST_LOG_WARNING, "ahost.net",
                   "a listening socket cannot be given back: %s",
                   ahost__code_message(err));
}
