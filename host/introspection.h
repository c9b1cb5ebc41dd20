/*
 * introspection.h - what the control socket needs of the host: what goes on in
 * it, and who asks.
 */
#ifndef AHOST_INTROSPECTION_H
#define AHOST_INTROSPECTION_H

#include <lua.h>

/* peer(stream) -> uid, pid of who has connected to a Unix socket | nil, err:
 * credentials.c */
int ahost__credentials_peer(lua_State *L);

/* user() -> uid that the program acts as */
int ahost__credentials_user(lua_State *L);

#endif
