/*
 * What the load generators share: a blocking connect, failing loudly, clocks.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 10 /* seconds without an answer that are a failure */

__attribute__((noreturn, format(printf, 1, 2))) static inline void
fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static inline double clock_seconds(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t) < 0)
        fail("clock: %s", strerror(errno));
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The CPU seconds that all threads of process `pid` have used. */
static inline double cpu_seconds(pid_t pid) {
    clockid_t clock;
    if (clock_getcpuclockid(pid, &clock) != 0)
        fail("no process %d", (int)pid);
    return clock_seconds(clock);
}

static inline void raise_file_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* -> a blocking socket whose reads and writes give up after PATIENCE */
static inline int connect_to(const char *host, int port) {
    struct timeval patience = {.tv_sec = PATIENCE};
    struct sockaddr_in where = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port)};
    int yes = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        fail("socket: %s", strerror(errno));
    if (inet_pton(AF_INET, host, &where.sin_addr) != 1)
        fail("no IPv4 address: %s", host);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(fd, (struct sockaddr *)&where, sizeof(where)) < 0)
        fail("connect: %s", strerror(errno));
    return fd;
}

static inline void send_all(int fd, const void *data, size_t size) {
    if (send(fd, data, size, MSG_NOSIGNAL) != (ssize_t)size)
        fail("send: %s", strerror(errno));
}

static inline void receive_all(int fd, void *data, size_t size) {
    ssize_t got = recv(fd, data, size, MSG_WAITALL);
    if (got != (ssize_t)size)
        fail("receive: %s", got < 0 ? strerror(errno) : "connection closed");
}

#endif
