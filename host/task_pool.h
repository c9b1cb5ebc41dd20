/*
 * task_pool.h - the memory of tasks: structures in slabs, pooled coroutines.
 */
#ifndef AHOST_TASK_POOL_H
#define AHOST_TASK_POOL_H

#include <lua.h>

#include "host.h"

/* A structure with its last use wiped, or NULL. */
ahost__task *ahost__task_new(ahost *h);
void ahost__task_free(ahost__task *task);

/* A coroutine to run a task on; raises when memory is short. */
ahost__pool_slot ahost__coroutine_take(lua_State *L);
void ahost__coroutine_give(ahost *h, ahost__pool_slot slot);

#endif
