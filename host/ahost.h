/*
 * ahost.h - an application host: a libuv event loop and Lua 5.4 in a library.
 *
 *     #include <ahost.h>
 *
 *     int main(int argc, char **argv) {
 *         ahost_options options = {.size = sizeof(options)};
 *         ahost *host;
 *         int status = 1;
 *         if (ahost_open(&host, &options) == AHOST_OK &&
 *             ahost_load_file(host, "app.lua") == AHOST_OK)
 *             status = ahost_run(host);
 *         ahost_close(host);
 *         return status;
 *     }
 *
 * A host belongs to the thread that opened it; only ahost_stop,
 * ahost_signal, ahost_log_flush and ahost_interrupt may be called from
 * elsewhere. The library by itself never exits, prints, or touches process
 * signals, environment, standard streams or global allocators: those are the
 * program's, and its script's if that asks for them (require "ahost.process",
 * "ahost.log").
 */
#ifndef AHOST_H
#define AHOST_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define AHOST_API __attribute__((visibility("default")))
#else
#define AHOST_API
#endif

#define AHOST_VERSION "0.1.0"

typedef struct ahost ahost;

/* Results of the functions below. */
enum {
    AHOST_OK = 0,
    AHOST_NOT_FOUND = -1, /* a file that is not there or not readable */
    AHOST_SYNTAX = -2,    /* the code does not compile */
    AHOST_NO_MEMORY = -3,
    AHOST_MISUSE = -4 /* NULL, or a call at the wrong time */
};

/* Severity of a log record, as in syslog but growing with importance. */
enum {
    AHOST_LOG_DEBUG = 10,
    AHOST_LOG_INFO = 20,
    AHOST_LOG_NOTICE = 25,
    AHOST_LOG_WARNING = 30,
    AHOST_LOG_ERROR = 40,
    AHOST_LOG_CRITICAL = 50
};

/*
 * Receives one log record. `logger` is a dotted name, `text` may have several
 * lines (a traceback); both are valid during the call only. Called in the
 * host's thread; it must not call back into the host.
 */
typedef void ahost_log_function(void *data, int level, const char *logger,
                                const char *text);

/*
 * Has ahost_interrupted(host) called on the host's thread soon, as by
 * pthread_kill with a process signal whose handler does that. Called in other
 * threads: a watchdog's, or whichever calls ahost_interrupt.
 */
typedef void ahost_interrupt_function(void *data);

/*
 * Is told, once, of code that keeps the loop from turning inside a C function,
 * where no traceback can be had of it: for how many seconds so far, and the
 * number of the task (0: not known). Called in the watchdog's thread while it
 * lasts. When it is over, a record is logged in any case.
 */
typedef void ahost_blocked_function(void *data, double seconds, unsigned task);

/*
 * What a host is opened with. Set `size` to sizeof(ahost_options) and leave
 * the rest zero for the defaults; fields are only ever added at the end.
 */
typedef struct ahost_options {
    size_t size;
    /* Hears of records until the script sends them elsewhere. NULL: they are
     * dropped */
    ahost_log_function *log;
    void *log_data;
    size_t memory_limit; /* bytes that Lua and the buffers may take; 0: none */
    double stop_timeout; /* seconds that a stop waits for tasks; 0 means 10 */
    int argc;            /* the script's arguments: `...` and host.args */
    char **argv;         /* not copied: must outlive ahost_load_* */
    /* Process signals that the program handles itself and passes on with
     * ahost_signal, ended by 0; read by ahost_open. Their handlers are left
     * alone when the script listens to them. NULL: none */
    const int *signals;
    /* Records below this level are dropped, AHOST_LOG_DEBUG lets all pass; the
     * script may say otherwise (require "ahost.log"). 0: AHOST_LOG_NOTICE */
    int log_level;
    /* Lua code that keeps the loop for this many seconds is logged, with its
     * traceback, while it still does (logger "ahost.watchdog"); a thread looks
     * after it while ahost_run runs. 0: none does */
    double stall;
    /* ... and for this many: an error is raised in it, with code FAILED. Code
     * that catches it and goes on as long again gets one at each instruction
     * until its task waits or has ended. 0: never */
    double stall_kill;
    double lag; /* a turn of the loop that takes longer is logged; 0: none is */
    /* Without this, code that is to be stopped is so when it allocates memory
     * in Lua, which is soon but for pure calculations. NULL: none */
    ahost_interrupt_function *interrupt;
    void *interrupt_data;
    ahost_blocked_function *blocked; /* NULL: nobody is told */
    void *blocked_data;
} ahost_options;

/*
 * Opens a host with an event loop of its own. On success *host is set and is
 * to be given to ahost_close. `options` may be NULL. On failure *host is NULL.
 */
AHOST_API int ahost_open(ahost **host, const ahost_options *options);

/*
 * Loads a Lua file, and makes its body the main task of the host. It starts
 * to run when ahost_run does. One script a host: a second call is misuse.
 */
AHOST_API int ahost_load_file(ahost *host, const char *path);

/* The same for Lua source; `name` stands for it in messages. */
AHOST_API int ahost_load_string(ahost *host, const char *source,
                                const char *name);

/*
 * Runs until the main task and everything spawned in its context have ended
 * and no listener is open, or until ahost_stop; then tears everything down in
 * order. Returns the exit status: 0, 1 when something failed, or what the
 * script chose with host.stop(status).
 */
AHOST_API int ahost_run(ahost *host);

/*
 * Asks the host to stop: cancels its tasks, runs teardown, ends ahost_run. The
 * second call logs what is still being waited for. May be called from any
 * thread and from a signal handler, until ahost_close.
 */
AHOST_API void ahost_stop(ahost *host);

/*
 * Passes on one of options.signals that has arrived. When the script listens
 * to it (process.signal), it is told and decides; else, and when the host
 * stops already, this is ahost_stop. Arrivals that nobody has taken yet count
 * as one. Returns 1 when the script listens now, else 0. May be called from any
 * thread and from a signal handler, until ahost_close.
 */
AHOST_API int ahost_signal(ahost *host, int number);

/*
 * Waits until the records that the script sends to files and servers (require
 * "ahost.log".configure) are written, for so many milliseconds at most: for
 * programs that are about to end without ahost_close, which does this itself.
 * May be called from any thread and from a signal handler, until ahost_close.
 */
AHOST_API void ahost_log_flush(ahost *host, int milliseconds);

/*
 * Stops the Lua code that runs now: an error with code FAILED and message
 * "interrupted" is raised in its task at its next instruction; a C function
 * that it is in ends first. Does nothing to tasks that wait. Returns 1 when
 * code runs that is to be stopped, else 0. May be called from any thread while
 * ahost_run runs, and from a signal handler if options.interrupt may be.
 */
AHOST_API int ahost_interrupt(ahost *host);

/*
 * What options.interrupt asks for: to be called on the host's thread, in a
 * signal handler, until ahost_close. Does nothing when nothing is wanted.
 */
AHOST_API void ahost_interrupted(ahost *host);

/* Why a script could not be loaded: file, line and message; never NULL. What
 * fails while it runs is logged, with its traceback. */
AHOST_API const char *ahost_errmsg(const ahost *host);

/* Frees everything. `host` may be NULL. */
AHOST_API void ahost_close(ahost *host);

#ifdef __cplusplus
}
#endif

#endif
