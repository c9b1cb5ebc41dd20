/*
 * process.h - ahost.process: the process that the host lives in.
 */
#ifndef AHOST_PROCESS_H
#define AHOST_PROCESS_H

#include "host.h"

/* ---- process signals: process_signal.c ---------------------------------- */

/* Gives the signals that the program has passed on to who listens. Called in
 * the loop; returns whether one of them is to stop the host. */
int ahost__take_passed_signals(ahost *h);

/* process.signal(name) -> signal | nil, err */
int ahost__process_signal(lua_State *L);

/* ---- standard streams: stdio.c ------------------------------------------ */

/* Pushes the stream on descriptor 0, 1 or 2, opened when it is asked for first.
 * Raises when there is no such descriptor. */
int ahost__push_standard(lua_State *L, int number);

/* Undoes what was done to descriptors that other processes share. */
void ahost__standard_restore(ahost *h);

/* ---- the environment: environment.c ------------------------------------- */

/* Pushes process.env. */
int ahost__push_environment(lua_State *L);

int ahost__open_process(lua_State *L);

#endif
