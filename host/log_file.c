/*
 * log_file.c - log records in files: rotation by size, by time and on demand,
 * and files that others have moved.
 *
 * Several processes may write to one file: whoever rotates holds a lock on it,
 * and the others find that it has been moved.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "host.h"
#include "log_sink.h"

enum { LINES_AT_ONCE = 64 };

/* Between looks whether the file is still in its place, and after a rotation
 * that failed; nanoseconds. */
static const uint64_t look_every = 1000000000;
static const uint64_t retry_after = 60 * (uint64_t)1000000000;

typedef struct log_file {
    ahost__log_sink sink;
    char *path;
    int fd;
    int regular;
    int torn; /* it ends in a part of a line */
    int backup_count;
    size_t max_size, size;
    double rotate_every;
    long long period; /* that the newest line belongs to */
    uint64_t next_look, next_rotation;
} log_file;

/* ---- opening ------------------------------------------------------------ */

/* The number of the period that a time is in; days begin at midnight. */
static long long period_of(const log_file *f, time_t seconds) {
    struct tm local;
    if (f->rotate_every <= 0)
        return 0;
    localtime_r(&seconds, &local);
    return (long long)floor(((double)seconds + (double)local.tm_gmtoff) /
                            f->rotate_every);
}

static int open_path(const char *path) {
    /* A FIFO without a reader is refused, and does not block. */
    int fd = open(
        path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
        0640);
    return fd >= 0 ? fd : -errno;
}

static void take_fd(log_file *f, int fd) {
    struct stat file;
    if (f->fd >= 0)
        close(f->fd);
    f->fd = fd;
    f->torn = 0;
    f->next_rotation = 0;
    f->regular = fstat(fd, &file) == 0 && S_ISREG(file.st_mode);
    f->size = f->regular ? (size_t)file.st_size : 0;
    f->period = period_of(f, f->size > 0 ? file.st_mtime : time(NULL));
}

/* -> 0 or a code; the old file stays open when there is no new one. */
static int reopen(log_file *f) {
    int fd = open_path(f->path);
    if (fd < 0)
        return fd;
    take_fd(f, fd);
    return 0;
}

/* Whether the path still leads to our file, of which others may have written a
 * part. */
static int is_in_place(log_file *f) {
    struct stat there, ours;
    if (stat(f->path, &there) != 0 || fstat(f->fd, &ours) != 0 ||
        there.st_ino != ours.st_ino || there.st_dev != ours.st_dev)
        return 0;
    f->size = (size_t)ours.st_size;
    return 1;
}

/* ---- rotation ----------------------------------------------------------- */

/* "app.log.3", the file itself for 0; NULL when memory is short. */
static char *backup_name(const log_file *f, int number) {
    char *name;
    int size = number == 0 ? asprintf(&name, "%s", f->path)
                           : asprintf(&name, "%s.%d", f->path, number);
    return size >= 0 ? name : NULL;
}

/* -> 0 or a code. A backup that is not there is no failure. */
static int move_backup(const log_file *f, int number) {
    char *from = backup_name(f, number), *to = backup_name(f, number + 1);
    int err = 0;
    if (from == NULL || to == NULL)
        err = UV_ENOMEM;
    else if (rename(from, to) != 0 && (errno != ENOENT || number == 0))
        err = -errno;
    free(from);
    free(to);
    return err;
}

static int move_all(const log_file *f) {
    int err = 0;
    if (f->backup_count == 0)
        return ftruncate(f->fd, 0) == 0 ? 0 : -errno;
    for (int i = f->backup_count - 1; i >= 0 && err == 0; i--)
        err = move_backup(f, i);
    return err;
}

/* The old file goes on being used for some time. */
static void put_off(log_file *f, const char *what, int err) {
    f->next_rotation = uv_hrtime() + retry_after;
    ahost__log_sink_fails(&f->sink, "cannot be %s: %s", what,
                          ahost__code_message(err));
}

/* Moves the file to its backup unless somebody else has done so. */
static void rotate(log_file *f) {
    int err = 0;
    if (!f->regular)
        return;
    flock(f->fd, LOCK_EX);
    if (is_in_place(f) && f->size > 0)
        err = move_all(f);
    flock(f->fd, LOCK_UN);
    if (err == 0)
        err = reopen(f);
    if (err != 0)
        put_off(f, "rotated", err);
}

static void rotate_sink(ahost__log_sink *sink) {
    rotate((log_file *)sink);
}

/* Follows a file that has been moved away. */
static void look(log_file *f) {
    uint64_t now = uv_hrtime();
    int err;
    if (!f->regular || now < f->next_look)
        return;
    f->next_look = now + look_every;
    if (is_in_place(f))
        return;
    err = reopen(f);
    if (err != 0)
        put_off(f, "opened again", err);
}

static int is_due(log_file *f, size_t more) {
    long long period = period_of(f, time(NULL));
    int due =
        f->size > 0 && ((f->max_size > 0 && f->size + more > f->max_size) ||
                        period != f->period);
    if (f->size == 0)
        f->period = period;
    return due && f->regular && uv_hrtime() >= f->next_rotation;
}

/* ---- writing ------------------------------------------------------------ */

/* A device or pipe that takes nothing now. -> whether to try again */
static int wait_writable(log_file *f) {
    return ahost__log_sink_wait(&f->sink, f->fd, POLLOUT, 60000);
}

/* Takes lines that fit into the file, at least one. */
static int gather(const log_file *f, ahost__log_line *line, size_t skip,
                  struct iovec *pieces) {
    size_t size = f->size;
    int count = 0;
    for (; line != NULL && count < LINES_AT_ONCE; line = line->next) {
        if (count > 0 && f->max_size > 0 && size + line->size > f->max_size)
            break;
        size += line->size;
        pieces[count].iov_base = line->bytes + (count == 0 ? skip : 0);
        pieces[count].iov_len = line->size - (count == 0 ? skip : 0);
        count++;
    }
    return count;
}

/* What an unfinished line is ended with. */
static int mend(log_file *f) {
    if (f->torn && write(f->fd, "\n", 1) == 1)
        f->torn = 0;
    return !f->torn;
}

/* -> bytes or a code */
static ssize_t write_pieces(log_file *f, ahost__log_line *line, size_t skip) {
    struct iovec pieces[LINES_AT_ONCE];
    int count = gather(f, line, skip, pieces);
    ssize_t n;
    do
        n = mend(f) ? writev(f->fd, pieces, count) : -1;
    while (n < 0 && (errno == EINTR || (errno == EAGAIN && wait_writable(f))));
    return n < 0 ? -errno : n;
}

static size_t write_lines(ahost__log_sink *sink, ahost__log_line *line) {
    log_file *f = (log_file *)sink;
    size_t written = 0, skip = 0;
    while (line != NULL) {
        ssize_t n;
        if (skip == 0) {
            look(f);
            if (is_due(f, line->size))
                rotate(f);
        }
        n = write_pieces(f, line, skip);
        if (n < 0) {
            f->torn = skip > 0;
            ahost__log_sink_fails(sink, "%s; records are dropped",
                                  ahost__code_message((int)n));
            return written;
        }
        f->size += (size_t)n;
        for (skip += (size_t)n; line != NULL && skip >= line->size;
             line = line->next) {
            skip -= line->size;
            written++;
        }
    }
    if (uv_hrtime() >= f->next_rotation)
        ahost__log_sink_works(sink);
    return written;
}

/* ---- the whole ---------------------------------------------------------- */

static void close_file(ahost__log_sink *sink) {
    log_file *f = (log_file *)sink;
    if (f->fd >= 0)
        close(f->fd);
    free(f->path);
}

static const ahost__log_sink_type file_type = {sizeof(log_file), write_lines,
                                               NULL, rotate_sink, close_file};

static ahost__log_sink *make(const ahost__log_file_options *options) {
    ahost__log_sink *sink;
    char *name;
    if (asprintf(&name, "log file %s", options->path) < 0)
        return NULL;
    sink = ahost__log_sink_new(&file_type, name);
    free(name);
    return sink;
}

/* The path as it is wherever the process goes. */
static char *absolute(const char *path) {
    char *directory, *result = NULL;
    if (*path == '/')
        return strdup(path);
    directory = getcwd(NULL, 0);
    if (directory == NULL || asprintf(&result, "%s/%s", directory, path) < 0)
        result = NULL;
    free(directory);
    return result;
}

ahost__log_sink *ahost__log_file_new(const ahost__log_file_options *options,
                                     int *err) {
    log_file *f;
    int fd = open_path(options->path);
    *err = fd;
    if (fd < 0)
        return NULL;
    f = (log_file *)make(options);
    *err = UV_ENOMEM;
    if (f == NULL) {
        close(fd);
        return NULL;
    }
    f->fd = -1;
    f->path = absolute(options->path);
    f->backup_count = options->backup_count;
    f->max_size = options->max_size;
    f->rotate_every = options->rotate_every;
    take_fd(f, fd);
    if (f->path != NULL)
        return &f->sink;
    ahost__log_sink_release(&f->sink);
    return NULL;
}
