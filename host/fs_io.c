/*
 * fs_io.c - reading and writing descriptors in threads.
 */
#include "fs_io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

enum {
    PATIENCE = 50,      /* milliseconds between looks at who waits */
    STEP = 1024 * 1024, /* bytes that are written at a time */
    MOST = 1 << 30      /* bytes that the kernel takes at a time */
};

int ahost__close_after(int fd, int err) {
    if (close(fd) != 0 && errno != EINTR && err == 0)
        err = -errno;
    return err;
}

/* Not to wait for the other end of a pipe is what O_NONBLOCK is for; files know
 * nothing of it. */
int ahost__open_for(ahost__request *r, const char *path, int flags,
                    mode_t mode) {
    int fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, mode);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &r->info) != 0)
        return ahost__close_after(fd, -errno);
    return S_ISDIR(r->info.st_mode) ? ahost__close_after(fd, UV_EISDIR) : fd;
}

/* 0 when the descriptor is ready, or nobody can tell. */
static int wait_ready(const ahost__request *r, int fd, short events) {
    struct pollfd one = {.fd = fd, .events = events};
    int ready = 0;
    while (ready == 0) {
        if (ahost__given_up(r))
            return UV_ECANCELED;
        ready = poll(&one, 1, PATIENCE);
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (ready < 0)
            ready = 0;
    }
    return 0;
}

/* A pipe without a writer seems to have ended, unless it is polled. */
ssize_t ahost__read_some(const ahost__request *r, int fd,
                         const struct stat *info, char *data, size_t size) {
    for (;;) {
        ssize_t got;
        int err = ahost__given_up(r) ? UV_ECANCELED : 0;
        if (err == 0 && S_ISFIFO(info->st_mode))
            err = wait_ready(r, fd, POLLIN);
        if (err != 0)
            return err;
        got = read(fd, data, size < MOST ? size : MOST);
        if (got >= 0)
            return got;
        if (errno == EAGAIN)
            err = wait_ready(r, fd, POLLIN);
        else if (errno != EINTR)
            err = -errno;
        if (err != 0)
            return err;
    }
}

/* Writes a part of it: a number of bytes or a code. */
static ssize_t write_some(const ahost__request *r, int fd, const char *data,
                          size_t size) {
    ssize_t written = write(fd, data, size < STEP ? size : STEP);
    if (written >= 0)
        return written;
    if (errno == EAGAIN)
        return wait_ready(r, fd, POLLOUT);
    return errno == EINTR ? 0 : -errno;
}

int ahost__write_all(const ahost__request *r, int fd, const char *data,
                     size_t size) {
    while (size > 0) {
        ssize_t written =
            ahost__given_up(r) ? UV_ECANCELED : write_some(r, fd, data, size);
        if (written < 0)
            return (int)written;
        data += written;
        size -= (size_t)written;
    }
    return 0;
}
