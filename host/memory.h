/*
 * memory.h - the memory of a host: Lua's and that of our own structures and
 * buffers, counted together and bounded by options.memory_limit.
 */
#ifndef AHOST_MEMORY_H
#define AHOST_MEMORY_H

#include <stddef.h>
#include "ahost.h"

void ahost__memory_open(ahost *h);

/* Nothing is in use any more. */
void ahost__memory_close(ahost *h);

/* A block of zeroed bytes, or NULL when the limit or the system refuses. */
void *ahost__alloc(ahost *h, size_t size);

/* Like realloc(); the old block stays valid when the result is NULL. New bytes
 * are not cleared. */
void *ahost__resize(ahost *h, void *block, size_t old_size, size_t new_size);

/* `size` is what the block was made with. NULL is fine. */
void ahost__free(ahost *h, void *block, size_t size);

/* The lua_Alloc of the host's state; `ud` is the host. */
void *ahost__lua_alloc(void *ud, void *block, size_t old_size, size_t new_size);

#endif
