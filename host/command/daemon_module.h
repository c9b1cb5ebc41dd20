/*
 * daemon_module.h - the module ahost.command.daemon.core: what the commands
 * written in Lua need to put the program into the background, and to end it.
 */
#ifndef AHOST_DAEMON_MODULE_H
#define AHOST_DAEMON_MODULE_H

#include <lua.h>

int daemon_open_module(lua_State *L);

/* Whether the command asked to be run again as a daemon. */
int daemon_is_wanted(void);

#endif
