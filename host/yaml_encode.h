/*
 * yaml_encode.h - Lua values to YAML.
 */
#ifndef AHOST_YAML_ENCODE_H
#define AHOST_YAML_ENCODE_H

#include <lua.h>

/* yaml.encode */
int ahost__yaml_encode(lua_State *L);

#endif
