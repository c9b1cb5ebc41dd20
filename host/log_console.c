/*
 * log_console.c - log records on standard error.
 *
 * While it takes them at once they are written at once, so that they stand in
 * order with what the program itself prints there. A terminal that is stopped,
 * and a pipe that nobody reads, are left to the thread.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include "host.h"
#include "log_sink.h"

typedef struct console {
    ahost__log_sink sink;
    int fd;
} console;

/* A pipe that polls as writable takes PIPE_BUF bytes without blocking. */
static size_t piece(size_t size) {
    return size < PIPE_BUF ? size : PIPE_BUF;
}

static size_t write_now(ahost__log_sink *sink, const ahost__log_line *line) {
    console *c = (console *)sink;
    size_t written = 0;
    while (written < line->size) {
        struct pollfd out = {.fd = c->fd, .events = POLLOUT};
        ssize_t n;
        if (poll(&out, 1, 0) != 1)
            break;
        n = write(c->fd, line->bytes + written, piece(line->size - written));
        if (n > 0)
            written += (size_t)n;
        else if (n == 0 || errno == EAGAIN)
            break;
        else if (errno != EINTR)
            return line->size; /* nobody is there to be told */
    }
    return written;
}

/* -> whether the line has been written */
static int write_line(console *c, const ahost__log_line *line) {
    size_t written = 0;
    while (written < line->size) {
        struct pollfd out = {.fd = c->fd, .events = POLLOUT};
        ssize_t n;
        if (poll(&out, 1, 0) != 1) {
            if (!ahost__log_sink_wait(&c->sink, c->fd, POLLOUT, 60000))
                return 0;
            continue;
        }
        n = write(c->fd, line->bytes + written, piece(line->size - written));
        if (n > 0)
            written += (size_t)n;
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
            return 0;
        else if (!ahost__log_sink_wait(&c->sink, -1, 0, 10))
            return 0;
    }
    return 1;
}

static size_t write_lines(ahost__log_sink *sink, ahost__log_line *lines) {
    size_t written = 0;
    for (; lines != NULL && write_line((console *)sink, lines);
         lines = lines->next)
        written++;
    return written;
}

static void close_console(ahost__log_sink *sink) {
    (void)sink;
}

static const ahost__log_sink_type console_type = {
    sizeof(console), write_lines, write_now, NULL, close_console};

ahost__log_sink *ahost__log_console_new(int fd) {
    ahost__log_sink *sink = ahost__log_sink_new(&console_type, "console");
    if (sink == NULL)
        return NULL;
    ((console *)sink)->fd = fd;
    sink->is_console = 1;
    return sink;
}
