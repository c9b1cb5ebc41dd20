/*
 * detach.c - becoming a daemon.
 *
 * A pipe leads from the daemon to the process that was started by hand. What
 * the daemon writes until it is ready comes to the terminal as ever. If it ends
 * before that its pid file is removed from here, too: the daemon itself may
 * have become somebody who is not allowed to.
 */
#include "detach.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pidfile.h"

enum { STARTED, TOOK_PIDFILE, READY, ENDED };

/* Written at once: it is no longer than PIPE_BUF. */
typedef struct report {
    int kind;
    int value; /* STARTED: its process; ENDED: its status */
    char path[sizeof(((pidfile *)0)->path)]; /* TOOK_PIDFILE */
} report;

_Static_assert(sizeof(report) <= PIPE_BUF, "reports must not be torn");

/* What this process is, set once each: a process becomes a daemon only once. */
static struct {
    int detached;
    int reports; /* the daemon's end of the pipe, or -1 */
    pidfile file;
} self = {.reports = -1, .file = {.fd = -1}};

/* ---- the process that waits --------------------------------------------- */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number) {
    (void)number;
    interrupted = 1;
}

/* Process signals end the wait of read(). */
static void hear_interrupts(void) {
    struct sigaction action = {.sa_handler = on_interrupt};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* Reads the next report; 0 when there is none any more. Who gives up waiting
 * does not want the daemon. */
static int next_report(int fd, report *next, pid_t daemon) {
    ssize_t size;
    do {
        if (interrupted && daemon > 0 && kill(daemon, SIGTERM) == 0)
            interrupted = 0;
        size = read(fd, next, sizeof(*next));
    } while (size < 0 && errno == EINTR);
    return size == (ssize_t)sizeof(*next);
}

/* Until the daemon is ready, or all of it has ended. -> status */
static int wait_for_daemon(int fd) {
    report next;
    char path[sizeof(next.path)] = "";
    pid_t daemon = 0;
    int status = -1;
    hear_interrupts();
    while (next_report(fd, &next, daemon)) {
        if (next.kind == READY)
            return 0;
        if (next.kind == STARTED)
            daemon = next.value;
        else if (next.kind == TOOK_PIDFILE)
            strcpy(path, next.path);
        else
            status = next.value;
    }
    if (*path != '\0')
        pidfile_remove_stale(path, daemon);
    if (status < 0)
        fputs("ahost: the daemon died before everything had started\n", stderr);
    return status < 0 ? 1 : status;
}

/* ---- the daemon --------------------------------------------------------- */

static void tell(int kind, int value, const char *path) {
    report next = {.kind = kind, .value = value};
    if (self.reports < 0)
        return;
    if (path != NULL)
        strcpy(next.path, path);
    /* nobody waits any more: that changes nothing */
    while (write(self.reports, &next, sizeof(next)) < 0 && errno == EINTR)
        ;
}

static void to_null(int first, int last) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = first; null >= 0 && fd <= last; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
}

/* What a service manager has said to this process is meant for it under its new
 * number, too. */
static void stay_addressed(const char *variable, pid_t before) {
    char text[32];
    const char *owner = getenv(variable);
    snprintf(text, sizeof(text), "%ld", (long)before);
    if (owner == NULL || strcmp(owner, text) != 0)
        return;
    snprintf(text, sizeof(text), "%ld", (long)getpid());
    setenv(variable, text, 1);
}

static void become_daemon(int reports, pid_t before) {
    self.detached = 1;
    self.reports = reports;
    signal(SIGPIPE, SIG_IGN);
    stay_addressed("LISTEN_PID", before);
    stay_addressed("WATCHDOG_PID", before);
    to_null(STDIN_FILENO, STDIN_FILENO);
    tell(STARTED, getpid(), NULL);
}

/* ---- both --------------------------------------------------------------- */

/* The leader of a session could get a terminal, so it leaves at once. Returns 0
 * in the daemon, a number in the first process, or -1. */
static pid_t fork_twice(void) {
    pid_t leader = fork();
    if (leader != 0)
        return leader;
    setsid();
    leader = fork();
    if (leader != 0)
        _exit(leader < 0 ? 1 : 0);
    return 0;
}

static int fail(const char *what) {
    fprintf(stderr, "ahost: cannot become a daemon: %s: %s\n", what,
            strerror(errno));
    return 1;
}

int detach(int *status) {
    int ends[2];
    pid_t before = getpid(), leader;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        *status = fail("pipe");
        return 0;
    }
    fflush(NULL);
    leader = fork_twice();
    if (leader == 0) {
        close(ends[0]);
        become_daemon(ends[1], before);
        return 1;
    }
    close(ends[1]);
    if (leader < 0) {
        *status = fail("fork");
    } else {
        while (waitpid(leader, NULL, 0) < 0 && errno == EINTR)
            ;
        *status = wait_for_daemon(ends[0]);
    }
    close(ends[0]);
    return 0;
}

int detach_done(void) {
    return self.detached;
}

void detach_leave_terminal(void) {
    fflush(NULL);
    to_null(STDOUT_FILENO, STDERR_FILENO);
}

void detach_ready(void) {
    if (self.reports < 0)
        return;
    detach_leave_terminal();
    tell(READY, 0, NULL);
    close(self.reports);
    self.reports = -1;
}

int detach_take_pidfile(const char *path, int *holder) {
    pid_t pid;
    int err = pidfile_take(&self.file, path, &pid);
    *holder = (int)pid;
    if (err == 0)
        tell(TOOK_PIDFILE, 0, path);
    return err;
}

void detach_end(int status) {
    if (!self.detached)
        return;
    pidfile_give_up(&self.file);
    tell(ENDED, status, NULL);
}
