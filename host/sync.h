/*
 * sync.h - what the primitives of ahost.sync share: the check of `self`, the
 * turn that a task gives to others, and how their types are registered.
 *
 * Every method is a closure whose first upvalue is the metatable of its type,
 * so that checking `self` compares two pointers and looks nothing up by name.
 */
#ifndef AHOST_SYNC_H
#define AHOST_SYNC_H

#include <lauxlib.h>
#include "task.h"

/* The userdata at index 1, or an argument error. */
static inline void *ahost__sync_self(lua_State *L, const char *type) {
    void *self = lua_touserdata(L, 1);
    if (self == NULL || !lua_getmetatable(L, 1) ||
        !lua_rawequal(L, -1, lua_upvalueindex(1)))
        return luaL_checkudata(L, 1, type);
    lua_pop(L, 1);
    return self;
}

/* Pushes a userdata of the type whose metatable is the first upvalue; `size`
 * bytes, cleared. */
void *ahost__sync_new(lua_State *L, size_t size, int user_values);

/* Lets the other ready tasks run, then calls type->finish: for operations that
 * have succeeded many times in a row without waiting. */
int ahost__sync_turn(lua_State *L, const ahost__wait_type *type);

/* Pushes the metatable of a type, made when it is not there yet. */
void ahost__sync_type(lua_State *L, const char *type, const luaL_Reg *methods,
                      const luaL_Reg *meta);

/* Pops a metatable; module[name] of the table below it becomes the
 * constructor with that metatable as upvalue. */
void ahost__sync_constructor(lua_State *L, const char *name,
                             lua_CFunction construct);

/* Each adds its constructors to the module table on the top. */
void ahost__open_queue(lua_State *L);
void ahost__open_event(lua_State *L);
void ahost__open_semaphore(lua_State *L);
void ahost__open_future(lua_State *L);

#endif
