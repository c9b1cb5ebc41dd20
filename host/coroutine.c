/*
 * coroutine.c - user coroutines that may wait (rule 10).
 *
 * An await inside a user's coroutine yields to the code that resumed it, as any
 * yield does. Our coroutine.resume and coroutine.wrap tell an await from the
 * program's own yield, pass it on outward until it reaches the host, and resume
 * the inner coroutine when the host resumes the task.
 */
#include <lauxlib.h>

#include "host.h"

static lua_State *check_coroutine(lua_State *L, int arg) {
    lua_State *co = lua_tothread(L, arg);
    luaL_argexpected(L, co != NULL, arg, "coroutine");
    return co;
}

/* The mask of the code outside a resume, which has to find it again afterwards
 * whatever the coroutine left half done. */
static lua_KContext mask_now(lua_State *L) {
    ahost__task *task = ahost__of(L)->current;
    return task != NULL ? task->floor : -1;
}

static void restore_mask(lua_State *L, lua_KContext floor) {
    ahost__task *task = ahost__of(L)->current;
    if (task != NULL)
        task->floor = (int32_t)floor;
}

/* Resumes `co` with `arguments` values from the top of L. Returns the number of
 * values moved back to L, -1 with the error on the top, or -2 when it waits. */
static int resume(lua_State *L, lua_State *co, int arguments) {
    ahost *h = ahost__of(L);
    int status, results;
    if (!lua_checkstack(co, arguments)) {
        lua_pushliteral(L, "too many arguments to resume");
        return -1;
    }
    lua_xmove(L, co, arguments);
    status = lua_resume(co, L, arguments, &results);
    if (status == LUA_YIELD && h->awaiting)
        return -2;
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_xmove(co, L, 1);
        return -1;
    }
    if (!lua_checkstack(L, results + 1)) {
        lua_pop(co, results);
        lua_pushliteral(L, "too many results to resume");
        return -1;
    }
    lua_xmove(co, L, results);
    return results;
}

/* ---- coroutine.resume
 * ------------------------------------------------------------ */

static int resume_again(lua_State *L, int status, lua_KContext floor);

static int resume_done(lua_State *L, int results, lua_KContext floor) {
    if (results == -2)
        return lua_yieldk(L, 0, floor, resume_again);
    restore_mask(L, floor);
    lua_pushboolean(L, results >= 0);
    if (results < 0)
        results = 1;
    lua_insert(L, -(results + 1));
    return results + 1;
}

static int resume_again(lua_State *L, int status, lua_KContext floor) {
    (void)status;
    return resume_done(L, resume(L, lua_tothread(L, 1), 0), floor);
}

/* coroutine.resume(co, ...) */
static int coroutine_resume(lua_State *L) {
    lua_State *co = check_coroutine(L, 1);
    lua_KContext floor = mask_now(L);
    return resume_done(L, resume(L, co, lua_gettop(L) - 1), floor);
}

/* ---- coroutine.wrap
 * ----------------------------------------------------------------- */

static int wrap_again(lua_State *L, int status, lua_KContext floor);

/* Closes a failed coroutine and raises its error, with the position added as
 * the standard library does. */
static int wrap_failed(lua_State *L, lua_State *co) {
    int status = lua_status(co);
    if (status != LUA_OK && status != LUA_YIELD) {
        status = lua_resetthread(co);
        lua_xmove(co, L, 1);
    }
    if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int wrap_done(lua_State *L, int results, lua_KContext floor) {
    if (results == -2)
        return lua_yieldk(L, 0, floor, wrap_again);
    restore_mask(L, floor);
    if (results == -1)
        return wrap_failed(L, lua_tothread(L, lua_upvalueindex(1)));
    return results;
}

static int wrap_again(lua_State *L, int status, lua_KContext floor) {
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    (void)status;
    return wrap_done(L, resume(L, co, 0), floor);
}

static int call_wrapped(lua_State *L) {
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    lua_KContext floor = mask_now(L);
    return wrap_done(L, resume(L, co, lua_gettop(L)), floor);
}

/* coroutine.wrap(fn) */
static int coroutine_wrap(lua_State *L) {
    lua_State *co;
    luaL_checktype(L, 1, LUA_TFUNCTION);
    co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    lua_pushcclosure(L, call_wrapped, 1);
    return 1;
}

/* ---- coroutine.yield
 * ------------------------------------------------------------------ */

/* coroutine.yield(...), which has to have somebody to yield to: a task is
 * resumed by the host, which waits for nothing but awaits. */
static int coroutine_yield(lua_State *L) {
    ahost__task *task = ahost__of(L)->current;
    if (task != NULL && task->co == L)
        return luaL_error(L, "attempt to yield outside a coroutine "
                             "(a task gives way with ahost.task.yield)");
    if (task != NULL && task->frames != NULL && task->frames->L == L)
        return luaL_error(L, "attempt to yield from inside task.timeout, "
                             "context.scope or a teardown callback, which "
                             "would go on without the coroutine");
    return lua_yield(L, lua_gettop(L));
}

static const luaL_Reg functions[] = {{"resume", coroutine_resume},
                                     {"wrap", coroutine_wrap},
                                     {"yield", coroutine_yield},
                                     {NULL, NULL}};

void ahost__open_coroutine(lua_State *L) {
    lua_getglobal(L, "coroutine");
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
}
