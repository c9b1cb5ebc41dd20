/*
 * worker.h - a host that is one of several processes.
 */
#ifndef AHOST_WORKER_H
#define AHOST_WORKER_H

#include <lua.h>

int ahost__open_worker(lua_State *L);

#endif
