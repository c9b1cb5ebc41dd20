/*
 * loader.h - where the host's own modules come from.
 */
#ifndef AHOST_LOADER_H
#define AHOST_LOADER_H

#include <lua.h>

/* Makes `require` find the modules of the host, and replaces the functions that
 * have to know about tasks. The standard libraries are open. Raises. */
void ahost__open_modules(lua_State *L);

/* () -> {name, ...}: the components that come with ahost, sorted by name. */
int ahost__bundled_components(lua_State *L);

/* Lets `require` find modules beside a script first. */
void ahost__search_beside(lua_State *L, const char *script);

#endif
