/*
 * detach.h - becoming a daemon, and what the process that was started by hand
 * learns of it: it ends when the daemon has started, or with what is wrong.
 */
#ifndef AHOST_DETACH_H
#define AHOST_DETACH_H

/* Goes on in a process of its own session: returns 1 there. In the one that
 * called it returns 0 when that has told that it is ready or has ended, with
 * the status to exit with. No host may be open, nor a thread be running. */
int detach(int *status);

/* The rest is for the daemon, and does nothing elsewhere. */

/* Whether this process is one, which has not ended yet. */
int detach_done(void);

/* Everything has started: leaves the terminal; who waits may go. */
void detach_ready(void);

/* The same for a process that the daemon has started. */
void detach_leave_terminal(void);

/* Takes the pid file as pidfile_take does. */
int detach_take_pidfile(const char *path, int *holder);

/* The daemon ends: removes its pid file, tells the status to who waits. The
 * lock lasts until the process is gone. */
void detach_end(int status);

#endif
