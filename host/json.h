/*
 * json.h - what the JSON module needs besides lua-cjson.
 */

#ifndef AHOST_HOST_JSON_H
#define AHOST_HOST_JSON_H

#include <lua.h>

/* The metatable of arrays, which tells an empty one from an empty object. */
#define AHOST__JSON_ARRAY "ahost.json.array"

/* Opener of the module "ahost.json.numbers". -> table */
int ahost__open_json_numbers(lua_State *L);

#endif
