/*
 * protect.c - pcall and xpcall that know about cancellation.
 *
 * From the moment an error is raised in a task until it is caught, the task is
 * masked against cancellation, so that `<close>` variables can wait while the
 * error unwinds. Whoever catches the error restores what was masked before;
 * therefore pcall and xpcall are ours.
 */
#include <lauxlib.h>

#include "host.h"

/* Masks everything that is in force now. */
static void mask(ahost__task *task) {
    int32_t depth = task->frames != NULL ? task->frames->depth : 0;
    if (task->floor < depth)
        task->floor = depth;
}

/* Message handler: (error) -> error */
static int on_caught_raise(lua_State *L) {
    ahost__task *task = ahost__of(L)->current;
    if (task == NULL)
        return 1;
    mask(task);
    task->rethrows = 0; /* whatever it was, it ends here */
    return 1;
}

/* An interrupted task needs no traceback: nobody will see it. */
static int is_expected(lua_State *L, const ahost__task *task) {
    return ahost__is_error(L, 1, AHOST__CANCELLED) &&
           (task->cancelled || task->frames != NULL);
}

int ahost__on_raise(lua_State *L) {
    ahost__task *task = ahost__of(L)->current;
    int rethrown;
    if (task == NULL)
        return 1;
    mask(task);
    rethrown = task->rethrows;
    task->rethrows = 0;
    if (rethrown || is_expected(L, task))
        return 1;
    luaL_traceback(L, L, NULL, 1);
    ahost__task_set_text(L, task, AHOST__TASK_TRACEBACK);
    return 1;
}

static void restore_floor(lua_State *L, lua_KContext floor) {
    ahost__task *task = ahost__of(L)->current;
    if (task != NULL)
        task->floor = (int32_t)floor;
}

static lua_KContext floor_now(lua_State *L) {
    ahost__task *task = ahost__of(L)->current;
    return task != NULL ? task->floor : -1;
}

/* Stack: handler, true, results or error. */
static int pcall_done(lua_State *L, int status, lua_KContext floor) {
    restore_floor(L, floor);
    if (ahost__returned(status))
        return lua_gettop(L) - 1;
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

/* Calls the function above the message handler at index 1. */
static int call_protected(lua_State *L) {
    lua_KContext floor = floor_now(L);
    int status;
    lua_pushboolean(L, 1);
    lua_insert(L, 2);
    status =
        lua_pcallk(L, lua_gettop(L) - 3, LUA_MULTRET, 1, floor, pcall_done);
    return pcall_done(L, status, floor);
}

/* pcall(fn, ...) */
static int protect_pcall(lua_State *L) {
    luaL_checkany(L, 1);
    lua_pushcfunction(L, on_caught_raise);
    lua_insert(L, 1);
    return call_protected(L);
}

/* The message handler of an xpcall; upvalue: the program's handler. */
static int xpcall_handler(lua_State *L) {
    on_caught_raise(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

/* xpcall(fn, handler, ...) */
static int protect_xpcall(lua_State *L) {
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, xpcall_handler, 1);
    lua_insert(L, 1);
    lua_remove(L, 3); /* the program's handler, between fn and its arguments */
    return call_protected(L);
}

void ahost__open_protect(lua_State *L) {
    lua_pushcfunction(L, protect_pcall);
    lua_setglobal(L, "pcall");
    lua_pushcfunction(L, protect_xpcall);
    lua_setglobal(L, "xpcall");
}
