/*
 * task_handle.h - what scripts hold of a task, and where its outcome is kept.
 */
#ifndef AHOST_TASK_HANDLE_H
#define AHOST_TASK_HANDLE_H

#include <lua.h>

#include "task.h"

/* Keeps what the body returned, above index `base`, for join. */
void ahost__task_keep_results(lua_State *L, ahost__task *task, int base);

/* Keeps the error on the top, as an object, for join. */
void ahost__task_keep_error(lua_State *L, ahost__task *task);

/* The task has ended: its handle goes on without it. */
void ahost__task_end_handle(ahost__task *task);

#endif
