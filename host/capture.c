/*
 * capture.c - the standard output of the process, or its errors, kept in memory
 * for a while.
 *
 * The descriptor itself is exchanged, so that what comes from print, from C
 * code and from child processes is caught alike.
 */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host.h"
#include "testing.h"

#define CAPTURE_TYPE "ahost.testing.capture"

typedef struct capture {
    int number; /* of the descriptor */
    int saved;  /* what it was; -1 once that is restored */
    int file;   /* what it is meanwhile */
} capture;

static void flush(const capture *c) {
    fflush(c->number == STDOUT_FILENO ? stdout : stderr);
}

static void restore(capture *c) {
    if (c->saved == -1)
        return;
    flush(c);
    dup2(c->saved, c->number);
    close(c->saved);
    close(c->file);
    c->saved = -1;
}

/* capture:close() */
static int capture_close(lua_State *L) {
    restore(luaL_checkudata(L, 1, CAPTURE_TYPE));
    return 0;
}

/* capture:read() -> all that was written so far */
static int capture_read(lua_State *L) {
    const capture *c = luaL_checkudata(L, 1, CAPTURE_TYPE);
    luaL_Buffer text;
    off_t at = 0;
    ssize_t size;
    if (c->saved == -1)
        return luaL_error(L, "the capture is closed");
    flush(c);
    luaL_buffinit(L, &text);
    while ((size = pread(c->file, luaL_prepbuffer(&text), LUAL_BUFFERSIZE,
                         at)) > 0) {
        luaL_addsize(&text, (size_t)size);
        at += size;
    }
    luaL_pushresult(&text);
    return 1;
}

static const luaL_Reg methods[] = {
    {"close", capture_close}, {"read", capture_read}, {NULL, NULL}};

static void push_meta(lua_State *L) {
    if (luaL_newmetatable(L, CAPTURE_TYPE)) {
        luaL_newlib(L, methods);
        lua_setfield(L, -2, "__index");
        lua_pushcfunction(L, capture_close);
        lua_setfield(L, -2, "__gc");
    }
}

/* core.capture(number) -> capture | nil, err */
int ahost__testing_capture(lua_State *L) {
    lua_Integer number = luaL_checkinteger(L, 1);
    capture *c;
    int err = 0;
    luaL_argcheck(L, number == STDOUT_FILENO || number == STDERR_FILENO, 1,
                  "1 or 2 expected");
    c = lua_newuserdatauv(L, sizeof(*c), 0);
    *c = (capture){.number = (int)number, .saved = -1};
    push_meta(L);
    lua_setmetatable(L, -2);
    flush(c);
    c->file = memfd_create("ahost capture", MFD_CLOEXEC);
    if (c->file == -1)
        return ahost__fail(L, -errno, "capture");
    c->saved = fcntl(c->number, F_DUPFD_CLOEXEC, 3);
    if (c->saved == -1 || dup2(c->file, c->number) == -1)
        err = -errno;
    if (err == 0)
        return 1;
    close(c->file);
    if (c->saved != -1)
        close(c->saved);
    c->saved = -1;
    return ahost__fail(L, err, "capture");
}
