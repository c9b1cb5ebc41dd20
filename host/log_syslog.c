/*
 * log_syslog.c - log records to a syslog server: datagrams on UDP and Unix
 * sockets, and streams with octet counting (RFC 6587) on TCP and Unix sockets.
 *
 * A record that cannot be sent stays the first in the queue while the writer
 * connects again, more and more rarely. Of what was sent into a connection that
 * breaks nobody knows how much has arrived.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host.h"
#include "log_sink.h"

enum {
    CONNECT_TIME = 10000, /* milliseconds */
    SEND_TIME = 5000,     /* after which a server counts as stopped */
    SILENCE = 30000,      /* after which a connection counts as broken */
    PROBE_TIME = 20,      /* for an answer that nobody listens */
    FIRST_PAUSE = 100,
    LONGEST_PAUSE = 15000,
    SMALLEST = 480 /* a datagram that every server takes */
};

typedef struct syslog_sink {
    ahost__log_sink sink;
    ahost__log_transport transport;
    char *host, *port;
    int newlines;
    int fd;    /* -1: not connected */
    int pause; /* before the next attempt; 0: none has failed */
} syslog_sink;

static int is_stream(const syslog_sink *s) {
    return s->transport == AHOST__LOG_TCP ||
           s->transport == AHOST__LOG_UNIX_STREAM;
}

/* ---- connecting --------------------------------------------------------- */

static void disconnect(syslog_sink *s) {
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

/* What a non-blocking connect has come to: 0 or a code. */
static int finish_connect(syslog_sink *s) {
    uint64_t end = uv_hrtime() + CONNECT_TIME * (uint64_t)1000000;
    struct pollfd out = {.fd = s->fd, .events = POLLOUT};
    socklen_t size = sizeof(int);
    int err = 0;
    while (poll(&out, 1, 0) == 0) {
        if (uv_hrtime() > end ||
            !ahost__log_sink_wait(&s->sink, s->fd, POLLOUT, CONNECT_TIME))
            return UV_ETIMEDOUT;
    }
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &size);
    return -err;
}

static int connect_to(syslog_sink *s, int family,
                      const struct sockaddr *address, socklen_t size) {
    int type = is_stream(s) ? SOCK_STREAM : SOCK_DGRAM, err = 0;
    unsigned silence = SILENCE;
    s->fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        return -errno;
    if (s->transport == AHOST__LOG_TCP) /* a machine that has gone */
        setsockopt(s->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence,
                   sizeof(silence));
    if (connect(s->fd, address, size) != 0)
        err = errno == EINPROGRESS ? finish_connect(s) : -errno;
    if (err != 0)
        disconnect(s);
    return err;
}

static int connect_unix(syslog_sink *s) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(s->host) >= sizeof(address.sun_path))
        return UV_ENAMETOOLONG;
    memcpy(address.sun_path, s->host, strlen(s->host));
    return connect_to(s, AF_UNIX, (struct sockaddr *)&address, sizeof(address));
}

static int code_of_resolver(int err) {
    return err == EAI_SYSTEM   ? -errno
           : err == EAI_MEMORY ? UV_EAI_MEMORY
           : err == EAI_AGAIN  ? UV_EAI_AGAIN
                               : UV_EAI_NONAME;
}

static int connect_inet(syslog_sink *s) {
    struct addrinfo hints = {.ai_socktype =
                                 is_stream(s) ? SOCK_STREAM : SOCK_DGRAM};
    struct addrinfo *found, *a;
    int err = getaddrinfo(s->host, s->port, &hints, &found);
    if (err != 0)
        return code_of_resolver(err);
    err = UV_EAI_NONAME;
    for (a = found; a != NULL && err != 0; a = a->ai_next)
        err = connect_to(s, a->ai_family, a->ai_addr, a->ai_addrlen);
    freeaddrinfo(found);
    return err;
}

static int connect_now(syslog_sink *s) {
    if (s->fd >= 0)
        return 0;
    return s->transport == AHOST__LOG_UDP || s->transport == AHOST__LOG_TCP
               ? connect_inet(s)
               : connect_unix(s);
}

/* ---- sending ------------------------------------------------------------ */

/* Waits until the socket takes more: 0 or a code. */
static int wait_writable(syslog_sink *s) {
    uint64_t end = uv_hrtime() + SEND_TIME * (uint64_t)1000000;
    struct pollfd out = {.fd = s->fd, .events = POLLOUT};
    while (poll(&out, 1, 0) == 0) {
        if (!ahost__log_sink_wait(&s->sink, s->fd, POLLOUT, SEND_TIME))
            return UV_ECANCELED;
        if (uv_hrtime() > end)
            ahost__log_sink_fails(&s->sink,
                                  "the server does not take its records");
    }
    return 0;
}

static int send_all(syslog_sink *s, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t n = send(s->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        int err = n < 0 ? -errno : 0;
        if (err == UV_EAGAIN)
            err = wait_writable(s);
        else if (err == UV_EINTR)
            err = 0;
        if (err != 0)
            return err;
        if (n > 0) {
            bytes += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

/* Nothing but an end ever comes from a server; better to see it before a
 * record is lost in a dead connection. */
static int check_alive(syslog_sink *s) {
    char byte[64];
    ssize_t n;
    while ((n = recv(s->fd, byte, sizeof(byte), MSG_DONTWAIT)) > 0)
        continue;
    if (n == 0)
        return UV_ECONNRESET;
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

/* Octet counting: "LENGTH SP MESSAGE". The frame is made in one piece. */
static int send_framed(syslog_sink *s, const ahost__log_line *line) {
    char *frame = malloc(line->size + 24);
    int size = 0, err = frame != NULL ? check_alive(s) : UV_ENOMEM;
    if (err == 0) {
        if (!s->newlines)
            size = sprintf(frame, "%zu ", line->size);
        memcpy(frame + size, line->bytes, line->size);
        if (s->newlines)
            frame[line->size] = '\n';
        err =
            send_all(s, frame, (size_t)size + line->size + (size_t)s->newlines);
    }
    free(frame);
    return err;
}

/* One datagram, cut as far as the network wants it. */
static int send_datagram(syslog_sink *s, const ahost__log_line *line) {
    size_t size = line->size;
    int err = 0;
    while (err == 0) {
        if (send(s->fd, line->bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            return 0;
        if (errno == EAGAIN)
            err = wait_writable(s);
        else if (errno == ENOBUFS)
            err = ahost__log_sink_wait(&s->sink, -1, 0, 10) ? 0 : UV_ECANCELED;
        else if (errno == EMSGSIZE && size > SMALLEST)
            size = size / 2 > SMALLEST ? size / 2 : SMALLEST;
        else if (errno != EINTR)
            err = -errno;
    }
    return err == UV_EMSGSIZE ? 0 : err; /* that one will never do */
}

/* After a failure a datagram that was sent is no proof yet. */
static int probe(syslog_sink *s) {
    struct pollfd failed = {.fd = s->fd, .events = 0};
    socklen_t size = sizeof(int);
    int err = 0;
    if (s->pause == 0 || is_stream(s) || poll(&failed, 1, PROBE_TIME) == 0)
        return 0;
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &size);
    return -err;
}

static int send_line(syslog_sink *s, const ahost__log_line *line) {
    int err = connect_now(s);
    if (err == 0)
        err = is_stream(s) ? send_framed(s, line) : send_datagram(s, line);
    if (err == 0)
        err = probe(s);
    if (err != 0)
        disconnect(s);
    return err;
}

/* -> whether to try again */
static int after_failure(syslog_sink *s, int err) {
    int first = s->pause == 0;
    if (err == UV_ECANCELED)
        return 0;
    s->pause = first ? FIRST_PAUSE : s->pause * 2;
    if (s->pause > LONGEST_PAUSE)
        s->pause = LONGEST_PAUSE;
    if (first) /* perhaps only the old connection has broken */
        return 1;
    ahost__log_sink_fails(&s->sink, "%s; trying again",
                          ahost__code_message(err));
    if (ahost__log_sink_closing(&s->sink))
        return 0;
    return ahost__log_sink_wait(&s->sink, -1, 0, s->pause);
}

static size_t write_lines(ahost__log_sink *sink, ahost__log_line *line) {
    syslog_sink *s = (syslog_sink *)sink;
    size_t written = 0;
    for (; line != NULL; line = line->next, written++) {
        int err;
        while ((err = send_line(s, line)) != 0)
            if (!after_failure(s, err))
                return written;
        s->pause = 0;
    }
    ahost__log_sink_works(sink);
    return written;
}

/* ---- the whole ---------------------------------------------------------- */

static void close_syslog(ahost__log_sink *sink) {
    syslog_sink *s = (syslog_sink *)sink;
    disconnect(s);
    free(s->host);
    free(s->port);
}

static const ahost__log_sink_type syslog_type = {
    sizeof(syslog_sink), write_lines, NULL, NULL, close_syslog};

static char *name_of(const ahost__log_syslog_options *o) {
    char *name;
    int size = o->port != NULL
                   ? asprintf(&name, "syslog %s:%s", o->host, o->port)
                   : asprintf(&name, "syslog %s", o->host);
    return size >= 0 ? name : NULL;
}

ahost__log_sink *
ahost__log_syslog_new(const ahost__log_syslog_options *options) {
    char *name = name_of(options);
    syslog_sink *s = NULL;
    if (name != NULL)
        s = (syslog_sink *)ahost__log_sink_new(&syslog_type, name);
    free(name);
    if (s == NULL)
        return NULL;
    s->fd = -1;
    s->transport = options->transport;
    s->newlines = options->newlines;
    s->host = strdup(options->host);
    s->port = options->port != NULL ? strdup(options->port) : NULL;
    if (s->host != NULL && (options->port == NULL || s->port != NULL))
        return &s->sink;
    ahost__log_sink_release(&s->sink);
    return NULL;
}
