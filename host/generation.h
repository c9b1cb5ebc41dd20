/*
 * generation.h - a component instance that follows another one.
 *
 * A generation is the context of a component and all below it. While it is
 * staged it hears no events and no messages and accepts no connections. Its
 * activation and the retirement of the one that it follows happen in one turn
 * of the loop. What a retired one still serves is left alone: connections,
 * which are the contexts below a server's, and tasks that belong to a
 * connection.
 */
#ifndef AHOST_GENERATION_H
#define AHOST_GENERATION_H

#include "host.h"

/* The generation is the current one from now on. Does not fail or use Lua. */
void ahost__generation_activate(ahost__context *ctx);

/* A newer one has taken its place: what heard or accepted for it ends, and its
 * tasks that belong to no connection are cancelled. The same holds; may be done
 * twice. */
void ahost__generation_retire(ahost__context *ctx);

/* Whether a connection, or a task that belongs to one, is left in it. */
int ahost__generation_serves(const ahost__context *ctx);

/* Somewhere the last connection of a server, or the last such task of a
 * context, has ended. */
void ahost__generation_drained(ahost *h);

/* The functions of ahost.component.runtime. */
int ahost__runtime_activate(lua_State *L);
int ahost__runtime_retire(lua_State *L);
int ahost__runtime_replace(lua_State *L);
int ahost__runtime_replaced(lua_State *L);
int ahost__runtime_serves(lua_State *L);
int ahost__runtime_drained(lua_State *L);
int ahost__runtime_prepare_sockets(lua_State *L);
int ahost__runtime_keep_sockets(lua_State *L);
int ahost__runtime_release_sockets(lua_State *L);

#endif
