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

/* Whether a coroutine waits in a task, which is then inside it, as opposed to
 * one that has yielded by itself. */
static int waits(lua_State *co);

/* The mask of the code outside a resume, which has to find it again afterwards
 * whatever the coroutine left half done. */
static lua_KContext mask_now(lua_State *L) {
    ahost__task *task = ahost__of(L)->current;
    return task != NULL ? task->floor : -1;
}

static void restore_mask(lua_State *L, lua_KContext floor) {
    ahost__task *task = ahost__of(L)->current;
    if (task == NULL)
        return;
    task->floor = (int32_t)floor;
    task->rethrows = 0;
}

/* Resumes `co` with `arguments` values from the top of L; `first` unless it is
 * because what it waited for has come. Returns the number of values moved back
 * to L, -1 with the error on the top, or -2 when it waits. */
static int resume(lua_State *L, lua_State *co, int arguments, int first) {
    ahost *h = ahost__of(L);
    lua_State *outer;
    int status, results;
    if (h->attached) /* the coroutine may be older than the host */
        *(ahost **)lua_getextraspace(co) = h;
    if (first && waits(co)) {
        lua_pushliteral(L, "cannot resume non-suspended coroutine");
        return -1;
    }
    if (!lua_checkstack(co, arguments)) {
        lua_pushliteral(L, "too many arguments to resume");
        return -1;
    }
    lua_xmove(L, co, arguments);
    outer = ahost__run_in(h, co);
    status = lua_resume(co, L, arguments, &results);
    ahost__run_in(h, outer);
    ahost_interrupted(h);
    if (status == LUA_YIELD && h->awaiting)
        return -2;
    if (!ahost__returned(status)) {
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

/* Closes the variables of a coroutine, in it. */
static int reset(lua_State *L, lua_State *co) {
    ahost *h = ahost__of(L);
    lua_State *outer = ahost__run_in(h, co);
    int status = lua_resetthread(co);
    ahost__run_in(h, outer);
    return status;
}

/* ---- coroutine.resume --------------------------------------------------- */

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
    return resume_done(L, resume(L, lua_tothread(L, 1), 0, 0), floor);
}

/* coroutine.resume(co, ...) */
static int coroutine_resume(lua_State *L) {
    lua_State *co = check_coroutine(L, 1);
    lua_KContext floor = mask_now(L);
    return resume_done(L, resume(L, co, lua_gettop(L) - 1, 1), floor);
}

/* ---- coroutine.wrap ----------------------------------------------------- */

static int wrap_again(lua_State *L, int status, lua_KContext floor);

/* Closes a failed coroutine and raises its error, with the position added as
 * the standard library does. */
static int wrap_failed(lua_State *L, lua_State *co) {
    ahost__task *task = ahost__of(L)->current;
    int status = lua_status(co);
    if (!ahost__returned(status)) {
        status = reset(L, co);
        lua_xmove(co, L, 1);
    }
    if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    if (task != NULL)
        task->rethrows = 1;
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
    return wrap_done(L, resume(L, co, 0, 0), floor);
}

static int call_wrapped(lua_State *L) {
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    lua_KContext floor = mask_now(L);
    return wrap_done(L, resume(L, co, lua_gettop(L), 1), floor);
}

/* Stack: handler, results or error. */
static int wrapped_ended(lua_State *L, int status, lua_KContext unused) {
    (void)unused;
    if (ahost__returned(status))
        return lua_gettop(L) - 1;
    return lua_error(L);
}

/* The body of a wrapped coroutine: calls its function, the upvalue, protected
 * so that an error closes its variables in the coroutine, where they may wait.
 */
static int wrapped_main(lua_State *L) {
    int status;
    lua_pushcfunction(L, ahost__on_raise);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_rotate(L, 1, 2);
    status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, 0, wrapped_ended);
    return wrapped_ended(L, status, 0);
}

/* coroutine.wrap(fn) */
static int coroutine_wrap(lua_State *L) {
    lua_State *co;
    luaL_checktype(L, 1, LUA_TFUNCTION);
    co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_pushcclosure(L, wrapped_main, 1);
    lua_xmove(L, co, 1);
    lua_pushcclosure(L, call_wrapped, 1);
    return 1;
}

/* ---- coroutine.yield ---------------------------------------------------- */

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

static int waits(lua_State *co) {
    lua_Debug ar;
    int yielded;
    if (lua_status(co) != LUA_YIELD || !lua_getstack(co, 0, &ar) ||
        !lua_checkstack(co, 1))
        return 0;
    lua_getinfo(co, "f", &ar);
    yielded =
        !lua_iscfunction(co, -1) || lua_tocfunction(co, -1) == coroutine_yield;
    lua_pop(co, 1);
    return !yielded;
}

/* ---- coroutine.status, coroutine.close ---------------------------------- */

/* Whether it has resumed another, or waits. */
static int is_normal(lua_State *co) {
    lua_Debug ar;
    return waits(co) || (lua_status(co) == LUA_OK && lua_getstack(co, 0, &ar));
}

/* coroutine.status(co); upvalue: the standard one */
static int coroutine_status(lua_State *L) {
    if (waits(check_coroutine(L, 1))) {
        lua_pushliteral(L, "normal");
        return 1;
    }
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

/* coroutine.close(co) -> true | false, err. Its variables are closed by a call
 * that nothing can wait in. */
static int coroutine_close(lua_State *L) {
    ahost *h = ahost__of(L);
    lua_State *co = check_coroutine(L, 1);
    int status;
    if (co == L || is_normal(co))
        return luaL_error(L, "cannot close a %s coroutine",
                          co == L ? "running" : "normal");
    h->unwaitable++;
    status = reset(L, co);
    h->unwaitable--;
    lua_pushboolean(L, status == LUA_OK);
    if (status == LUA_OK)
        return 1;
    lua_xmove(co, L, 1);
    return 2;
}

static const luaL_Reg functions[] = {{"resume", coroutine_resume},
                                     {"wrap", coroutine_wrap},
                                     {"yield", coroutine_yield},
                                     {"close", coroutine_close},
                                     {NULL, NULL}};

void ahost__open_coroutine(lua_State *L) {
    lua_getglobal(L, "coroutine");
    luaL_setfuncs(L, functions, 0);
    lua_getfield(L, -1, "status");
    lua_pushcclosure(L, coroutine_status, 1);
    lua_setfield(L, -2, "status");
    lua_pop(L, 1);
}
