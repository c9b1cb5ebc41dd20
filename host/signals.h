/*
 * signals.h - signals: what other code can listen to. (A file named signal.h
 * here would be found in place of the C library's.)
 */
#ifndef AHOST_SIGNALS_H
#define AHOST_SIGNALS_H

#include <lua.h>
#include <stdint.h>
#include "list.h"
#include "listeners.h"
#include "task.h"

typedef struct ahost__signal {
    ahost__link watchers; /* waits and iterators of events */
    ahost__listeners listeners;
    int audience; /* connections and watchers that hear events */
    /* Is told when the first comes and when the last one goes, maybe where Lua
     * cannot be used; must not raise. NULL: nobody wants to know. */
    void (*heard_changed)(void *data, int heard);
    void *heard_data;
} ahost__signal;

/* Pops a source and, below it, a topic (both may be nil), pushes a signal. */
ahost__signal *ahost__push_signal(lua_State *L);

/* Whether anybody listens or waits; what nobody hears need not be emitted. */
int ahost__signal_heard(const ahost__signal *signal);

/* Somebody starts, and ceases, to hear the signal. */
void ahost__signal_join(ahost__signal *signal);
void ahost__signal_leave(ahost__signal *signal);

/* Pops an event, a table, and emits it by the signal at `index`. To be called
 * in a task or a job; raises only when memory is short. */
void ahost__signal_emit(lua_State *L, int index);

/* The signal at `arg`, or an argument error. */
ahost__signal *ahost__check_signal(lua_State *L, int arg);

/* ---- waits and iterators: signal_events.c ------------------------------- */

/* Gives the event at index `event` to all that watch the signal. */
void ahost__signal_tell_watchers(lua_State *L, ahost__signal *signal,
                                 int event);

/* The signal is gone. */
void ahost__signal_drop_watchers(ahost__signal *signal);

/* sig:wait, sig:events and the functions of the same names. */
int ahost__signal_wait(lua_State *L);
int ahost__signal_events(lua_State *L);

void ahost__open_events(lua_State *L);
int ahost__open_signal(lua_State *L);

#endif
