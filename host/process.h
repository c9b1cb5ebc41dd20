/*
 * process.h - ahost.process.core: the process that the host lives in.
 */
#ifndef AHOST_PROCESS_H
#define AHOST_PROCESS_H

#include "host.h"
#include "stream.h"

/* ---- names of process signals: signal_names.c --------------------------- */

/* "TERM", or NULL for numbers without a name. */
const char *ahost__signal_name(int number);

/* The number of the name at `arg`, with or without "SIG"; raises for an unknown
 * one. */
int ahost__check_signal_name(lua_State *L, int arg);

/* The same for a name or a number. */
int ahost__check_signal_number(lua_State *L, int arg);

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

/* The descriptor that the stream stands for, or -1: it is no standard one. */
int ahost__standard_number(const ahost__stream *s);

/* Undoes what was done to descriptors that other processes share. */
void ahost__standard_restore(ahost *h);

/* ---- the environment: environment.c ------------------------------------- */

/* Pushes process.env. */
int ahost__push_environment(lua_State *L);

int ahost__open_process(lua_State *L);

#endif
