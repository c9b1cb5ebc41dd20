/*
 * component.h - what the host does for applications and their components. The
 * algorithms are in lua/ahost/component/ and lua/ahost/application.lua.
 */
#ifndef AHOST_COMPONENT_H
#define AHOST_COMPONENT_H

#include <lua.h>

int ahost__open_component(lua_State *L);

/* runtime.watch, runtime.waiting (starting.c): who waits for what while
 * components start. */
int ahost__component_watch(lua_State *L);
int ahost__component_waiting(lua_State *L);
void ahost__open_starting(lua_State *L);

/* runtime.stops (stopping.c): requests to end the host, for an application. */
int ahost__component_stops(lua_State *L);
void ahost__open_stopping(lua_State *L);

#endif
