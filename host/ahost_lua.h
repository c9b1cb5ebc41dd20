/*
 * ahost_lua.h - the Lua and libuv side of ahost, for programs and modules
 * written in C: the state, the loop, and C functions that wait.
 *
 * A C function that waits begins a wait, starts its operation, and returns what
 * ahost_await returns:
 *
 *     static int sleep_finish(lua_State *L, void *data, int status) {
 *         lua_pushboolean(L, status == 0);     // runs in the task
 *         return 1;
 *     }
 *
 *     static const ahost_operation sleep_operation = {
 *         "sleep", sleep_finish, sleep_cancel};
 *
 *     static int l_sleep(lua_State *L) {
 *         struct sleeper *s = ...;
 *         ahost_wait_begin(L, &sleep_operation, s, &s->ticket);
 *         uv_timer_start(&s->timer, on_timer, 100, 0);
 *         return ahost_await(L, &s->ticket, -1);
 *     }
 *
 *     static void on_timer(uv_timer_t *timer) {
 *         struct sleeper *s = timer->data;
 *         ahost_settle(&s->ticket, 0);
 *     }
 *
 * Everything here belongs to the host's thread. To call Lua from outside, as in
 * a callback of libuv, is to be done in ahost_post or by ahost_call_later, for
 * a raised error has to be caught.
 */
#ifndef AHOST_LUA_H
#define AHOST_LUA_H

#include <stdint.h>
#include <uv.h>

#include "ahost.h"

#ifdef __cplusplus
extern "C" {
#endif

#include <lua.h> /* which does not say itself that it is C */

/* The host's Lua state: its main coroutine, which is not a task. Whoever uses
 * it leaves its stack as it was and calls nothing unprotected that may raise.
 * NULL in another thread. */
AHOST_API lua_State *ahost_lua(ahost *host);

/* The host's own loop. Handles of the program's own are the program's to close,
 * before ahost_close. NULL in another thread. */
AHOST_API uv_loop_t *ahost_loop(ahost *host);

/* The host that a Lua state (any coroutine of it) belongs to. */
AHOST_API ahost *ahost_from_lua(lua_State *L);

/* ---- on a loop of the program's ------------------------------------------ */

/* A host on the program's loop has ended, with this status. It may be closed
 * here. */
typedef void ahost_ended_function(ahost *host, void *data, int status);

/*
 * Like ahost_open for a program that runs a loop of libuv itself: the host goes
 * on whenever that loop turns. Its handles are in a loop of its own, which the
 * program's loop polls, so that neither sees the handles of the other. There is
 * no ahost_run and no ahost_step: what is loaded runs at once, and `ended`,
 * which may be NULL, is told of the end. Until then the program's loop stays
 * alive.
 *
 * To end it without blocking, call ahost_stop, and ahost_close when `ended` is
 * called. ahost_close before that blocks until everything has ended. After it
 * the program's loop has to turn once more, before uv_loop_close.
 */
AHOST_API int ahost_open_on_loop(ahost **host, const ahost_options *options,
                                 uv_loop_t *loop, ahost_ended_function *ended,
                                 void *data);

/* ---- the state ----------------------------------------------------------- */

/* Logs a record as the script's own: by the levels of loggers and to where log
 * records go. A format of printf. May be called in libuv callbacks, too. */
AHOST_API void ahost_log(ahost *host, int level, const char *logger,
                         const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 4, 5)))
#endif
    ;

/* Makes `require(name)` call `open`; AHOST_NO_MEMORY when it cannot. */
AHOST_API int ahost_preload(ahost *host, const char *name, lua_CFunction open);

/* ---- waiting ------------------------------------------------------------- */

/* One kind of operation that tasks wait for; static. */
typedef struct ahost_operation {
    const char *what; /* for messages: "read", "query" */
    /* The wait is over: pushes the results in the task, and returns how many.
     * May raise. `status` is what ahost_settle was given, or AHOST_TIMED_OUT. A
     * cancelled wait raises by itself and does not come here. */
    int (*finish)(lua_State *L, void *data, int status);
    /* Timeout or cancellation won: nobody wants the outcome any more. May be
     * NULL. Must not use Lua. */
    void (*cancel)(void *data);
} ahost_operation;

/* Stands for one wait. A ticket outlives it: to settle a wait that is over, by
 * whatever won, does nothing. */
typedef struct ahost_ticket {
    void *wait;
    uint64_t sequence;
} ahost_ticket;

/* Prepares the running task to wait. Raises when the caller is no task, cannot
 * wait where it is, or is cancelled. Nothing may raise between this and
 * ahost_await. */
AHOST_API void ahost_wait_begin(lua_State *L, const ahost_operation *operation,
                                void *data, ahost_ticket *ticket);

/* Waits, for `timeout` seconds at most unless it is negative. To be called as
 * the operand of `return` in a function that Lua called. */
AHOST_API int ahost_await(lua_State *L, const ahost_ticket *ticket,
                          double timeout);

/* Ends the wait of a ticket; the task goes on in the next turn of the loop. */
AHOST_API void ahost_settle(const ahost_ticket *ticket, int status);

#ifdef __cplusplus
}
#endif

#endif
