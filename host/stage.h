/*
 * stage.h - where generations publish that are being started while others
 * serve: nobody but they sees it until it is committed.
 *
 * The stage is a context, a child of the home that its components' resources
 * are to appear in. Committing merges its tables into those of the home.
 */
#ifndef AHOST_STAGE_H
#define AHOST_STAGE_H

#include <lua.h>
#include "context.h"

/* The stage of a home, or NULL while nothing is staged there. */
ahost__context *ahost__stage_of(ahost__context *home);

/* As ahost__find_resource for a staged context: finds what is on the stages,
 * and nothing of components that are replaced. */
ahost__context *ahost__find_staged(lua_State *L, ahost__context *ctx);

/* The key on the top is to be published in `home`; when that is a stage, and
 * the key is that of a component which stays, pushes the description of its
 * resource and returns true. */
int ahost__stage_push_rival(lua_State *L, ahost__context *home);

/* runtime.stage, staged, override, commit, announce */
int ahost__stage_new(lua_State *L);
int ahost__stage_staged(lua_State *L);
int ahost__stage_override(lua_State *L);
int ahost__stage_commit(lua_State *L);
int ahost__stage_announce(lua_State *L);

#endif
