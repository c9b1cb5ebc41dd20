/*
 * thread_function.c - what is called in a thread: a function without
 * surroundings as its code, or the name of one in a module.
 */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "thread_pool.h"

enum { FUNCTION = AHOST__CALL_FUNCTION };

/* The number of the argument fn to who calls: thread.call has no self. */
static int argument(int is_method) {
    return is_method ? FUNCTION : FUNCTION - 1;
}

/* The function may use nothing of its surroundings. */
static void check_upvalues(lua_State *L) {
    const char *name;
    for (int i = 1; (name = lua_getupvalue(L, FUNCTION, i)) != NULL; i++) {
        lua_pop(L, 1);
        if (strcmp(name, "_ENV") != 0)
            luaL_error(L,
                       "fn uses the local '%s' of its surroundings, which a "
                       "thread cannot see; pass it as an argument",
                       *name != '\0' ? name : "?");
    }
}

static void check_reference(lua_State *L, int arg) {
    const char *text = lua_tostring(L, FUNCTION);
    const char *colon = strchr(text, ':');
    luaL_argcheck(L, colon != NULL && colon > text && colon[1] != '\0', arg,
                  "a reference to a function is \"module:function\"");
}

void ahost__check_function(lua_State *L, int is_method) {
    int arg = argument(is_method);
    if (lua_type(L, FUNCTION) == LUA_TSTRING)
        check_reference(L, arg);
    else if (lua_iscfunction(L, FUNCTION))
        luaL_argerror(L, arg,
                      "a C function cannot be copied to a thread; write "
                      "\"module:function\" or a function that calls it");
    else if (lua_isfunction(L, FUNCTION))
        check_upvalues(L);
    else
        luaL_argerror(L, arg,
                      lua_pushfstring(L,
                                      "a function or \"module:function\" "
                                      "expected, got %s",
                                      lua_isnone(L, FUNCTION)
                                          ? "no value"
                                          : luaL_typename(L, FUNCTION)));
}

typedef struct code {
    char *bytes;
    size_t size, capacity;
} code;

/* A lua_Writer. */
static int write_code(lua_State *L, const void *bytes, size_t size, void *to) {
    code *c = to;
    (void)L;
    if (size > c->capacity - c->size) {
        size_t capacity = c->capacity * 2 + size + 512;
        char *grown = realloc(c->bytes, capacity);
        if (grown == NULL)
            return 1;
        c->bytes = grown;
        c->capacity = capacity;
    }
    memcpy(c->bytes + c->size, bytes, size);
    c->size += size;
    return 0;
}

/* "file.lua:12" */
static char *name_function(lua_State *L) {
    char name[LUA_IDSIZE + 24];
    lua_Debug ar;
    lua_pushvalue(L, FUNCTION);
    lua_getinfo(L, ">S", &ar);
    snprintf(name, sizeof(name), "%s:%d", ar.short_src, ar.linedefined);
    return strdup(name);
}

int ahost__describe_function(lua_State *L, ahost__errand *errand) {
    code dumped = {0};
    int failed;
    if (lua_type(L, FUNCTION) == LUA_TSTRING) {
        errand->is_reference = 1;
        errand->code = strdup(lua_tostring(L, FUNCTION));
        errand->name = strdup(lua_tostring(L, FUNCTION));
        return errand->code != NULL && errand->name != NULL;
    }
    lua_pushvalue(L, FUNCTION);
    failed = lua_dump(L, write_code, &dumped, 0);
    lua_pop(L, 1);
    errand->code = dumped.bytes;
    errand->code_size = dumped.size;
    errand->name = name_function(L);
    return !failed && errand->name != NULL;
}
