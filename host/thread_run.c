/*
 * thread_run.c - a call in its worker: the function and its arguments come out
 * of what was copied, and the outcome goes into it.
 *
 * Each call has globals of its own, which fall back to those of the state, so
 * that what one sets the next does not find.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "thread.h"

static const char traceback_key, globals_key; /* in the registry */

enum { ERRAND = 1, HANDLER = 2 }; /* places on the stack of run_protected */

/* ---- the function ------------------------------------------------------- */

/* Pushes the metatable of the globals of calls. */
static void push_globals_type(lua_State *L) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &globals_key) == LUA_TTABLE)
        return;
    lua_pop(L, 1);
    lua_createtable(L, 0, 1);
    lua_pushglobaltable(L);
    lua_setfield(L, -2, "__index");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &globals_key);
}

/* Pushes a table of globals for one call. */
static void push_globals(lua_State *L) {
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "_G");
    push_globals_type(L);
    lua_setmetatable(L, -2);
}

/* Pushes the function, whose only upvalue, if any, is _ENV. */
static void push_function(lua_State *L, const ahost__errand *errand) {
    if (luaL_loadbufferx(L, errand->code, errand->code_size, errand->name,
                         "b") != LUA_OK)
        lua_error(L);
    push_globals(L);
    if (lua_setupvalue(L, -2, 1) == NULL)
        lua_pop(L, 1);
}

/* Replaces the table on the top by its field, named with dots. */
static void push_field(lua_State *L, const char *reference, const char *path) {
    while (*path != '\0') {
        size_t length = strcspn(path, ".");
        if (!lua_istable(L, -1))
            luaL_error(L, "'%s': there is no table to find '%s' in", reference,
                       path);
        lua_pushlstring(L, path, length);
        lua_gettable(L, -2);
        lua_remove(L, -2);
        path += length + (path[length] == '.');
    }
}

/* Pushes what "module:function" names. */
static void push_referred(lua_State *L, const ahost__errand *errand) {
    const char *colon = strchr(errand->code, ':');
    lua_getglobal(L, "require");
    lua_pushlstring(L, errand->code, (size_t)(colon - errand->code));
    lua_call(L, 1, 1);
    push_field(L, errand->code, colon + 1);
    if (!lua_isfunction(L, -1))
        luaL_error(L, "'%s' is a %s, not a function", errand->code,
                   luaL_typename(L, -1));
}

/* ---- the call ----------------------------------------------------------- */

/* (errand as light userdata) -> results */
static int call(lua_State *L) {
    ahost__errand *errand = lua_touserdata(L, 1);
    ahost__packed *arguments = errand->values;
    if (errand->is_reference)
        push_referred(L, errand);
    else
        push_function(L, errand);
    errand->values = NULL;
    lua_call(L, ahost__unpack(L, arguments), LUA_MULTRET);
    return lua_gettop(L) - 1;
}

/* Pushes the traceback without our own functions at its end. */
static void push_traceback(lua_State *L) {
    static const char own[] = "\n\t[C]: in ?";
    const size_t size = sizeof(own) - 1;
    size_t length;
    const char *text;
    luaL_traceback(L, L, NULL, 1);
    text = lua_tolstring(L, -1, &length);
    while (length > size && memcmp(text + length - size, own, size) == 0)
        length -= size;
    lua_pushlstring(L, text, length);
    lua_replace(L, -2);
}

/* The message handler: keeps the traceback. */
static int on_raise(lua_State *L) {
    push_traceback(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &traceback_key);
    return 1;
}

static void keep_results(lua_State *L, ahost__errand *errand) {
    errand->values = ahost__pack(L, HANDLER + 1, lua_gettop(L) - HANDLER,
                                 "result", errand->problem);
    if (errand->values != NULL)
        errand->outcome = AHOST__CALL_RETURNED;
    else if (*errand->problem != '\0')
        errand->outcome = AHOST__CALL_REFUSED;
}

/* The error is on the top; one that cannot be copied is kept as its text. */
static void keep_error(lua_State *L, ahost__errand *errand) {
    char problem[AHOST__PROBLEM];
    int error = lua_gettop(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &traceback_key);
    errand->values = ahost__pack(L, error, 2, "error", problem);
    if (errand->values == NULL && *problem != '\0') {
        luaL_tolstring(L, error, NULL);
        lua_replace(L, error);
        errand->values = ahost__pack(L, error, 2, "error", problem);
    }
    if (errand->values != NULL)
        errand->outcome = AHOST__CALL_RAISED;
}

/* (errand as light userdata) */
static int run_protected(lua_State *L) {
    ahost__errand *errand = lua_touserdata(L, ERRAND);
    int status;
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &traceback_key);
    lua_pushcfunction(L, on_raise);
    lua_pushcfunction(L, call);
    lua_pushvalue(L, ERRAND);
    status = lua_pcall(L, 1, LUA_MULTRET, HANDLER);
    ahost__packed_free(errand->values); /* arguments of what was not called */
    errand->values = NULL;
    if (ahost__thread_cancelled(ahost__thread_state_of(L)))
        errand->outcome = AHOST__CALL_CANCELLED;
    else if (status == LUA_OK)
        keep_results(L, errand);
    else if (status != LUA_ERRMEM)
        keep_error(L, errand);
    return 0;
}

void ahost__errand_run(ahost__thread_state *state, ahost__errand *errand) {
    lua_State *L = state->L;
    errand->outcome = AHOST__CALL_EXHAUSTED; /* unless it is another one */
    lua_pushcfunction(L, run_protected);
    lua_pushlightuserdata(L, errand);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK && ahost__thread_cancelled(state))
        errand->outcome = AHOST__CALL_CANCELLED;
}

void ahost__errand_free(ahost__errand *errand) {
    ahost__packed_free(errand->values);
    free(errand->code);
    free(errand->name);
}
