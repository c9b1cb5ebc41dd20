/*
 * testing.h - the C side of ahost.testing: what specs may do to their host.
 */
#ifndef AHOST_TESTING_H
#define AHOST_TESTING_H

#include <lua.h>

#include "frame.h"

/* ---- limits: limit.c ---------------------------------------------------- */

/* The frame is left: its limit is over. */
void ahost__limit_end(ahost__limit *limit);

/* Nothing is left that could wake the waiting tasks: ends the newest limit in
 * force, as if its time were up. False when there is none. */
int ahost__limit_wake(ahost *h);

/* core.limit(seconds, fn, ...) -> ... | nil, err */
int ahost__testing_limit(lua_State *L);

/* core.capture(number) -> capture | nil, err: capture.c */
int ahost__testing_capture(lua_State *L);

/* core.program(words, files, [cwd]) -> status | nil, err: program.c */
int ahost__testing_program(lua_State *L);

int ahost__open_testing(lua_State *L);

#endif
