/*
 * pidfile.c - the file that says which process a daemon is.
 *
 * The locks belong to the open file (F_OFD_SETLK), not to the process: one of
 * the process ends as soon as anything in it opens and closes the file, and is
 * not seen by who asks in the same process.
 */
#include "pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MOST_TEXT = 32 /* bytes of a number and its end */, MOMENTS = 100 };

/* ---- what is in it ------------------------------------------------------ */

/* The number in the file, 0 when it is empty, -1 when it is no pid file. */
static pid_t read_pid(int fd) {
    char text[MOST_TEXT + 1], *end;
    long number;
    ssize_t size = pread(fd, text, MOST_TEXT + 1, 0);
    if (size < 0 || size > MOST_TEXT)
        return -1;
    text[size] = '\0';
    if (strlen(text) != (size_t)size)
        return -1;
    end = text + strspn(text, " \t\r\n");
    if (*end == '\0')
        return 0;
    if (strspn(end, "0123456789") == 0)
        return -1;
    number = strtol(end, &end, 10);
    end += strspn(end, " \t\r\n");
    return *end == '\0' && number > 0 && number <= INT_MAX ? (pid_t)number : -1;
}

static int write_pid(int fd) {
    char text[MOST_TEXT];
    int size = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)size, 0) != size)
        return errno != 0 ? -errno : -EIO;
    return 0;
}

/* ---- locks -------------------------------------------------------------- */

static int set_lock(int fd) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : -errno;
}

static int is_locked(int fd) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* Whether the path still leads to the open file. */
static int is_at(int fd, const char *path) {
    struct stat here, there;
    return fstat(fd, &here) == 0 && lstat(path, &there) == 0 &&
           here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

/* ---- taking ------------------------------------------------------------- */

/* -ELOOP stands for what is no plain file. Neither waits for the other end of a
 * pipe nor follows a link, which somebody else may have put there. */
static int open_file(const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
                  0644);
    struct stat info;
    if (fd < 0)
        return -errno;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode))
        return fd;
    close(fd);
    return -ELOOP;
}

/* 0, a reason, or -EAGAIN when the file has been removed meanwhile: a lock on
 * it would keep nobody away. */
static int lock_and_write(int fd, const char *path, pid_t *holder) {
    int err = set_lock(fd);
    *holder = read_pid(fd);
    if (err == -EAGAIN || err == -EACCES)
        return PIDFILE_HELD;
    if (err != 0)
        return err;
    if (!is_at(fd, path))
        return -EAGAIN;
    if (*holder < 0)
        return PIDFILE_FOREIGN;
    err = write_pid(fd);
    if (err != 0)
        unlink(path);
    return err;
}

int pidfile_take(pidfile *file, const char *path, pid_t *holder) {
    int fd, err, attempts = 0;
    *holder = 0;
    if (strlen(path) >= sizeof(file->path))
        return -ENAMETOOLONG;
    do {
        fd = open_file(path, O_RDWR | O_CREAT);
        if (fd < 0)
            return fd == -ELOOP ? PIDFILE_FOREIGN : fd;
        err = lock_and_write(fd, path, holder);
        if (err != 0)
            close(fd);
    } while (err == -EAGAIN && ++attempts < MOMENTS);
    if (err != 0)
        return err;
    file->fd = fd;
    strcpy(file->path, path);
    return 0;
}

void pidfile_give_up(pidfile *file) {
    if (file->fd >= 0 && is_at(file->fd, file->path) &&
        unlink(file->path) != 0 && ftruncate(file->fd, 0) != 0)
        fprintf(stderr, "ahost: %s cannot be removed\n", file->path);
}

/* ---- looking ------------------------------------------------------------ */

int pidfile_open(const char *path) {
    return open_file(path, O_RDONLY);
}

int pidfile_state(int fd, pid_t *holder) {
    int held = is_locked(fd);
    *holder = read_pid(fd);
    if (*holder < 0)
        return PIDFILE_FOREIGN;
    return held ? PIDFILE_HELD : PIDFILE_STALE;
}

static int is_left_by(int fd, pid_t pid) {
    pid_t written = read_pid(fd);
    return written == 0 || written == pid;
}

/* The lock may last a little longer than other signs of life. */
void pidfile_remove_stale(const char *path, pid_t left_by) {
    static const struct timespec moment = {.tv_nsec = 10 * 1000 * 1000};
    int fd = pidfile_open(path);
    if (fd < 0)
        return;
    for (int i = 0; i < MOMENTS && is_left_by(fd, left_by) && is_locked(fd);
         i++)
        nanosleep(&moment, NULL);
    if (is_left_by(fd, left_by) && !is_locked(fd) && is_at(fd, path))
        unlink(path);
    close(fd);
}
