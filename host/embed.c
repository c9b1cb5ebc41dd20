/*
 * embed.c - the way into the host from a program's C code: who may call what,
 * what went wrong, and Lua where no task runs.
 */
#include "embed.h"

#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "host.h"
#include "value.h"

const char *ahost_version(void) {
    return AHOST_VERSION;
}

const char *ahost_strerror(int code) {
    switch (code) {
    case AHOST_OK:
        return "success";
    case AHOST_NOT_FOUND:
        return "there is no such thing";
    case AHOST_SYNTAX:
        return "the code does not compile";
    case AHOST_NO_MEMORY:
        return "not enough memory";
    case AHOST_MISUSE:
        return "misuse: NULL, or a call at the wrong time, in a callback or in "
               "another thread than the host's";
    case AHOST_FAILED:
        return "an error was raised";
    case AHOST_CONFIG:
        return "the configuration is wrong";
    case AHOST_ENDED:
        return "the host has ended";
    case AHOST_CONFLICT:
        return "the name is taken";
    case AHOST_FULL:
        return "too much is waiting";
    case AHOST_WRONG_TYPE:
        return "it is of another type";
    case AHOST_NOT_SUPPORTED:
        return "not supported by this host, or by this version of the library";
    case AHOST_TIMED_OUT:
        return "timed out";
    default:
        return "unknown code";
    }
}

/* ---- messages ----------------------------------------------------------- */

void ahost__keep_errmsg(ahost *h, const char *text) {
    char *copy = text != NULL ? strdup(text) : NULL;
    free(h->errmsg);
    h->errmsg = copy;
    h->errmsg_lost = copy == NULL;
}

const char *ahost_errmsg(const ahost *h) {
    if (h == NULL)
        return "the host is NULL";
    if (!ahost__is_own_thread(h))
        return "the host belongs to another thread (see ahost_adopt)";
    if (h->errmsg_lost)
        return "not enough memory";
    return h->errmsg != NULL ? h->errmsg : "";
}

int ahost__refuse(ahost *h, int code, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    ahost__keep_errmsg(h, text);
    return code;
}

/* ---- checks ------------------------------------------------------------- */

int ahost__is_own_thread(const ahost *h) {
    uv_thread_t self = uv_thread_self();
    return h != NULL && uv_thread_equal(&h->thread, &self);
}

int ahost__check(ahost *h, const char *function, int needs) {
    if (!ahost__is_own_thread(h))
        return AHOST_MISUSE;
    if ((needs & AHOST__OUTSIDE) && h->inside > 0)
        return ahost__refuse(h, AHOST_MISUSE,
                             "%s: not inside a callback of the host", function);
    if ((needs & AHOST__GOING_ON) && (h->finished || h->stuck))
        return ahost__refuse(h, AHOST_ENDED, "%s: the host has ended",
                             function);
    if ((needs & AHOST__TAKES) && (h->finishing || h->finished || h->stuck))
        return ahost__refuse(h, AHOST_ENDED,
                             "%s: the host takes no new work, as it ends",
                             function);
    return AHOST_OK;
}

int ahost__check_list(ahost *h, const char *function, const ahost_value *list) {
    if (list == NULL)
        return AHOST_OK;
    if (list->broken)
        return ahost__refuse(h, AHOST_NO_MEMORY, "not enough memory");
    if (list->kind != AHOST_LIST)
        return ahost__refuse(h, AHOST_MISUSE,
                             "%s: values are given as a list, or NULL",
                             function);
    if (list->as.items.count > AHOST__MOST_ITEMS)
        return ahost__refuse(h, AHOST_MISUSE,
                             "%s: %zu values are too many (200 at most)",
                             function, list->as.items.count);
    return AHOST_OK;
}

int ahost_adopt(ahost *h) {
    if (h == NULL)
        return AHOST_MISUSE;
    if (h->inside > 0) /* in this thread, or the former one broke the rule */
        return AHOST_MISUSE;
    h->thread = uv_thread_self();
    return AHOST_OK;
}

int ahost_has_ended(const ahost *h) {
    if (h != NULL && !ahost__is_own_thread(h))
        return AHOST_MISUSE;
    return h == NULL || h->finished || h->stuck;
}

int ahost_exit_status(const ahost *h) {
    return ahost__is_own_thread(h) ? h->exit_status : AHOST_MISUSE;
}

/* ---- errors ------------------------------------------------------------- */

int ahost__code_of_error(lua_State *L, int index) {
    static const struct {
        int inward, outward;
    } codes[] = {{AHOST__NOTFOUND, AHOST_NOT_FOUND},
                 {AHOST__CONFLICT, AHOST_CONFLICT},
                 {AHOST__CONFIG, AHOST_CONFIG},
                 {AHOST__WRONGTYPE, AHOST_WRONG_TYPE},
                 {AHOST__TIMEDOUT, AHOST_TIMED_OUT}};
    for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++)
        if (ahost__is_error(L, index, codes[i].inward))
            return codes[i].outward;
    return AHOST_FAILED;
}

/* Message handler: (error) -> its text, with a traceback if it is none of the
 * world's */
static int describe(lua_State *L) {
    ahost *h = ahost__of(L);
    const char *text = luaL_tolstring(L, 1, NULL);
    h->error_code = ahost__code_of_error(L, 1);
    if (h->error_code == AHOST_FAILED)
        luaL_traceback(L, L, text, 1);
    return 1;
}

/* Keeps what describe has left on the top. */
static int keep_failure(ahost *h, lua_State *L, int status) {
    const char *text =
        lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    int code = status == LUA_ERRRUN ? h->error_code : AHOST_NO_MEMORY;
    ahost__keep_errmsg(h, code == AHOST_NO_MEMORY ? NULL : text);
    lua_pop(L, 1);
    return code;
}

/* ---- into Lua ----------------------------------------------------------- */

/* Calls it in the coroutine that runs, or the main one when none does. */
static int call(ahost *h, lua_CFunction fn, void *data) {
    lua_State *L = h->runs.L;
    int status, err = AHOST_OK;
    if (!lua_checkstack(L, 4)) {
        ahost__keep_errmsg(h, NULL);
        return AHOST_NO_MEMORY;
    }
    h->inside++;
    lua_pushcfunction(L, describe);
    lua_pushcfunction(L, fn);
    lua_pushlightuserdata(L, data);
    status = lua_pcall(L, 1, 0, -3);
    if (status != LUA_OK)
        err = keep_failure(h, L, status);
    lua_pop(L, 1);
    h->inside--;
    return err;
}

int ahost__protect(ahost *h, lua_CFunction fn, void *data) {
    int allowed = h->lua_allowed, err;
    if (h->draining)
        return call(h, fn, data);
    h->draining = h->lua_allowed = 1;
    ahost__run_begins(h);
    err = call(h, fn, data);
    ahost__run_ends(h);
    h->draining = 0;
    h->lua_allowed = allowed;
    ahost__ready_soon(h);
    return err;
}

/* The module stays where it was put when it was first needed. */
void ahost__push_embedding(lua_State *L, const char *name) {
    static const char module_key;
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &module_key) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_getglobal(L, "require");
        lua_pushliteral(L, "ahost.embedding");
        lua_call(L, 1, 1);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &module_key);
    }
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
}
