/*
 * watchdog.h - what notices Lua code that keeps the loop from turning.
 *
 * A run is one stretch of Lua code of the loop: a task from its resume to its
 * next wait (with what it starts at once), or a job. Each has a number, odd
 * while the run lasts, so that another thread can tell by two looks whether it
 * is still the same.
 */
#ifndef AHOST_WATCHDOG_H
#define AHOST_WATCHDOG_H

#include <lua.h>
#include <stdint.h>
#include <uv.h>
#include "ahost.h"

typedef struct ahost__task ahost__task;
typedef struct ahost__watchdog ahost__watchdog;

/* What may be wanted of a run by its number; 0 and numbers of runs that are
 * over mean nothing. */
enum { AHOST__REPORT, AHOST__INTERRUPT, AHOST__KILL, AHOST__WANTS };

/* The loop's side, part of the host. "Atomic": shared with other threads,
 * accessed with __atomic only. */
typedef struct ahost__runs {
    uint32_t number;               /* of the current or last run; atomic */
    uint32_t wanted[AHOST__WANTS]; /* atomic */
    int attention;                 /* something is wanted; atomic */
    int asleep;                    /* the watchdog waits for a run; atomic */
    uint32_t since;  /* milliseconds: when it saw the run; atomic */
    uint32_t task;   /* id of what runs, when it was looked; atomic */
    uint32_t strict; /* the run in which every instruction raises */
    lua_State *L;    /* the coroutine that runs; never NULL in a run */
    ahost_interrupt_function *interrupt; /* the program's */
    void *interrupt_data;
    ahost_blocked_function *blocked;
    void *blocked_data;
    /* the hook that ours has taken the place of */
    lua_State *hooked;
    lua_Hook hook;
    int hook_mask, hook_count;
    uint64_t lag;             /* nanoseconds; 0: turns are not timed */
    uint64_t turn_began;      /* 0 before the first run of a turn */
    uint64_t lag_reported;    /* when */
    uint32_t lags;            /* since then */
    double stall, stall_kill; /* seconds; 0: not watched */
    ahost__watchdog *watchdog;
} ahost__runs;

/* ---- the loop's side: stall.c ------------------------------------------- */

/* Makes the code that runs now stop at its next instruction to look what is
 * wanted of it. On the host's thread, also in a signal handler there. */
void ahost__attend(ahost *h);

/* A run is over in which something was wanted that it did not come to do: it
 * was in a C function all the time. `task` is what ran, or NULL. */
void ahost__unattended(ahost *h, ahost__task *task);

/* The first Lua code of a turn of the loop is about to run. */
void ahost__turn_begins(ahost *h);

/* The loop is about to poll: tells of a turn that took too long. */
void ahost__turn_ends(ahost *h);

/* ---- the thread: watchdog.c --------------------------------------------- */

/* Starts, changes or stops the thread according to runs.stall and
 * runs.stall_kill. 0 or a negative code of libuv. */
int ahost__watchdog_set(ahost *h);

/* Ends the thread. Does nothing twice. */
void ahost__watchdog_stop(ahost *h);

/* Lets a watchdog that is asleep know that there are runs again. */
void ahost__watchdog_wake(ahost *h);

/* Wants something of a run, and has the program reach the host's thread. */
void ahost__want(ahost *h, int what, uint32_t run);

/* runtime.watchdog */
int ahost__component_watchdog(lua_State *L);

#endif
