/*
 * pidfile.h - the file that says which process a daemon is.
 *
 * The daemon holds a lock on it as long as it lives, so a file that nobody has
 * locked is stale, whatever number it holds: numbers of processes are used
 * again, locks end with their holders.
 */
#ifndef AHOST_PIDFILE_H
#define AHOST_PIDFILE_H

#include <sys/types.h>

/* What a path may be besides a pid file; errors of the system are negative. */
enum {
    PIDFILE_HELD = 1, /* a living process has locked it */
    PIDFILE_STALE,
    PIDFILE_FOREIGN /* it is something else, which is left alone */
};

typedef struct pidfile {
    int fd; /* -1: none */
    char path[4000];
} pidfile;

/* Opens the file at an absolute path, locks it and writes the process into it.
 * A stale one is taken over. 0, or PIDFILE_HELD with its holder (0: unknown),
 * or another of the above. */
int pidfile_take(pidfile *file, const char *path, pid_t *holder);

/* Removes the file; where the process may not do that any more, empties it. The
 * lock ends with the process. */
void pidfile_give_up(pidfile *file);

/* Opens the file of somebody else: a descriptor or a negative code, -ELOOP for
 * what is no plain file. */
int pidfile_open(const char *path);

/* PIDFILE_HELD with the holder, or another of the above. */
int pidfile_state(int fd, pid_t *holder);

/* Removes what a process that has just ended has left. */
void pidfile_remove_stale(const char *path, pid_t left_by);

#endif
