/*
 * error.h - the error object, and the one place that makes `nil, err`.
 *
 * Inward an int tells how a call went: 0 or a negative code, libuv's or one of
 * ours below. Outward it is an error object: a table with `code`, `message`
 * and `op` that reads well through tostring().
 */
#ifndef AHOST_ERROR_H
#define AHOST_ERROR_H

#include <lua.h>

/* The name of its metatable in the registry. */
#define AHOST__ERROR_TYPE "ahost.error"

/* Our own codes, beyond the range of libuv's. */
enum {
    AHOST__TIMEDOUT = -9001,
    AHOST__CLOSED = -9002,
    AHOST__CANCELLED = -9003,
    AHOST__TOOLONG = -9004,
    AHOST__NOTFOUND = -9005,
    AHOST__CONFLICT = -9006,
    AHOST__CONFIG = -9007,
    AHOST__FAILED = -9008,
    AHOST__TLS = -9009,
    AHOST__CERTIFICATE = -9010,
    AHOST__TRUNCATED = -9011,
    AHOST__WRONGTYPE = -9012, /* for programs in C, not for scripts */
    AHOST__ANY = -9100        /* of no error; for ahost__is_error: any code */
};

/* "ECONNREFUSED", "TIMEDOUT"...: a static string for any code. */
const char *ahost__code_name(int code);

/* "connection refused"...: a static string for any code. */
const char *ahost__code_message(int code);

/* Pushes an error object with the code's own message; `op` (may be NULL) is
 * formatted like lua_pushfstring: what was tried, "connect 10.0.0.1:80". */
void ahost__push_error(lua_State *L, int code, const char *op, ...);

/* -> nil, err; returns 2. */
int ahost__fail(lua_State *L, int code, const char *op, ...);

/* -> nil, err with a message of its own (formatted); returns 2. `op` is a plain
 * string or NULL. */
int ahost__fail_text(lua_State *L, const char *code, const char *op,
                     const char *message, ...);

/* Raises an error object with a formatted message. */
int ahost__raise(lua_State *L, int code, const char *message, ...);

/* Whether the value at `index` is an error object with this code. */
int ahost__is_error(lua_State *L, int index, int code);

/* Replaces the value on the top by an error object: itself if it is one, else
 * code FAILED with the value's text as message and the value as field `value`.
 */
void ahost__wrap_error(lua_State *L);

/* package.preload["ahost.error"]: new(code, message, [fields]), is(value). */
int ahost__open_error(lua_State *L);

#endif
